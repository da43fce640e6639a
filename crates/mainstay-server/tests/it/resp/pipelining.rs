//! Commands of one connection run side by side, are answered in order, and keep their order where keys meet.

use mainstay_server::resp::RespConfig;

use super::support::{Client, Gate, Server};

async fn gated(config: RespConfig) -> (Gate, Server, Client) {
    let gate = Gate::closed();
    let server = Server::start(config, gate.storage().await).await;
    let client = server.client().await;
    (gate, server, client)
}

#[tokio::test]
async fn different_keys_run_side_by_side_and_are_answered_in_order() {
    let (gate, _server, mut client) = gated(RespConfig::default()).await;
    client.send("set a 1\r\nget b\r\nset c 3\r\nget b\r\n").await;
    gate.until_begun(4).await;
    assert_eq!(gate.begun(), ["set a", "get b", "set c", "get b"]);
    gate.let_pass(4);
    client.expect("+OK\r\n$-1\r\n+OK\r\n$-1\r\n", "in order").await;
}

#[tokio::test]
async fn a_command_waits_for_an_earlier_write_to_its_key() {
    let (gate, _server, mut client) = gated(RespConfig::default()).await;
    client.send("set a 1\r\nget b\r\nget a\r\nset a 2\r\nget c\r\n").await;
    gate.until_begun(2).await;
    assert_eq!(gate.begun(), ["set a", "get b"]);
    gate.let_pass(2);
    // The read of a has begun; the second write to a waits for it.
    gate.until_begun(3).await;
    assert_eq!(gate.begun()[2..], ["get a"]);
    gate.let_pass(1);
    gate.until_begun(5).await;
    assert_eq!(gate.begun()[3..], ["set a", "get c"]);
    gate.let_pass(2);
    client.expect("+OK\r\n$-1\r\n$1\r\n1\r\n+OK\r\n$-1\r\n", "in order").await;
}

#[tokio::test]
async fn what_the_front_door_answers_waits_its_turn() {
    let (gate, _server, mut client) = gated(RespConfig::default()).await;
    client.send("get a\r\nping\r\nnonsense\r\nget b c\r\nget b\r\n").await;
    gate.until_begun(1).await;
    gate.let_pass(1);
    let expected = "$-1\r\n+PONG\r\n-ERR unknown command 'nonsense', with args beginning with: \r\n\
                    -ERR wrong number of arguments for 'get' command\r\n";
    client.expect(expected, "in order").await;
    gate.until_begun(2).await;
    gate.let_pass(1);
    client.expect("$-1\r\n", "the last").await;
}

#[tokio::test]
async fn no_more_than_the_limit_are_in_flight() {
    let config = RespConfig { pipeline_max: 3, ..RespConfig::default() };
    let (gate, _server, mut client) = gated(config).await;
    let requests: String = (0..10).map(|n| format!("exists k{n}\r\n")).collect();
    client.send(requests).await;
    for done in 0..8 {
        gate.until_begun(done + 3).await;
        assert_eq!(gate.begun().len(), done + 3);
        gate.let_pass(1);
        client.expect(":0\r\n", "one by one").await;
    }
    gate.let_pass(2);
    client.expect(":0\r\n:0\r\n", "the last").await;
}

/// Two values, past the gate.
async fn filled(gate: &Gate, client: &mut Client) {
    client.send("set a 1\r\nset b 2\r\n").await;
    gate.let_pass(2);
    client.expect("+OK\r\n+OK\r\n", "two values").await;
}

#[tokio::test]
async fn reads_that_follow_each_other_are_one_operation() {
    let (gate, _server, mut client) = gated(RespConfig::default()).await;
    filled(&gate, &mut client).await;
    client.send("get a\r\nget b\r\nget a\r\nset b 3\r\nset c 4\r\nget b\r\nget a\r\n").await;
    gate.until_begun(3).await;
    assert_eq!(gate.begun()[2..], ["get_many a b a"], "the write waits for the read of its key");
    gate.let_pass(1);
    gate.until_begun(5).await;
    assert_eq!(gate.begun()[3..], ["set b", "set c"], "the read waits for the write");
    gate.let_pass(2);
    gate.until_begun(6).await;
    assert_eq!(gate.begun()[5..], ["get_many b a"]);
    gate.let_pass(1);
    let (one, two, three) = ("$1\r\n1\r\n", "$1\r\n2\r\n", "$1\r\n3\r\n");
    let expected = format!("{one}{two}{one}+OK\r\n+OK\r\n{three}{one}");
    client.expect(&expected, "each in its place").await;
}

#[tokio::test]
async fn of_reads_that_are_one_operation_each_has_its_own_answer() {
    let (gate, _server, mut client) = gated(RespConfig::default()).await;
    filled(&gate, &mut client).await;
    client.send("hset h f v\r\n").await;
    gate.let_pass(3);
    client.expect(":1\r\n", "a hash").await;
    gate.let_pass(100);
    client.send("get a\r\nget none\r\nget h\r\nget b\r\n").await;
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    client.expect(&format!("$1\r\n1\r\n$-1\r\n{wrong}$1\r\n2\r\n"), "each its own").await;
    assert!(gate.begun().contains(&"get_many a none h b".to_owned()), "{:?}", gate.begun());
    let long = "k".repeat(3000);
    client.send(format!("get a\r\nget {long}\r\nget b\r\n")).await;
    client.expect("$1\r\n1\r\n", "the first").await;
    let refused = client.line().await;
    assert!(refused.starts_with("-ERR a key of 3000 bytes"), "{refused}");
    client.expect("$1\r\n2\r\n", "the last").await;
}

#[tokio::test]
async fn as_many_reads_as_may_be_in_flight_are_one_operation() {
    let config = RespConfig { pipeline_max: 3, ..RespConfig::default() };
    let (gate, _server, mut client) = gated(config).await;
    filled(&gate, &mut client).await;
    client.send("get a\r\nget b\r\n".repeat(4)).await;
    let mut begun = 2;
    for expected in ["get_many a b a", "get_many b a b", "get_many a b"] {
        begun += 1;
        gate.until_begun(begun).await;
        assert_eq!(gate.begun()[begun - 1..], [expected]);
        gate.let_pass(1);
    }
    client.expect(&"$1\r\n1\r\n$1\r\n2\r\n".repeat(4), "all").await;
}

#[tokio::test]
async fn a_client_that_wants_no_replies_gets_none_for_its_reads() {
    let (gate, _server, mut client) = gated(RespConfig::default()).await;
    filled(&gate, &mut client).await;
    gate.let_pass(100);
    client.send("get a\r\nclient reply skip\r\nget a\r\nget b\r\nget a\r\n").await;
    client.expect("$1\r\n1\r\n$1\r\n2\r\n$1\r\n1\r\n", "without the second").await;
}

#[tokio::test]
async fn commands_that_arrive_later_join_those_in_flight() {
    let (gate, _server, mut client) = gated(RespConfig::default()).await;
    client.send("get a\r\n").await;
    gate.until_begun(1).await;
    client.send("get b\r\nge").await;
    gate.until_begun(2).await;
    client.send("t c\r\n").await;
    gate.until_begun(3).await;
    gate.let_pass(3);
    client.expect("$-1\r\n$-1\r\n$-1\r\n", "all").await;
}

#[tokio::test]
async fn many_thousand_commands_in_one_go() {
    let server = Server::on_memory(RespConfig::default()).await;
    let mut client = server.client().await;
    let requests: String = (0..5000).map(|n| format!("set k{} {n}\r\nincr n\r\n", n % 7)).collect();
    let expected: String = (1..=5000).map(|n| format!("+OK\r\n:{n}\r\n")).collect();
    client.send(requests).await;
    client.expect(&expected, "all in order").await;
}

#[tokio::test]
async fn the_answers_to_reads_that_are_one_operation_are_sent_as_there_is_room() {
    let config = RespConfig { output_max: 2 << 20, ..RespConfig::default() };
    let (gate, _server, mut client) = gated(config).await;
    let value = "v".repeat(900_000);
    for key in ["a", "b", "c"] {
        gate.let_pass(1);
        client.send(format!("*3\r\n$3\r\nset\r\n$1\r\n{key}\r\n$900000\r\n{value}\r\n")).await;
        client.expect("+OK\r\n", "a long value").await;
    }
    client.send("get a\r\nget b\r\nget c\r\nget none\r\nget a\r\n").await;
    gate.let_pass(100);
    let long = format!("$900000\r\n{value}\r\n");
    client.expect(&format!("{}$-1\r\n{long}", long.repeat(3)), "more than output_max").await;
    assert_eq!(gate.begun()[3..5], ["get_many a b c none a", "get none"]);
    client.send("get a\r\nget b\r\nget c\r\nget a\r\n".repeat(2)).await;
    client.expect(&long.repeat(8), "one by one, as there is room").await;
    let alone = ["get a", "get b", "get c", "get a"].repeat(2);
    assert_eq!(gate.begun()[5..], alone, "they are too long to be held together");
}

#[tokio::test]
async fn reads_of_a_client_that_sends_no_more_are_answered() {
    let (gate, _server, mut client) = gated(RespConfig::default()).await;
    filled(&gate, &mut client).await;
    client.send("get a\r\nget b\r\nget a\r\n").await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    gate.until_begun(3).await;
    gate.let_pass(1);
    assert_eq!(client.rest().await, "$1\r\n1\r\n$1\r\n2\r\n$1\r\n1\r\n");
}

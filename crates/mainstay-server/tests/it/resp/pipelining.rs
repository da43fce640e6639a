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
    let requests: String = (0..10).map(|n| format!("get k{n}\r\n")).collect();
    client.send(requests).await;
    for done in 0..8 {
        gate.until_begun(done + 3).await;
        assert_eq!(gate.begun().len(), done + 3);
        gate.let_pass(1);
        client.expect("$-1\r\n", "one by one").await;
    }
    gate.let_pass(2);
    client.expect("$-1\r\n$-1\r\n", "the last").await;
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

//! MULTI and EXEC over a socket: what is queued, what is refused, what is performed together, and what WATCH sees.

use std::time::Duration;

use mainstay::{
    Config, Storage,
    config::{LimitsConfig, RouteConfig},
};
use mainstay_server::resp::{RespConfig, RespServer};

use super::support::{Server, command};

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";

async fn pair() -> (Server, super::support::Client, super::support::Client) {
    let server = Server::on_memory(RespConfig::default()).await;
    let (one, other) = (server.client().await, server.client().await);
    (server, one, other)
}

#[tokio::test]
async fn commands_are_queued_and_performed_in_one_step() {
    let (_server, mut client, mut other) = pair().await;
    client.ask("multi", "+OK\r\n").await;
    for line in ["set a 1 ex 100", "incr a", "get a", "incr t", "ping", "ttl a", "mset t x u 2"] {
        client.ask(line, "+QUEUED\r\n").await;
    }
    for line in ["incr t", "rename a b", "copy b c", "pttl nope", "time", "unwatch", "select 0"] {
        client.ask(line, "+QUEUED\r\n").await;
    }
    other.ask("exists a t u", ":0\r\n").await;
    client.send("exec\r\n").await;
    let not_integer = "-ERR value is not an integer or out of range\r\n";
    let first = "*14\r\n+OK\r\n:2\r\n$1\r\n2\r\n:1\r\n+PONG\r\n:100\r\n+OK\r\n";
    client.expect(&format!("{first}{not_integer}+OK\r\n:1\r\n:-2\r\n*2\r\n"), "exec").await;
    for _ in 0..4 {
        client.line().await;
    }
    client.expect("+OK\r\n+OK\r\n", "exec").await;
    // The errors of one command undo nothing of the others, and expiries went with their keys.
    other.ask("mget a b c t u", "*5\r\n$-1\r\n$1\r\n2\r\n$1\r\n2\r\n$1\r\nx\r\n$1\r\n2\r\n").await;
    other.ask("ttl b", ":100\r\n").await;
    other.ask("ttl c", ":100\r\n").await;
}

#[tokio::test]
async fn what_cannot_be_queued_aborts_and_what_is_out_of_place_is_refused() {
    let (_server, mut client, _) = pair().await;
    client.ask("exec", "-ERR EXEC without MULTI\r\n").await;
    client.ask("discard", "-ERR DISCARD without MULTI\r\n").await;
    for refused in ["nope", "get", "keys *", "info", "client reply off", "subscribe c"] {
        client.ask("multi", "+OK\r\n").await;
        client.ask("set x 1", "+QUEUED\r\n").await;
        client.send(format!("{refused}\r\n")).await;
        assert!(client.line().await.starts_with("-ERR "), "{refused}");
        client.ask("exec", ABORTED).await;
    }
    client.ask("multi", "+OK\r\n").await;
    client.ask("multi", "-ERR MULTI calls can not be nested\r\n").await;
    client.ask("watch a", "-ERR WATCH inside MULTI is not allowed\r\n").await;
    client.ask("get x", "+QUEUED\r\n").await;
    client.ask("exec", "*1\r\n$-1\r\n").await;
    client.ask("multi", "+OK\r\n").await;
    client.ask("set x 1", "+QUEUED\r\n").await;
    client.ask("discard", "+OK\r\n").await;
    client.ask("get x", "$-1\r\n").await;
    client.ask("multi", "+OK\r\n").await;
    client.ask("exec", "*0\r\n").await;
    client.ask("multi", "+OK\r\n").await;
    client.ask("reset", "+RESET\r\n").await;
    client.ask("get x", "$-1\r\n").await;
}

#[tokio::test]
async fn a_watched_key_that_changed_stops_the_transaction() {
    let (_server, mut client, mut other) = pair().await;
    client.ask("set a 1", "+OK\r\n").await;
    client.ask("watch a none", "+OK\r\n").await;
    other.ask("set a 2", "+OK\r\n").await;
    client.ask("multi", "+OK\r\n").await;
    client.ask("set a 3", "+QUEUED\r\n").await;
    client.ask("exec", "*-1\r\n").await;
    client.ask("get a", "$1\r\n2\r\n").await;
    // EXEC has ended the watch; the next one holds.
    client.ask("watch a none", "+OK\r\n").await;
    client.ask("multi", "+OK\r\n").await;
    client.ask("incr a", "+QUEUED\r\n").await;
    client.ask("exec", "*1\r\n:3\r\n").await;
    client.ask("watch none", "+OK\r\n").await;
    other.ask("set none 1", "+OK\r\n").await;
    client.ask("unwatch", "+OK\r\n").await;
    client.ask("multi", "+OK\r\n").await;
    client.ask("incr a", "+QUEUED\r\n").await;
    client.ask("exec", "*1\r\n:4\r\n").await;
    client.ask("watch a", "+OK\r\n").await;
    other.ask("del a", ":1\r\n").await;
    client.ask("multi", "+OK\r\n").await;
    client.ask("exec", "*-1\r\n").await;
}

#[tokio::test]
async fn no_increment_of_transactions_is_lost() {
    let server = Server::on_memory(RespConfig::default()).await;
    let clients = (0..6).map(async |_| {
        let mut client = server.client().await;
        for _ in 0..20 {
            client.send("multi\r\nincr n\r\nincr m\r\nexec\r\n").await;
            let mut last = String::new();
            for _ in 0..6 {
                last = client.line().await;
            }
            assert!(last.starts_with(':'), "{last}");
        }
    });
    futures_util::future::join_all(clients).await;
    server.client().await.ask("mget n m", "*2\r\n$3\r\n120\r\n$3\r\n120\r\n").await;
}

#[tokio::test]
async fn a_transaction_is_on_one_route() {
    let route = |prefix: &str| RouteConfig {
        prefix: prefix.to_owned(),
        backends: vec!["memory".to_owned()],
        ..RouteConfig::default()
    };
    let routes = vec![route(""), route("b:")];
    let storage = Storage::open(Config { routes, ..Config::default() }).await.unwrap();
    let server = Server::start(RespConfig::default(), storage).await;
    let mut client = server.client().await;
    client.ask("multi", "+OK\r\n").await;
    client.ask("set a 1", "+QUEUED\r\n").await;
    client.ask("set b:a 1", "+QUEUED\r\n").await;
    let crossed = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
    client.ask("exec", crossed).await;
    client.ask("mget a b:a", "*2\r\n$-1\r\n$-1\r\n").await;
}

#[tokio::test]
async fn a_script_is_a_command_of_a_transaction() {
    let (_server, mut client, _) = pair().await;
    let eval = |script: &str| command(&[b"eval", script.as_bytes(), b"1", b"n"]);
    client.ask("multi", "+OK\r\n").await;
    client.ask("incr n", "+QUEUED\r\n").await;
    for script in [
        "return redis.call('incrby', KEYS[1], 40)",
        "redis.call('incr', KEYS[1]) error('too late')",
        "return {redis.call('get', KEYS[1])}",
    ] {
        client.send(eval(script)).await;
        client.expect("+QUEUED\r\n", script).await;
    }
    client.ask("evalsha 0000000000000000000000000000000000000000 1 n", "+QUEUED\r\n").await;
    client.ask("eval_ro \"return redis.call('incr', KEYS[1])\" 1 n", "+QUEUED\r\n").await;
    client.ask("incr n", "+QUEUED\r\n").await;
    client.send("exec\r\n").await;
    client.expect("*7\r\n:1\r\n:41\r\n-ERR ", "exec").await;
    assert!(client.line().await.contains("too late"));
    client.expect("*1\r\n$2\r\n41\r\n-NOSCRIPT ", "exec").await;
    client.line().await;
    client.expect("-ERR Write commands are not allowed from read-only scripts", "exec").await;
    client.line().await;
    client.expect(":42\r\n", "exec").await;
    client.ask("get n", "$2\r\n42\r\n").await;
}

#[tokio::test]
async fn the_answers_of_a_transaction_are_bounded() {
    let config = RespConfig { output_max: 1 << 20, ..RespConfig::default() };
    let server = Server::on_memory(config).await;
    let mut client = server.client().await;
    client.send(command(&[b"set", b"big", &[b'x'; 100_000]])).await;
    client.expect("+OK\r\n", "set").await;
    client.ask("multi", "+OK\r\n").await;
    client.ask("incr n", "+QUEUED\r\n").await;
    for _ in 0..100 {
        client.ask("get big", "+QUEUED\r\n").await;
    }
    client.send("exec\r\n").await;
    let answer = client.line().await;
    assert!(answer.starts_with("-ERR the answers of this transaction are over"), "{answer}");
    client.ask("get n", "$-1\r\n").await;
}

#[tokio::test]
async fn what_is_kept_back_is_bounded_by_what_it_takes() {
    let (_server, mut client, _) = pair().await;
    client.ask("multi", "+OK\r\n").await;
    // A byte each, of which a million take far more.
    let mut args = vec![&b"x"[..]; 250_000];
    args[0] = b"exists";
    let large = command(&args);
    for _ in 0..4 {
        client.send(&large).await;
        client.expect("+QUEUED\r\n", "exists").await;
    }
    client.send(&large).await;
    client
        .expect("-ERR a transaction is at most 100000 commands and 64MiB long\r\n", "exists")
        .await;
    client.ask("exec", ABORTED).await;
}

#[tokio::test]
async fn a_long_transaction_lets_others_go_on_and_ends_with_its_time() {
    // Whatever else is asked below is answered in this time too, also by a machine that stands still for a while.
    let deadline = Duration::from_secs(5);
    let limits = LimitsConfig { deadline, ..LimitsConfig::default() };
    let route = RouteConfig { backends: vec![Config::MEMORY.to_owned()], ..RouteConfig::default() };
    let config = Config { routes: vec![route], limits, ..Config::default() };
    let storage = Storage::open(config).await.unwrap();
    let server = Server::start(RespConfig::default(), storage).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    // Each change writes all of it: thousands of them take far longer than there is.
    let names: Vec<String> = (0..100_000).map(|n| format!("field {n}")).collect();
    let mut args: Vec<&[u8]> = vec![b"hset", b"h"];
    for name in &names {
        args.extend([name.as_bytes(), b"value"]);
    }
    client.send(command(&args)).await;
    client.expect(":100000\r\n", "hset").await;
    client.ask("multi", "+OK\r\n").await;
    client.ask("incr n", "+QUEUED\r\n").await;
    for _ in 0..20 {
        client.send("hincrby h n 1\r\n".repeat(1_000)).await;
        client.expect(&"+QUEUED\r\n".repeat(1_000), "hincrby").await;
    }
    client.send("exec\r\n").await;
    // Some time within that of the transaction.
    other.ask("ping", "+PONG\r\n").await;
    let mut none = [0; 1];
    let early = client.stream.try_read(&mut none);
    assert!(early.is_err(), "EXEC was performed in one go: {early:?}");
    let answer = client.line().await;
    assert!(answer.starts_with("-UNAVAILABLE the commands of a transaction took all"), "{answer}");
    other.ask("exists n", ":0\r\n").await;
}

#[tokio::test]
async fn commands_of_the_connection_itself_are_never_passed() {
    for name in [
        "CLIENT",
        "CLIENT REPLY",
        "select",
        "HELLO",
        "auth",
        "RESET",
        "multi",
        "SUBSCRIBE",
        "watch",
        "WAIT",
        "waitaof",
        "monitor",
        "quit",
        "script debug",
    ] {
        let config = RespConfig {
            listen: "127.0.0.1:0".to_owned(),
            passthrough_allow: vec![name.to_owned()],
            ..RespConfig::default()
        };
        let refused = RespServer::bind(config, crate::support::in_memory().await).await;
        let text = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("cannot be passed through"), "{name}: {text:?}");
    }
}

#[tokio::test]
async fn what_comes_in_one_packet_with_subscribe_meets_a_subscriber() {
    let (_server, mut client, _) = pair().await;
    client.send("subscribe c\r\nget a\r\nset a 1\r\nping\r\n").await;
    client.expect("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "subscribe").await;
    for name in ["get", "set"] {
        let answer = client.line().await;
        assert!(answer.starts_with(&format!("-ERR Can't execute '{name}'")), "{answer}");
    }
    client.expect("*2\r\n$4\r\npong\r\n$0\r\n\r\n", "ping").await;
}

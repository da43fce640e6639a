//! Connections come, go, are refused, killed and drained; what breaks one does not touch another.

use std::time::Duration;

use mainstay::{Condition, Op, TtlChange};
use mainstay_server::resp::{RespConfig, RespServer};
use tokio::{io::AsyncWriteExt, time::timeout};

use super::support::{Gate, Server, command};
use crate::support::{PATIENCE, in_memory};

#[tokio::test]
async fn one_too_many_is_refused_in_words() {
    let config = RespConfig { connections_max: 1, ..RespConfig::default() };
    let server = Server::on_memory(config).await;
    let mut first = server.client().await;
    first.ask("ping", "+PONG\r\n").await;
    let mut second = server.client().await;
    assert_eq!(second.rest().await, "-ERR max number of clients reached\r\n");
    first.ask("quit", "+OK\r\n").await;
    assert_eq!(first.rest().await, "");
    // The place is free when the connection's task has ended, a moment after its socket has.
    let replaced = timeout(PATIENCE, async {
        loop {
            let mut third = server.client().await;
            third.send("ping\r\n").await;
            if third.line().await == "+PONG" {
                break;
            }
        }
    });
    replaced.await.unwrap();
}

#[tokio::test]
async fn a_protocol_error_is_answered_in_its_turn_and_ends_the_connection() {
    let server = Server::on_memory(RespConfig::default()).await;
    for (bytes, expected) in [
        ("*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("ping\r\n*1\r\n+x\r\n", "+PONG\r\n-ERR Protocol error: expected '$', got '+'\r\n"),
        (
            "*1\r\n$99999999999\r\n",
            "-ERR Protocol error: invalid bulk length, over resp.bulk_max\r\n",
        ),
        ("set k \"v\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
    ] {
        let mut client = server.client().await;
        client.send(bytes).await;
        assert_eq!(client.rest().await, expected, "{bytes:?}");
    }
}

#[tokio::test]
async fn http_is_cut_off_without_a_word() {
    let server = Server::on_memory(RespConfig::default()).await;
    for bytes in [
        "POST / HTTP/1.1\r\nHost: localhost\r\n\r\nset k evil\r\n",
        "pOsT\r\nset k evil\r\n",
        "*2\r\n$5\r\nhost:\r\n$1\r\nx\r\n*3\r\n$3\r\nset\r\n$1\r\nk\r\n$4\r\nevil\r\n",
    ] {
        let mut client = server.client().await;
        client.send(bytes).await;
        assert_eq!(client.rest().await, "", "{bytes:?}");
    }
    server.client().await.ask("exists k", ":0\r\n").await;
}

#[tokio::test]
async fn a_client_that_hangs_up_after_asking_is_still_answered() {
    let server = Server::on_memory(RespConfig::default()).await;
    let mut client = server.client().await;
    client.send("set k v\r\nget k\r\nget").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "+OK\r\n$1\r\nv\r\n");
}

#[tokio::test]
async fn clients_can_be_killed() {
    let server = Server::on_memory(RespConfig::default()).await;
    let (mut one, mut two) = (server.client().await, server.client().await);
    one.ask("client id", ":1\r\n").await;
    two.ask("client id", ":2\r\n").await;
    one.ask("client kill id 2", ":1\r\n").await;
    assert_eq!(two.rest().await, "");
    one.ask("client kill type normal", ":0\r\n").await;
    one.ask("client kill id 1 skipme no", ":1\r\n").await;
    assert_eq!(one.rest().await, "");
}

#[tokio::test]
async fn replies_can_be_switched_off() {
    let server = Server::on_memory(RespConfig::default()).await;
    let mut client = server.client().await;
    client.send("client reply off\r\nset k v\r\nnonsense\r\nget k\r\nclient reply on\r\n").await;
    client.expect("+OK\r\n", "on again").await;
    client.send("client reply skip\r\nset k w\r\nget k\r\n").await;
    client.expect("$1\r\nw\r\n", "only one is skipped").await;
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_progress_and_closes() {
    let gate = Gate::closed();
    let mut server = Server::start(RespConfig::default(), gate.storage().await).await;
    let (mut busy, mut idle) = (server.client().await, server.client().await);
    idle.ask("ping", "+PONG\r\n").await;
    busy.send("set a 1\r\nset b 2\r\n").await;
    gate.until_begun(2).await;
    server.cancel.cancel();
    assert_eq!(idle.rest().await, "");
    gate.let_pass(2);
    assert_eq!(busy.rest().await, "+OK\r\n+OK\r\n");
    timeout(PATIENCE, &mut server.running).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_lost_client_gives_up_its_operations() {
    let gate = Gate::closed();
    let server = Server::start(RespConfig::default(), gate.storage().await).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    client.send("get a\r\nget b\r\n").await;
    gate.until_begun(2).await;
    other.ask("client kill id 1", ":1\r\n").await;
    assert_eq!(client.rest().await, "");
    let left = timeout(PATIENCE, async {
        while gate.inside() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    left.await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_where_a_limit_is_set() {
    let config =
        RespConfig { idle_timeout: Some(Duration::from_millis(20)), ..RespConfig::default() };
    let server = Server::on_memory(config).await;
    let mut client = server.client().await;
    client.ask("ping", "+PONG\r\n").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn half_a_request_holds_its_own_connection_and_no_other() {
    let server = Server::on_memory(RespConfig::default()).await;
    let mut halves = Vec::new();
    for half in ["*3\r\n$3\r\nset\r\n$1\r\nk\r\n$67108864\r\nx", "*1048576\r\n$3\r\n", "set k"] {
        let mut client = server.client().await;
        client.send(half).await;
        halves.push(client);
    }
    server.client().await.ask("exists k", ":0\r\n").await;
    halves[2].send(" v\r\n").await;
    halves[2].expect("+OK\r\n", "the other half came").await;
}

#[tokio::test]
async fn a_client_that_trickles_counts_as_idle() {
    let config =
        RespConfig { idle_timeout: Some(Duration::from_millis(50)), ..RespConfig::default() };
    let server = Server::on_memory(config).await;
    let mut client = server.client().await;
    client.send("*2\r\n$3\r\nget\r\n$1000000\r\n").await;
    let cut_off = timeout(PATIENCE, async {
        while client.stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    cut_off.await.unwrap();
}

#[tokio::test]
async fn an_open_address_without_a_password_is_refused() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let config = RespConfig { listen: listen.to_owned(), ..RespConfig::default() };
        let refused = RespServer::bind(config, in_memory().await).await.unwrap_err();
        assert!(refused.message().contains("resp.password_file"), "{refused}");
    }
    let config = RespConfig { listen: "localhost:0".to_owned(), ..RespConfig::default() };
    let server = RespServer::bind(config, in_memory().await).await.unwrap();
    assert!(server.local_addr().ip().is_loopback());
}

#[tokio::test]
async fn a_slow_reader_holds_up_itself_and_loses_nothing() {
    let storage = in_memory().await;
    let server = Server::start(RespConfig::default(), storage.clone()).await;
    let value = vec![b'x'; 1 << 20];
    let op = Op::Set {
        key: "big".into(),
        value: value.clone().into(),
        ttl: TtlChange::Clear,
        condition: Condition::Always,
        want_previous: false,
    };
    storage.execute(&op, mainstay::CallOptions::default()).await.unwrap();
    let mut slow = server.client().await;
    // More than any socket buffer holds, all asked for before anything is read.
    slow.send("get big\r\n".repeat(64)).await;
    server.client().await.ask("ping", "+PONG\r\n").await;
    let expected = format!("${}\r\n{}\r\n", value.len(), String::from_utf8(value).unwrap());
    for _ in 0..64 {
        slow.expect(&expected, "a large value").await;
    }
    slow.ask("ping", "+PONG\r\n").await;
}

#[tokio::test]
async fn replies_over_the_limit_end_the_connection() {
    let config = RespConfig { output_max: 1 << 20, ..RespConfig::default() };
    let server = Server::on_memory(config).await;
    let mut client = server.client().await;
    client.send(command(&[b"SET", b"k", &vec![b'x'; 600_000]])).await;
    client.expect("+OK\r\n", "set").await;
    client.send("mget k k\r\n").await;
    assert_eq!(client.rest().await, "");
}

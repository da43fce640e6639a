//! Over a real socket: limits on connections, order at the end, and another program's client.

use std::{net::SocketAddr, time::Duration};

use mainstay_server::http::{HttpConfig, HttpServer, Sections};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, in_memory};

struct Running {
    address: SocketAddr,
    cancel: CancellationToken,
    task: JoinHandle<bool>,
}

async fn start(config: HttpConfig) -> Running {
    let config = HttpConfig { listen: "127.0.0.1:0".to_owned(), ..config };
    let server = HttpServer::bind(config, in_memory().await, Sections::new()).await.unwrap();
    let (address, cancel) = (server.local_addr(), CancellationToken::new());
    let task = tokio::spawn(server.run(cancel.clone()));
    Running { address, cancel, task }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes on a connection of their own and reads until the server closes.
    async fn talk(&self, bytes: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    async fn get(&self, target: &str) -> String {
        self.talk(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
            .await
    }

    async fn stop(self) -> bool {
        self.cancel.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

/// Reads until these bytes have come.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&answer).contains(end) {
            assert_ne!(
                stream.read_buf(&mut answer).await.unwrap(),
                0,
                "closed before `{end}`: {answer:?}"
            );
        }
    };
    timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("no `{end}`"));
    String::from_utf8(answer).unwrap()
}

async fn curl(arguments: &[&str]) -> String {
    let output =
        Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments).output().await;
    let output = output.expect("these tests need curl");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn curl_writes_and_reads() {
    let server = start(HttpConfig::default()).await;
    let url = format!("http://{}/v1/kv/user:1", server.address);
    let written =
        curl(&["-i", "-X", "PUT", "--data-binary", "ada", &format!("{url}?ttl=60s")]).await;
    assert!(written.starts_with("HTTP/1.1 204"), "{written}");
    let read = curl(&["-i", &url]).await;
    assert!(read.starts_with("HTTP/1.1 200") && read.ends_with("\r\n\r\nada"), "{read}");
    assert!(read.contains("cache-status: mainstay; fwd=miss; detail=memory; ttl="), "{read}");
    let tag = read.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().trim();
    let unchanged = curl(&["-i", "-H", &format!("If-None-Match: {tag}"), &url]).await;
    assert!(unchanged.starts_with("HTTP/1.1 304"), "{unchanged}");
    let head = curl(&["-I", &url]).await;
    assert!(head.contains("content-length: 3"), "{head}");
    let posted =
        curl(&["-i", "-X", "POST", &format!("http://{}/v1/kv/hits/incr", server.address)]).await;
    assert!(posted.contains("\"value\":1"), "{posted}");
    assert!(server.stop().await);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = start(HttpConfig { connections_max: 1, ..HttpConfig::default() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut first, "ok\n").await;
    let refused = server.get("/v1/kv/k").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1"), "{refused}");
    assert!(refused.contains("urn:mainstay:error:overloaded"), "{refused}");
    drop(first);
    let place = async { while !server.get("/v1/kv/k").await.starts_with("HTTP/1.1 404") {} };
    timeout(PATIENCE, place).await.unwrap();
    assert!(server.stop().await);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let config = HttpConfig { header_timeout: Duration::from_millis(100), ..HttpConfig::default() };
    let server = start(config).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: local").await.unwrap();
    let answer = read_all(&mut slow).await;
    assert!(!answer.contains("200"), "{answer}");
    assert!(server.stop().await);
}

#[tokio::test]
async fn a_head_over_its_limits_is_refused() {
    let server =
        start(HttpConfig { header_max: 4096, headers_max: 10, ..HttpConfig::default() }).await;
    let long = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(5000));
    assert!(server.talk(&long).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(20));
    assert!(server.talk(&many).await.starts_with("HTTP/1.1 431"));
    assert!(server.stop().await);
}

#[tokio::test]
async fn nothing_is_smuggled_behind_a_request() {
    let server = start(HttpConfig::default()).await;
    let put = "PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nConnection: close\r\n\r\nv";
    assert!(server.talk(put).await.starts_with("HTTP/1.1 204"));
    let hidden = "DELETE /v1/kv/k HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for lengths in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked", hidden.len() + 5),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}", hidden.len() + 5),
    ] {
        let request = format!(
            "PUT /v1/kv/x HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\n\r\n0\r\n\r\n{hidden}"
        );
        let answer = server.talk(&request).await;
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    for refused in ["Content-Length: 1\r\nContent-Length: 2", "Content-Length: +1", "X: a\r\n b"] {
        let request = format!("PUT /v1/kv/x HTTP/1.1\r\nHost: localhost\r\n{refused}\r\n\r\nv");
        assert!(server.talk(&request).await.starts_with("HTTP/1.1 400"), "{refused}");
    }
    assert!(server.get("/v1/kv/k").await.ends_with("\r\n\r\nv"));
    assert!(server.stop().await);
}

#[tokio::test]
async fn it_says_that_it_drains_before_it_stops_to_listen() {
    let server = start(HttpConfig { drain_wait: PATIENCE * 10, ..HttpConfig::default() }).await;
    assert!(server.get("/readyz").await.starts_with("HTTP/1.1 200"));
    server.cancel.cancel();
    let told = async { while !server.get("/readyz").await.contains("draining") {} };
    timeout(PATIENCE, told).await.unwrap();
    assert!(server.get("/v1/kv/k").await.starts_with("HTTP/1.1 404"));
    server.task.abort();
}

#[tokio::test]
async fn what_is_in_flight_ends_in_order() {
    let server = start(HttpConfig::default()).await;
    let mut writing = server.connect().await;
    let head = b"PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    writing.write_all(head).await.unwrap();
    read_until(&mut writing, "100 Continue").await;
    let mut events = server.connect().await;
    events.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut events, "snapshot").await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut idle, "ok\n").await;

    server.cancel.cancel();
    read_all(&mut events).await;
    assert_eq!(read_all(&mut idle).await, "");
    let closed = async {
        while TcpStream::connect(server.address).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
    writing.write_all(b"ok").await.unwrap();
    let answer = read_all(&mut writing).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(server.stop().await, "nothing had to be broken off");
}

#[tokio::test]
async fn what_does_not_end_is_broken_off() {
    let server =
        start(HttpConfig { drain_max: Duration::from_millis(50), ..HttpConfig::default() }).await;
    let mut stuck = server.connect().await;
    let head = b"PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    stuck.write_all(head).await.unwrap();
    read_until(&mut stuck, "100 Continue").await;
    assert!(!server.stop().await);
}

#[tokio::test]
async fn a_socket_that_is_not_read_holds_up_nobody_and_costs_no_more_than_its_buffers() {
    const EVENTS: usize = 5000;
    let config = HttpConfig { listen: "127.0.0.1:0".to_owned(), ..HttpConfig::default() };
    let storage = in_memory().await;
    let server = HttpServer::bind(config, storage.clone(), Sections::new()).await.unwrap();
    let (address, cancel) = (server.local_addr(), CancellationToken::new());
    let task = tokio::spawn(server.run(cancel.clone()));
    let running = Running { address, cancel, task };
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = running.connect().await;
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        read_until(&mut stream, "event: snapshot").await;
        streams.push(stream);
    }
    let mut stuck = streams.pop().unwrap();
    // More than the buffers of both sockets hold.
    let padding = "x".repeat(4096);
    for number in 0..EVENTS {
        let reason = format!("event {number}. {padding}");
        storage.events().publish(None, mainstay::EventKind::Storage { state: "open" }, reason);
        if number % 250 == 249 {
            for stream in &mut streams {
                let text = read_until(stream, &format!("event {number}. ")).await;
                assert!(!text.contains("lagged"));
            }
        }
    }
    let text = read_until(&mut stuck, &format!("event {}. ", EVENTS - 1)).await;
    let missed = text.split("{\"missed\":").nth(1).expect("it is told what it missed");
    let missed: usize = missed.split('}').next().unwrap().parse().unwrap();
    assert!(missed > 0 && missed <= EVENTS - mainstay::event::LAG_MAX, "{missed}");
    assert_eq!(text.matches("\"reason\":\"event ").count() + missed, EVENTS);
    drop((stuck, streams));
    assert!(running.stop().await);
}

//! Limits of the doors: who passes one is told which, it is counted, and everybody else goes on.

use std::{net::SocketAddr, time::Duration};

use mainstay::{Config, Storage, config::RouteConfig};
use mainstay_server::{
    http::{HttpConfig, HttpServer, Sections},
    resp::{RespConfig, RespServer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    resp::support::{Client, Gate, command},
    support::PATIENCE,
};

/// Both doors of one storage.
struct Doors {
    resp: SocketAddr,
    http: SocketAddr,
    cancel: CancellationToken,
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Doors {
    async fn open(resp: RespConfig, http: HttpConfig) -> Self {
        let route =
            RouteConfig { backends: vec![Config::MEMORY.to_owned()], ..RouteConfig::default() };
        let mut config = Config { routes: vec![route], ..Config::default() };
        config.limits.key_max = 100;
        Self::of(Storage::open(config).await.unwrap(), resp, http).await
    }

    async fn of(storage: Storage, resp: RespConfig, http: HttpConfig) -> Self {
        let listen = || "127.0.0.1:0".to_owned();
        let resp = RespConfig { listen: listen(), ..resp };
        let resp = RespServer::bind(resp, storage.clone()).await.unwrap();
        let http = HttpConfig { listen: listen(), ..http };
        let http = HttpServer::bind(http, storage, Sections::new()).await.unwrap();
        http.api().show_clients(resp.roster());
        let doors = Self {
            resp: resp.local_addr(),
            http: http.local_addr(),
            cancel: CancellationToken::new(),
        };
        tokio::spawn(resp.run(doors.cancel.clone()));
        tokio::spawn(http.run(doors.cancel.clone()));
        doors
    }

    async fn client(&self) -> Client {
        Client { stream: TcpStream::connect(self.resp).await.unwrap() }
    }

    /// One request on a connection of its own; empty when it was closed without an answer.
    async fn request(&self, head: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let head = format!(
            "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // The answer may come before all is sent.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The value of a metric.
    async fn metric(&self, name: &str) -> f64 {
        let scrape = self.request("GET /metrics", b"").await;
        let line = scrape.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}: {scrape}")).parse().unwrap()
    }

    async fn refused(&self, limit: &str) -> f64 {
        self.metric(&format!("mainstay_limit_refused_total{{limit=\"{limit}\"}}")).await
    }

    /// Waits until a metric has this value.
    async fn until(&self, name: &str, value: f64) {
        let mut last = f64::NAN;
        let waited = timeout(PATIENCE, async {
            while last != value {
                last = self.metric(name).await;
            }
        });
        assert!(waited.await.is_ok(), "{name} is {last}, never {value}");
    }
}

#[tokio::test]
async fn an_address_has_its_share_of_connections() {
    let resp = RespConfig { connections_per_address: Some(1), ..RespConfig::default() };
    let http = HttpConfig { connections_per_address: Some(1), ..HttpConfig::default() };
    let doors = Doors::open(resp, http).await;
    let mut first = doors.client().await;
    first.ask("ping", "+PONG\r\n").await;
    let refused = doors.client().await.rest().await;
    assert!(refused.ends_with("or raise resp.connections_per_address\r\n"), "{refused}");

    let mut held = TcpStream::connect(doors.http).await.unwrap();
    held.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    held.read_u8().await.unwrap();
    let refused = doors.request("GET /v1/kv/k", b"").await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("retry-after: 1"), "{refused}");
    assert_eq!(doors.refused("resp.connections_per_address").await, 1.0);
    // This look at the metrics, and the one before it, were over the limit as well.
    assert_eq!(doors.refused("http.connections_per_address").await, 3.0);
    drop(held);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_not_waited_for_and_silence_is_no_request() {
    let resp = RespConfig { request_timeout: Duration::from_millis(100), ..RespConfig::default() };
    let doors = Doors::open(resp, HttpConfig::default()).await;
    let mut silent = doors.client().await;
    silent.ask("ping", "+PONG\r\n").await;
    for part in ["*2\r\n$3\r\nget\r\n$1\r", "set k", "ping\r\nget"] {
        let mut slow = doors.client().await;
        slow.send(part).await;
        let told = slow.rest().await;
        let words = "-ERR the request did not arrive in time (resp.request_timeout)\r\n";
        assert!(told.ends_with(words), "{part:?}: {told}");
    }
    silent.ask("ping", "+PONG\r\n").await;
    assert_eq!(doors.refused("resp.request_timeout").await, 3.0);
}

#[tokio::test]
async fn who_does_not_authenticate_in_time_loses_the_place() {
    let resp = RespConfig {
        password: Some("geheim".to_owned()),
        request_timeout: Duration::from_millis(100),
        ..RespConfig::default()
    };
    let doors = Doors::open(resp, HttpConfig::default()).await;
    assert!(doors.client().await.rest().await.contains("resp.request_timeout"));
    let mut good = doors.client().await;
    good.ask("auth geheim", "+OK\r\n").await;
    assert!(doors.client().await.rest().await.contains("resp.request_timeout"));
    good.ask("ping", "+PONG\r\n").await;
}

#[tokio::test]
async fn who_does_not_take_replies_is_closed_at_both_doors() {
    let send_timeout = Duration::from_millis(200);
    let resp = RespConfig { send_timeout, ..RespConfig::default() };
    let doors = Doors::open(resp, HttpConfig { send_timeout, ..HttpConfig::default() }).await;
    // More than the buffers of both sockets hold.
    let value = vec![b'x'; 15 << 20];
    let mut client = doors.client().await;
    client.send(command(&[b"set", b"large", &value])).await;
    client.expect("+OK\r\n", "set").await;
    client.send("get large\r\n").await;
    doors.until("mainstay_limit_refused_total{limit=\"resp.send_timeout\"}", 1.0).await;
    doors.until("mainstay_connections{door=\"resp\"}", 0.0).await;

    let mut stream = TcpStream::connect(doors.http).await.unwrap();
    stream.write_all(b"GET /v1/kv/large HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    doors.until("mainstay_limit_refused_total{limit=\"http.send_timeout\"}", 1.0).await;
    // The one that asks.
    doors.until("mainstay_connections{door=\"http\"}", 1.0).await;
}

#[tokio::test]
async fn buffers_have_a_ceiling_together_and_small_requests_go_on() {
    let resp = RespConfig { buffers_max: 1 << 20, ..RespConfig::default() };
    let doors = Doors::open(resp, HttpConfig::default()).await;
    let part = [b"*2\r\n$3\r\nget\r\n$2000000\r\n".as_slice(), &[b'x'; 700_000]].concat();
    let mut first = doors.client().await;
    first.send(&part).await;
    let held = "mainstay_buffer_bytes{door=\"resp\"}";
    let grown = async { while doors.metric(held).await < 650_000.0 {} };
    timeout(PATIENCE, grown).await.unwrap();
    let mut second = doors.client().await;
    // Its end may come while it sends.
    let _ = second.stream.write_all(&part).await;
    let told = second.rest().await;
    let words = "-ERR all connections together hold too much (resp.buffers_max)\r\n";
    assert!(told.is_empty() || told == words, "{told}");
    doors.until("mainstay_limit_refused_total{limit=\"resp.buffers_max\"}", 1.0).await;
    doors.client().await.ask("set k v", "+OK\r\n").await;
    drop(first);
    doors.until(held, 0.0).await;
}

#[tokio::test]
async fn a_client_that_has_taken_its_answer_holds_nothing_of_the_ceiling() {
    let resp = RespConfig { buffers_max: 1 << 20, ..RespConfig::default() };
    let doors = Doors::open(resp, HttpConfig::default()).await;
    let value = "x".repeat(700_000);
    let reply = format!("$700000\r\n{value}\r\n");
    assert!(doors.request("PUT /v1/kv/k", value.as_bytes()).await.starts_with("HTTP/1.1 204"));
    let mut all = Vec::new();
    for _ in 0..3 {
        let mut client = doors.client().await;
        client.ask("get k", &reply).await;
        all.push(client);
    }
    // Of what was read ahead, and of the places of many arguments.
    let mut client = doors.client().await;
    client.send("ping\r\n".repeat(100_000)).await;
    client.expect(&"+PONG\r\n".repeat(100_000), "pings").await;
    client.send(["*10000\r\n$4\r\necho\r\n", &"$0\r\n\r\n".repeat(9_999)].concat()).await;
    client.expect("-ERR wrong number of arguments for 'echo' command\r\n", "echo").await;
    doors.until("mainstay_buffer_bytes{door=\"resp\"}", 0.0).await;
}

#[tokio::test]
async fn a_command_that_waits_for_its_turn_counts_and_no_refusal_takes_the_place_of_an_answer() {
    let gate = Gate::closed();
    let resp = RespConfig { request_timeout: Duration::from_millis(200), ..RespConfig::default() };
    let doors = Doors::of(gate.storage().await, resp, HttpConfig::default()).await;
    let mut client = doors.client().await;
    client.send("set k v\r\n").await;
    gate.until_begun(1).await;
    client.send(command(&[b"set", b"k", &[b'x'; 700_000]])).await;
    let metric = "mainstay_buffer_bytes{door=\"resp\"}";
    let held = async { while doors.metric(metric).await < 650_000.0 {} };
    timeout(PATIENCE, held).await.unwrap();
    drop(client);

    let mut client = doors.client().await;
    client.send("set other v\r\nget").await;
    assert_eq!(client.rest().await, "", "the write may have been applied");
    doors.until("mainstay_limit_refused_total{limit=\"resp.request_timeout\"}", 1.0).await;
    gate.let_pass(8);
}

#[tokio::test]
async fn who_goes_on_sending_gains_no_time_for_what_it_does_not_take() {
    let resp = RespConfig { send_timeout: Duration::from_millis(300), ..RespConfig::default() };
    let doors = Doors::open(resp, HttpConfig::default()).await;
    let mut client = doors.client().await;
    client.send(command(&[b"set", b"k", &[b'x'; 900_000]])).await;
    client.expect("+OK\r\n", "set").await;
    // Until the buffers of both sockets are full, and less than would stop it waits here.
    let full = async {
        while doors.metric("mainstay_buffer_bytes{door=\"resp\"}").await < 131_072.0 {
            client.send("get k\r\n").await;
        }
    };
    timeout(PATIENCE, full).await.unwrap();
    let closed = async {
        while doors.refused("resp.send_timeout").await < 1.0 {
            // It may have been closed meanwhile.
            let _ = client.stream.write_all(b"ping\r\n").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn answers_that_are_not_taken_have_the_same_ceiling_as_requests() {
    let http = HttpConfig { bodies_max: 1 << 20, ..HttpConfig::default() };
    let doors = Doors::open(RespConfig::default(), http).await;
    let mut client = doors.client().await;
    // More than the buffers of both sockets hold.
    client.send(command(&[b"set", b"large", &vec![b'x'; 15 << 20]])).await;
    client.expect("+OK\r\n", "set").await;
    client.ask("set small v", "+OK\r\n").await;
    let refused = doors.request("GET /v1/kv/large", b"").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{}", &refused[..100]);
    assert_eq!(doors.refused("http.bodies_max").await, 1.0);
    assert!(doors.request("GET /v1/kv/small", b"").await.starts_with("HTTP/1.1 200"));
    let batch = br#"{"operations":[{"op":"get","key":"small"},{"op":"get","key":"large"}]}"#;
    let each = doors.request("POST /v1/batch", batch).await;
    assert!(each.contains(r#""status":200"#) && each.contains(r#""status":503"#), "{each}");
    assert!(doors.request("GET /openapi.json", b"").await.starts_with("HTTP/1.1 200"));
    doors.until("mainstay_buffer_bytes{door=\"http\"}", 0.0).await;
}

#[tokio::test]
async fn a_batch_is_read_no_further_and_answers_with_no_more_than_it_may() {
    let doors = Doors::open(RespConfig::default(), HttpConfig::default()).await;
    let batch = |operations: Vec<&str>| format!(r#"{{"operations":[{}]}}"#, operations.join(","));
    let get = r#"{"op":"get","key":"k"}"#;
    let long = doors.request("POST /v1/batch", batch(vec![get; 1001]).as_bytes()).await;
    assert!(long.starts_with("HTTP/1.1 400") && long.contains("at most 1000 operations"), "{long}");
    let mut client = doors.client().await;
    // Each byte is written with six.
    client.send(command(&[b"set", b"k", &vec![0; 8 << 20]])).await;
    client.expect("+OK\r\n", "set").await;
    let both = doors.request("POST /v1/batch", batch(vec![get; 2]).as_bytes()).await;
    let statuses = |status: &str| both.matches(&format!("\"status\":{status}")).count();
    // The problem of the second says its status as well.
    assert_eq!((statuses("200"), statuses("413")), (1, 2));
}

#[tokio::test]
async fn bodies_have_a_ceiling_together_and_small_ones_go_on() {
    let http = HttpConfig { bodies_max: 1 << 20, ..HttpConfig::default() };
    let doors = Doors::open(RespConfig::default(), http).await;
    let mut first = TcpStream::connect(doors.http).await.unwrap();
    let head = "PUT /v1/kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\
                X-Mainstay-Timeout: 60s\r\n\r\n";
    first.write_all(head.as_bytes()).await.unwrap();
    first.write_all(&[b'x'; 700_000]).await.unwrap();
    let held = "mainstay_buffer_bytes{door=\"http\"}";
    let grown = async { while doors.metric(held).await < 650_000.0 {} };
    timeout(PATIENCE, grown).await.unwrap();
    let refused = doors.request("PUT /v1/kv/b", &[b'x'; 700_000]).await;
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(doors.request("PUT /v1/kv/c", b"small").await.starts_with("HTTP/1.1 204"));
    assert_eq!(doors.refused("http.bodies_max").await, 1.0);
    drop(first);
    doors.until(held, 0.0).await;
    assert!(doors.request("PUT /v1/kv/b", &[b'x'; 700_000]).await.starts_with("HTTP/1.1 204"));
    doors.until(held, 0.0).await;
}

#[tokio::test]
async fn what_is_refused_is_counted_by_its_key() {
    let resp = RespConfig {
        args_max: 4,
        bulk_max: 1000,
        frame_max: 1000,
        output_max: 1 << 20,
        ..RespConfig::default()
    };
    let http = HttpConfig {
        headers_max: 10,
        header_timeout: Duration::from_millis(100),
        ..HttpConfig::default()
    };
    let doors = Doors::open(resp, http).await;
    for (sent, told) in [
        ("*5\r\n", "-ERR Protocol error: invalid multibulk length, over resp.args_max\r\n"),
        ("*1\r\n$1001\r\n", "-ERR Protocol error: invalid bulk length, over resp.bulk_max\r\n"),
        ("*1\r\n$1000\r\n", "-ERR Protocol error: too big request, over resp.frame_max\r\n"),
    ] {
        let mut client = doors.client().await;
        client.send(sent).await;
        assert_eq!(client.rest().await, told);
    }
    let key = "k".repeat(101);
    let told = "a key of 101 bytes is over the limit of 100 bytes (limits.key_max)";
    doors.client().await.ask(&format!("get {key}"), &format!("-ERR {told}\r\n")).await;
    let refused = doors.request(&format!("PUT /v1/kv/{key}"), b"v").await;
    assert!(refused.starts_with("HTTP/1.1 413") && refused.contains(told), "{refused}");
    let many = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(20));
    let mut stream = TcpStream::connect(doors.http).await.unwrap();
    stream.write_all(many.as_bytes()).await.unwrap();
    let mut slow = TcpStream::connect(doors.http).await.unwrap();
    slow.write_all(b"GET").await.unwrap();
    let mut late = TcpStream::connect(doors.http).await.unwrap();
    let head = "PUT /v1/kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\
                X-Mainstay-Timeout: 50ms\r\n\r\n";
    late.write_all(head.as_bytes()).await.unwrap();
    for (limit, count) in [
        ("resp.args_max", 1.0),
        ("resp.bulk_max", 1.0),
        ("resp.frame_max", 1.0),
        ("limits.key_max", 2.0),
        ("http.header_max", 1.0),
        ("http.header_timeout", 1.0),
        ("http.body_timeout", 1.0),
    ] {
        let name = format!("mainstay_limit_refused_total{{limit=\"{limit}\"}}");
        doors.until(&name, count).await;
    }
}

/// Clients that ask for data as fast as they are answered.
const CLIENTS: usize = 2000;

const DATA: &[u8] = b"GET /v1/kv/none HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_answered_while_thousands_of_clients_hammer_both_doors() {
    let http = HttpConfig { connections_max: 8, ..HttpConfig::default() };
    let doors = Doors::open(RespConfig::default(), http).await;
    // Before anybody else comes, so that these have all places.
    let mut places = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(doors.http).await.unwrap();
        stream.write_all(DATA).await.unwrap();
        assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
        places.push(stream);
    }
    let (stop, mut clients) = (CancellationToken::new(), JoinSet::new());
    for number in 0..CLIENTS {
        let (address, stop) = (doors.resp, stop.clone());
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let line = format!("incr k{}\r\n", number % 50);
            let hammer = async {
                loop {
                    stream.write_all(line.as_bytes()).await.unwrap();
                    while stream.read_u8().await.unwrap() != b'\n' {}
                }
            };
            tokio::select! { () = stop.cancelled() => {}, () = hammer => {} }
        });
    }
    for mut stream in places {
        let stop = stop.clone();
        clients.spawn(async move {
            let hammer = async {
                loop {
                    stream.write_all(DATA).await.unwrap();
                    assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
                }
            };
            tokio::select! { () = stop.cancelled() => {}, () = hammer => {} }
        });
    }
    #[expect(clippy::cast_precision_loss, reason = "small")]
    doors.until("mainstay_connections{door=\"resp\"}", CLIENTS as f64).await;
    doors.until("mainstay_connections{door=\"http\"}", 8.0).await;
    for _ in 0..10 {
        for path in ["/readyz", "/livez", "/v1/status", "/metrics", "/v1/backends"] {
            let answer = doors.request(&format!("GET {path}"), b"").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        }
        let answer = doors.request("GET /v1/kv/none", b"").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
    assert!(doors.refused("http.connections_max").await >= 60.0);
    assert_eq!(doors.refused("resp.connections_max").await, 0.0);
    stop.cancel();
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}

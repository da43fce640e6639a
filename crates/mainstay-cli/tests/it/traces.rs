//! Traces as a collector gets them: the path of an operation, and nothing that is secret.

use std::{
    net::TcpListener as StdListener,
    sync::{Arc, Mutex},
};

use mainstay_testkit::servers::{Postgres, Redis};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    process::{Mainstay, until},
    support::{Scratch, Server},
};

const KEY: &str = "customer-4711";
const VALUE: &str = "a-secret-value";
const PASSWORD: &str = "hunter2";
const NOT_TAKEN: &str = "traces: the collector does not take them; spans are dropped";

/// A server that says yes to everything, and keeps it.
struct Collector {
    address: String,
    bodies: Arc<Mutex<Vec<String>>>,
    _accepts: JoinSet<()>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let bodies = Arc::<Mutex<Vec<String>>>::default();
        let mut accepts = JoinSet::new();
        let kept = Arc::clone(&bodies);
        accepts.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let body = take(stream).await;
                kept.lock().unwrap().push(body);
            }
        });
        Self { address, bodies, _accepts: accepts }
    }

    fn told(&self) -> String {
        self.bodies.lock().unwrap().concat()
    }

    /// Every span so far, with its attributes as a flat object.
    fn spans(&self) -> Vec<Json> {
        let documents = self.bodies.lock().unwrap();
        let documents = documents.iter().map(|body| serde_json::from_str::<Json>(body).unwrap());
        let spans = documents.flat_map(|document| {
            let spans = &document["resourceSpans"][0]["scopeSpans"][0]["spans"];
            spans.as_array().unwrap().clone()
        });
        spans.map(flat).collect()
    }

    /// The spans of one trace, when there is one that this is true of, and with it those of these names: what is done behind an
    /// operation ends after it, and may be told later.
    async fn trace_with(
        &self,
        what: &str,
        found: impl Fn(&Json) -> bool,
        names: &[&str],
    ) -> Vec<Json> {
        let trace = || {
            let spans = self.spans();
            let trace = spans.iter().find(|span| found(span))?["traceId"].clone();
            let spans = spans.into_iter().filter(|span| span["traceId"] == trace);
            let spans: Vec<Json> = spans.collect();
            let has = |name: &&str| spans.iter().any(|span| span["name"] == **name);
            names.iter().all(has).then_some(spans)
        };
        until(what, async || trace().is_some()).await;
        trace().unwrap()
    }
}

/// One request, which has to be for traces; its body.
async fn take(mut stream: TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
            assert!(head.contains("content-type: application/json"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() == length.unwrap().parse::<usize>().unwrap() {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
                return body.to_owned();
            }
        }
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "broken off: {text}");
    }
}

fn flat(mut node: Json) -> Json {
    let attributes = node["attributes"].as_array().unwrap().clone();
    for attribute in attributes {
        let value = attribute["value"].as_object().unwrap().values().next().unwrap().clone();
        node[attribute["key"].as_str().unwrap()] = value;
    }
    if let Some(events) = node["events"].as_array().cloned() {
        node["events"] = events.into_iter().map(flat).collect();
    }
    node
}

fn event<'a>(span: &'a Json, name: &str) -> Option<&'a Json> {
    span["events"].as_array().unwrap().iter().find(|event| event["name"] == name)
}

/// As if Redis had evicted them.
async fn forget_copies(redis: &Redis) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut keys = redis::cmd("KEYS");
    let keys: Vec<Vec<u8>> =
        keys.arg(format!("*{KEY}*")).query_async(&mut connection).await.unwrap();
    let gone: usize = redis::cmd("DEL").arg(keys).query_async(&mut connection).await.unwrap();
    assert!(gone > 0);
}

fn named<'a>(spans: &'a [Json], name: &str) -> &'a Json {
    spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("{name}: {spans:#?}"))
}

async fn a_miss(collector: &Collector, postgres: &Postgres) {
    let filled = |span: &Json| span["name"] == "get" && event(span, "fill").is_some();
    let spans = collector.trace_with("a copy that was filled", filled, &["fill"]).await;
    let get = named(&spans, "get");
    assert!(get["parentSpanId"].is_null(), "{get:#}");
    assert_eq!(event(get, "copy").unwrap()["mainstay.outcome"], "miss", "{get:#}");
    assert_eq!(
        (&get["mainstay.source"], &get["mainstay.outcome"]),
        (&"db".into(), &"success".into())
    );
    let asked = spans.iter().find(|span| span["db.system.name"] == "postgresql").unwrap();
    assert_eq!((&asked["parentSpanId"], &asked["kind"]), (&get["spanId"], &3.into()));
    assert_eq!(
        (&asked["db.operation.name"], &asked["mainstay.backend"]),
        (&"get".into(), &"db".into())
    );
    assert_eq!(asked["server.address"], "127.0.0.1");
    assert_eq!(asked["server.port"], postgres.port().to_string());
    assert!(asked["db.namespace"] == "mainstay", "{asked:#}");
    assert_eq!(named(&spans, "fill")["parentSpanId"], get["spanId"]);
}

async fn a_read_past_an_open_breaker(mainstay: &Mainstay, collector: &Collector) {
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let header = format!("traceparent: 00-{trace}-{parent}-01\r\n");
    let answer = mainstay.http_get_with(&format!("/v1/kv/{KEY}"), &header).await;
    assert!(answer.contains(VALUE), "{answer}");
    let ours = |span: &Json| span["traceId"] == trace && span["name"] == "GET";
    let spans = collector.trace_with("the caller's trace", ours, &["get"]).await;
    let (request, get) = (named(&spans, "GET"), named(&spans, "get"));
    assert_eq!((&request["parentSpanId"], &request["kind"]), (&parent.into(), &2.into()));
    assert_eq!(get["parentSpanId"], request["spanId"]);
    let passed = event(get, "passed_by").unwrap();
    assert_eq!(
        (&passed["mainstay.backend"], &passed["error.type"]),
        (&"redis".into(), &"breaker_open".into())
    );
    let asked = spans.iter().find(|span| span["db.system.name"] == "postgresql").unwrap();
    assert_eq!(asked["parentSpanId"], get["spanId"]);
}

#[tokio::test]
async fn the_path_of_an_operation_is_seen_and_no_key_value_or_password() {
    let (mut redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let collector = Collector::start().await;
    // It trusts everybody.
    let port = postgres.port();
    let database = format!("postgres://mainstay:{PASSWORD}@127.0.0.1:{port}/mainstay");
    let mainstay = Mainstay::start(&[
        ("REDIS_URL", &redis.url()),
        ("DATABASE_URL", &database),
        ("MAINSTAY__TRACES__ENDPOINT", &collector.address),
        ("MAINSTAY__TRACES__SAMPLE", "1"),
    ])
    .await;
    mainstay.wait_for("db", "up").await;
    mainstay.wait_for("redis", "up").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["SET", KEY, VALUE]).await, "OK");
    mainstay.until_cached(KEY).await;
    forget_copies(&redis).await;
    mainstay.until_cached(KEY).await;

    a_miss(&collector, &postgres).await;

    redis.kill();
    mainstay
        .until_backend("redis", "its breaker to open", |redis| redis["breaker"]["state"] == "open")
        .await;
    a_read_past_an_open_breaker(&mainstay, &collector).await;

    mainstay.terminate().await;
    let told = collector.told();
    for secret in [KEY, VALUE, PASSWORD] {
        assert!(!told.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn what_is_not_sampled_is_not_sent() {
    let collector = Collector::start().await;
    let traces =
        [("MAINSTAY__TRACES__ENDPOINT", &*collector.address), ("MAINSTAY__TRACES__SAMPLE", "0")];
    let mainstay = Mainstay::start(&traces).await;
    mainstay.wait_for("sqlite", "up").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["SET", KEY, VALUE]).await, "OK");
    assert_eq!(client.text(&["GET", KEY]).await, VALUE);
    mainstay.terminate().await;
    assert_eq!(collector.told(), "");
}

#[test]
fn a_collector_that_is_down_is_said_once_and_changes_nothing() {
    let closed = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let scratch = Scratch::new();
    let endpoint = format!("http://{closed}");
    let traces = [("MAINSTAY__TRACES__ENDPOINT", &*endpoint), ("MAINSTAY__TRACES__SAMPLE", "1")];
    let server = Server::start_with(&scratch, &traces);
    server.run(&["set", "k", "v"]).ok();
    let told = server.logged(NOT_TAKEN);
    assert_eq!(told["level"], "WARN", "{told}");
    assert_eq!(server.run(&["get", "k"]).ok(), "v");
    server.signal("TERM");
    let stopped = server.logged_without("traces: not all spans were sent", NOT_TAKEN);
    assert!(stopped["dropped"].as_u64().is_some_and(|dropped| dropped >= 2), "{stopped}");
    assert_eq!(server.ended(), Some(0));
}

#[test]
fn a_trace_configuration_that_cannot_be_is_refused() {
    let scratch = Scratch::new();
    for (variable, value, problem) in [
        (
            "MAINSTAY__TRACES__ENDPOINT",
            "https://collector",
            "traces.endpoint: only http:// is spoken",
        ),
        (
            "MAINSTAY__TRACES__ENDPOINT",
            "http://u:hunter2@collector",
            "traces.endpoint: it holds a user",
        ),
        ("MAINSTAY__TRACES__SAMPLE", "1.5", "traces.sample: is between 0 and 1"),
    ] {
        let run =
            crate::support::Run::of(scratch.command(&["config", "check"]).env(variable, value));
        assert!(run.code != Some(0), "{run:?}");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(problem) && !said.contains(PASSWORD), "{said}");
    }
}

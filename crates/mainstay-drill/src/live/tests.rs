//! Live drills over HTTP on a storage over a server of the tests' own.

use std::{net::SocketAddr, time::Duration};

use mainstay::{Config, config::BackendConfig, status::BackendStatus};
use mainstay_server::http::{HttpConfig, HttpServer, Sections};
use mainstay_servers::servers::{Redis, workdir::WorkDir};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

const TOKEN: &str = "a-token-of-the-tests";

/// A Redis before a SQLite, served over HTTP.
struct Stand {
    storage: Storage,
    address: SocketAddr,
    stop: CancellationToken,
    _redis: Redis,
    _dir: WorkDir,
}

impl Stand {
    async fn open(token: Option<&str>) -> Self {
        let redis = Redis::start().await.unwrap();
        let dir = WorkDir::new("live").unwrap();
        let mut config = Config::default();
        let mut of_redis = BackendConfig::at(redis.url());
        of_redis.health.interval = Duration::from_millis(200);
        config.backends.insert("redis".into(), of_redis);
        let file = format!("sqlite:{}", dir.path().join("db.sqlite").display());
        config.backends.insert("db".into(), BackendConfig::at(&file));
        let storage = Storage::open(config).await.unwrap();
        let http = HttpConfig {
            listen: "127.0.0.1:0".to_owned(),
            token: token.map(str::to_owned),
            ..HttpConfig::default()
        };
        let server = HttpServer::bind(http, storage.clone(), Sections::new()).await.unwrap();
        server.api().serve_drills(Arc::new(Live::new(storage.clone())));
        let (address, stop) = (server.local_addr(), CancellationToken::new());
        let token = stop.clone();
        Tasks::new().spawn(async move {
            server.run(token).await;
        });
        let stand = Self { storage, address, stop, _redis: redis, _dir: dir };
        stand.until("well", |redis| redis.health == mainstay::status::Health::Up).await;
        stand
    }

    fn redis(&self) -> BackendStatus {
        let backends = self.storage.status().backends;
        backends.into_iter().find(|backend| &*backend.name == "redis").unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn(&BackendStatus) -> bool) {
        for _ in 0..3000 {
            if holds(&self.redis()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {what}: {:?}", self.redis());
    }

    async fn send(&self, method: &str, path: &str, token: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}",
            self.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut answer = String::new();
        let mut stream = self.send(method, path, TOKEN, body).await;
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Begins one and reads until the stream holds this.
    async fn begin(&self, body: &str, until: &str) -> (TcpStream, String) {
        let mut stream = self.send("POST", "/v1/drills", TOKEN, body).await;
        let mut text = String::new();
        while !text.contains(until) {
            let mut bytes = [0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut bytes));
            let read = read.await.unwrap_or_else(|_| panic!("silent: {text}")).unwrap();
            assert!(read > 0, "ended without {until}: {text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        (stream, text)
    }

    fn events(&self) -> String {
        let events = self.storage.events().since(0);
        events.iter().map(|event| format!("{event}\n")).collect()
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn order(more: &str) -> String {
    format!(r#"{{"scenario":"redis-outage","for":"30s","reason":"a test"{more}}}"#)
}

#[tokio::test]
async fn without_a_token_nothing_is_broken() {
    let open = Stand::open(None).await;
    let answer = open.ask("POST", "/v1/drills", &order("")).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("token_required"), "{answer}");
    assert!(open.ask("GET", "/v1/drills", "").await.contains("\"allowed\":false"));
    drop(open);
    let guarded = Stand::open(Some(TOKEN)).await;
    let mut answer = String::new();
    let mut stream = guarded.send("POST", "/v1/drills", "guessed", &order("")).await;
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(!guarded.events().contains("fault injected"));
}

#[tokio::test]
async fn what_cannot_be_drilled_is_refused_with_the_reason() {
    let stand = Stand::open(Some(TOKEN)).await;
    for (body, why) in [
        (order(r#","backend":"nobody""#), "backend:"),
        (order(r#","share":1.5"#), "share:"),
        (order(r#","abort_error_rate":2"#), "abort_error_rate:"),
        (r#"{"scenario":"redis-outage","for":"10m","reason":"x"}"#.to_owned(), "at most"),
        (r#"{"scenario":"redis-restart-empty","reason":"x"}"#.to_owned(), "loses data"),
        (r#"{"scenario":"all-down","reason":"x"}"#.to_owned(), "one backend at a time"),
        (r#"{"scenario":"nothing","reason":"x"}"#.to_owned(), "there is no `nothing`"),
        (r#"{"scenario":"redis-outage","reason":" "}"#.to_owned(), "reason:"),
    ] {
        let answer = stand.ask("POST", "/v1/drills", &body).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(why), "{body}: {answer}");
    }
    let answer = stand.ask("DELETE", "/v1/drills/nothing", "").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn one_at_a_time_and_gone_with_its_caller() {
    let stand = Stand::open(Some(TOKEN)).await;
    let (stream, text) = stand.begin(&order(""), "\"word\":\"fault\"").await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("event: start"), "{text}");
    assert_eq!(stand.redis().injected.unwrap().reason, "a test");
    let second = stand.ask("POST", "/v1/drills", &order("")).await;
    assert!(second.starts_with("HTTP/1.1 409"), "{second}");
    assert!(stand.ask("GET", "/v1/drills", "").await.contains("\"state\":\"running\""));
    drop(stream);
    stand.until("lifted", |redis| redis.injected.is_none()).await;
    let ended =
        || async { stand.ask("GET", "/v1/drills", "").await.contains("its caller has gone") };
    while !ended().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_operator_aborts_it_from_elsewhere() {
    let stand = Stand::open(Some(TOKEN)).await;
    let (mut stream, text) = stand.begin(&order(""), "\"word\":\"fault\"").await;
    let id = text.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let path = format!("/v1/drills/{id}?reason=enough");
    assert!(stand.ask("DELETE", &path, "").await.starts_with("HTTP/1.1 204"));
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("event: error") && rest.contains("enough"), "{rest}");
    assert_eq!(stand.redis().injected, None);
    assert!(stand.events().contains("fault lifted"), "{}", stand.events());
}

#[tokio::test]
async fn callers_who_fail_end_it() {
    let stand = Stand::open(Some(TOKEN)).await;
    let body = r#"{"scenario":"db-outage","for":"60s","reason":"a test","abort_error_rate":0.2}"#;
    let (mut stream, _) = stand.begin(body, "\"word\":\"fault\"").await;
    let storage = stand.storage.clone();
    let callers = async {
        for number in 0_u64.. {
            // Writes have nowhere to go.
            let _refused = storage.set(format!("k{number}"), "v").await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut rest = String::new();
    tokio::select! {
        read = stream.read_to_string(&mut rest) => drop(read.unwrap()),
        () = callers => {}
    }
    assert!(rest.contains("requests failed, more than 20 %"), "{rest}");
    assert!(stand.storage.status().backends.iter().all(|backend| backend.injected.is_none()));
}

#[tokio::test]
async fn a_drill_runs_to_its_end_and_its_report_is_kept() {
    let stand = Stand::open(Some(TOKEN)).await;
    // One of the caller's own, as a whole.
    let scenario = crate::scenario::named("redis-outage").unwrap();
    let scenario = crate::scenario::Scenario { name: "mine".to_owned(), ..scenario };
    let body = json!({ "scenario": scenario, "for": "3s", "reason": "a test", "canary": true });
    let (_stream, text) = stand.begin(&body.to_string(), "event: complete").await;
    assert!(text.contains("event: retry_update") && text.contains("\"remaining_s\""), "{text}");
    let id = text.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let answer = stand.ask("GET", &format!("/v1/drills/{id}"), "").await;
    let document: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let report: Report = serde_json::from_value(document["report"].clone()).unwrap();
    assert_eq!((&*report.scenario.name, &*report.scenario.target), ("mine", "redis"));
    let words: Vec<&str> = report.timeline.iter().map(|line| &*line.word).collect();
    for word in ["fault", "DOWN", "healed", "UP", "recovered"] {
        assert!(words.contains(&word), "{word} in {words:?}");
    }
    assert!(report.recovery_ms.is_some() && report.opened_ms.is_some());
    assert_eq!((report.verification.lost, report.verification.unexplained), (0, 0));
    assert!(report.verification.acknowledged > 0 && report.verification.keys > 0);
    let judged = report.thresholds.iter().map(|verdict| verdict.threshold.to_string());
    assert!(!judged.collect::<Vec<_>>().concat().contains("p99"), "latencies are not known");
    assert_eq!(stand.storage.count("drill:canary:").await.unwrap(), 0, "nothing is left behind");
}

//! The configuration read anew by a server that runs: what is taken over, what waits, what is refused, and no lost request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use mainstay::Clock;
use mainstay_testkit::servers::Redis;
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    process::{Mainstay, TextClient, until},
    support::Scratch,
};

const FILE: &str = "[backends.redis]\nurl = \"REDIS\"\ntimeout = \"20s\"\n[[route]]\nprefix = \"\"\nbackends = [\"redis\"]\n[log]\nformat = \"json\"\n";

fn body(answer: &str) -> Json {
    let json = &answer[answer.find('{').unwrap_or(0)..=answer.rfind('}').unwrap_or(0)];
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

async fn reload(mainstay: &Mainstay) -> (String, Json) {
    let answer = mainstay.http("POST", "/v1/config/reload", "").await;
    (answer[..12].to_owned(), body(&answer))
}

async fn config(mainstay: &Mainstay) -> Json {
    body(&mainstay.http_get("/v1/config").await)
}

/// What is set has a minute to live, less what has passed since at most.
async fn a_minute_is_given(client: &mut TextClient, key: &str) {
    let clock = Clock::system();
    let before = clock.now();
    assert_eq!(client.text(&["SET", key, "v"]).await, "OK");
    let left: u128 = client.text(&["PTTL", key]).await.parse().unwrap();
    // Redis counts in whole milliseconds.
    let passed = clock.now().duration_since(before).as_millis() + 1;
    assert!(
        (60_000_u128.saturating_sub(passed)..=60_000).contains(&left),
        "{left} ms after {passed} ms"
    );
}

#[tokio::test]
async fn what_may_change_is_in_force_at_once_and_the_rest_is_named() {
    let redis = Redis::start().await.unwrap();
    let file = FILE.replace("REDIS", &redis.url());
    let mainstay = Mainstay::start_with(&file, &[]).await;
    mainstay.wait_for("redis", "up").await;
    let mut client = mainstay.client().await;
    let long = "x".repeat(2000);
    assert_eq!(client.text(&["SET", "k", &long]).await, "OK");

    mainstay.write_config(&format!(
        "{}[limits]\nvalue_max = \"1KiB\"\n[backends.extra]\nurl = \"redis://127.0.0.1:1\"\n[resp]\npassword = \"geheim-123\"\n",
        file.replace("prefix = \"\"", "prefix = \"\"\nttl = \"60s\"")
    ));
    let dry = body(&mainstay.http("POST", "/v1/config/reload?dry_run", "").await);
    assert_eq!((&dry["applied"], &dry["dry_run"]), (&3.into(), &true.into()), "{dry}");
    assert_eq!(client.text(&["SET", "k", &long]).await, "OK");

    let (status, document) = reload(&mainstay).await;
    assert_eq!(status, "HTTP/1.1 200", "{document}");
    let expected = serde_json::json!([
        {"key": "backends.extra", "old": null, "new": "configured", "effect": "needs a restart",
         "reason": "backends are opened at the start"},
        {"key": "limits.value_max", "old": "16MiB", "new": "1KiB", "effect": "applied"},
        {"key": "resp.password", "old": null, "new": "***", "effect": "applied"},
        {"key": "route[\"\"].ttl", "old": null, "new": "1m", "effect": "applied"},
    ]);
    assert_eq!(document["changes"], expected);
    assert_eq!((&document["applied"], &document["needs_restart"]), (&3.into(), &1.into()));

    // In force: the password, which the connection that stands has to say as well; the limit, the TTL.
    assert!(client.text(&["GET", "short"]).await.starts_with("NOAUTH"));
    assert_eq!(client.text(&["AUTH", "geheim-123"]).await, "OK");
    let refused = client.text(&["SET", "k", &long]).await;
    assert!(refused.contains("over the limit of 1024 bytes"), "{refused}");
    a_minute_is_given(&mut client, "short").await;
    let mut stranger = mainstay.client().await;
    assert!(stranger.text(&["GET", "short"]).await.starts_with("NOAUTH"));
    assert_eq!(stranger.text(&["AUTH", "geheim-123"]).await, "OK");

    let shown = config(&mainstay).await;
    assert_eq!(
        (&shown["limits"]["value_max"], &shown["resp"]["password"]),
        (&"1KiB".into(), &"***".into())
    );
    assert!(shown["backends"]["extra"].is_null(), "{shown}");
    let events = mainstay.http_get("/v1/events?format=json").await;
    assert!(
        events.contains("limits.value_max: \\\"16MiB\\\" -> \\\"1KiB\\\" (applied)"),
        "{events}"
    );
    assert!(!events.contains("geheim"), "{events}");
    mainstay.terminate().await;
}

#[tokio::test]
async fn an_invalid_file_changes_nothing_and_says_why_with_its_place() {
    let redis = Redis::start().await.unwrap();
    let file = FILE.replace("REDIS", &redis.url());
    let mainstay = Mainstay::start_with(&file, &[]).await;
    let before = config(&mainstay).await;
    mainstay.write_config(&format!("{file}[limits]\ndeadline = 5\nkeys_maxx = 1\n"));
    // Whoever only asks is told, and nobody else: no change was refused.
    let asked = mainstay.http("POST", "/v1/config/reload?dry_run", "").await;
    assert!(asked.starts_with("HTTP/1.1 422"), "{asked}");
    let (status, problem) = reload(&mainstay).await;
    assert_eq!(status, "HTTP/1.1 422", "{problem}");
    assert_eq!(problem["type"], "urn:mainstay:error:invalid_configuration");
    let lines: Vec<&str> = problem["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["detail"].as_str().unwrap())
        .collect();
    assert_eq!(
        lines,
        [
            "mainstay.toml:10:12: limits.deadline: 5 has no unit: a duration has a unit, as in 250ms, 5s, 10m, 1h or 7d; \
             write \"5s\" if that is what is meant",
            "mainstay.toml:11:1: limits.keys_maxx: is not a known key; did you mean `keys_max`?",
        ]
    );
    assert_eq!(config(&mainstay).await, before);
    // By signal it is the same; the events and the log say so.
    mainstay.signal("HUP");
    until("the refusal to be told", async || {
        let events = mainstay.http_get("/v1/events?format=json").await;
        events.matches("\"state\":\"refused\"").count() == 2
            && events.contains("\"actor\":\"SIGHUP\"")
    })
    .await;
    // And put right, by signal too.
    mainstay.write_config(&format!("{file}[limits]\ndeadline = \"7s\"\n"));
    mainstay.signal("HUP");
    until("the new deadline", async || config(&mainstay).await["limits"]["deadline"] == "7s").await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn the_command_shows_what_differs_and_fails_as_check_does() {
    let redis = Redis::start().await.unwrap();
    let file = FILE.replace("REDIS", &redis.url());
    let mainstay = Mainstay::start_with(&file, &[]).await;
    assert_eq!(mainstay.run(&["config", "reload"]).await, "nothing differs\n");
    mainstay
        .write_config(&format!("{file}[journal]\ndir = \"elsewhere\"\n[memory]\nmax = \"1MiB\"\n"));
    let changes = "journal.dir: \"./mainstay-data/journal\" -> \"elsewhere\" (needs a restart: the folder is held open)\n";
    let dry = mainstay.run(&["config", "reload", "--dry-run"]).await;
    assert_eq!(
        dry,
        format!(
            "{changes}memory.max: \"256MiB\" -> \"1MiB\" (would be applied)\n1 would be applied, 1 would need a restart\n"
        )
    );
    let done = mainstay.run(&["config", "reload"]).await;
    assert_eq!(
        done,
        format!(
            "{changes}memory.max: \"256MiB\" -> \"1MiB\" (applied)\n1 applied, 1 waiting for a restart\n"
        )
    );
    let again = mainstay.run(&["config", "reload"]).await;
    assert_eq!(again, format!("{changes}0 applied, 1 waiting for a restart\n"));
    mainstay.terminate().await;
}

/// Nobody asked for the defaults, which let everybody in, nor for the file of another place.
#[tokio::test]
async fn a_file_that_is_gone_is_refused_and_leaves_everything_as_it_is() {
    let file = "[resp]\npassword = \"geheim-123\"\n[limits]\ndeadline = \"2s\"\n";
    let mainstay = Mainstay::start_with(file, &[]).await;
    let before = config(&mainstay).await;
    mainstay.remove_config();
    let (status, problem) = reload(&mainstay).await;
    assert_eq!(status, "HTTP/1.1 422", "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("mainstay.toml: cannot be read: No such file"), "{detail}");
    assert_eq!(config(&mainstay).await, before);
    let mut stranger = mainstay.client().await;
    assert!(stranger.text(&["GET", "k"]).await.starts_with("NOAUTH"));
    // Back again, it counts again.
    mainstay.write_config(&file.replace("2s", "3s"));
    assert_eq!(reload(&mainstay).await.0, "HTTP/1.1 200");
    assert_eq!(config(&mainstay).await["limits"]["deadline"], "3s");
    mainstay.terminate().await;
}

/// All of them have seen the same configuration: only for the first it is still the one that they have seen.
#[tokio::test]
async fn of_many_reloads_on_one_condition_one_is_taken() {
    let mainstay = Mainstay::start_with("[limits]\ndeadline = \"2s\"\n", &[]).await;
    let head = mainstay.http_get("/v1/config").await.to_ascii_lowercase();
    let tag = head.split("etag: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let post = async || {
        let request = format!(
            "POST /v1/config/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nIf-Match: {tag}\r\n\r\n"
        );
        let mut stream = TcpStream::connect(mainstay.http_address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer[9..12].to_owned()
    };
    let mut answers = futures_util::future::join_all((0..8).map(|_| post())).await;
    answers.sort();
    assert_eq!(answers, ["200", "412", "412", "412", "412", "412", "412", "412"]);
    mainstay.terminate().await;
}

/// A file that nobody can be made to give: the reload never ends, and the server ends all the same.
#[tokio::test]
async fn a_reload_that_hangs_does_not_keep_it_from_ending() {
    let scratch = Scratch::new();
    scratch.write("token", "correct-horse");
    let token = scratch.path().join("token");
    let file = format!("[http]\ntoken_file = {token:?}\n");
    let mainstay = Mainstay::start_with(&file, &[]).await;
    std::fs::remove_file(&token).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&token).status().unwrap();
    assert!(made.success());
    mainstay.signal("HUP");
    // Opened for writing only once somebody reads it: from then on the reload hangs.
    let open = move || std::fs::OpenOptions::new().write(true).open(token).unwrap();
    let held = tokio::task::spawn_blocking(open).await.unwrap();
    mainstay.terminate().await;
    drop(held);
}

/// Sets and reads its own keys until told to stop; every answer has to be the right one.
async fn hammer(
    mut client: TextClient,
    number: usize,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) -> Vec<String> {
    let mut failed = Vec::new();
    let mut turn = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let (key, value) = (format!("k{number}:{}", turn % 100), turn.to_string());
        let set = client.text(&["SET", &key, &value]).await;
        let get = client.text(&["GET", &key]).await;
        if set != "OK" || get != value {
            failed.push(format!("{key}: {set} {get}"));
        }
        turn += 1;
        done.fetch_add(2, Ordering::Relaxed);
    }
    failed
}

/// The file with other values for all that may change. A machine that stands still for seconds is no outage: in one, memory
/// would serve what Redis does not have.
fn varied(file: &str, url: &str, n: usize) -> String {
    let even = n.is_multiple_of(2);
    let backend = format!(
        "url = \"{url}\"\ntimeout = \"{}s\"\ninflight_max = {}\nadaptive_limit = {even}\nqueue_wait = \"{}s\"\n\
         breaker = {{ failures = {}, window = \"{}s\", slow_min = \"15s\" }}\nretry = {{ max = {} }}\nhedge = {{ enabled = {} }}\n\
         health = {{ interval = \"{}s\" }}",
        20 + n % 3,
        64 + n % 64,
        1 + n % 5,
        5 + n % 5,
        10 + n % 5,
        n % 3,
        !even,
        1 + n % 4,
    );
    let rest = format!(
        "format = \"{}\"\nlevel = \"{}\"\n[limits]\ndeadline = \"{}s\"\nvalue_max = \"{}MiB\"\n[memory]\nmax = \"{}MiB\"\n\
         [resp]\nconnections_max = {}\nidle_timeout = \"{}m\"\n[http]\nconnections_max = {}\n[traces]\nsample = 0.{}",
        if even { "text" } else { "json" },
        if n.is_multiple_of(3) { "debug" } else { "info" },
        50 + n % 3,
        1 + n % 4,
        64 + n,
        100 + n,
        5 + n,
        100 + n,
        1 + n % 9,
    );
    let in_file = format!("url = \"{url}\"\ntimeout = \"20s\"");
    file.replace(&in_file, &backend).replace("format = \"json\"", &rest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_everything_that_may_change_changes() {
    let redis = Redis::start().await.unwrap();
    let file = FILE.replace("REDIS", &redis.url());
    let mainstay = Mainstay::start_with(&file, &[]).await;
    mainstay.wait_for("redis", "up").await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..16 {
        let client = mainstay.client().await;
        clients.spawn(hammer(client, number, Arc::clone(&stop), Arc::clone(&done)));
    }
    for n in 0..40_usize {
        let before = done.load(Ordering::Relaxed);
        mainstay.write_config(&varied(&file, &redis.url(), n));
        let (status, document) = reload(&mainstay).await;
        assert_eq!(
            (status.as_str(), &document["needs_restart"]),
            ("HTTP/1.1 200", &0.into()),
            "{document}"
        );
        assert!(document["applied"].as_u64() > Some(10), "{document}");
        until("requests to go on", async || done.load(Ordering::Relaxed) > before + 100).await;
    }
    stop.store(true, Ordering::Relaxed);
    let failed: Vec<String> = clients.join_all().await.into_iter().flatten().collect();
    assert!(
        failed.is_empty(),
        "{} of {}: {:?}",
        failed.len(),
        done.load(Ordering::Relaxed),
        &failed[..failed.len().min(5)]
    );
    // The breaker had no reason to open.
    let status = mainstay.backend("redis").await;
    assert_eq!(status["breaker"]["state"], "closed", "{status}");
    mainstay.terminate().await;
}

//! Drills on a running server: begun and watched over HTTP, gone with whoever began them.

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use mainstay_testkit::servers::Redis;
use serde_json::Value as Json;

use crate::{
    process::{Mainstay, until},
    support::{Run, Scratch},
};

const TOKEN: &str = "correct-horse";
/// Found out soon, so that the tests are short.
const CONFIG: &str = "[backends.redis]\nurl = '${REDIS_URL}'\nhealth = { interval = '500ms' }\n\
                      [backends.db]\nurl = 'sqlite:db.sqlite'\n";

/// A server that wants a token, before a Redis.
struct Stand {
    redis: Redis,
    mainstay: Mainstay,
    scratch: Scratch,
}

impl Stand {
    async fn start() -> Self {
        let redis = Redis::start().await.unwrap();
        let variables = [("REDIS_URL", redis.url()), ("MAINSTAY__HTTP__TOKEN", TOKEN.to_owned())];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let mainstay = Mainstay::start_with(CONFIG, &variables).await;
        let stand = Self { redis, mainstay, scratch: Scratch::new() };
        until("redis to be up", async || stand.backend().await["health"] == "up").await;
        stand
    }

    async fn backend(&self) -> Json {
        let answer = self.get("/v1/status").await;
        let backends = answer["backends"].as_array().cloned().unwrap_or_default();
        backends.into_iter().find(|backend| backend["name"] == "redis").unwrap_or_default()
    }

    async fn get(&self, path: &str) -> Json {
        let header = format!("Authorization: Bearer {TOKEN}\r\n");
        let answer = self.mainstay.http_get_with(path, &header).await;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let body = &body[body.find('{').unwrap_or(0)..=body.rfind('}').unwrap_or(0)];
        serde_json::from_str(body).unwrap_or_default()
    }

    fn command(&self, args: &[&str]) -> Command {
        let url = format!("http://{}", self.mainstay.http_address());
        let mut command = self.scratch.command(&[&["drill", "redis-outage"], args].concat());
        command.args(["--against", &url]).env("MAINSTAY_TOKEN", TOKEN);
        command
    }

    /// One in the middle of its fault.
    async fn drilling(&self) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut command = self.command(&["--for", "5m", "--reason", "a test"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let fault = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("  fault  ")));
        assert!(fault.is_some(), "the drill came to its fault");
        // It is said before it is done.
        until("the fault to be in force", async || {
            self.backend().await["injected"]["reason"] == "a test"
        })
        .await;
        (child, lines)
    }

    async fn until_lifted(&self) {
        until("the fault to be lifted", async || {
            let backend = self.backend().await;
            backend["injected"].is_null() && backend["health"] == "up"
        })
        .await;
    }
}

#[tokio::test]
async fn a_running_server_fails_over_recovers_and_is_reported() {
    let mut stand = Stand::start().await;
    let mut command = stand.command(&["--for", "4s", "--canary", "--output", "json"]);
    let run = Run::of(command.args(["--junit", "drill.xml"]));
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let report: Json = serde_json::from_str(&run.stdout).unwrap();
    super::sound(&report);
    let words = super::timeline(&report);
    assert!(
        words.contains(&"OPEN") && words.contains(&"DOWN") && words.contains(&"UP"),
        "{words:?}"
    );
    let tries: u64 = report["seconds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|second| second["backends"]["redis"]["attempts"].as_u64().unwrap_or(0))
        .sum();
    assert!(tries > 0, "each attempt to reconnect is counted");
    let file = |name: &str| std::fs::read_to_string(stand.scratch.path().join(name)).unwrap();
    assert!(file("drill-redis-outage.html").contains("no backend was touched"));
    assert!(file("drill.xml").contains("recovery"));
    stand.until_lifted().await;
    let events = stand.get("/v1/events?format=json&limit=1000").await;
    let events = events["events"].as_array().unwrap();
    let drills: Vec<&Json> = events.iter().filter(|event| event["kind"] == "drill").collect();
    assert_eq!(drills.len(), 2, "{drills:?}");
    assert!(drills[0]["actor"].as_str().unwrap().starts_with("cli "), "{drills:?}");
    // The real one was there all the time.
    stand.redis.kill();
    until("redis to be down", async || stand.backend().await["health"] == "down").await;
}

#[tokio::test]
async fn told_to_stop_or_killed_it_takes_the_fault_with_it() {
    let stand = Stand::start().await;
    let (mut child, lines) = stand.drilling().await;
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(98));
    stand.until_lifted().await;
    drop(lines);
    let (mut child, lines) = stand.drilling().await;
    // SIGKILL: nothing can be said any more.
    child.kill().unwrap();
    child.wait().unwrap();
    stand.until_lifted().await;
    drop(lines);
    // The fault goes first, then the drill is written down as ended.
    let ended = async || stand.get("/v1/drills").await["ended"].as_array().unwrap().len();
    until("both drills to be ended", async || ended().await == 2).await;
    let drills = stand.get("/v1/drills").await;
    let messages: Vec<&str> =
        drills["ended"].as_array().unwrap().iter().filter_map(|d| d["message"].as_str()).collect();
    assert!(messages[0].contains("its caller has gone"), "{messages:?}");
    assert!(messages[1].contains("interrupted"), "{messages:?}");
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_no_fault() {
    let mut stand = Stand::start().await;
    let (child, lines) = stand.drilling().await;
    stand.mainstay.kill().await;
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(98));
    drop(lines);
    stand.mainstay.start_again().await;
    stand.until_lifted().await;
}

#[tokio::test]
async fn what_the_server_refuses_is_a_drill_that_could_not_be_run() {
    let stand = Stand::start().await;
    let mut command = stand.command(&[]);
    let unauthorized = Run::of(command.env("MAINSTAY_TOKEN", "wrong")).failed(98);
    assert!(unauthorized.contains("token"), "{unauthorized}");
    let refused = Run::of(&mut stand.command(&["--backend", "nobody"])).failed(98);
    assert!(refused.contains("nobody"), "{refused}");
    let usage = Run::of(&mut stand.command(&["--rate", "5"])).failed(2);
    assert!(usage.contains("--rate has no meaning with --against"), "{usage}");
}

//! A cache that dies under load before a database that bears only so much: the database never sees more than its limit,
//! who is turned away is told why, and the cache fills again. It prints a timeline.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use mainstay::{Clock, Instant};
use mainstay_testkit::{
    load::{Client, Value},
    servers::{Postgres, Redis},
};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use crate::process::Mainstay;

/// How large it is.
#[derive(Clone, Copy)]
struct Size {
    clients: usize,
    keys: usize,
    /// Queries at once.
    limit: usize,
    /// Seconds of the cold start, of the outage, and, at most, of the recovery.
    seconds: [u64; 3],
}

const SMALL: Size = Size { clients: 40, keys: 1_000, limit: 5, seconds: [4, 4, 60] };
const WHOLE: Size = Size { clients: 200, keys: 100_000, limit: 25, seconds: [20, 15, 60] };

/// One second of everybody.
#[derive(Clone, Debug, Default)]
struct Second {
    phase: &'static str,
    answers: u64,
    refused: u64,
    queries: u64,
    longest: Duration,
}

impl Second {
    /// Answers that needed no query, per answer.
    fn hit_rate(&self) -> f64 {
        if self.answers == 0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of one second")]
        let rate = 1.0 - self.queries.min(self.answers) as f64 / self.answers as f64;
        rate
    }
}

#[derive(Default)]
struct Seen {
    answers: AtomicU64,
    refused: AtomicU64,
    longest_us: AtomicU64,
    /// Refusals without a reason, wrong values.
    wrong: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// Keys by Zipf's law with exponent 1: the k-th is asked for 1/k as often as the first.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(keys: usize) -> Self {
        let mut sum = 0.0;
        #[expect(clippy::cast_precision_loss, reason = "far fewer keys than 2^52")]
        let weights = (1..=keys).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self(weights.collect())
    }

    /// The key for a number between 0 and 1.
    fn at(&self, unit: f64) -> usize {
        let total = self.0.last().copied().unwrap_or(1.0);
        self.0.partition_point(|sum| *sum < unit * total) + 1
    }
}

/// A generator of the test's own: the same keys in every run.
fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    let unit = (*state >> 11) as f64 / (1_u64 << 53) as f64;
    unit
}

async fn ask_for_ever(seen: Arc<Seen>, zipf: Arc<Zipf>, mut client: Client, seed: u64) {
    let (mut state, clock) = (seed, Clock::system());
    while !seen.over.load(Ordering::Relaxed) {
        let id = zipf.at(unit(&mut state));
        let key = format!("user:{id}");
        let begun = clock.now();
        match client.command(&[b"GET", key.as_bytes()]).await.unwrap() {
            Value::Bulk(Some(rows)) if rows.starts_with(format!(r#"{{"id":{id},"#).as_bytes()) => {
                seen.answers.fetch_add(1, Ordering::Relaxed);
            }
            Value::Error(text) if says_why(&text) => {
                seen.refused.fetch_add(1, Ordering::Relaxed);
            }
            other => seen.wrong.lock().unwrap().push(format!("{key}: {other:?}")),
        }
        let took = u64::try_from((clock.now() - begun).as_micros()).unwrap();
        seen.longest_us.fetch_max(took, Ordering::Relaxed);
        // A client has more to do than to ask.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn says_why(text: &str) -> bool {
    text.contains("cache_unavailable") || text.contains("database_saturated")
}

/// An observer at the database: how many queries there were, and how many at once at most.
struct Observer {
    client: tokio_postgres::Client,
    clock: Clock,
    most: i64,
    _driver: JoinSet<()>,
}

impl Observer {
    async fn start(postgres: &Postgres, keys: usize) -> Self {
        let (client, connection) = tokio_postgres::connect(&postgres.url(), NoTls).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move { connection.await.unwrap_or_default() });
        let setup = format!(
            "CREATE TABLE users (id int PRIMARY KEY, name text, phone text);
             INSERT INTO users SELECT n, 'user ' || n, '+49 ' || n FROM generate_series(1, {keys}) n;
             CREATE SEQUENCE asked"
        );
        client.batch_execute(&setup).await.unwrap();
        Self { client, clock: Clock::system(), most: 0, _driver: driver }
    }

    async fn number(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn queries(&self) -> u64 {
        let asked = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM asked";
        u64::try_from(self.number(asked).await).unwrap()
    }

    /// Looks many times a second, until the second is over.
    async fn watch(&mut self, until: Instant) {
        let active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()";
        while self.clock.now() < until {
            self.most = self.most.max(self.number(active).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Everything that was seen.
struct Outcome {
    seconds: Vec<Second>,
    most: i64,
    wrong: Vec<String>,
}

impl Outcome {
    fn of(&self, phase: &str) -> impl Iterator<Item = &Second> {
        self.seconds.iter().filter(move |second| second.phase == phase)
    }

    fn print(&self) -> String {
        let mut text = String::from("second phase     answers refused queries  hits  longest\n");
        for (number, second) in self.seconds.iter().enumerate() {
            let Second { phase, answers, refused, queries, longest } = second;
            let hits = second.hit_rate() * 100.0;
            writeln!(
                text,
                "{number:>6} {phase:<9}{answers:>8}{refused:>8}{queries:>8}{hits:>5.0}%{longest:>9.0?}"
            )
            .unwrap();
        }
        let peak = |phase| self.of(phase).map(|second| second.queries).max().unwrap_or(0);
        let [cold, recovery] = ["cold", "recovery"].map(peak);
        writeln!(text, "queries at once, at most: {}", self.most).unwrap();
        writeln!(text, "queries a second, at most: cold {cold}, recovery {recovery}").unwrap();
        text
    }
}

async fn run(size: Size) -> Outcome {
    let (mut redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let mut observer = Observer::start(&postgres, size.keys).await;
    let mainstay =
        Mainstay::start_with(&config(&redis.url(), &postgres.url(), size.limit), &[]).await;
    mainstay.wait_for("db", "up").await;
    mainstay.wait_for("redis", "up").await;
    let (seen, zipf) = (Arc::new(Seen::default()), Arc::new(Zipf::new(size.keys)));
    let mut clients = JoinSet::new();
    for seed in 0..size.clients as u64 {
        let client = Client::connect(mainstay.resp()).await.unwrap();
        clients.spawn(ask_for_ever(Arc::clone(&seen), Arc::clone(&zipf), client, seed));
    }
    let mut seconds = Vec::new();
    for (phase, length) in ["cold", "outage", "recovery"].into_iter().zip(size.seconds) {
        match phase {
            "outage" => redis.kill(),
            "recovery" => redis.restart().await.unwrap(),
            _ => {}
        }
        for _ in 0..length {
            let second = one_second(phase, &seen, &mut observer).await;
            let well = phase == "recovery" && second.refused == 0 && second.hit_rate() > 0.8;
            seconds.push(second);
            if well {
                break;
            }
        }
    }
    seen.over.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    mainstay.terminate().await;
    let wrong = seen.wrong.lock().unwrap().clone();
    Outcome { seconds, most: observer.most, wrong }
}

async fn one_second(phase: &'static str, seen: &Seen, observer: &mut Observer) -> Second {
    let before = observer.queries().await;
    observer.watch(observer.clock.now() + Duration::from_secs(1)).await;
    Second {
        phase,
        answers: seen.answers.swap(0, Ordering::Relaxed),
        refused: seen.refused.swap(0, Ordering::Relaxed),
        queries: observer.queries().await - before,
        longest: Duration::from_micros(seen.longest_us.swap(0, Ordering::Relaxed)),
    }
}

fn config(redis: &str, postgres: &str, limit: usize) -> String {
    format!(
        r#"
[backends.redis]
url = "{redis}"

[limits]
deadline = "20s"

# A database or a process that stands still for a moment is no outage: only who is shed is refused.
[backends.db]
url = "{postgres}"
inflight_max = {limit}
timeout = "4s"
breaker = {{ slow_min = "4s" }}
health = {{ timeout = "4s" }}

[[route]]
prefix = "user:"
cache = ["redis"]
ttl = "10m"
[route.source]
backend = "db"
query = "SELECT id, name, phone FROM users, (SELECT nextval('asked'), pg_sleep(0.01)) slow WHERE id = $1"
params = ["{{1}}"]
rows = "one"
"#
    )
}

fn check(outcome: &Outcome, size: Size) {
    let text = outcome.print();
    assert_eq!(outcome.wrong, Vec::<String>::new(), "{text}");
    assert!(outcome.most <= i64::try_from(size.limit).unwrap(), "{text}");
    let answered = |phase| outcome.of(phase).map(|second| second.answers).sum::<u64>();
    for phase in ["cold", "outage", "recovery"] {
        assert!(answered(phase) > 0, "nobody was served: {phase}\n{text}");
    }
    let last = outcome.seconds.last().unwrap();
    assert!(last.hit_rate() > 0.8, "the cache has filled again\n{text}");
    assert_eq!(last.refused, 0, "nobody is turned away any more\n{text}");
}

/// The suite runs the small form, `cargo xtask scenario` the whole one.
fn size() -> Size {
    if std::env::var_os("MAINSTAY_WHOLE_SCENARIO").is_some() { WHOLE } else { SMALL }
}

#[tokio::test]
async fn a_database_sees_no_more_than_its_limit_when_its_cache_dies_under_load() {
    let outcome = run(size()).await;
    println!("{}", outcome.print());
    check(&outcome, size());
}

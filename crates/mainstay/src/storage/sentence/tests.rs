use super::*;
use crate::{
    config::{Config, OnRecordDown, RouteConfig},
    route::{NodeInfo, build},
    status::{BreakerStatus, CallCounts, LastError, LatencySnapshot, ReconnectStatus},
};

const REDIS: usize = 0;
const DB: usize = 1;
const MEM: usize = 2;
const NAMES: [&str; 3] = ["redis", "db", "memory"];

fn backend(id: usize) -> BackendStatus {
    let breaker = BreakerStatus {
        state: BreakerState::Closed,
        forced: false,
        reason: String::new(),
        since: Duration::from_secs(41),
        retry_in: None,
        forced_for: None,
        failures: 0,
        calls: 0,
    };
    BackendStatus {
        name: NAMES[id].into(),
        engine: ["redis", "postgres", "memory"][id],
        health: Health::Up,
        health_since: Duration::from_secs(41),
        drained: false,
        drained_for: None,
        injected: None,
        breaker,
        reconnect: ReconnectStatus { connected: true, ..ReconnectStatus::default() },
        last_error: None,
        inflight: 0,
        inflight_max: 1,
        queued: 0,
        calls: CallCounts::default(),
        latency_p50: None,
        latency_p99: None,
        requests: Vec::new(),
        transitions: Vec::new(),
        flapping: false,
        switches: 0,
        recoveries: LatencySnapshot::default(),
        facts: Vec::new(),
    }
}

fn down(id: usize) -> BackendStatus {
    let mut backend = backend(id);
    backend.health = Health::Down;
    let message = "Connection refused (os error 111)".to_owned();
    backend.last_error = Some(LastError { kind: "unavailable", message, age: Duration::ZERO });
    backend.reconnect.next_in = Some(Duration::from_millis(3200));
    backend
}

fn journal() -> JournalStatus {
    JournalStatus {
        depth: 12,
        bytes: 900,
        oldest_age: Some(Duration::from_secs(8)),
        dead_letters: 0,
        applied: 0,
        conflicts: 0,
        full: false,
        unmet_records: 0,
        damaged_bytes: 0,
    }
}

fn cached(prefix: &str) -> RouteConfig {
    RouteConfig {
        prefix: prefix.to_owned(),
        cache: vec!["redis".to_owned()],
        record: Some("db".to_owned()),
        ..RouteConfig::default()
    }
}

fn failover(prefix: &str) -> RouteConfig {
    RouteConfig {
        prefix: prefix.to_owned(),
        backends: vec!["redis".to_owned(), "memory".to_owned()],
        ..RouteConfig::default()
    }
}

struct World {
    health: Health,
    backends: Vec<BackendStatus>,
    routes: Vec<RouteConfig>,
    caches: Vec<CacheStatus>,
    journal: Option<JournalStatus>,
}

impl World {
    /// One cached route, with these backends in place of well ones.
    fn with(ill: Vec<BackendStatus>) -> Self {
        let mut backends: Vec<BackendStatus> = (0..3).map(backend).collect();
        for one in ill {
            let place = backends.iter().position(|known| known.name == one.name).unwrap();
            backends[place] = one;
        }
        let routes = vec![cached("")];
        Self { health: Health::Degraded, backends, routes, caches: Vec::new(), journal: None }
    }

    fn says(&self) -> String {
        let node = |id: usize| NodeInfo {
            name: NAMES[id].into(),
            durable: id == DB,
            shared: id != MEM,
            copies: id == REDIS,
            control: id == DB,
            ttl_max: None,
        };
        let config = Config { routes: self.routes.clone(), ..Config::default() };
        let table = build(&config, &[node(REDIS), node(DB), node(MEM)]).unwrap();
        sentence(&Told {
            health: self.health,
            backends: &self.backends,
            routes: table.routes(),
            caches: &self.caches,
            journal: self.journal.as_ref(),
            overflowed: 0,
            lease: Duration::from_secs(2),
        })
    }
}

#[test]
fn all_is_well_or_something_still_waits() {
    let mut world = World::with(Vec::new());
    world.health = Health::Up;
    assert_eq!(world.says(), "Every backend is up.");
    world.journal = Some(JournalStatus { depth: 1, dead_letters: 1234, ..journal() });
    assert_eq!(
        world.says(),
        "Every backend is up. 1 write waits in the journal, the oldest for 8 s. \
         1,234 dead letters want somebody to look."
    );
}

#[test]
fn a_cache_is_down_and_the_record_serves() {
    assert_eq!(
        World::with(vec![down(REDIS)]).says(),
        "redis has been down for 41 s (Connection refused): db serves reads and writes instead; \
         reads through other Mainstay processes may be up to 2 s old. Next try in 4 s."
    );
}

#[test]
fn a_record_is_down() {
    let mut world = World::with(vec![down(DB)]);
    let copies = "db has been down for 41 s (Connection refused): redis answers reads from the copies it \
                  has, which may be old; ";
    assert_eq!(world.says(), format!("{copies}writes are refused. Next try in 4 s."));
    world.routes[0].on_record_down = OnRecordDown::Journal;
    world.journal = Some(journal());
    assert_eq!(
        world.says(),
        format!(
            "{copies}writes wait in the journal. Next try in 4 s. 12 writes wait in the journal, \
             the oldest for 8 s."
        )
    );
}

#[test]
fn routes_with_the_same_fate_stand_in_one_clause() {
    let mut world = World::with(vec![down(DB)]);
    let strict = RouteConfig { consistency: Consistency::Strict, ..cached("pay:") };
    world.routes = vec![failover("session:"), cached("user:"), strict, cached("cart:")];
    assert_eq!(
        world.says(),
        "db has been down for 41 s (Connection refused): redis answers reads of `user:`, `cart:` \
         and `*` from the copies it has, which may be old; writes of `user:`, `cart:` and `*` are refused; \
         reads and writes of `pay:` are refused. Next try in 4 s."
    );
}

#[test]
fn memory_in_place_of_redis_is_lost_with_the_process() {
    let mut world = World::with(vec![down(REDIS)]);
    world.routes = vec![failover("")];
    assert_eq!(
        world.says(),
        "redis has been down for 41 s (Connection refused): memory serves reads and writes instead; \
         what memory takes is lost if this process ends. Next try in 4 s."
    );
}

#[test]
fn nothing_can_be_served() {
    let mut world = World::with(vec![down(REDIS), down(DB)]);
    world.health = Health::Down;
    assert_eq!(
        world.says(),
        "Nothing can be served. redis has been down for 41 s (Connection refused). Next try in 4 s. \
         db has been down for 41 s (Connection refused). Next try in 4 s."
    );
}

#[test]
fn what_a_hand_has_done_is_said_with_its_end() {
    let mut forced = backend(REDIS);
    forced.breaker.state = BreakerState::Isolated;
    forced.breaker.forced = true;
    forced.breaker.reason = "forced: an exercise (by http 127.0.0.1:9)".to_owned();
    forced.breaker.forced_for = Some(Duration::from_secs(541));
    let says = World::with(vec![forced]).says();
    let begin =
        "redis has been kept out by hand for 41 s (an exercise (by http 127.0.0.1:9)): db serves";
    assert!(
        says.starts_with(begin) && says.ends_with("It decides by itself again in 10 min."),
        "{says}"
    );
    let drained = BackendStatus { drained: true, ..backend(REDIS) };
    let says = World::with(vec![drained]).says();
    assert!(says.starts_with("redis was taken out of use by hand: db serves"), "{says}");
    assert!(says.ends_with("It stays out until it is put back."), "{says}");
    let drained_for = Some(Duration::from_secs(90));
    let drained = BackendStatus { drained: true, drained_for, ..backend(REDIS) };
    let says = World::with(vec![drained]).says();
    assert!(says.ends_with("It is put back in 90 s."), "{says}");
}

#[test]
fn what_limps_still_serves() {
    let mut limping = backend(DB);
    limping.health = Health::Degraded;
    let says = World::with(vec![limping]).says();
    assert_eq!(says, "db has been degraded for 41 s: it still serves.");
    let mut tried = backend(REDIS);
    tried.breaker.state = BreakerState::HalfOpen;
    let says = World::with(vec![tried]).says();
    assert_eq!(says, "redis is being tried again: a few calls are let through to find out.");
}

#[test]
fn a_long_cause_is_cut() {
    assert_eq!(cause(&"é".repeat(200)), format!(" ({}…)", "é".repeat(CAUSE_MAX)));
    assert_eq!((cause(" . "), cause("why.")), (String::new(), " (why)".to_owned()));
}

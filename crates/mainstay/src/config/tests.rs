//! What a configuration may hold, and how its errors read.

use std::time::Duration;

use super::*;

fn with_backend(name: &str, backend: BackendConfig) -> Config {
    Config { backends: [(name.to_owned(), backend)].into(), ..Config::default() }
}

fn redis() -> BackendConfig {
    BackendConfig::at("redis://127.0.0.1:6379")
}

fn with_routes(routes: Vec<RouteConfig>) -> Config {
    Config { routes, ..with_backend("redis", redis()) }
}

fn route(backends: &[&str]) -> RouteConfig {
    let backends = backends.iter().map(ToString::to_string).collect();
    RouteConfig { backends, ..RouteConfig::default() }
}

#[test]
fn the_default_and_the_plain_ones_are_valid() {
    Config::default().validate().expect("valid");
    with_backend("redis", redis()).validate().expect("valid");
    with_routes(vec![route(&["redis", "memory"])]).validate().expect("valid");
}

#[test]
fn each_error_names_the_path_and_the_fix() {
    let changed = |change: fn(&mut BackendConfig)| {
        let mut backend = redis();
        change(&mut backend);
        with_backend("redis", backend)
    };
    let record = |record: &str, cache: &[&str]| RouteConfig {
        record: Some(record.to_owned()),
        cache: cache.iter().map(ToString::to_string).collect(),
        ..RouteConfig::default()
    };
    for (config, expected) in [
        (with_backend("memory", redis()), "backends.memory: is the name of the memory backend"),
        (with_backend("a.b", redis()), "backends.a.b: a name is 1 to 40 letters"),
        (with_backend("db", BackendConfig::default()), "backends.db.url: is missing"),
        (with_backend("db", BackendConfig::at("mongo://h")), "backends.db.url: begins with one of"),
        (
            changed(|backend| backend.timeout = Some(std::time::Duration::ZERO)),
            "backends.redis.timeout: is above 0 and at most 5m",
        ),
        (
            changed(|backend| backend.connections = Some(0)),
            "backends.redis.connections: is between",
        ),
        (
            changed(|backend| backend.breaker.failure_rate = f64::NAN),
            "backends.redis.breaker.failu",
        ),
        (
            changed(|backend| backend.breaker.open_max = std::time::Duration::from_secs(1)),
            "backends.redis.breaker.open_max: is at least `open`",
        ),
        (
            changed(|backend| backend.health.up_after = 0),
            "backends.redis.health.up_after: is at least 1",
        ),
        (
            with_routes(vec![RouteConfig::default()]),
            "route[0]: names a `record`, a `source`, a `passthrough`, or the `backends`",
        ),
        (with_routes(vec![route(&["redis", "redis"])]), "route[0]: names `redis` twice"),
        (with_routes(vec![route(&["rediss"])]), "route[0]: names `rediss`, which is not under"),
        (
            with_routes(vec![route(&["redis"]), route(&["memory"])]),
            "route[1].prefix: is the prefix of an earlier route",
        ),
        (
            with_routes(vec![RouteConfig {
                backends: vec!["redis".into()],
                ..record("memory", &[])
            }]),
            "route[0]: is a record route (`record`, `cache`) or a failover route",
        ),
    ] {
        let error = config.validate().expect_err(expected);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().starts_with(expected), "{error} is not {expected}");
    }
}

#[test]
fn a_journal_needs_a_folder_room_time_and_a_record() {
    for (config, expected) in [
        (
            with_routes(vec![RouteConfig {
                on_record_down: OnRecordDown::Journal,
                ..route(&["redis"])
            }]),
            "route[0].on_record_down: is for routes with a `record`",
        ),
        (with_journal(|journal| journal.dir = "".into()), "journal.dir: names a folder"),
        (with_journal(|journal| journal.bytes_max = 1000), "journal.bytes_max: is at least 1MiB"),
        (with_journal(|journal| journal.age_max = Duration::ZERO), "journal.age_max: is above 0"),
    ] {
        let error = config.validate().expect_err(expected);
        assert!(error.message().starts_with(expected), "{error} is not {expected}");
    }
}

fn with_journal(change: impl FnOnce(&mut JournalConfig)) -> Config {
    let mut config = Config::default();
    change(&mut config.journal);
    config
}

#[test]
fn what_a_route_does_without_its_record_is_a_word() {
    let json =
        serde_json::json!({ "route": [{ "record": "memory", "on_record_down": "journal" }] });
    let config: Config = serde_json::from_value(json).expect("reads");
    config.validate().expect("valid");
    assert_eq!(config.routes[0].on_record_down, OnRecordDown::Journal);
    assert_eq!(RouteConfig::default().on_record_down, OnRecordDown::Refuse);
}

#[test]
fn no_form_of_output_shows_the_password() {
    let config = with_backend("db", BackendConfig::at("postgres://app:hunter2@db/app?x=hunter2"));
    assert!(!format!("{config:?} {config:#?}").contains("hunter2"));
}

#[test]
fn a_strict_route_refuses_what_would_break_its_promise() {
    let record = RouteConfig {
        record: Some("db".into()),
        consistency: Consistency::Strict,
        ..RouteConfig::default()
    };
    assert!(record.validate("route[0]", |_| true).is_ok());
    let journal = RouteConfig { on_record_down: OnRecordDown::Journal, ..record.clone() };
    let stale = RouteConfig { stale_if_error: Some(Duration::from_secs(1)), ..record.clone() };
    let memory = RouteConfig { cache: vec![Config::MEMORY.to_owned()], ..record.clone() };
    let failover = RouteConfig { record: None, backends: vec!["db".into()], ..record };
    for (route, word) in
        [(journal, "on_record_down"), (stale, "stale"), (memory, "memory"), (failover, "failover")]
    {
        let error = route.validate("route[0]", |_| true).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

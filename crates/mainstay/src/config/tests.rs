//! What a configuration may hold, and how its errors read.

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
        (changed(|backend| backend.health.up_after = 0), "backends.redis.health: timeout, down_af"),
        (
            with_routes(vec![RouteConfig::default()]),
            "route[0]: names a `record`, or the `backends`",
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
fn no_form_of_output_shows_the_password() {
    let config = with_backend("db", BackendConfig::at("postgres://app:hunter2@db/app?x=hunter2"));
    assert!(!format!("{config:?} {config:#?}").contains("hunter2"));
}

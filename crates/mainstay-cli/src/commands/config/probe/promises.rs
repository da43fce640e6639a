//! What backends that answer cannot do for the routes that are built on them, and what is doubtful about them.
//! It must not connect.

use std::time::Duration;

use mainstay::{
    Config,
    config::{Consistency, Engine, RouteConfig, text::format_duration},
    status::{BackendStatus, Status},
};

/// What a route promises and its backends cannot keep.
pub(super) fn broken(config: &Config, status: &Status) -> Vec<String> {
    let evicting = status.caches.iter().filter(|cache| cache.evicts);
    let strict = |cache: &str| {
        config.routes.iter().find(|route| {
            route.consistency == Consistency::Strict && route.cache.iter().any(|name| name == cache)
        })
    };
    let broken = evicting.filter_map(|cache| {
        let route = strict(&cache.cache)?;
        Some(format!(
            "route `{}` is strict, and {} may evict marks: set its maxmemory-policy to noeviction, or make the route bounded; \
             until then it reads from {}",
            route.prefix, cache.cache, cache.record
        ))
    });
    broken.chain(listeners(config, status)).collect()
}

/// Who is told of changes over a connection that a pooler lends to others.
fn listeners(config: &Config, status: &Status) -> Vec<String> {
    let pooled = |name: &str| fact(status, name, "pooling").is_some();
    let listens = |route: &&RouteConfig| {
        let source = route.source.as_ref();
        source.is_some_and(|source| {
            source.changes.as_ref().is_some_and(|changes| changes.listen.is_some())
                && pooled(&source.backend)
        })
    };
    let said = |route: &RouteConfig| {
        let backend = route.source.as_ref().map_or("", |source| &source.backend);
        format!(
            "route `{}` listens for changes on {backend}, and a pooler there lends a server for each transaction: \
             LISTEN needs session pooling; name the server itself in backends.{backend}.url, or learn of changes by a query \
             (changes.query)",
            route.prefix
        )
    };
    config.routes.iter().filter(listens).map(said).collect()
}

/// What may be as it is meant.
pub(super) fn doubtful(config: &Config, status: &Status) -> Vec<String> {
    let mut warnings: Vec<String> = status.backends.iter().filter_map(clock).collect();
    warnings.extend(status.backends.iter().filter_map(|backend| age(config, backend)));
    for name in config.backends.keys().filter(|name| is_redis(config, name)) {
        let route = keeps_the_only_copy(config, name);
        let Some(route) = route else { continue };
        if fact(status, name, "persistence") == Some("none") {
            warnings.push(format!(
                "{name} keeps nothing on a disk, and route `{route}` has its values nowhere else: they are gone when it \
                 restarts; set appendonly yes (or save points) on the server, or name a record in the route"
            ));
        }
        let policy = fact(status, name, "maxmemory_policy").unwrap_or("noeviction");
        if evicts(status, name) {
            warnings.push(format!(
                "{name} evicts ({policy}), and route `{route}` has its values nowhere else: some go when it is full; set \
                 maxmemory-policy noeviction, or name a record in the route"
            ));
        }
    }
    warnings
}

fn is_redis(config: &Config, name: &str) -> bool {
    config.backends.get(name).and_then(mainstay::config::BackendConfig::engine)
        == Some(Engine::Redis)
}

/// The route whose values are in this backend alone: a failover route that begins with it.
fn keeps_the_only_copy(config: &Config, name: &str) -> Option<String> {
    let first =
        config.routes.iter().find(|route| route.backends.first().is_some_and(|f| f == name));
    if let Some(route) = first {
        return Some(route.prefix.clone());
    }
    // Without a route of one's own and a database, everything is in the first that there is.
    let has_rest = config.routes.iter().any(|route| route.prefix.is_empty());
    let alone = config.backends.keys().all(|other| is_redis(config, other));
    (!has_rest && alone && config.backends.keys().next().is_some_and(|first| first == name))
        .then(|| "*".to_owned())
}

fn evicts(status: &Status, name: &str) -> bool {
    let policy = fact(status, name, "maxmemory_policy");
    policy.is_some_and(|policy| policy != "noeviction")
        && fact(status, name, "maxmemory").is_some_and(|max| max != "0")
}

fn fact<'a>(status: &'a Status, name: &str, fact: &str) -> Option<&'a str> {
    let backend = status.backends.iter().find(|backend| &*backend.name == name)?;
    value(backend, fact)
}

fn value<'a>(backend: &'a BackendStatus, fact: &str) -> Option<&'a str> {
    backend.facts.iter().find(|(name, _)| *name == fact).map(|(_, value)| value.as_str())
}

/// Its clock is another than this machine's.
fn clock(backend: &BackendStatus) -> Option<String> {
    let ahead: i64 = value(backend, "clock_skew_ms")?.parse().ok()?;
    let far = format_duration(Duration::from_millis(ahead.unsigned_abs()));
    let word = if ahead > 0 { "ahead of" } else { "behind" };
    Some(format!(
        "the clock of {} is {far} {word} this machine's: what expires at a moment does so early or late by that much; run an \
         NTP client (chrony, systemd-timesyncd) on both",
        backend.name
    ))
}

/// The oldest versions that are looked at: the engine's word in its version, the numbers, the name.
const OLDEST: [(&str, &str, (u32, u32), &str); 4] = [
    ("redis", "", (6, 2), "Redis 6.2"),
    ("postgres", "", (13, 0), "PostgreSQL 13"),
    ("mysql", "MariaDB", (10, 5), "MariaDB 10.5"),
    ("mysql", "", (8, 0), "MySQL 8.0"),
];

/// It is older than what Mainstay is tried with.
fn age(config: &Config, backend: &BackendStatus) -> Option<String> {
    let engine = match config.backends.get(&*backend.name)?.engine()? {
        Engine::Redis => "redis",
        Engine::Postgres => "postgres",
        Engine::Mysql => "mysql",
        Engine::Sqlite => return None,
    };
    let version = value(backend, "version")?;
    let named = |row: &&(&str, &str, (u32, u32), &str)| row.0 == engine && version.contains(row.1);
    let (_, _, least, name) = OLDEST.iter().find(named)?;
    let mut numbers = version.split(['.', '-', ' ']).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next()?, numbers.next().unwrap_or(0));
    let said = || {
        format!(
            "{} is version {version}: Mainstay is tried with {name} and newer; upgrade it",
            backend.name
        )
    };
    (found < *least).then(said)
}

#[cfg(test)]
mod tests {
    use mainstay::config::BackendConfig;

    use super::*;

    fn config(backends: &[(&str, &str)], routes: &[(&str, &[&str])]) -> Config {
        let mut config = Config::default();
        for (name, url) in backends {
            config.backends.insert((*name).to_owned(), BackendConfig::at(*url));
        }
        for (prefix, names) in routes {
            let backends = names.iter().map(|name| (*name).to_owned()).collect();
            let prefix = (*prefix).to_owned();
            config.routes.push(RouteConfig { prefix, backends, ..RouteConfig::default() });
        }
        config
    }

    #[test]
    fn who_keeps_the_only_copy_is_known_from_the_routes() {
        let redis = [("redis", "redis://h")];
        let both = [("db", "postgres://h/d"), ("redis", "redis://h")];
        for (backends, routes, expected) in [
            (&redis[..], &[][..], Some("*")),
            (&both, &[], None),
            (&both, &[("s:", &["redis", "db"][..])], Some("s:")),
            (&both, &[("s:", &["db", "redis"][..])], None),
            (&redis, &[("", &["memory"][..])], None),
        ] {
            let config = config(backends, routes);
            assert_eq!(keeps_the_only_copy(&config, "redis").as_deref(), expected);
        }
    }
}

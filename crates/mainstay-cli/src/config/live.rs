//! Which keys of the configuration may change while `serve` runs: one table, a row for each key or group of keys.
//! It must not know how a change is carried out; the storage and the doors refuse what they cannot take over.

use mainstay::config::Engine;

use super::Settings;

/// What a change of a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is in force at once.
    Live,
    /// It waits for a restart, and why.
    Restart(&'static str),
}

/// A row's verdict.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Always(Effect),
    /// It depends on the engine of this backend.
    ByEngine(fn(Option<Engine>) -> Effect),
}

const LIVE: Rule = Rule::Always(Effect::Live);

const fn restart(reason: &'static str) -> Rule {
    Rule::Always(Effect::Restart(reason))
}

const SOCKET: Rule = restart("the socket stays where it was opened");
const STRUCTURE: Rule =
    restart("which routes there are, and who serves them, is fixed while the storage is open");
const FOLDER: Rule = restart("the folder is held open");
const RECORD: Rule = restart("the record keeps what its first process stored, for all processes");
const LOCKS: Rule = restart("leases that stand were granted under it");
const CERTIFICATES: Rule =
    restart("the doors were opened with it; what its files hold is read anew while it runs");
const PASSING: Rule = restart(
    "to which Redis commands are passed, and which, was decided when the socket was opened",
);
const THREADS: Rule = restart("the threads were started with it");
const TRACES: Rule = restart("the sending of traces has begun");

/// The key, `*` for a name of the user's choice, and what a change of it leads to. `.*` at the end stands for every key
/// below that no longer row names.
const RULES: &[(&str, Rule)] = &[
    ("resp.*", LIVE),
    ("resp.listen", SOCKET),
    ("resp.passthrough", PASSING),
    ("resp.passthrough_allow", PASSING),
    ("resp.passthrough_backend", PASSING),
    ("resp.passthrough_connections_max", PASSING),
    ("http.*", LIVE),
    ("http.listen", SOCKET),
    ("users.*", LIVE),
    ("tls.*", CERTIFICATES),
    ("backends.*", restart("backends are opened at the start")),
    ("backends.*.url", restart("the connections go to where they were opened")),
    ("backends.*.connections", restart("the pool was opened with its size")),
    ("backends.*.timeout", Rule::ByEngine(timeout)),
    ("backends.*.connect_timeout", LIVE),
    ("backends.*.inflight_max", LIVE),
    ("backends.*.adaptive_limit", LIVE),
    ("backends.*.queue_wait", LIVE),
    ("backends.*.queue_max", LIVE),
    ("backends.*.ttl_max", LIVE),
    ("backends.*.breaker.*", LIVE),
    ("backends.*.retry.*", LIVE),
    ("backends.*.hedge.*", LIVE),
    ("backends.*.health.*", LIVE),
    ("backends.*.reconnect.*", LIVE),
    ("memory.*", LIVE),
    ("l1.*", LIVE),
    ("limits.*", LIVE),
    ("load.*", LIVE),
    ("consistency.*", RECORD),
    ("consistency.audit", LIVE),
    ("journal.*", LIVE),
    ("journal.dir", FOLDER),
    ("locks.*", LOCKS),
    ("locks.wait_max", LIVE),
    ("observe.*", LIVE),
    ("observe.dir", FOLDER),
    ("route.*", STRUCTURE),
    ("route.*.ttl", LIVE),
    ("route.*.ttl_max.*", LIVE),
    ("route.*.default", LIVE),
    ("route.*.stale_if_error", LIVE),
    ("route.*.l1_ttl", LIVE),
    ("route.*.source.empty_ttl", LIVE),
    ("route.*.source.default", LIVE),
    ("route.*.source.inflight_max", LIVE),
    ("runtime.*", THREADS),
    ("log.*", LIVE),
    ("traces.*", TRACES),
    ("traces.sample", LIVE),
    ("traces.max_per_second", LIVE),
];

/// A command of Redis is timed here alone; a session of a database was told its longest statement.
fn timeout(engine: Option<Engine>) -> Effect {
    match engine {
        Some(Engine::Redis) => Effect::Live,
        Some(Engine::Postgres | Engine::Mysql | Engine::Sqlite) | None => Effect::Restart(
            "the sessions of the database were told it, and the marks of its caches are reckoned with it",
        ),
    }
}

/// What a change of this key leads to in a process that runs with these settings.
pub(crate) fn effect(path: &[String], running: &Settings) -> Effect {
    match rule(path) {
        Some(Rule::Always(effect)) => effect,
        Some(Rule::ByEngine(of)) => {
            let backend = path.get(1).and_then(|name| running.backends.get(name));
            of(backend.and_then(mainstay::config::BackendConfig::engine))
        }
        None => Effect::Restart("it is read at the start"),
    }
}

/// The longest row that takes the key.
fn rule(path: &[String]) -> Option<Rule> {
    let taken = RULES.iter().filter(|(pattern, _)| takes(pattern, path));
    taken.max_by_key(|(pattern, _)| pattern.len()).map(|(_, rule)| *rule)
}

fn takes(pattern: &str, path: &[String]) -> bool {
    let parts: Vec<&str> = pattern.split('.').collect();
    let open = parts.last() == Some(&"*");
    let fits = |(part, key): (&&str, &String)| *part == "*" || part == key;
    (path.len() == parts.len() || (open && path.len() > parts.len()))
        && parts.iter().zip(path).all(fits)
}

/// For the reference: what a change of a key of this table leads to, in a word.
pub(crate) fn word(path: &[String]) -> &'static str {
    match rule(path) {
        Some(Rule::Always(Effect::Live)) => "live",
        Some(Rule::ByEngine(_)) => "live for Redis",
        Some(Rule::Always(Effect::Restart(_))) | None => "restart",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        model::schema,
        shape::{Field, Shape},
    };
    use super::*;

    fn leaves(path: &[String], shape: &Shape, found: &mut Vec<Vec<String>>) {
        let below = |key: &str| [path, &[key.to_owned()]].concat();
        match shape {
            Shape::Table(fields) => fields
                .iter()
                .for_each(|(key, Field { shape, .. })| leaves(&below(key), shape, found)),
            Shape::Map(inner) => leaves(&below("*"), inner, found),
            Shape::List(inner) if matches!(**inner, Shape::Table(_)) => {
                leaves(&below("*"), inner, found);
            }
            _ => found.push(path.to_vec()),
        }
    }

    #[test]
    fn every_key_of_the_reference_is_classified_and_every_row_has_a_key() {
        let mut keys = Vec::new();
        leaves(&[], &Shape::of_document(&schema()), &mut keys);
        assert!(keys.len() > 90, "{}", keys.len());
        for key in &keys {
            assert!(rule(key).is_some(), "{} has no row in live.rs", key.join("."));
        }
        for (pattern, _) in RULES {
            let used = keys.iter().any(|key| takes(pattern, key));
            assert!(used, "{pattern} is the row of no key");
        }
    }

    #[test]
    fn the_longest_row_counts() {
        let effect = |path: &str| {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            let mut settings = Settings::default();
            for (name, url) in [("redis", "redis://h"), ("db", "postgres://h/d")] {
                let backend = mainstay::config::BackendConfig::at(url);
                settings.backends.insert(name.to_owned(), backend);
            }
            super::effect(&path, &settings)
        };
        for live in [
            "log.level",
            "resp.idle_timeout",
            "resp.connections_per_address",
            "resp.buffers_max",
            "resp.request_timeout",
            "resp.send_timeout",
            "resp.subscriber_buffer_max",
            "http.connections_per_address",
            "http.admin_connections",
            "http.bodies_max",
            "http.send_timeout",
            "users.app",
            "users.app.token",
            "backends.db.breaker.failures",
            "backends.redis.timeout",
            "route.user:.ttl_max.redis",
        ] {
            assert_eq!(effect(live), Effect::Live, "{live}");
        }
        for fixed in [
            "resp.listen",
            "resp.passthrough",
            "resp.passthrough_allow",
            "resp.passthrough_backend",
            "resp.passthrough_connections_max",
            "tls.cert_file",
            "backends.db.timeout",
            "backends.new",
            "route.a.prefix",
            "route.a.passthrough",
            "locks.mode",
        ] {
            assert_ne!(effect(fixed), Effect::Live, "{fixed}");
        }
    }
}

//! Which settings stay as they are for as long as a storage is open, and whether two configurations differ in one.
//! It must not change a storage.

use serde_json::Value;

use super::{
    BackendConfig, Config, ConsistencyConfig, Engine, JournalConfig, L1Config, LimitsConfig,
    LoadConfig, LocksConfig, MemoryConfig, ObserveConfig, RouteConfig, SourceConfig,
};

impl Config {
    /// The path of a setting that differs and that an open storage cannot take over: where an engine is, what its sessions
    /// were told, which routes there are, what a folder or the record keeps. `None`: `Storage::reconfigure` can.
    pub fn needs_reopening(&self, new: &Self) -> Option<String> {
        let (old, new) = (self.fixed(), new.fixed());
        if old == new {
            return None;
        }
        let shown = |config: &Self| serde_json::to_value(config).unwrap_or_default();
        // Secrets are shown alike, so a difference that does not show is one of them.
        let secret = || {
            let differs = |name: &&String| {
                old.backends[*name].url != new.backends.get(*name).map_or("", |other| &other.url)
            };
            let name = old.backends.keys().find(differs);
            name.map_or_else(String::new, |name| format!("backends.{name}.url"))
        };
        Some(difference("", &shown(&old), &shown(&new)).unwrap_or_else(secret))
    }

    /// Everything else at its default, and the routes in one order.
    fn fixed(&self) -> Self {
        let mut routes: Vec<RouteConfig> = self.routes.iter().map(fixed_of_route).collect();
        routes.sort_by(|one, other| one.prefix.cmp(&other.prefix));
        let backend = |(name, config): (&String, &BackendConfig)| (name.clone(), config.fixed());
        let locks = LocksConfig::default();
        Self {
            backends: self.backends.iter().map(backend).collect(),
            memory: MemoryConfig::default(),
            l1: L1Config::default(),
            routes,
            limits: LimitsConfig::default(),
            load: LoadConfig::default(),
            consistency: ConsistencyConfig {
                audit: ConsistencyConfig::default().audit,
                ..self.consistency.clone()
            },
            journal: JournalConfig { dir: self.journal.dir.clone(), ..JournalConfig::default() },
            locks: LocksConfig { wait_max: locks.wait_max, ..self.locks.clone() },
            observe: ObserveConfig { dir: self.observe.dir.clone(), ..ObserveConfig::default() },
        }
    }
}

impl BackendConfig {
    /// The sessions of a database were told their longest statement, and a record's marks are reckoned with it.
    fn fixed(&self) -> Self {
        let of_session = self.engine() != Some(Engine::Redis);
        Self {
            // Also the default of it, which follows `inflight_max`: the pool does not.
            connections: Some(self.connections()),
            timeout: of_session.then(|| self.timeout()),
            ..Self::at(self.url.clone())
        }
    }
}

fn fixed_of_route(route: &RouteConfig) -> RouteConfig {
    RouteConfig {
        ttl: None,
        ttl_max: std::collections::BTreeMap::new(),
        default: None,
        stale_if_error: None,
        l1_ttl: None,
        source: route.source.as_ref().map(|source| SourceConfig {
            empty_ttl: std::time::Duration::ZERO,
            default: None,
            inflight_max: None,
            ..source.clone()
        }),
        ..route.clone()
    }
}

/// The path of the first value that differs.
fn difference(path: &str, old: &Value, new: &Value) -> Option<String> {
    let at = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let missing = |key: &&String| !old.contains_key(*key);
            let keys = old.keys().chain(new.keys().filter(missing));
            keys.into_iter().find_map(|key| {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned();
                difference(&at(key), &of(old).unwrap_or_default(), &of(new).unwrap_or_default())
            })
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            let pairs = old.iter().zip(new).enumerate();
            pairs.into_iter().find_map(|(i, (o, n))| difference(&format!("{path}[{i}]"), o, n))
        }
        _ => (old != new).then(|| path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config() -> Config {
        let mut config = Config::default();
        for (name, url) in [("redis", "redis://:secret@h"), ("db", "postgres://h/d")] {
            config.backends.insert(name.to_owned(), BackendConfig::at(url));
        }
        for prefix in ["a:", "b:"] {
            let record = Some("db".to_owned());
            let prefix = prefix.to_owned();
            config.routes.push(RouteConfig { prefix, record, ..RouteConfig::default() });
        }
        config
    }

    fn differs(change: impl FnOnce(&mut Config)) -> Option<String> {
        let mut new = config();
        change(&mut new);
        config().needs_reopening(&new)
    }

    fn backend<'a>(config: &'a mut Config, name: &str) -> &'a mut BackendConfig {
        config.backends.get_mut(name).unwrap()
    }

    #[test]
    fn what_an_open_storage_cannot_take_over_is_named() {
        let second = Duration::from_secs(1);
        for (found, expected) in [
            (
                differs(|c| backend(c, "redis").url = "redis://:other@h".into()),
                "backends.redis.url",
            ),
            (differs(|c| backend(c, "db").timeout = Some(second)), "backends.db.timeout"),
            (differs(|c| backend(c, "db").connections = Some(3)), "backends.db.connections"),
            (differs(|c| backend(c, "db").inflight_max = Some(3)), "backends.db.connections"),
            (differs(|c| drop(c.backends.remove("redis"))), "backends.redis"),
            (differs(|c| c.routes[0].prefix = "c:".into()), "route[0].prefix"),
            (differs(|c| drop(c.routes.pop())), "route"),
            (differs(|c| c.journal.dir = "/x".into()), "journal.dir"),
            (differs(|c| c.consistency.lease = second), "consistency.lease"),
            (differs(|c| c.locks.ttl_max = second), "locks.ttl_max"),
        ] {
            assert_eq!(found.as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_rest_can_be_taken_over() {
        let second = Duration::from_secs(1);
        let found = differs(|c| {
            backend(c, "redis").timeout = Some(second);
            backend(c, "redis").inflight_max = Some(3);
            // More places than the pool has by default, and what it has said outright.
            backend(c, "db").inflight_max = Some(99);
            backend(c, "db").connections = Some(25);
            backend(c, "db").breaker.failures = 9;
            c.routes.reverse();
            c.routes[0].ttl = Some(second);
            c.limits.deadline = second;
            c.memory.max = 1 << 20;
            c.locks.wait_max = second;
        });
        assert_eq!(found, None);
    }
}

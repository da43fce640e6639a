//! One engine: where it is, its timeouts, its limits.
//! It must not know routes.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    BreakerConfig, HealthConfig, HedgeConfig, ReconnectConfig, RetryConfig, invalid, text,
};
use crate::error::Result;

/// Which adapter an URL asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// `redis:`, `rediss:`, `valkey:`, `valkeys:`, `redis+unix:`, `unix:`, `redis-sentinel:`, `rediss-sentinel:`,
    /// `redis-cluster:`, `rediss-cluster:`.
    Redis,
    /// `postgres:`, `postgresql:`.
    Postgres,
    /// `mysql:`, `mariadb:`.
    Mysql,
    /// `sqlite:`.
    Sqlite,
}

/// One configured engine.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct BackendConfig {
    /// Where it is; the scheme names the engine. May hold a password, so it is never printed.
    #[serde(serialize_with = "text::redacted_url")]
    pub url: String,
    /// Time to build one connection, name resolution and handshake included. Default 1 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub connect_timeout: Duration,
    /// Time for one attempt of one operation. Default: Redis 500 ms, SQL 2 s.
    #[serde(with = "text::optional_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<text::DurationText>"))]
    pub timeout: Option<Duration>,
    /// Operations in flight at most; the bulkhead. Default: Redis 4096, SQLite 1024 (it commits in groups), other SQL 25.
    pub inflight_max: Option<usize>,
    /// Whether the limit on calls in flight follows the backend's latency: it shrinks, down to 2, when calls become late, and
    /// grows up to `inflight_max` while they are quick. Default false.
    pub adaptive_limit: bool,
    /// How long an operation may wait for a place in the bulkhead. Default 1 s: a hiccup of a
    /// database is not passed on as errors while its queue is short.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "text::DurationText"))]
    pub queue_wait: Duration,
    /// How many operations may wait at once. Default 1024.
    pub queue_max: usize,
    /// Connections of the pool (SQL) or shards (Redis). Default: SQL `inflight_max`, Redis 1.
    pub connections: Option<usize>,
    /// No record lives longer here. Default: no cap.
    #[serde(with = "text::optional_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<text::DurationText>"))]
    pub ttl_max: Option<Duration>,
    /// The breaker.
    pub breaker: BreakerConfig,
    /// Retries of one operation on this backend.
    pub retry: RetryConfig,
    /// Hedged reads away from this backend.
    pub hedge: HedgeConfig,
    /// Probes.
    pub health: HealthConfig,
    /// Reconnection.
    pub reconnect: ReconnectConfig,
}

impl Default for BackendConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            connect_timeout: Duration::from_secs(1),
            timeout: None,
            inflight_max: None,
            adaptive_limit: false,
            queue_wait: Duration::from_secs(1),
            queue_max: 1024,
            connections: None,
            ttl_max: None,
            breaker: BreakerConfig::default(),
            retry: RetryConfig::default(),
            hedge: HedgeConfig::default(),
            health: HealthConfig::default(),
            reconnect: ReconnectConfig::default(),
        }
    }
}

impl fmt::Debug for BackendConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("BackendConfig");
        shown
            .field("url", &text::redact_url(&self.url))
            .field("connect_timeout", &self.connect_timeout);
        shown
            .field("timeout", &self.timeout())
            .field("inflight_max", &self.inflight_max())
            .field("adaptive_limit", &self.adaptive_limit)
            .finish_non_exhaustive()
    }
}

impl BackendConfig {
    /// The engine at this URL with every default.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// Which adapter the URL asks for.
    pub fn engine(&self) -> Option<Engine> {
        match self.url.split_once(':')?.0 {
            "redis" | "rediss" | "valkey" | "valkeys" | "redis+unix" | "unix"
            | "redis-sentinel" | "rediss-sentinel" | "redis-cluster" | "rediss-cluster" => {
                Some(Engine::Redis)
            }
            "postgres" | "postgresql" => Some(Engine::Postgres),
            "mysql" | "mariadb" => Some(Engine::Mysql),
            "sqlite" => Some(Engine::Sqlite),
            _ => None,
        }
    }

    /// Time for one attempt.
    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(match self.engine() {
            Some(Engine::Redis) => Duration::from_millis(500),
            _ => Duration::from_secs(2),
        })
    }

    /// The breaker's settings, the engine's defaults filled in.
    pub fn breaker(&self) -> BreakerConfig {
        let by_engine = match self.engine() {
            Some(Engine::Postgres | Engine::Mysql | Engine::Sqlite) => Duration::from_secs(1),
            Some(Engine::Redis) | None => BreakerConfig::SLOW_MIN,
        };
        BreakerConfig {
            slow_min: self.breaker.slow_min.or(Some(by_engine)),
            ..self.breaker.clone()
        }
    }

    /// The bulkhead's limit.
    pub fn inflight_max(&self) -> usize {
        self.inflight_max.unwrap_or(match self.engine() {
            Some(Engine::Redis) => 4096,
            Some(Engine::Sqlite) => 1024,
            Some(Engine::Postgres | Engine::Mysql) | None => 25,
        })
    }

    /// Connections of the pool, or shards.
    pub fn connections(&self) -> usize {
        self.connections.unwrap_or_else(|| match self.engine() {
            Some(Engine::Redis) => 1,
            _ => self.inflight_max().min(25),
        })
    }

    pub(super) fn validate(&self, path: &str) -> Result<()> {
        if self.url.is_empty() {
            return Err(invalid(&format!("{path}.url"), "is missing; it says where the engine is"));
        }
        if self.engine().is_none() {
            let schemes = "redis, rediss, valkey, redis+unix, redis-sentinel, redis-cluster, postgres, mysql or sqlite";
            return Err(invalid(
                &format!("{path}.url"),
                &format!("begins with one of {schemes}, as in redis://127.0.0.1:6379"),
            ));
        }
        for (name, value) in
            [("connect_timeout", self.connect_timeout), ("timeout", self.timeout())]
        {
            if value.is_zero() || value > Duration::from_secs(300) {
                return Err(invalid(&format!("{path}.{name}"), "is above 0 and at most 5m"));
            }
        }
        for (name, value) in
            [("inflight_max", self.inflight_max()), ("connections", self.connections())]
        {
            if value == 0 || value > 100_000 {
                return Err(invalid(&format!("{path}.{name}"), "is between 1 and 100000"));
            }
        }
        if self.queue_wait > Duration::from_secs(60) {
            return Err(invalid(&format!("{path}.queue_wait"), "is at most 60s"));
        }
        if self.ttl_max.is_some_and(|ttl| ttl.is_zero()) {
            return Err(invalid(&format!("{path}.ttl_max"), "is above 0; leave it out for no cap"));
        }
        self.breaker.validate(&format!("{path}.breaker"))?;
        self.retry.validate(&format!("{path}.retry"))?;
        self.hedge.validate(&format!("{path}.hedge"))?;
        self.health.validate(&format!("{path}.health"))?;
        self.reconnect.validate(&format!("{path}.reconnect"))
    }
}

/// The memory backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfig {
    /// Bytes of keys, values and their overhead at most; what was used least lately goes first. Default 256 MiB.
    #[serde(with = "text::size")]
    #[cfg_attr(feature = "schema", schemars(with = "text::SizeText"))]
    pub max: u64,
    /// No record lives longer here. Default: no cap.
    #[serde(with = "text::optional_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<text::DurationText>"))]
    pub ttl_max: Option<Duration>,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { max: 256 << 20, ttl_max: None }
    }
}

impl MemoryConfig {
    pub(super) fn validate(&self, path: &str) -> Result<()> {
        if self.max < 1 << 16 {
            return Err(invalid(&format!("{path}.max"), "is at least 64KiB"));
        }
        if self.ttl_max.is_some_and(|ttl| ttl.is_zero()) {
            return Err(invalid(&format!("{path}.ttl_max"), "is above 0; leave it out for no cap"));
        }
        Ok(())
    }
}

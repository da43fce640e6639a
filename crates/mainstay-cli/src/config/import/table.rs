//! The one table from the keys of the formats that are taken over to ours, with the unit each number is in.
//! It must not read a file.

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Becomes {
    /// A part of `backends.redis.url`.
    Url(Part),
    /// A duration in a section, from a number of milliseconds; and the key that must not be shorter, if there is one.
    Millis(Section, &'static str, Option<(&'static str, u64)>),
    /// The same, from a number of seconds.
    Seconds(Section, &'static str, Option<(&'static str, u64)>),
    /// A count.
    Count(Section, &'static str),
    /// A text.
    Text(Section, &'static str),
    /// Nothing has to be said for it: why.
    Nothing(&'static str),
}

/// Where a key stands with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    /// `[backends.redis]`
    Redis,
    /// The `[[route]]` of the prefix.
    Route,
    /// The `[[route]]` of all other keys.
    Rest,
}

/// A part of an URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Host,
    Port,
    User,
    Password,
    Database,
    Tls,
}

use Becomes::{Count, Millis, Nothing, Seconds, Text, Url};
use Section::{Redis, Rest, Route};

/// The longest wait between two attempts must not be shorter than the first: its default, in milliseconds.
const RECONNECT_MAX: Option<(&str, u64)> = Some(("reconnect.max", 3_000));
/// The longest open time must not be shorter than the first: its default.
const OPEN_MAX: Option<(&str, u64)> = Some(("breaker.open_max", 60_000));

/// A key of another format, and what becomes of it.
pub(super) const ROWS: &[(&str, Becomes)] = &[
    ("redis.connection.host", Url(Part::Host)),
    ("redis.connection.port", Url(Part::Port)),
    ("redis.connection.username", Url(Part::User)),
    ("redis.connection.password", Url(Part::Password)),
    ("redis.connection.db", Url(Part::Database)),
    ("redis.connection.tls", Url(Part::Tls)),
    (
        "redis.connection.maxRetries",
        Nothing("a lost connection is tried again for ever, each attempt visible in the events"),
    ),
    ("redis.connection.retryDelay", Millis(Redis, "reconnect.base", RECONNECT_MAX)),
    ("redis.connection.reconnectOnError", Nothing("it always reconnects by itself")),
    (
        "redis.connection.lazyConnect",
        Nothing(
            "it connects in the background at the start, and serves without Redis until it is there",
        ),
    ),
    (
        "redis.connection.keepAlive",
        Nothing(
            "connections are probed every `health.interval` (5s), which finds a dead one sooner",
        ),
    ),
    ("redis.connection.connectTimeout", Millis(Redis, "connect_timeout", None)),
    ("redis.connection.commandTimeout", Millis(Redis, "timeout", None)),
    ("redis.caching.ttl", Seconds(Route, "ttl", None)),
    ("redis.caching.keyPrefix", Text(Route, "prefix")),
    ("redis.caching.defaultExpiry", Seconds(Rest, "ttl", None)),
    ("redis.resilience.stuckRetryThreshold", Count(Redis, "reconnect.stuck_after")),
    ("redis.resilience.autoResetInterval", Millis(Redis, "reconnect.stuck_time", None)),
    ("redis.resilience.connectionTimeout", Millis(Redis, "connect_timeout", None)),
    ("redis.resilience.commandTimeout", Millis(Redis, "timeout", None)),
    ("healthCheckIntervalMs", Millis(Redis, "health.interval", None)),
    ("circuitBreakerThreshold", Count(Redis, "breaker.failures")),
    ("failure_threshold", Count(Redis, "breaker.failures")),
    ("recovery_timeout", Seconds(Redis, "breaker.open", OPEN_MAX)),
];

/// What becomes of this key; `None`: it is not known.
pub(super) fn row(key: &str) -> Option<Becomes> {
    ROWS.iter().find(|(known, _)| *known == key).map(|(_, becomes)| *becomes)
}

/// Whether a table of keys stands under this path.
pub(super) fn is_group(path: &str) -> bool {
    ROWS.iter().any(|(key, _)| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

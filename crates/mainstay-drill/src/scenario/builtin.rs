//! The scenarios that come with the binary.
//! It must not know more of them than their files.

use super::Scenario;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("builtin/", $name, ".toml")))),*];
    };
}

files![
    "redis-outage",
    "redis-hang",
    "redis-slow",
    "redis-reset",
    "redis-flap",
    "redis-auth",
    "redis-restart-empty",
    "redis-old-snapshot",
    "db-outage",
    "db-slow",
    "all-down",
    "container-crash",
    "network-partition",
    "auth-failure",
    "high-load",
    "downtime-45s",
];

/// All of them, in the order in which they are listed.
pub fn builtin() -> Vec<Scenario> {
    // A test reads each: one that does not parse would be missing here.
    FILES.iter().filter_map(|(_, text)| Scenario::parse(text).ok()).collect()
}

/// The one of this name.
pub fn named(name: &str) -> Option<Scenario> {
    let (_, text) = FILES.iter().find(|(each, _)| *each == name)?;
    Scenario::parse(text).ok()
}

//! The SQL engines: one schema, one meaning, three dialects.
//! It must not know routes or guards; what a write means stands in `semantics`.

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod common;
mod json;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod places;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

/// The schema that this version writes; `mainstay_meta` holds the one that a database has.
pub const SCHEMA_VERSION: i64 = 3;

/// How long a tombstone is kept, by the engine's clock: longer than any write or fill may be under way.
pub const TOMBSTONE_KEPT_MS: i64 = 3_600_000;

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
mod stage;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod together;

/// The schema that this version writes; `mainstay_meta` holds the one that a database has.
pub const SCHEMA_VERSION: i64 = 4;

/// How long a tombstone is kept, by the engine's clock: longer than any write or fill may be under way.
pub const TOMBSTONE_KEPT_MS: i64 = 3_600_000;

/// A row of one key that is none of ours: somebody else has written it. It says nothing of the other rows, so that it is
/// no `Corrupt`, which takes the whole database out of use.
fn unreadable(what: &str) -> crate::error::Error {
    let message = format!("the key's row {what}: correct it, or delete it from mainstay_kv");
    crate::error::Error::new(crate::error::ErrorKind::WrongType, message)
}

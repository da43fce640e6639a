//! Which error of SQLite means what to the road.
//! It must not know what was being done; who calls says whether it may have been applied.

use rusqlite::ffi;

use crate::error::{Effect, Error, ErrorKind};

#[cfg(test)]
mod tests;

/// The primary result code stands in the low byte of the extended one.
const PRIMARY: i32 = 0xff;

/// An error of the library's own, in one line, without effect.
pub(super) fn error(error: rusqlite::Error) -> Error {
    let text = error.to_string();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Error::new(kind(&error), line)
}

/// An error of a commit. A lock that was not to be had and a full disk leave nothing behind; after any other one the
/// last frame of the log may have reached the disk.
pub(super) fn commit_error(failure: rusqlite::Error) -> Error {
    let effect = match failure.sqlite_error().map(|failure| failure.extended_code & PRIMARY) {
        Some(ffi::SQLITE_BUSY | ffi::SQLITE_FULL) => Effect::None,
        _ => Effect::Unknown,
    };
    error(failure).with_effect(effect)
}

fn kind(error: &rusqlite::Error) -> ErrorKind {
    use rusqlite::Error as E;
    match error {
        E::SqliteFailure(failure, text) => {
            kind_of_code(failure.extended_code, text.as_deref().unwrap_or_default())
        }
        E::SqlInputError { error, msg, .. } => kind_of_code(error.extended_code, msg),
        // What stands in a column is not what we have put there.
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::Utf8Error(..)
        | E::InvalidColumnType(..) => ErrorKind::Corrupt,
        E::NulError(_) | E::InvalidPath(_) => ErrorKind::Misconfigured,
        // The rest is about statements, all of which are ours.
        _ => ErrorKind::Internal,
    }
}

fn kind_of_code(extended: i32, text: &str) -> ErrorKind {
    if extended == ffi::SQLITE_IOERR_CORRUPTFS {
        return ErrorKind::Corrupt;
    }
    match extended & PRIMARY {
        ffi::SQLITE_BUSY
        | ffi::SQLITE_LOCKED
        | ffi::SQLITE_ABORT
        | ffi::SQLITE_SCHEMA
        | ffi::SQLITE_PROTOCOL => ErrorKind::Conflict,
        ffi::SQLITE_FULL => ErrorKind::StorageFull,
        ffi::SQLITE_IOERR | ffi::SQLITE_NOMEM => ErrorKind::Overloaded,
        ffi::SQLITE_READONLY | ffi::SQLITE_CANTOPEN | ffi::SQLITE_NOLFS => ErrorKind::Misconfigured,
        ffi::SQLITE_PERM | ffi::SQLITE_AUTH => ErrorKind::Forbidden,
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB | ffi::SQLITE_FORMAT => ErrorKind::Corrupt,
        ffi::SQLITE_TOOBIG => ErrorKind::TooLarge,
        ffi::SQLITE_CONSTRAINT => ErrorKind::InvalidArgument,
        ffi::SQLITE_INTERRUPT => ErrorKind::Timeout,
        ffi::SQLITE_ERROR
            if text.starts_with("no such table") || text.starts_with("no such column") =>
        {
            ErrorKind::Misconfigured
        }
        _ => ErrorKind::Internal,
    }
}

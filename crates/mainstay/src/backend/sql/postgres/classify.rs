//! Which error of PostgreSQL means what: SQLSTATE, and where that says too little the text, to kind and effect.
//! It must not know which operation failed, only whether it could have been applied.

use std::error::Error as StdError;

use tokio_postgres::error::{Severity, SqlState};

use super::super::common::{Intent, one_line};
use crate::error::{Effect, Error, ErrorKind};

#[cfg(test)]
mod tests;

/// An error of the driver in the library's terms.
pub(super) fn error_of(error: &tokio_postgres::Error, intent: Intent) -> Error {
    if let Some(db) = error.as_db_error() {
        let code = db.code().code();
        let kind = kind_of(code, db.message());
        let undone = rolled_back(db.code(), db.parsed_severity()) || never_sent(db.message());
        let effect = if undone { Effect::None } else { intent.lost() };
        let message = format!("{} ({code}){}", db.message(), hint_of(code));
        return Error::new(kind, one_line(&message)).with_effect(effect);
    }
    let (kind, effect) = match client_kind(error) {
        ErrorKind::TooLarge => (ErrorKind::TooLarge, Effect::None),
        kind => (kind, intent.lost()),
    };
    Error::new(kind, one_line(&chain(error))).with_effect(effect)
}

/// Whether the connection is still in step after this error: the server answered, and stays.
pub(super) fn in_step(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|db| rolled_back(db.code(), db.parsed_severity()))
}

/// Whether the statement was certainly undone: an error of the statement, not of the session or its server.
fn rolled_back(code: &SqlState, severity: Option<Severity>) -> bool {
    let session = code.code().starts_with("08") || code.code().starts_with("57P");
    *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        && !session
        && !matches!(severity, Some(Severity::Fatal | Severity::Panic))
}

/// Whether a pooler says that it had no server to give the statement to.
fn never_sent(message: &str) -> bool {
    ["server login has been failing", "query_wait_timeout", "no more connections allowed"]
        .iter()
        .any(|words| message.contains(words))
}

/// The kind of a SQLSTATE. Poolers put many meanings into 08P01 and XX000, so the text is read there.
pub(super) fn kind_of(code: &str, message: &str) -> ErrorKind {
    if message.contains("the database system is") {
        return ErrorKind::NotReady;
    }
    if let Some(kind) = by_code(code) {
        return kind;
    }
    match code.get(..2).unwrap_or_default() {
        "08" => pooler_kind(message).unwrap_or(ErrorKind::Disconnected),
        "0A" if message.contains("standby") || message.contains("recovery") => ErrorKind::WrongNode,
        "0A" | "3D" | "3F" | "42" | "F0" => ErrorKind::Misconfigured,
        "22" | "23" | "P0" => ErrorKind::InvalidArgument,
        "25" => ErrorKind::Internal,
        "26" => ErrorKind::Misconfigured,
        "28" => ErrorKind::Forbidden,
        "40" => ErrorKind::Conflict,
        "53" | "58" => ErrorKind::Overloaded,
        "54" => ErrorKind::TooLarge,
        "57" => ErrorKind::Disconnected,
        "XX" => pooler_kind(message).unwrap_or(ErrorKind::NotReady),
        _ => ErrorKind::NotReady,
    }
}

fn by_code(code: &str) -> Option<ErrorKind> {
    Some(match code {
        "57P03" => ErrorKind::NotReady,
        "57P01" | "57P02" | "57P05" | "25P03" | "40003" => ErrorKind::Disconnected,
        "25006" => ErrorKind::WrongNode,
        "55P03" | "57014" => ErrorKind::Overloaded,
        "42501" => ErrorKind::Forbidden,
        "57P04" => ErrorKind::Misconfigured,
        "53100" => ErrorKind::StorageFull,
        "22001" => ErrorKind::TooLarge,
        "XX001" | "XX002" => ErrorKind::Corrupt,
        _ => return None,
    })
}

/// What PgBouncer and Supavisor mean.
fn pooler_kind(message: &str) -> Option<ErrorKind> {
    let text = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["query_wait_timeout", "no more connections allowed", "max clients", "maxclients"]) {
        Some(ErrorKind::Overloaded)
    } else if says(&["no such database", "startup parameter", "prepared statement"]) {
        Some(ErrorKind::Misconfigured)
    } else if says(&["no such user", "tenant or user not found", "password", "authentication"]) {
        Some(ErrorKind::Forbidden)
    } else {
        None
    }
}

fn hint_of(code: &str) -> &'static str {
    match code {
        "3D000" => ": create the database, or correct its name in the URL",
        "42P01" => ": the tables of mainstay are missing; they are created on connecting",
        "26000" | "42P05" => ": a pooler between here and the server mixes sessions up",
        "42501" => {
            ": grant the role what it lacks (CREATE on the schema to create the tables, else SELECT, INSERT, UPDATE, DELETE)"
        }
        _ => "",
    }
}

/// An error that no server sent.
fn client_kind(error: &tokio_postgres::Error) -> ErrorKind {
    if let Some(io) = find::<std::io::Error>(error)
        && io.kind() == std::io::ErrorKind::PermissionDenied
    {
        // `target_session_attrs`: the servers were reached, none of them is the one that is asked for.
        return ErrorKind::WrongNode;
    }
    if let Some(tls) = find_rustls(error) {
        return match tls {
            rustls::Error::InvalidCertificate(_) => ErrorKind::Forbidden,
            _ => ErrorKind::Disconnected,
        };
    }
    if sources(error).any(|source| source.to_string().contains("does not support TLS")) {
        return ErrorKind::Misconfigured;
    }
    // The driver keeps its kinds to itself; the texts are its interface.
    match error.to_string().as_str() {
        "authentication error" => ErrorKind::Forbidden,
        "invalid configuration" | "invalid connection string" => ErrorKind::Misconfigured,
        "error encoding message to server" => ErrorKind::TooLarge,
        text if text.starts_with("error serializing parameter") => ErrorKind::Internal,
        _ => ErrorKind::Disconnected,
    }
}

fn find<E: StdError + 'static>(error: &tokio_postgres::Error) -> Option<&E> {
    sources(error).find_map(|source| source.downcast_ref::<E>())
}

/// rustls's errors come wrapped in an I/O error, which does not name them as its source.
fn find_rustls(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    find::<rustls::Error>(error)
        .or_else(|| find::<std::io::Error>(error)?.get_ref()?.downcast_ref())
}

fn sources(error: &tokio_postgres::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |source| (*source).source())
}

fn chain(error: &tokio_postgres::Error) -> String {
    sources(error).fold(error.to_string(), |text, source| {
        let source = source.to_string();
        if text.contains(&source) { text } else { format!("{text}: {source}") }
    })
}

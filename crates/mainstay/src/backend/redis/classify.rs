//! Which error of a Redis server or of its client means what.
//! It must not know the operation, nor what becomes of the connection.

use redis::{RedisError, ServerError, Value};

use crate::error::{Effect, Error, ErrorKind, Result};

#[cfg(test)]
mod tests;

/// The longest text of a server that is passed on, in characters.
const TEXT_MAX: usize = 256;

/// A reply, or the error that the server answered with: an error reply means that nothing was applied.
pub(super) fn reply(value: Value) -> Result<Value> {
    match value {
        Value::ServerError(error) => Err(server_error(&error)),
        Value::Attribute { data, .. } => reply(*data),
        value => Ok(value),
    }
}

/// An error reply.
pub(super) fn server_error(error: &ServerError) -> Error {
    error_of(&text_of(error))
}

/// The error that stands in the text of an error reply.
pub(super) fn error_of(text: &str) -> Error {
    let line = one_line(text);
    Error::new(kind_of(&line), line)
}

/// The text of an error reply as it came over the wire.
pub(super) fn text_of(error: &ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}

/// Whether a server answers so to a command before it does anything of it.
pub(super) fn is_refused_at_once(error: &ServerError) -> bool {
    use ErrorKind::{Forbidden, Misconfigured, NotReady, Overloaded, StorageFull, WrongNode};
    // The first word is Redis's own; further on it may be what one of several servers said.
    match kind_of_code(error.code()) {
        Some(kind) => matches!(
            kind,
            Forbidden | Misconfigured | NotReady | Overloaded | StorageFull | WrongNode
        ),
        None => error.details().is_some_and(|text| text.starts_with("unknown command")),
    }
}

/// The error of a write to several keys of which some may have been written: each may be tried again where its caller's may.
pub(super) fn in_part(error: &ServerError) -> Error {
    Error::new(ErrorKind::Conflict, one_line(&text_of(error))).with_effect(Effect::Unknown)
}

/// Whether the server does not know the script: it was not executed.
pub(super) fn is_unknown_script(error: &ServerError) -> bool {
    text_of(error).contains("NOSCRIPT")
}

/// An error of the client library: the connection broke, or a transaction was refused.
/// The effect is unknown unless the server refused.
pub(super) fn failure(error: RedisError) -> Error {
    use redis::ErrorKind as Theirs;
    let kind = match error.kind() {
        Theirs::Server(_) | Theirs::Extension => return refusal(error),
        Theirs::AuthenticationFailed => ErrorKind::Forbidden,
        Theirs::InvalidClientConfig => ErrorKind::Misconfigured,
        Theirs::Io if is_certificate(&error) => ErrorKind::Forbidden,
        // A reply that cannot be parsed: the connection is out of step and is given up like a broken one.
        _ => ErrorKind::Disconnected,
    };
    Error::new(kind, one_line(&error.to_string())).with_effect(Effect::Unknown)
}

/// What is said when there is no connection in time, whoever looked at the clock first.
pub(super) const LATE: &str = "no connection before the deadline";

/// An error of the client library while a connection was being made.
pub(super) fn opening(error: RedisError) -> Error {
    let late = error.is_timeout();
    let error = failure(error);
    if late { Error::new(error.kind(), LATE).with_effect(error.effect()) } else { error }
}

/// A reply of a type that the command never gives: the connection is out of step.
pub(super) fn out_of_step(value: &Value) -> Error {
    let type_name = match value {
        Value::Nil => "nil",
        Value::Int(_) => "an integer",
        Value::BulkString(_) | Value::SimpleString(_) | Value::Okay => "a string",
        Value::Array(_) | Value::Set(_) | Value::Map(_) => "an array",
        _ => "something else",
    };
    let message = format!("the connection is out of step: {type_name} is no reply to this command");
    Error::new(ErrorKind::Disconnected, message).with_effect(Effect::Unknown)
}

fn refusal(error: RedisError) -> Error {
    let text = error.to_string();
    // A refused transaction names EXECABORT and, better, the errors of the commands within it.
    let inner = error.into_server_errors();
    match inner.as_deref().and_then(<[_]>::first) {
        Some((_, error)) => server_error(error),
        None => error_of(&text),
    }
}

fn is_certificate(error: &RedisError) -> bool {
    let text = error.to_string();
    text.contains("certificate") || text.contains("UnknownIssuer")
}

/// The kind by the first known code, wherever it stands (`ERR READONLY …` comes out of proxies and old scripts).
fn kind_of(text: &str) -> ErrorKind {
    if let Some(kind) = text.split_ascii_whitespace().find_map(kind_of_code) {
        return kind;
    }
    let phrase = PHRASES.iter().find(|(phrase, _)| text.contains(phrase));
    phrase.map_or(ErrorKind::InvalidArgument, |(_, kind)| *kind)
}

fn kind_of_code(word: &str) -> Option<ErrorKind> {
    Some(match word.trim_start_matches('-') {
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "NOREPLICAS" => ErrorKind::NotReady,
        "READONLY" | "MOVED" | "ASK" => ErrorKind::WrongNode,
        "TRYAGAIN" | "UNBLOCKED" | "NOSCRIPT" => ErrorKind::Conflict,
        "OOM" => ErrorKind::StorageFull,
        "BUSY" | "UNKILLABLE" => ErrorKind::Overloaded,
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => ErrorKind::Forbidden,
        "MISCONF" | "NOPROTO" | "DISABLED" | "CROSSSLOT" => ErrorKind::Misconfigured,
        "WRONGTYPE" => ErrorKind::WrongType,
        "EXECABORT" => ErrorKind::InvalidArgument,
        _ => return None,
    })
}

/// What stands behind a plain `ERR`.
const PHRASES: [(&str, ErrorKind); 17] = [
    ("Protocol error", ErrorKind::Disconnected),
    ("max number of clients", ErrorKind::Overloaded),
    ("Script killed", ErrorKind::Overloaded),
    ("no such key", ErrorKind::NoSuchKey),
    ("value is not an integer", ErrorKind::NotInteger),
    ("not a valid float", ErrorKind::NotFloat),
    ("would overflow", ErrorKind::Overflow),
    ("NaN or Infinity", ErrorKind::Overflow),
    ("string exceeds maximum", ErrorKind::TooLarge),
    ("unknown command", ErrorKind::Unsupported),
    ("Unknown Redis command", ErrorKind::Unsupported),
    ("unknown subcommand", ErrorKind::Unsupported),
    ("Error compiling script", ErrorKind::Internal),
    ("DB index is out of range", ErrorKind::Misconfigured),
    ("SELECT is not allowed", ErrorKind::Misconfigured),
    ("cluster support disabled", ErrorKind::Misconfigured),
    ("without any password configured", ErrorKind::Misconfigured),
];

/// One line without arguments of commands, which may be secret, and of bounded length.
fn one_line(text: &str) -> String {
    let text = text.split(", with args beginning with").next().unwrap_or(text);
    let shown = text.trim_end().chars().take(TEXT_MAX);
    shown.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

//! What an error of the storage, or of the request, reads like on the wire: Redis's words where Redis has them.
//! It must not know the command that failed.

use std::borrow::Cow;

use mainstay::{Effect, Error, ErrorKind};

#[cfg(test)]
mod tests;

/// The longest error line, its class included.
const LINE_MAX: usize = 512;

/// A refusal by the front door itself, as it goes out: class and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure(Cow<'static, str>);

impl Failure {
    /// An option that is unknown, misplaced or doubled.
    pub(super) const SYNTAX: Self = Self::fixed("ERR syntax error");
    /// An argument that is no 64-bit integer.
    pub(super) const NOT_INTEGER: Self = Self::fixed("ERR value is not an integer or out of range");
    /// An argument that is no float.
    pub(super) const NOT_FLOAT: Self = Self::fixed("ERR value is not a valid float");
    /// A database other than 0.
    pub(super) const DATABASE: Self = Self::fixed("ERR DB index is out of range");
    /// Anything before AUTH.
    pub(super) const NOT_AUTHENTICATED: Self = Self::fixed("NOAUTH Authentication required.");
    /// A cursor that this server has not issued, or has forgotten.
    pub(super) const CURSOR: Self = Self::fixed("ERR invalid cursor");

    /// A fixed text.
    pub(super) const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// A text made from the request; capped, one line.
    pub(super) fn new(text: String) -> Self {
        Self(Cow::Owned(one_line(text)))
    }

    /// Too few or too many arguments. A subcommand is named `client|setname`.
    pub(super) fn arity(command: &str) -> Self {
        Self::new(format!("ERR wrong number of arguments for '{command}' command"))
    }

    /// A TTL that is not above 0 or does not fit.
    pub(super) fn expire_time(command: &str) -> Self {
        Self::new(format!("ERR invalid expire time in '{command}' command"))
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(line_of(&error))
    }
}

/// Blanks for line ends, and an end for what does not end.
fn one_line(mut text: String) -> String {
    if text.contains(['\r', '\n']) {
        text = text.replace(['\r', '\n'], " ");
    }
    cut(&mut text, LINE_MAX);
    text
}

/// Cuts the text to this many bytes at most, between two characters.
fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

/// The error as it goes out.
pub(crate) fn line(error: Error) -> String {
    Failure::from(error).text().to_owned()
}

fn line_of(error: &Error) -> String {
    use ErrorKind::*;
    match error.kind() {
        // A row of a database that is none of ours: Redis has no words for it.
        WrongType if error.message().starts_with("the key's row") => {
            format!("WRONGTYPE {}", error.message())
        }
        WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value".to_owned(),
        NotInteger => Failure::NOT_INTEGER.0.into_owned(),
        NotFloat => Failure::NOT_FLOAT.0.into_owned(),
        Overflow if error.message().contains("NaN") => {
            "ERR increment would produce NaN or Infinity".to_owned()
        }
        Overflow => "ERR increment or decrement would overflow".to_owned(),
        NoSuchKey => "ERR no such key".to_owned(),
        Fenced => format!("FENCED {}", plain(error.message())),
        InvalidArgument if error.message().starts_with("CROSSSLOT ") => error.message().to_owned(),
        InvalidArgument | TooLarge | Unsupported => format!("ERR {}", plain(error.message())),
        Internal => format!("ERR internal error: {}", error.message()),
        Disconnected | Timeout | NotReady | WrongNode | Overloaded | StorageFull | Conflict
        | Forbidden | Misconfigured | Corrupt | BreakerOpen | Shed | OutOfUse | Unavailable
        | DeadlineExceeded | LoadFailed | Closed => unavailable(error),
    }
}

/// The text without a class of its own.
fn plain(message: &str) -> &str {
    message.strip_prefix("ERR ").unwrap_or(message)
}

/// `UNAVAILABLE redis breaker open; outcome unknown; retry_after_ms=4200`.
fn unavailable(error: &Error) -> String {
    let mut text = String::from("UNAVAILABLE ");
    match error.causes() {
        [] => text.push_str(&named(error)),
        causes => text.push_str(&causes.iter().map(named).collect::<Vec<_>>().join(", ")),
    }
    // What a program reads stands at the end: it must survive the cap.
    let mut tail = String::new();
    if error.effect() == Effect::Unknown {
        tail.push_str("; outcome unknown");
    }
    if let Some(after) = error.retry_hint() {
        tail.push_str(&format!("; retry_after_ms={}", after.as_millis()));
    }
    cut(&mut text, LINE_MAX - tail.len());
    text + &tail
}

fn named(error: &Error) -> String {
    match (error.backend(), error.kind()) {
        (Some(backend), kind) if kind != ErrorKind::Unavailable => {
            format!("{backend} {}", error.message())
        }
        _ => error.message().to_owned(),
    }
}

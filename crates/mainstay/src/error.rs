//! The one error of the library: what happened (kind), whether a write may have been applied (effect), and where.
//! It must not know any driver's error type: adapters translate into it.

use std::{fmt, sync::Arc, time::Duration};

/// What every operation of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What happened. The road (retry, failover, breaker) reads the kind and the effect, never the text.
/// Exhaustive on purpose: the front doors map each kind in a table without `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// An argument that no backend would take: the text names the fix.
    InvalidArgument,
    /// The key holds something that is not a string (only a shared Redis can hold such a key).
    WrongType,
    /// The value, or the argument, is not a 64-bit integer.
    NotInteger,
    /// The value, or the argument, is not a finite float.
    NotFloat,
    /// The result would not fit: integer overflow, NaN or infinity.
    Overflow,
    /// Key, value or frame over its limit.
    TooLarge,
    /// Rename or copy of a key that does not exist.
    NoSuchKey,
    /// No backend on this route can do this.
    Unsupported,

    /// Refused, reset, end of file, DNS, TLS: the backend cannot be reached.
    Disconnected,
    /// The backend did not answer in time.
    Timeout,
    /// The backend is there but not ready: LOADING, recovery, starting up, no primary.
    NotReady,
    /// A replica or a read-only server answered: READONLY, MOVED, read-only transaction.
    WrongNode,
    /// The backend is out of memory, connections, disk or time.
    Overloaded,
    /// No room for another write, in memory or on disk; reads and deletes go on.
    StorageFull,
    /// Serialization failure, deadlock, busy: nothing was applied, try again.
    Conflict,
    /// Wrong password, no permission: a person must act.
    Forbidden,
    /// Unknown database, missing table, refused persistence: a person must act.
    Misconfigured,
    /// The stored data cannot be read.
    Corrupt,

    /// The breaker refuses calls to this backend.
    BreakerOpen,
    /// The bulkhead is full: the call was shed before it was sent.
    Shed,
    /// An operator has taken the backend out of use, or it is not connected yet.
    OutOfUse,

    /// No backend of the route could serve the operation; `causes` names each and its reason.
    Unavailable,
    /// The caller's deadline passed.
    DeadlineExceeded,
    /// A loader has failed; its own error is the `source()`.
    LoadFailed,
    /// The storage has been closed.
    Closed,
    /// A defect of ours.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order of the declaration.
    pub const ALL: [Self; 26] = {
        use ErrorKind::*;
        [
            InvalidArgument,
            WrongType,
            NotInteger,
            NotFloat,
            Overflow,
            TooLarge,
            NoSuchKey,
            Unsupported,
            Disconnected,
            Timeout,
            NotReady,
            WrongNode,
            Overloaded,
            StorageFull,
            Conflict,
            Forbidden,
            Misconfigured,
            Corrupt,
            BreakerOpen,
            Shed,
            OutOfUse,
            Unavailable,
            DeadlineExceeded,
            LoadFailed,
            Closed,
            Internal,
        ]
    };

    /// Whether the caller, not a backend, has to change something.
    pub fn is_callers(self) -> bool {
        use ErrorKind::*;
        match self {
            InvalidArgument | WrongType | NotInteger | NotFloat | Overflow | TooLarge
            | NoSuchKey | Unsupported => true,
            Disconnected | Timeout | NotReady | WrongNode | Overloaded | StorageFull | Conflict
            | Forbidden | Misconfigured | Corrupt | BreakerOpen | Shed | OutOfUse | Unavailable
            | DeadlineExceeded | LoadFailed | Closed | Internal => false,
        }
    }

    /// The word for metrics, events and JSON.
    pub fn as_str(self) -> &'static str {
        use ErrorKind::*;
        match self {
            InvalidArgument => "invalid_argument",
            WrongType => "wrong_type",
            NotInteger => "not_integer",
            NotFloat => "not_float",
            Overflow => "overflow",
            TooLarge => "too_large",
            NoSuchKey => "no_such_key",
            Unsupported => "unsupported",
            Disconnected => "disconnected",
            Timeout => "timeout",
            NotReady => "not_ready",
            WrongNode => "wrong_node",
            Overloaded => "overloaded",
            StorageFull => "storage_full",
            Conflict => "conflict",
            Forbidden => "forbidden",
            Misconfigured => "misconfigured",
            Corrupt => "corrupt",
            BreakerOpen => "breaker_open",
            Shed => "shed",
            OutOfUse => "out_of_use",
            Unavailable => "unavailable",
            DeadlineExceeded => "deadline_exceeded",
            LoadFailed => "load_failed",
            Closed => "closed",
            Internal => "internal",
        }
    }
}

/// Whether a failed write may have been applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Certainly not applied.
    None,
    /// Sent, and the outcome is not known.
    Unknown,
}

/// An error that is not ours.
type Source = Arc<dyn std::error::Error + Send + Sync>;

/// Kind × effect × where. Cheap to move: one pointer.
#[derive(Clone)]
pub struct Error(Box<Parts>);

#[derive(Clone)]
struct Parts {
    kind: ErrorKind,
    effect: Effect,
    backend: Option<Arc<str>>,
    message: String,
    retry_after: Option<Duration>,
    causes: Vec<Error>,
    reason: Option<&'static str>,
    source: Option<Source>,
}

impl Error {
    /// An error without effect. The message is one line, without secrets.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            effect: Effect::None,
            backend: None,
            message: message.into(),
            retry_after: None,
            causes: Vec::new(),
            reason: None,
            source: None,
        }))
    }

    /// Says whether the write may have been applied.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.0.effect = effect;
        self
    }

    /// Names the backend it came from.
    #[must_use]
    pub fn at(mut self, backend: &Arc<str>) -> Self {
        self.0.backend = Some(Arc::clone(backend));
        self
    }

    /// When it is worth trying again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Names why in one word, for programs.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.0.reason = Some(reason);
        self
    }

    /// The error of a loader behind this one.
    #[must_use]
    pub(crate) fn caused_by(mut self, source: Source) -> Self {
        self.0.source = Some(source);
        self
    }

    /// No backend could serve: one cause per backend.
    pub fn unavailable(causes: Vec<Error>) -> Self {
        let unknown = causes.iter().any(|cause| cause.effect() == Effect::Unknown);
        let retry_after = causes.iter().filter_map(Error::retry_hint).min();
        let reasons: Vec<String> = causes.iter().map(ToString::to_string).collect();
        let message = if reasons.is_empty() {
            "no backend is configured".to_owned()
        } else {
            reasons.join("; ")
        };
        let mut error = Self::new(ErrorKind::Unavailable, message).with_effect(if unknown {
            Effect::Unknown
        } else {
            Effect::None
        });
        error.0.retry_after = retry_after;
        error.0.backend = causes.first().and_then(|cause| cause.0.backend.clone());
        error.0.causes = causes;
        error
    }

    /// What happened.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether a write may have been applied.
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// The backend it came from; for `Unavailable`, the first of the route.
    pub fn backend(&self) -> Option<&Arc<str>> {
        self.0.backend.as_ref()
    }

    /// The text without the backend's name.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// When it is worth trying again, if that is known.
    pub fn retry_hint(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Why in one word, where there is one: `cache_unavailable` or `database_saturated` for a load that was shed.
    pub fn reason(&self) -> Option<&'static str> {
        self.0.reason
    }

    /// For `Unavailable`: the reason of each backend that was asked or refused.
    pub fn causes(&self) -> &[Error] {
        &self.0.causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.backend, self.0.kind) {
            (Some(backend), kind) if kind != ErrorKind::Unavailable => {
                write!(f, "{backend}: {}", self.0.message)
            }
            _ => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}, effect {:?}, {self})", self.0.kind.as_str(), self.0.effect)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

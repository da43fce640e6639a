//! A command of Redis's own, as a client sent it.
//! It must not know what the command means.

use bytes::Bytes;

use super::OpClass;
use crate::entry::Key;

/// One command that goes to one backend unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOp {
    /// The backend's name.
    pub backend: std::sync::Arc<str>,
    /// Name and arguments.
    pub words: Vec<Bytes>,
    /// The keys among them.
    pub keys: Vec<Key>,
    /// Whether the reply has the shape that it has in RESP3.
    pub resp3: bool,
    /// Whether it changes nothing, and may be repeated.
    pub reads: bool,
}

impl RawOp {
    /// How the road may treat it: what may write is performed at most once.
    pub(super) fn class(&self) -> OpClass {
        if self.reads { OpClass::Read } else { OpClass::Strict }
    }
}

/// What Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawValue {
    /// No value.
    Nil,
    /// A number.
    Integer(i64),
    /// A string.
    Bulk(Bytes),
    /// A status such as `OK`.
    Status(Bytes),
    /// An error of the command, in the server's words.
    Error(String),
    /// An array.
    Array(Vec<RawValue>),
    /// A map (RESP3).
    Map(Vec<(RawValue, RawValue)>),
    /// A set (RESP3).
    Set(Vec<RawValue>),
    /// A float as text (RESP3).
    Double(String),
    /// A truth value (RESP3).
    Boolean(bool),
    /// Text with its format (RESP3).
    Verbatim(String, String),
    /// A number of any size (RESP3).
    BigNumber(Bytes),
    /// What came unasked: its kind, and the rest.
    Push(String, Vec<RawValue>),
}

//! What a command answers a script, and what a script answers its caller.
//! It must not know Lua, nor how it is written on the wire.

use bytes::Bytes;

/// One reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Nil,
    Integer(i64),
    Bulk(Bytes),
    /// A status such as `OK`.
    Status(Bytes),
    /// Its first word is the class.
    Error(String),
    Double(f64),
    Array(Vec<Value>),
}

impl Value {
    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Bulk(bytes) | Self::Status(bytes) => bytes.len(),
                Self::Error(text) => text.len(),
                Self::Array(values) => values.iter().map(Self::bytes).sum(),
                Self::Nil | Self::Integer(_) | Self::Double(_) => 0,
            }
    }

    /// An error of Redis's words.
    pub(crate) fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    /// `OK`.
    pub(crate) fn ok() -> Self {
        Self::Status(Bytes::from_static(b"OK"))
    }
}

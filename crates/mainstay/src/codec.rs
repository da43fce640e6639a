//! How values become bytes and bytes values, for `get_or_load_as`.
//! It must not know where the bytes stand.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, ErrorKind, Result};

/// A format.
pub trait Codec {
    /// A value as bytes.
    ///
    /// # Errors
    /// `InvalidArgument` when the format cannot hold it.
    fn encode<T: Serialize>(value: &T) -> Result<Bytes>;

    /// The value again.
    ///
    /// # Errors
    /// `Corrupt` when it is none of this type.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T>;
}

/// JSON: longer, but readable for people and other languages; a type may gain optional fields.
#[derive(Clone, Copy, Debug)]
pub struct Json;

/// Postcard: compact and fast, without names of fields. Bytes do not say of which type they are: a type that changes needs
/// another key.
#[derive(Clone, Copy, Debug)]
pub struct Postcard;

impl Codec for Json {
    fn encode<T: Serialize>(value: &T) -> Result<Bytes> {
        serde_json::to_vec(value).map(Bytes::from).map_err(unfit)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).map_err(corrupt)
    }
}

impl Codec for Postcard {
    fn encode<T: Serialize>(value: &T) -> Result<Bytes> {
        postcard::to_allocvec(value).map(Bytes::from).map_err(unfit)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
        postcard::from_bytes(bytes).map_err(corrupt)
    }
}

fn unfit(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("the value cannot be encoded: {error}"))
}

fn corrupt(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("what is kept is no value of this type: {error}"))
}

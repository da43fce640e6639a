//! A hash as one value: its fields and their values, behind a mark that no string begins with.
//! It must not know commands, nor where values are kept.
//!
//! Every engine keeps strings, so every engine keeps hashes: under the same expiries, limits, copies and conditions.
//! Layout: `MARK`, then of each field, in ascending order, its length and bytes and the length and bytes of its value;
//! lengths are 32 bits, little endian.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{Error, ErrorKind, Result};

/// What every hash begins with.
pub const MARK: &[u8] = b"\0mainstay:hash\x01";

/// The words for an operation on the wrong kind of value.
const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// Whether a value is a hash.
pub fn is_hash(value: &[u8]) -> bool {
    // Told by the first byte, for nearly all.
    value.first() == Some(&0) && value.starts_with(MARK)
}

/// The error for a value that is not of the kind an operation is for.
pub fn wrong_type() -> Error {
    Error::new(ErrorKind::WrongType, WRONG_TYPE)
}

/// Fields and their values, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hash(pub BTreeMap<Bytes, Bytes>);

impl Hash {
    /// Reads a value; the parts share its memory.
    ///
    /// # Errors
    /// `WrongType` for what is not a hash, or is cut short.
    pub fn read(value: &Bytes) -> Result<Self> {
        Fields::of(value)?.collect::<Result<_>>().map(Self)
    }

    /// The value that holds this.
    ///
    /// # Errors
    /// `TooLarge` over so many bytes.
    pub fn to_value(&self, max: usize) -> Result<Bytes> {
        let parts = self.0.iter().map(|(field, value)| field.len() + value.len() + 8);
        let length = MARK.len() + parts.sum::<usize>();
        if length > max {
            let text = format!("a hash of {length} bytes is over the limit of {max} bytes");
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        let mut bytes = BytesMut::with_capacity(length);
        bytes.put_slice(MARK);
        for part in self.0.iter().flat_map(|(field, value)| [field, value]) {
            bytes.put_u32_le(u32::try_from(part.len()).unwrap_or(u32::MAX));
            bytes.put_slice(part);
        }
        Ok(bytes.freeze())
    }
}

/// The fields of a value, one after the other, without a map of them.
#[derive(Clone, Debug)]
pub struct Fields(Bytes);

impl Fields {
    /// Those of a hash.
    ///
    /// # Errors
    /// `WrongType` for what is not one.
    pub fn of(value: &Bytes) -> Result<Self> {
        match is_hash(value) {
            true => Ok(Self(value.slice(MARK.len()..))),
            false => Err(wrong_type()),
        }
    }

    fn part(&mut self) -> Option<Bytes> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        if length > rest.len() {
            return None;
        }
        let part = self.0.slice(4..4 + length);
        self.0 = self.0.slice(4 + length..);
        Some(part)
    }
}

impl Iterator for Fields {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let pair = self.part().and_then(|field| Some((field, self.part()?)));
        if pair.is_none() {
            self.0 = Bytes::new();
        }
        Some(pair.ok_or_else(wrong_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_cut_short_is_refused() {
        let pair = |field: &'static [u8], value: &'static [u8]| {
            (Bytes::from_static(field), Bytes::from_static(value))
        };
        let hash = Hash([pair(b"b", b""), pair(b"", b"x\0y"), pair(b"a", b"1")].into());
        let value = hash.to_value(1000).unwrap();
        assert!(is_hash(&value) && !is_hash(b"\0mainstay") && !is_hash(b""));
        assert_eq!(Hash::read(&value).unwrap(), hash);
        assert_eq!(hash.to_value(value.len() - 1).unwrap_err().kind(), ErrorKind::TooLarge);
        for end in MARK.len() + 1..value.len() {
            // Every cut falls into a part, but for those between two pairs.
            let cut = Hash::read(&value.slice(..end));
            assert!(cut.is_err() || cut.unwrap().0.len() < hash.0.len(), "{end}");
        }
        let text = Bytes::from_static(b"text");
        assert_eq!(Hash::read(&text).unwrap_err().kind(), ErrorKind::WrongType);
        let long = Bytes::from([MARK, &[255, 255, 255, 255, 1]].concat());
        assert!(Hash::read(&long).is_err());
    }
}

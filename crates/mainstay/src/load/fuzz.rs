//! Any bytes as what stands in a cache for loaded values, and as rows of a query for changes.
//! It must not be called but by tests.

use bytes::Bytes;

use super::{changes, envelope::Envelope, prefixes::Prefixes};

/// Takes any bytes.
///
/// # Panics
/// When what was read is not what is written.
pub fn loaded(bytes: &[u8]) {
    let shared = Bytes::copy_from_slice(bytes);
    if let Some(envelope) = Envelope::decode(&shared) {
        assert_eq!(Envelope::decode(&envelope.encode()), Some(envelope));
    }
    if let Some(prefixes) = Prefixes::decode(shared.clone()) {
        assert_eq!(prefixes.encode(), shared);
    }
    changes::fuzz::rows(bytes);
}

//! Records in a file: a marker, a length, a checksum, a payload; and finding the next good one behind bad bytes.
//! It must not know what the payloads mean.

use std::ops::Range;

use super::{
    codec::{self, Payload},
    entry::JournalEntry,
};

/// Begins every record, so that reading can go on behind bytes that cannot be read.
const MARKER: [u8; 4] = [0x9d, b'M', b'j', 0xe7];
/// Marker, length, checksum.
pub(super) const HEAD: usize = 12;
/// The longest payload in bytes; above what the front doors can bring in one operation.
pub(super) const LEN_MAX: usize = 1 << 30;

/// The random number of a journal. It goes into every checksum: a record of another journal, or bytes that look like a
/// record because somebody stored them as a value, are not taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalId(pub(crate) u128);

/// Puts a record at the end of `out`.
pub(super) fn write(id: JournalId, payload: &Payload, out: &mut Vec<u8>) {
    write_with(id, out, |out| payload.encode(out));
}

/// Puts an entry's record at the end of `out`.
pub(super) fn write_entry(id: JournalId, entry: &JournalEntry, out: &mut Vec<u8>) {
    write_with(id, out, |out| codec::encode_entry(entry, out));
}

fn write_with(id: JournalId, out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(MARKER);
    out.extend([0; 8]);
    encode(out);
    let length = u32::try_from(out.len() - start - HEAD).unwrap_or(u32::MAX).to_le_bytes();
    let sum = checksum(id, length, &out[start + HEAD..]).to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&length);
    out[start + 8..start + HEAD].copy_from_slice(&sum);
}

fn checksum(id: JournalId, length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.0.to_le_bytes());
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

/// A record at the start of these bytes, and its length with the head.
fn read(id: JournalId, bytes: &[u8]) -> Option<(Payload, usize)> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    if head[..4] != MARKER {
        return None;
    }
    let length: [u8; 4] = head[4..8].try_into().ok()?;
    let payload = rest.get(..usize::try_from(u32::from_le_bytes(length)).ok()?)?;
    if head[8..] != checksum(id, length, payload).to_le_bytes() {
        return None;
    }
    Payload::decode(payload).map(|decoded| (decoded, HEAD + payload.len()))
}

/// What could be read of a file.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Payloads in their order, each with its length in the file.
    pub(super) payloads: Vec<(Payload, usize)>,
    /// Bytes with a record behind them that could not be read.
    pub(super) holes: Vec<Range<usize>>,
    /// Bytes at the end that could not be read.
    pub(super) tail: Option<Range<usize>>,
}

/// Reads records from `start`. With `rising`, what is found behind a hole counts only with a number above the last one.
pub(super) fn scan(id: JournalId, bytes: &[u8], start: usize, rising: bool) -> Scan {
    let mut found = Scan::default();
    let (mut at, mut bad_from) = (start.min(bytes.len()), None);
    let mut last = None;
    while at < bytes.len() {
        let fits = |payload: &Payload| !rising || last.is_none_or(|last| payload.seq() > last);
        match read(id, &bytes[at..]).filter(|(payload, _)| fits(payload)) {
            Some((payload, length)) => {
                found.holes.extend(bad_from.take().map(|from| from..at));
                last = Some(payload.seq());
                found.payloads.push((payload, length));
                at += length;
            }
            None => {
                bad_from.get_or_insert(at);
                at = next_marker(bytes, at + 1);
            }
        }
    }
    found.tail = bad_from.map(|from| from..bytes.len());
    found
}

fn next_marker(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let next = rest.windows(MARKER.len()).position(|window| window == MARKER);
    next.map_or(bytes.len(), |offset| from + offset)
}

/// Whether these bytes have the length of a whole record: then they were damaged, not torn.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
    let length = length.and_then(|length| usize::try_from(length).ok());
    bytes.starts_with(&MARKER) && length.is_some_and(|length| HEAD + length <= bytes.len())
}

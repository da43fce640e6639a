//! Any bytes as a journal's file: whatever can be read can be written again, and is read as the same.
//! It must not be called but by tests.

use super::{
    codec::Payload,
    frame::{self, JournalId},
};

/// Takes any bytes.
///
/// # Panics
/// When what was read is not what is written.
#[expect(clippy::panic, reason = "a panic is a finding")]
pub fn journal(bytes: &[u8]) {
    let id = JournalId(7);
    for (start, rising) in [(0, false), (40, true)] {
        let scan = frame::scan(id, bytes, start, rising);
        let read: usize = scan.payloads.iter().map(|(_, length)| length).sum();
        let lost: usize = scan.holes.iter().chain(&scan.tail).map(ExactSizeIterator::len).sum();
        assert_eq!(read + lost, bytes.len().saturating_sub(start), "each byte is accounted for");
    }
    // A checksum is not found by chance: payloads by themselves, each with its length before it.
    let (mut rest, mut payloads, mut file) = (bytes, Vec::new(), Vec::new());
    while let Some((length, tail)) = rest.split_first() {
        let (part, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        if let Some(payload) = Payload::decode(part) {
            frame::write(id, &payload, &mut file);
            payloads.push(payload);
        }
        rest = tail;
    }
    let scan = frame::scan(id, &file, 0, false);
    let again: Vec<Payload> = scan.payloads.into_iter().map(|(payload, _)| payload).collect();
    if again != payloads || scan.tail.is_some() || !scan.holes.is_empty() {
        panic!("written {payloads:?}, read {again:?}");
    }
}

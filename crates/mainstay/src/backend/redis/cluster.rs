//! Which node serves which key of a cluster, as the nodes said last.
//! It must not know the commands, nor how a node is reached.

use std::sync::atomic::{AtomicU16, Ordering};

use redis::Value;

use super::url::Host;
use crate::error::{Error, ErrorKind, Result};

#[cfg(test)]
mod tests;

/// How many slots there are.
pub(super) const SLOTS: u16 = 16_384;

/// No node is known for the slot.
const NOBODY: u16 = u16::MAX;

/// The slot of a key: CRC16 of what stands in the first non-empty braces, else of the whole key.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inside = &key[open + 1..];
        let close = inside.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &inside[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC16 as XMODEM has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) ^ u16::from(*byte))])
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

/// For each slot the index of its node. Moves of single slots are noted in place.
#[derive(Debug)]
pub(super) struct SlotMap(Box<[AtomicU16]>);

impl SlotMap {
    /// The map of these ranges, and the nodes in the order of their first slots.
    pub(super) fn new(ranges: &[Range]) -> (Self, Vec<Host>) {
        let slots: Box<[AtomicU16]> = (0..SLOTS).map(|_| AtomicU16::new(NOBODY)).collect();
        let map = Self(slots);
        let mut hosts: Vec<Host> = Vec::new();
        let mut sorted: Vec<&Range> = ranges.iter().collect();
        sorted.sort_by_key(|range| range.first);
        for range in sorted {
            let known = hosts.iter().position(|host| *host == range.master);
            let index = known.unwrap_or_else(|| {
                hosts.push(range.master.clone());
                hosts.len() - 1
            });
            for slot in range.first..=range.last.min(SLOTS - 1) {
                map.assign(slot, index);
            }
        }
        (map, hosts)
    }

    /// The index of the node that serves this slot.
    pub(super) fn node_of(&self, slot: u16) -> Option<usize> {
        let index = self.0[usize::from(slot % SLOTS)].load(Ordering::Relaxed);
        (index != NOBODY).then_some(usize::from(index))
    }

    /// The node with this index serves this slot from now on.
    pub(super) fn assign(&self, slot: u16, node: usize) {
        let index = u16::try_from(node).unwrap_or(NOBODY);
        self.0[usize::from(slot % SLOTS)].store(index, Ordering::Relaxed);
    }
}

/// Some slots and their master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    first: u16,
    last: u16,
    master: Host,
}

/// Reads the reply to CLUSTER SLOTS. A node that does not name its host is reached as `asked`.
pub(super) fn ranges(reply: Value, asked: &Host) -> Result<Vec<Range>> {
    let Value::Array(rows) = reply else { return Err(unreadable()) };
    let ranges: Option<Vec<Range>> = rows.into_iter().map(|row| range(row, asked)).collect();
    ranges.ok_or_else(unreadable)
}

fn range(row: Value, asked: &Host) -> Option<Range> {
    let Value::Array(fields) = row else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = fields.as_slice() else {
        return None;
    };
    let [name, Value::Int(port), ..] = master.as_slice() else { return None };
    let name = match name {
        Value::BulkString(name) => String::from_utf8(name.clone()).ok()?,
        Value::SimpleString(name) => name.clone(),
        Value::Nil => String::new(),
        _ => return None,
    };
    let name = if name.is_empty() || name == "?" { asked.name.clone() } else { name };
    Some(Range {
        first: u16::try_from(*first).ok()?,
        last: u16::try_from(*last).ok()?,
        master: Host { name, port: u16::try_from(*port).ok()? },
    })
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Misconfigured, "the reply to CLUSTER SLOTS cannot be read")
}

/// Where a node sends the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    /// Only this time, because the slot is being moved.
    pub(super) ask: bool,
    /// The slot.
    pub(super) slot: u16,
    /// The node.
    pub(super) host: Host,
}

impl Redirect {
    /// Reads a MOVED or ASK; `None` for any other reply. A host that is not named is the one that was asked.
    pub(super) fn of(value: &Value, asked: &Host) -> Option<Self> {
        let Value::ServerError(error) = value else { return None };
        let ask = match error.code() {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let (slot, address) = error.details()?.split_once(' ')?;
        let (name, port) = address.trim().rsplit_once(':')?;
        let name = if name.is_empty() { &asked.name } else { name };
        let host = Host { name: name.to_owned(), port: port.parse().ok()? };
        Some(Self { ask, slot: slot.parse().ok()?, host })
    }
}

//! How a full journal says so.
//! It must not know what it is full of.

use super::JournalLimits;
use crate::{
    config::text::{format_duration, format_size},
    error::{Error, ErrorKind},
};

pub(super) fn by_bytes(limits: &JournalLimits, dead: u64) -> Error {
    let mut message = format!(
        "the journal is full: {} (journal.bytes_max) are taken until the record is back",
        format_size(limits.bytes_max)
    );
    if dead > limits.bytes_max / 2 {
        message.push_str("; most of it by dead letters, which have to be looked at and discarded");
    }
    Error::new(ErrorKind::Overloaded, message)
}

pub(super) fn by_age(limits: &JournalLimits) -> Error {
    let message = format!(
        "the journal is full: its oldest write waits for the record for longer than {} (journal.age_max)",
        format_duration(limits.age_max)
    );
    Error::new(ErrorKind::Overloaded, message)
}

//! What the networked SQL adapters share: checks before anything is sent, prefix ranges, pages, slots, errors.
//! It must not know any dialect or driver.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::SCHEMA_VERSION;
use crate::{
    backend::ProbeReport,
    backend::semantics::{Change, Slot, Stored, expiry_after},
    entry::{Key, Version},
    error::{Effect, Error, ErrorKind, Result},
    op::TtlChange,
    reply::{Page, Reply, Written},
};

#[cfg(test)]
mod tests;

/// A time past which no server's clock will go while this runs: what does not overflow here, does not overflow there.
const FAR_NOW_MS: i64 = 1 << 43;

/// Rows of one statement that removes or scans, at most.
pub(super) const BATCH_MAX: usize = 1000;

/// What a call was about to do; it decides the effect of an error that says nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// Nothing is changed, or nothing that was sent so far can be committed.
    Read,
    /// A statement that commits by itself, or a commit.
    Write,
}

impl Intent {
    /// The effect of an answer that never came.
    pub(super) fn lost(self) -> Effect {
        match self {
            Intent::Read => Effect::None,
            Intent::Write => Effect::Unknown,
        }
    }
}

/// The expiry of an unconditional write, as two arguments of which at most one is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Expiry {
    /// Milliseconds from the server's now.
    pub(super) after: Option<i64>,
    /// Unix milliseconds by the server's clock.
    pub(super) at: Option<i64>,
}

impl Expiry {
    /// The arguments of a change; `None` when it depends on what is stored.
    ///
    /// # Errors
    /// `InvalidArgument` as in `expiry_after`.
    pub(super) fn of(change: TtlChange) -> Result<Option<Self>> {
        match change {
            TtlChange::Keep => Ok(None),
            TtlChange::Clear => Ok(Some(Self::default())),
            TtlChange::At(at) => Ok(Some(Self { after: None, at: Some(at) })),
            TtlChange::For(_) => {
                let far = expiry_after(change, None, FAR_NOW_MS)?;
                Ok(Some(Self { after: far.map(|at| at - FAR_NOW_MS), at: None }))
            }
        }
    }
}

/// Refuses a value over the limit, in the words of `semantics`.
pub(super) fn check_size(length: usize, max: usize) -> Result<()> {
    if length > max {
        let message = format!(
            "a value of {length} bytes is over the limit of {max} bytes (limits.value_max)"
        );
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(())
}

/// Distinct keys in ascending order, each with the last of its values.
pub(super) fn last_of_each(entries: &[(Key, Bytes)]) -> BTreeMap<&Key, &Bytes> {
    entries.iter().map(|(key, value)| (key, value)).collect()
}

/// The first key after all that begin with this prefix; `None` when there is no such key.
pub(super) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=kept].to_vec();
    end[kept] += 1;
    Some(end)
}

/// A page of at most `limit` keys in ascending order; the cursor is the last key.
pub(super) fn page(keys: Vec<Key>, limit: usize) -> Reply {
    let next = if keys.len() < limit { None } else { keys.last().map(|key| key.bytes().clone()) };
    Reply::Page(Page { keys, next })
}

/// Milliseconds of a server as a time to live.
pub(super) fn left(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// The outcome of an unconditional write to one key.
pub(super) fn written(version: Option<Version>) -> Reply {
    Reply::Written(Written { applied: version.is_some(), version, ..Written::default() })
}

/// A row as it stands under its lock, a tombstone or an expired value included.
#[derive(Debug)]
pub(super) struct LockedRow {
    pub(super) key: Key,
    pub(super) version: Version,
    pub(super) value: Option<Bytes>,
    pub(super) expires_at: Option<i64>,
}

impl LockedRow {
    /// The slot of this row at `now`; writes to it are given `epoch`.
    pub(super) fn into_slot(self, epoch: u32, now: i64) -> Slot {
        let live = self.expires_at.is_none_or(|at| at > now);
        let stored = self.value.filter(|_| live).map(|value| Stored {
            value,
            expires_at: self.expires_at,
            version: self.version,
        });
        let next = Version { epoch, counter: self.version.counter.saturating_add(1) };
        Slot { key: self.key, stored, next, change: Change::Keep }
    }
}

/// The version in a row.
///
/// # Errors
/// `WrongType` when the numbers cannot be a version.
pub(super) fn version(epoch: i64, counter: i64) -> Result<Version> {
    match (u32::try_from(epoch), u64::try_from(counter)) {
        (Ok(epoch), Ok(counter)) => Ok(Version { epoch, counter }),
        _ => Err(super::unreadable(&format!("holds the version {epoch}-{counter}, which is none"))),
    }
}

/// A counter as the column holds it.
pub(super) fn column(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}

/// Refuses a schema that a newer version has written. True: the schema is this version's.
pub(super) fn check_schema(found: i64) -> Result<bool> {
    if found > SCHEMA_VERSION {
        let message = format!(
            "the database has schema {found}, this version of mainstay understands {SCHEMA_VERSION}: upgrade mainstay, or use another database"
        );
        return Err(Error::new(ErrorKind::Misconfigured, message));
    }
    Ok(found == SCHEMA_VERSION)
}

/// A probe found no connection, and a new one is not to be had: that is a loss. The reconnection tells why.
pub(super) fn lost(error: &Error) -> Error {
    let message = format!("no connection is left: {}", error.message());
    Error::new(ErrorKind::Disconnected, message)
}

/// Probes once more, over another connection, where the first was cut: an operator or a limit of age may have ended it,
/// which says nothing of the server.
pub(super) async fn again_if_cut<F>(probe: impl Fn() -> F) -> Result<ProbeReport>
where
    F: Future<Output = Result<ProbeReport>>,
{
    match probe().await {
        Err(error) if error.kind() == ErrorKind::Disconnected => {
            Ok(ProbeReport { reconnected: true, ..probe().await? })
        }
        probed => probed,
    }
}

/// The error of a call that `close` has overtaken.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::OutOfUse, "closed")
}

/// The error of every call before `connect` and after `close`.
pub(super) fn not_connected() -> Error {
    Error::new(ErrorKind::OutOfUse, "not connected")
}

/// The error of an answer that did not come in time.
pub(super) fn timed_out(what: &str, effect: Effect) -> Error {
    Error::new(ErrorKind::Timeout, format!("{what} timed out")).with_effect(effect)
}

/// The error of a server that takes no writes: a standby, or one that was set read-only.
pub(super) fn read_only(reason: &str) -> Error {
    Error::new(ErrorKind::WrongNode, format!("the server takes no writes: {reason}"))
}

/// A server's text as one line of bounded length.
pub(super) fn one_line(text: &str) -> String {
    const LEN_MAX: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LEN_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

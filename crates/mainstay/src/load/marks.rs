//! What was invalidated on a shelf that processes share, by prefix and by tag: read, made, and compared with a value.
//! It must not know values beyond what they carry of it.
//!
//! A tag's mark is a number that changes with each invalidation. A mark that cannot be found ends what carries it: so one
//! that was lost or has expired costs a load, never a stale value.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    envelope::Envelope,
    prefixes::Prefixes,
    shelf::{SharedMarks, Shelf},
};
use crate::{
    clock::Deadline,
    entry::Key,
    error::Result,
    exec::Road,
    op::{Condition, Op, TtlChange},
    reply::Reply,
};

/// Longer than any value stands.
const TAG_LIFE: Duration = Duration::from_secs(8 * 86_400);

/// Marks as they were read.
#[derive(Debug, Default)]
pub(super) struct Marks {
    prefixes: Option<Prefixes>,
    tags: Vec<(Bytes, Option<u64>)>,
}

impl Marks {
    /// The route's and those of these tags.
    pub(super) fn new(tags: &[Bytes], stored: impl IntoIterator<Item = Option<Bytes>>) -> Self {
        let mut stored = stored.into_iter();
        let prefixes = stored.next().flatten().and_then(Prefixes::decode);
        let number = |value: Option<Bytes>| Some(u64::from_be_bytes((*value?).try_into().ok()?));
        Self { prefixes, tags: tags.iter().cloned().zip(stored.map(number)).collect() }
    }

    /// Whether a value has ended by any of them; `None`: a tag of it was not asked for.
    pub(super) fn ended(&self, key: &Key, envelope: &Envelope) -> Option<bool> {
        let Some(prefixes) = &self.prefixes else { return Some(true) };
        if prefixes.ended(key.as_bytes(), envelope.since) {
            return Some(true);
        }
        for (tag, carried) in &envelope.tags {
            let (_, mark) = self.tags.iter().find(|(known, _)| known == tag)?;
            if *mark != Some(*carried) {
                return Some(true);
            }
        }
        Some(false)
    }

    /// What a value carries that is loaded now; `None`: a mark is missing.
    pub(super) fn carried(&self) -> Option<(u64, Vec<(Bytes, u64)>)> {
        let tags = self.tags.iter().map(|(tag, mark)| Some((tag.clone(), (*mark)?)));
        Some((self.prefixes.as_ref()?.last(), tags.collect::<Option<_>>()?))
    }
}

/// Reads the marks of a route and of these tags.
///
/// # Errors
/// When they cannot be read: then nothing is known.
pub(super) async fn read(
    shared: &SharedMarks<'_>,
    tags: &[Bytes],
    deadline: Deadline,
) -> Result<Marks> {
    let records = shared.read(&keys(shared, tags), deadline).await?.into_iter();
    Ok(Marks::new(tags, records.map(|record| record.map(|record| record.value))))
}

/// Where the marks of a route and of these tags stand, in the order in which `Marks::new` takes them.
pub(super) fn keys(shared: &SharedMarks<'_>, tags: &[Bytes]) -> Vec<Key> {
    let tags = tags.iter().map(|tag| shared.tag_key(tag));
    std::iter::once(shared.prefixes_key()).chain(tags).collect()
}

/// Reads them before a load, and makes those that are missing.
///
/// # Errors
/// When one can be neither read nor made.
pub(super) async fn ensure(
    road: &Road,
    shared: &SharedMarks<'_>,
    tags: &[Bytes],
    deadline: Deadline,
) -> Result<Marks> {
    let mut marks = read(shared, tags, deadline).await?;
    if marks.prefixes.is_none() {
        let list = Prefixes::new(road.clock.unix_us());
        let op = set(shared.prefixes_key(), list.encode(), TtlChange::Clear, Condition::Absent);
        let made = shared.write(&op, deadline).await?.into_written()?.applied;
        marks.prefixes = made.then_some(list);
    }
    for (tag, mark) in marks.tags.iter_mut().filter(|(_, mark)| mark.is_none()) {
        let number = number(road);
        let op = set_tag(shared.tag_key(tag), number, Condition::Absent);
        *mark = shared.write(&op, deadline).await?.into_written()?.applied.then_some(number);
    }
    // Another has made one meanwhile.
    if marks.carried().is_none() { read(shared, tags, deadline).await } else { Ok(marks) }
}

/// A mark's new number.
fn number(road: &Road) -> u64 {
    let bytes = road.entropy.nonce().to_be_bytes();
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn set(key: Key, value: Bytes, ttl: TtlChange, condition: Condition) -> Op {
    Op::Set { key, value, ttl, condition, want_previous: false }
}

fn set_tag(key: Key, number: u64, condition: Condition) -> Op {
    let value = Bytes::copy_from_slice(&number.to_be_bytes());
    set(key, value, TtlChange::For(TAG_LIFE), condition)
}

/// Ends what carries this tag on one shelf.
pub(super) async fn end_tag(
    road: &Arc<Road>,
    shelf: &Shelf<'_>,
    tag: &Bytes,
    deadline: Deadline,
) -> Result<()> {
    let Some(shared) = shelf.shared_marks() else { return Ok(()) };
    let op = set_tag(shared.tag_key(tag), number(road), Condition::Always);
    shared.write(&op, deadline).await.map(drop)
}

/// How often a list is written anew because another has written it meanwhile.
const ROUNDS_MAX: usize = 16;

/// Ends what begins with this prefix on one route.
pub(super) async fn end_prefix(
    road: &Arc<Road>,
    shelf: &Shelf<'_>,
    prefix: &[u8],
    deadline: Deadline,
) -> Result<()> {
    let Some(shared) = shelf.shared_marks() else { return Ok(()) };
    let key = shared.prefixes_key();
    for round in 0..ROUNDS_MAX {
        let stored = shared.read_truth(&key, deadline).await?.map(|record| record.value);
        let list = stored.clone().and_then(Prefixes::decode);
        let mut list = list.unwrap_or_else(|| Prefixes::new(road.clock.unix_us()));
        list.add(prefix);
        let condition = stored.map_or(Condition::Absent, Condition::ValueIs);
        let op = set(key.clone(), list.encode(), TtlChange::Clear, condition);
        if shared.write(&op, deadline).await.and_then(Reply::into_written)?.applied {
            return Ok(());
        }
        let pause = Duration::from_millis(10 << round.min(5)).mul_f64(road.entropy.unit());
        tokio::time::sleep(pause).await;
    }
    let text = "other prefixes were invalidated again and again meanwhile; try again";
    Err(crate::Error::new(crate::ErrorKind::Conflict, text))
}

//! Writes that were journaled while this record was down: each applied once, unless its keys were written in between.
//! It must not know where the journal is kept.

use std::collections::{HashMap, HashSet};

use tokio_postgres::{Row, types::Type};

use super::{
    super::common::{column as stored, version},
    guarded::unguarded,
    locked::{lock_and_load, names_of, slots_of, store},
    pool::Connections,
    read::column,
    statement::journal as statement,
    transaction::{Answer, Frame, Statement, Transaction},
};
use crate::{
    backend::semantics::{Bounds, Change, Slot, apply as decide, keys_of},
    clock::Deadline,
    entry::{Key, Version},
    error::{Error, ErrorKind, Result},
    op::{Base, Op},
    reply::Applied,
};

/// How often a cache may be degraded between two statements that look at all of them.
const TURNS_MAX: usize = 4;

/// Applies a write. In this order it locks the journal, the degraded caches, the dirty rows and the value rows: dirty
/// rows before value rows, as every write around a cache does.
///
/// # Errors
/// Those of the caller's kinds, of the server and the connection. Only a commit whose answer is lost has
/// `Effect::Unknown`.
pub(super) async fn apply(
    all: &Connections,
    (journal, seq): (u128, u64),
    write: &Op,
    base: Base,
    bounds: Bounds,
    deadline: Deadline,
) -> Result<Applied> {
    let (journal, seq) = (&journal.to_be_bytes()[..], stored(seq));
    let keys = keys_of(write);
    let frame = Frame::plain(all);
    let (transaction, answers) = begin(all, &frame, journal, &keys, deadline).await?;
    let found = match Found::of(&answers, keys.len()) {
        Ok(found) => found,
        Err(error) => {
            transaction.roll_back().await;
            return Err(error);
        }
    };
    if seq <= found.seq {
        transaction.roll_back().await;
        return Ok(Applied::Already);
    }
    if let Some(key) = found.conflict(base) {
        transaction.roll_back().await;
        return Ok(Applied::Conflict(key));
    }
    let Found { mut slots, now, rows, .. } = found;
    match decide(write, &mut slots, now, bounds) {
        Ok(reply) => {
            let notes = Notes::of(&slots, &rows);
            let more = notes.statements(&journal, &seq);
            store(transaction, &frame, &slots, more).await?.ok_or_else(unguarded)?;
            Ok(Applied::Done(Box::new(reply)))
        }
        Err(error) => {
            transaction.roll_back().await;
            Err(error)
        }
    }
}

/// Locks and loads everything at once.
async fn begin(
    all: &Connections,
    frame: &Frame<'_>,
    journal: &[u8],
    keys: &[Key],
    deadline: Deadline,
) -> Result<(Transaction, Vec<Answer>)> {
    let names = names_of(keys);
    let of_journal = |sql| Statement { sql, arguments: vec![(&journal, Type::BYTEA)] };
    let looks = || {
        [
            Statement { sql: statement::HOLD_ALL_DEGRADED, arguments: Vec::new() },
            Statement {
                sql: statement::MAKE_DIRTY_FOR_ALL,
                arguments: vec![(&names, Type::BYTEA_ARRAY)],
            },
        ]
    };
    let own = Statement {
        sql: statement::OWN_VERSIONS,
        arguments: vec![(&journal, Type::BYTEA), (&names, Type::BYTEA_ARRAY)],
    };
    let mut all_at_once = vec![of_journal(statement::NEW_JOURNAL)];
    all_at_once.push(of_journal(statement::LOCK_JOURNAL));
    all_at_once.extend(looks());
    all_at_once.extend(lock_and_load(&names));
    all_at_once.push(own);
    let begun = Transaction::begin(all, frame, &all_at_once, deadline).await?;
    let (mut transaction, answers) = begun.ok_or_else(unguarded)?;
    let mut held = are_held(answers.get(2..4).unwrap_or_default())?;
    for _ in 1..TURNS_MAX {
        if held {
            return Ok((transaction, answers));
        }
        let again;
        (transaction, again) = transaction.send(&looks()).await?;
        held = are_held(&again)?;
    }
    transaction.roll_back().await;
    Err(Error::new(ErrorKind::Conflict, "the control rows changed again and again"))
}

/// Whether each cache that was seen as degraded when the keys were made dirty for the others is held as such.
fn are_held(answers: &[Answer]) -> Result<bool> {
    let [held, seen] = answers else { return Err(no_answer()) };
    let names = |answer: &Answer| {
        answer.rows.iter().map(|row| column(row, 0)).collect::<Result<HashSet<String>>>()
    };
    Ok(names(seen)?.is_subset(&names(held)?))
}

/// What stands in the record, locked.
struct Found {
    /// The last place that was applied.
    seq: i64,
    slots: Vec<Slot>,
    now: i64,
    /// Of each slot its row; `None`: there was none.
    rows: Vec<Option<Written>>,
    /// The versions that the journal's own writes gave.
    own: HashMap<Key, Version>,
}

/// The last write to a key, deletes included.
#[derive(Clone, Copy)]
struct Written {
    version: Version,
    at_ms: i64,
}

impl Found {
    fn of(answers: &[Answer], expected: usize) -> Result<Self> {
        let [_, place, _, _, locked, loaded, own] = answers else { return Err(no_answer()) };
        let seq = place.rows.first().ok_or_else(no_answer).and_then(|row| column(row, 0))?;
        let (slots, now) = slots_of(&loaded.rows, expected)?;
        let made = locked.rows.iter().map(|row| column(row, 0));
        let made = made.collect::<Result<HashSet<&[u8]>>>()?;
        let written = |row: &Row| {
            if made.contains(column::<&[u8]>(row, 0)?) {
                return Ok(None);
            }
            let version = version(column(row, 1)?, column(row, 2)?)?;
            Ok(Some(Written { version, at_ms: column(row, 7)? }))
        };
        let rows = loaded.rows.iter().map(written).collect::<Result<_>>()?;
        let own = own.rows.iter().map(|row| {
            let key = Key::from(column::<&[u8]>(row, 0)?);
            Ok((key, version(column(row, 1)?, column(row, 2)?)?))
        });
        Ok(Self { seq, slots, now, rows, own: own.collect::<Result<_>>()? })
    }

    /// The first key that somebody else wrote since.
    fn conflict(&self, base: Base) -> Option<Key> {
        let foreign = |(slot, row): &(&Slot, &Option<Written>)| {
            let Some(row) = row else { return false };
            let by_itself = self.own.get(&slot.key) == Some(&row.version);
            let seen = base.version == Some(row.version);
            // The column has whole milliseconds: the row was written before the next one.
            let latest_us = row.at_ms.saturating_mul(1000).saturating_add(999);
            let before = base.known_until_us.is_some_and(|until| latest_us <= until);
            !(by_itself || seen || before)
        };
        self.slots.iter().zip(&self.rows).find(foreign).map(|(slot, _)| slot.key.clone())
    }
}

/// What is written beside the values.
#[derive(Default)]
struct Notes<'a> {
    keys: Vec<&'a [u8]>,
    epochs: Vec<i64>,
    counters: Vec<i64>,
    /// Tombstones that only served as locks.
    unused: Vec<&'a [u8]>,
}

impl<'a> Notes<'a> {
    fn of(slots: &'a [Slot], rows: &[Option<Written>]) -> Self {
        let mut notes = Self::default();
        for (slot, row) in slots.iter().zip(rows) {
            let version = match (&slot.change, row) {
                (Change::Keep, None) => {
                    notes.unused.push(slot.key.as_bytes());
                    continue;
                }
                (Change::Keep, Some(row)) => row.version,
                (Change::Put { .. } | Change::Expire { .. } | Change::Remove, _) => slot.next,
            };
            notes.keys.push(slot.key.as_bytes());
            notes.epochs.push(i64::from(version.epoch));
            notes.counters.push(stored(version.counter));
        }
        notes
    }

    fn statements<'b>(&'b self, journal: &'b &'b [u8], seq: &'b i64) -> Vec<Statement<'b>> {
        let mut statements = vec![Statement {
            sql: statement::NOTE_PLACE,
            arguments: vec![(journal, Type::BYTEA), (seq, Type::INT8)],
        }];
        if !self.keys.is_empty() {
            statements.push(Statement {
                sql: statement::NOTE_VERSIONS,
                arguments: vec![
                    (journal, Type::BYTEA),
                    (&self.keys, Type::BYTEA_ARRAY),
                    (&self.epochs, Type::INT8_ARRAY),
                    (&self.counters, Type::INT8_ARRAY),
                ],
            });
        }
        if !self.unused.is_empty() {
            let arguments = vec![(&self.unused as _, Type::BYTEA_ARRAY)];
            statements.push(Statement { sql: statement::UNLOCK, arguments });
        }
        statements
    }
}

fn no_answer() -> Error {
    Error::new(ErrorKind::Internal, "a statement gave another answer than was due")
}

//! Read, decide, change: several keys of one route in one atomic step, whatever the decision is computed by.
//! It must not know what is decided.

use std::{collections::BTreeMap, time::Duration};

use super::{CallOptions, Storage, limits};
use crate::{
    clock::Deadline,
    entry::{Key, Record},
    error::{Error, ErrorKind, Result},
    exec::snapshot,
    guard::backoff::full_jitter,
    op::{Change, Op},
};

/// How often it is begun anew because a key had changed meanwhile.
const ROUNDS_MAX: u32 = 128;

/// The first pause before it is begun anew; each following may be twice as long.
const PAUSE: Duration = Duration::from_millis(1);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// What keys hold where they are written: value and time to live (`None`: it does not expire) of each.
pub type Snapshot = BTreeMap<Key, Option<Record>>;

/// What is to be done, and what the caller gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision<T> {
    /// Each key at most once; of the keys that were read. Nothing: nothing is committed.
    pub changes: Vec<(Key, Change)>,
    /// For the caller, once the changes are made.
    pub output: T,
}

impl Storage {
    /// Reads keys where their writes are committed, lets `work` decide, and makes its changes in one step if every key
    /// still holds what was read; otherwise once more, with what it holds then. Of a key's time to live only its end
    /// is noticed.
    ///
    /// # Errors
    /// Those of `work`; as `execute`; `InvalidArgument` for keys that no single step can change (several routes, or
    /// several slots of a Redis cluster); `Conflict` when others changed the keys again and again. After
    /// `Effect::Unknown` the changes may have been made: they are never repeated blindly.
    pub async fn transact<T, F>(
        &self,
        keys: impl IntoIterator<Item = Key>,
        work: impl FnMut(Snapshot) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<Decision<T>>>,
    {
        self.transact_with(keys, CallOptions::default(), work).await
    }

    /// `transact`, with a deadline or a session.
    ///
    /// # Errors
    /// As `transact`.
    pub async fn transact_with<T, F>(
        &self,
        keys: impl IntoIterator<Item = Key>,
        options: CallOptions,
        mut work: impl FnMut(Snapshot) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<Decision<T>>>,
    {
        let road = &self.0.road;
        let mut keys: Vec<Key> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        let default = || road.clock.deadline_in(self.0.settings.limits.deadline.get());
        let deadline = options.deadline.unwrap_or_else(default);
        let options = CallOptions { deadline: Some(deadline), ..options };
        for round in 0..ROUNDS_MAX {
            let read = self.snapshot(&keys, deadline).await?;
            let expected =
                read.iter().map(|(key, record)| (key.clone(), record.as_ref().map(value)));
            let expected = expected.collect();
            let Decision { changes, output } = work(read).await?;
            if changes.is_empty() {
                return Ok(output);
            }
            within(&keys, &changes)?;
            let op = Op::Transact { expected, changes };
            if self.execute(&op, options.clone()).await?.reply.into_written()?.applied {
                return Ok(output);
            }
            let pause = full_jitter(PAUSE, PAUSE_MAX, round, road.entropy.unit());
            if pause >= deadline.left(road.clock.now()) {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        let text = "others changed these keys again and again while this was decided: try again";
        Err(Error::new(ErrorKind::Conflict, text))
    }

    async fn snapshot(&self, keys: &[Key], deadline: Deadline) -> Result<Snapshot> {
        if keys.is_empty() {
            return Ok(Snapshot::new());
        }
        if self.0.road.tasks.is_closing() {
            return Err(Error::new(ErrorKind::Closed, "the storage is closed"));
        }
        let op = Op::GetMany { keys: keys.to_vec() };
        limits::check(&op, &self.0.settings.limits, &self.0.refused)?;
        let records = snapshot::snapshot(&self.0.road, keys, deadline).await?;
        Ok(keys.iter().cloned().zip(records).collect())
    }
}

fn value(record: &Record) -> bytes::Bytes {
    record.value.clone()
}

/// What was not read cannot be expected to be unchanged.
fn within(keys: &[Key], changes: &[(Key, Change)]) -> Result<()> {
    match changes.iter().all(|(key, _)| keys.binary_search(key).is_ok()) {
        true => Ok(()),
        false => {
            let text = "a transaction changes only keys that it has read";
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
    }
}

//! When a hash is read and written: a question as any value is read, a change in one step on what stands there.
//! It must not know what a command means (`apply`).

use std::future::ready;

use bytes::Bytes;
use mainstay::{CallOptions, Change, Decision, Key, Op, Result, Snapshot, TtlChange, hash::Hash};
use tokio::sync::{Mutex, MutexGuard};

use super::{Answer, Ask, Call, Write, read, write};
use crate::resp::{command::sequence::Caller, error::Failure, pipeline::hash};

/// Places for those who change hashes.
const TURNS: usize = 512;

/// Whose turn it is: who changes a hash here waits for others of this process, so that they need not begin anew because of
/// each other. Two hashes may share a place.
#[derive(Debug)]
pub(in crate::resp) struct Turns(Vec<Mutex<()>>);

impl Default for Turns {
    fn default() -> Self {
        Self(std::iter::repeat_with(Mutex::default).take(TURNS).collect())
    }
}

impl Turns {
    async fn of(&self, key: &Key) -> MutexGuard<'_, ()> {
        let place = usize::try_from(hash(key.as_bytes()) % TURNS as u64).unwrap_or(0);
        self.0[place].lock().await
    }
}

/// Performs one command.
///
/// # Errors
/// Redis's words, and those of the storage.
pub(in crate::resp) async fn run(
    caller: Caller<'_>,
    turns: &Turns,
    call: Call,
) -> std::result::Result<Answer, Failure> {
    let Call { key, ask } = call;
    let options = CallOptions::of(caller.reads);
    match ask {
        Ask::Read(asked) => {
            let answer = caller.storage.execute(&Op::Get { key, with_ttl: false }, options).await?;
            let value = answer.reply.into_record()?.map(|record| record.value);
            read(value.as_ref(), &asked)
        }
        Ask::Write(asked) => change(caller, turns, key, asked, options).await,
    }
}

async fn change(
    caller: Caller<'_>,
    turns: &Turns,
    key: Key,
    asked: Write,
    options: CallOptions,
) -> std::result::Result<Answer, Failure> {
    let storage = caller.storage;
    let deadline = storage.clock().deadline_in(storage.config().limits.deadline);
    let options = CallOptions { deadline: Some(deadline), ..options };
    let turn = tokio::time::timeout_at(deadline.instant(), turns.of(&key)).await;
    let _turn =
        turn.map_err(|_| Failure::fixed("UNAVAILABLE others change this hash: try again"))?;
    let value_max = storage.config().limits.value_max();
    let decide = |read: Snapshot| ready(decided(&key, read, &asked, value_max));
    storage.transact_with([key.clone()], options, decide).await?
}

type Decided = std::result::Result<Answer, Failure>;

/// What becomes of the key. A failure of the command changes nothing, and is no error of the storage.
fn decided(
    key: &Key,
    mut read: Snapshot,
    asked: &Write,
    value_max: usize,
) -> Result<Decision<Decided>> {
    let stored = read.remove(key).flatten().map(|record| record.value);
    Ok(match changed(stored.as_ref(), asked, value_max) {
        Ok((change, answer)) => Decision {
            changes: change.map(|change| (key.clone(), change)).into_iter().collect(),
            output: Ok(answer),
        },
        Err(failure) => Decision { changes: Vec::new(), output: Err(failure) },
    })
}

fn changed(
    stored: Option<&Bytes>,
    asked: &Write,
    value_max: usize,
) -> std::result::Result<(Option<Change>, Answer), Failure> {
    let mut fields = stored.map(Hash::read).transpose()?.unwrap_or_default();
    let answer = write(&mut fields, asked)?;
    let change = if fields.0.is_empty() {
        stored.map(|_| Change::Delete)
    } else {
        let value = fields.to_value(value_max)?;
        let same = stored.is_some_and(|stored| *stored == value);
        // A new key begins without an expiry: its route may have one for it.
        let ttl = if stored.is_some() { TtlChange::Keep } else { TtlChange::Clear };
        (!same).then_some(Change::Put { value, ttl })
    };
    Ok((change, answer))
}

//! Sends what waits: as one statement, or, where that came to nothing, one by one.
//! It must not know what a write means, nor which waiting writes go together.

use std::sync::{Arc, Weak};

use futures_util::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use tokio::time::sleep_until;

use super::{
    Engine, Outcome, Shared, Turn, Waiting, Write,
    form::{self, Limits},
    no_place,
};
use crate::{
    clock::Clock,
    error::{Effect, Error, ErrorKind, Result},
};

/// Rows of one statement at most.
const ROWS_MAX: usize = 128;

/// Bytes of keys and values of one statement at most.
const BYTES_MAX: usize = 1 << 20;

/// Serves until nobody can send any more.
pub(super) async fn drive<E: Engine>(engine: Weak<E>, shared: Arc<Shared>) {
    let (clock, _end) = (shared.clock.clone(), End(Arc::clone(&shared)));
    let mut underway = FuturesUnordered::new();
    // Each statement that is not yet answered holds the engine: at the end there is none.
    while !shared.lock().closed {
        if let Some(engine) = engine.upgrade()
            && let Some((turn, rows)) = next(&*engine, &shared)
        {
            underway.push(send(engine, clock.clone(), rows, turn));
            continue;
        }
        let next_end = shared.lock().next_end();
        tokio::select! {
            biased;
            Some(()) = underway.next(), if !underway.is_empty() => {}
            () = shared.news.notified() => {
                // The writes that came back together come again together: whoever of them is ready comes with the first.
                if shared.lock().crowd {
                    tokio::task::yield_now().await;
                }
            }
            () = sleep_until(next_end.unwrap_or_else(|| clock.now())), if next_end.is_some() => {}
        }
    }
}

/// Nobody waits for what is not driven any more, however that has ended.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        let left = {
            let mut state = self.0.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        let gone = || Err(Error::new(ErrorKind::OutOfUse, "the connections are closed"));
        left.into_iter().for_each(|row| row.answer(gone()));
    }
}

fn next<E: Engine>(engine: &E, shared: &Arc<Shared>) -> Option<(Turn, Vec<Waiting>)> {
    let mut state = shared.lock();
    let now = shared.clock.now();
    if state.waiting.is_empty() || !state.has_turn(engine.underway_max().max(1), now) {
        return None;
    }
    let limits = Limits { rows: ROWS_MAX, bytes: BYTES_MAX.min(engine.bytes_max()) };
    let rows = form::take(&mut state.waiting, limits);
    if rows.is_empty() {
        return None;
    }
    state.crowd = rows.len() > 1;
    Some((Turn(Arc::clone(shared), state.begin(now)), rows))
}

async fn send<E: Engine>(engine: Arc<E>, clock: Clock, rows: Vec<Waiting>, turn: Turn) {
    let left = together(&*engine, &clock, rows).await;
    drop(turn);
    let alone = |row: Waiting| async {
        if let Some(row) = begun(row, &clock) {
            let outcome = engine.alone(&row.write, row.deadline).await;
            row.answer(outcome);
        }
    };
    // As many at once as there are: the pool bounds them, as it does without company.
    stream::iter(left).for_each_concurrent(None, alone).await;
}

/// Sends all as one statement, and answers. What comes back was certainly not applied, and is to be tried alone.
async fn together<E: Engine>(engine: &E, clock: &Clock, rows: Vec<Waiting>) -> Vec<Waiting> {
    // The one who waits longest; the others end their waiting by themselves.
    let Some(deadline) = rows.iter().map(|row| row.deadline).max() else { return rows };
    let lease = match engine.lease(deadline).await {
        Ok(lease) => lease,
        Err(error) => return refuse(rows, &error),
    };
    let (rows, writes): (Vec<Waiting>, Vec<Write>) = rows
        .into_iter()
        .filter_map(|row| begun(row, clock))
        .map(|row| {
            let write = row.write.clone();
            (row, write)
        })
        .unzip();
    if rows.is_empty() {
        engine.give_back(lease);
        return rows;
    }
    match engine.send(lease, &writes, deadline).await {
        Ok(outcomes) => hand_out(rows, outcomes),
        Err(error) if rows.len() > 1 && is_of_one(&error) => {
            rows.into_iter().filter(|row| row.stage.undo()).collect()
        }
        Err(error) => refuse(rows, &error),
    }
}

/// The write, if it may be sent now: the one who waits is there, and its deadline has not passed.
fn begun(row: Waiting, clock: &Clock) -> Option<Waiting> {
    if row.deadline.passed(clock.now()) {
        row.answer(Err(no_place()));
        return None;
    }
    row.begin().then_some(row)
}

fn hand_out(rows: Vec<Waiting>, outcomes: Vec<Result<Outcome>>) -> Vec<Waiting> {
    let mut outcomes = outcomes.into_iter();
    for row in rows {
        row.answer(outcomes.next().unwrap_or_else(|| {
            let error = Error::new(ErrorKind::Internal, "a write was not answered");
            Err(error.with_effect(Effect::Unknown))
        }));
    }
    Vec::new()
}

fn refuse(rows: Vec<Waiting>, error: &Error) -> Vec<Waiting> {
    rows.into_iter().for_each(|row| row.answer(Err(error.clone())));
    Vec::new()
}

/// Whether nothing was applied, and some of the writes may still succeed by themselves: one of them was refused, or one
/// waited for a lock, and the others had to go with it.
fn is_of_one(error: &Error) -> bool {
    use ErrorKind::{
        BreakerOpen, Closed, Conflict, Corrupt, DeadlineExceeded, Disconnected, Fenced, Forbidden,
        Internal, InvalidArgument, LoadFailed, Misconfigured, NoSuchKey, NotFloat, NotInteger,
        NotReady, OutOfUse, Overflow, Overloaded, Shed, StorageFull, Timeout, TooLarge,
        Unavailable, Unsupported, WrongNode, WrongType,
    };
    if error.effect() != Effect::None {
        return false;
    }
    match error.kind() {
        InvalidArgument | TooLarge | Overloaded | StorageFull | Conflict | Corrupt | Internal
        | Unsupported | WrongType | NotInteger | NotFloat | Overflow | NoSuchKey | Fenced
        | Misconfigured | NotReady => true,
        Disconnected | Timeout | WrongNode | Forbidden | BreakerOpen | Shed | OutOfUse
        | Unavailable | DeadlineExceeded | LoadFailed | Closed => false,
    }
}

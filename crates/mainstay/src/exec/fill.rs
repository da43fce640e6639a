//! Putting a copy into a cache: a token before the record is read, the value only while the token still stands. A
//! write in between removes the token, and the old value never arrives.
//! It must not decide whether a copy may be read.

use std::{sync::Arc, time::Duration};

use super::Road;
use crate::{
    cache::copy,
    clock::Deadline,
    entry::{Key, Record},
    guard,
    op::{Condition, Op, TtlChange},
    reply::Reply,
    route::{NodeId, Route},
};

/// How long a token stands: longer than any read of a record takes.
const TOKEN_TTL: Duration = Duration::from_secs(5);

/// A token is not worth a longer wait than this.
const TOKEN_WAIT: Duration = Duration::from_millis(50);

/// Takes the right to fill the copy of this key; `None` when another reader has it, or the cache is slow.
pub(super) async fn take_token(
    road: &Road,
    cache: NodeId,
    key: &Key,
    deadline: Deadline,
) -> Option<u128> {
    let token = road.entropy.nonce();
    let op = Op::Set {
        key: copy::key_of(key),
        value: copy::encode_token(token),
        ttl: TtlChange::For(TOKEN_TTL),
        condition: Condition::Absent,
        want_previous: false,
    };
    let deadline = deadline.within(road.clock.now(), TOKEN_WAIT);
    let reply = guard::call(&road.nodes[cache], &op, deadline).await;
    let granted = reply.and_then(Reply::into_written).is_ok_and(|written| written.applied);
    granted.then_some(token)
}

/// Puts the copy in the background, if the token still stands. `asked_at`: when the record was asked, Unix
/// milliseconds; its time to live counts from then, so that the copy never outlives it. Beyond `FILLS_MAX` at once it is left out.
pub(super) fn spawn(
    road: &Arc<Road>,
    route: &Arc<Route>,
    cache: NodeId,
    key: &Key,
    token: u128,
    record: &Record,
    asked_at: i64,
) {
    let Ok(place) = Arc::clone(&road.fills).try_acquire_owned() else { return };
    let cap = route.ttl_max[cache].unwrap_or(Duration::MAX);
    let life = record.ttl.map_or(cap, |ttl| ttl.min(cap));
    if life.is_zero() {
        return;
    }
    let op = Op::Set {
        key: copy::key_of(key),
        value: copy::encode(record, asked_at),
        ttl: TtlChange::For(life),
        condition: Condition::ValueIs(copy::encode_token(token)),
        want_previous: false,
    };
    let (node, deadline) = (Arc::clone(&road.nodes[cache]), road.clock.deadline_in(TOKEN_TTL));
    road.tasks.spawn_to_end(async move {
        // A fill that fails leaves the token, which expires: the next reader fills.
        drop(guard::call(&node, &op, deadline).await);
        drop(place);
    });
}

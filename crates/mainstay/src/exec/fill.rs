//! Putting copies into a cache: a token before the record is read, the value only while the token still stands. A write
//! in between removes the token, and the old value never arrives.
//! It must not decide whether a copy may be read.

use std::{sync::Arc, time::Duration};

use super::Road;
use crate::{
    clock::Deadline,
    entry::{Key, Record},
    error::Effect,
    guard,
    op::{CopyOp, CopyValue, Op},
    reply::Reply,
    route::Route,
    sync::{domain::Domain, mark::copy_of, view::View},
    trace,
};

/// How long a token stands: longer than any read of a record takes.
const TOKEN_TTL: Duration = Duration::from_secs(5);

/// A token is not worth a longer wait than this.
const TOKEN_WAIT: Duration = Duration::from_millis(50);

/// The right to fill some keys.
#[derive(Debug)]
pub(crate) struct Token {
    view: Arc<View>,
    name: u128,
    /// For each key that was asked for: whether it is granted.
    granted: Vec<bool>,
}

impl Token {
    /// What the cache shows of it.
    pub(crate) fn name(&self) -> u128 {
        self.name
    }

    /// Whether the key at this place may be filled.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.granted.get(index).copied().unwrap_or(false)
    }

    /// Puts one copy where the token still stands.
    pub(crate) fn fill(&self, key: Key, copy: CopyValue) -> Op {
        Op::Copy(CopyOp::Fill { entries: vec![(key, copy)], token: self.name })
    }
}

/// Takes the right to fill the copies of these keys; `None` when the cache is slow. Asked under the view under which the
/// cache said that it holds nothing.
pub(super) async fn take_token(
    road: &Road,
    domain: &Domain,
    view: &Arc<View>,
    keys: &[Key],
    deadline: Deadline,
) -> Option<Token> {
    ask_token(road, domain, view, keys, deadline.within(road.clock.now(), TOKEN_WAIT)).await
}

/// The same, for whoever may wait until the deadline.
pub(super) async fn ask_token(
    road: &Road,
    domain: &Domain,
    view: &Arc<View>,
    keys: &[Key],
    deadline: Deadline,
) -> Option<Token> {
    ask_token_for(road, domain, view, keys, TOKEN_TTL, deadline).await.ok()
}

/// The same for a token that stands for `life`. One that may have been granted without an answer is told as the error, so
/// that it can be given back.
pub(crate) async fn ask_token_for(
    road: &Road,
    domain: &Domain,
    view: &Arc<View>,
    keys: &[Key],
    life: Duration,
    deadline: Deadline,
) -> Result<Token, Option<Token>> {
    let name = road.entropy.nonce();
    let of_cache = keys.iter().map(|key| view.key_of(key)).collect();
    let op = Op::Copy(CopyOp::Token { keys: of_cache, token: name, life });
    let reply = guard::call(&road.nodes[domain.cache], &op, deadline).await;
    let token = |granted| Token { view: Arc::clone(view), name, granted };
    match reply.and_then(Reply::into_flags) {
        Ok(granted) => Ok(token(granted)),
        Err(error) if error.effect() == Effect::None => Err(None),
        Err(_) => Err(Some(token(vec![true; keys.len()]))),
    }
}

/// Puts copies in the background, where the token still stands. Beyond `FILLS_MAX` at once they are left out.
pub(super) fn spawn(
    road: &Arc<Road>,
    route: &Route,
    domain: &Domain,
    token: &Token,
    found: Vec<(Key, Record)>,
) {
    let life_max = route.ttl_max[domain.cache].get().unwrap_or(Duration::MAX);
    let copies = found
        .into_iter()
        .filter_map(|(key, record)| Some((token.view.key_of(&key), copy(record, life_max)?)));
    let entries: Vec<(Key, CopyValue)> = copies.collect();
    if entries.is_empty() {
        return;
    }
    let Ok(place) = Arc::clone(&road.fills).try_acquire_owned() else { return };
    trace::fill(road.nodes[domain.cache].name(), entries.len());
    let op = Op::Copy(CopyOp::Fill { entries, token: token.name });
    let node = Arc::clone(&road.nodes[domain.cache]);
    let deadline = road.clock.deadline_in(TOKEN_TTL);
    road.tasks.spawn_to_end(trace::behind("fill", async move {
        // A fill that fails leaves the token, which expires: the next reader fills.
        drop(guard::call(&node, &op, deadline).await);
        drop(place);
    }));
}

/// The copy of a record that was read after the token was granted: its life counts from the token, which came first.
fn copy(record: Record, life_max: Duration) -> Option<CopyValue> {
    let version = record.version?;
    let copy = copy_of(record.value, version, record.ttl, life_max);
    (!copy.life.is_zero()).then_some(copy)
}

//! Whether somebody listened while this process did not, as processes tell each other over the cache they share.
//! It must not know how changes are learnt.
//!
//! Who begins to listen asks a question that nobody asked before. A listener looks for questions with each sign of life of
//! what it listens to, and answers one with the *next* sign of life: so it still listened after the question was asked.
//! A listener that answered with the sign of life that it has just had could have lost its connection before the question.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;

use super::{super::invalidate, STEP};
use crate::{
    clock::{Deadline, Instant},
    entry::Key,
    error::Result,
    exec::Road,
    guard,
    op::{Condition, Op, TtlChange},
    route::{NodeId, Route},
};

/// How long one who begins waits for an answer, and how long question and answer stand: feeds give a sign of life each
/// second, and the second one after the question answers it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks for an answer.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// One listener to the changes of one route.
pub(super) struct Watch<'a> {
    road: &'a Arc<Road>,
    route: &'a Route,
    /// Where listeners ask and answer; none where each process keeps its own.
    cache: Option<NodeId>,
    /// Under which keys.
    question: Key,
    answer: Key,
    /// Whether a change was learnt that could not be passed on: that others listen does not make up for it.
    owes: AtomicBool,
    vouching: Mutex<Vouching>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(road: &'a Arc<Road>, route: &'a Route) -> Self {
        let named = |name: &[u8]| Key::new([Key::RESERVED, name, &*route.prefix].concat());
        Self {
            road,
            route,
            cache: road.domain(route).map(|domain| domain.cache),
            question: named(b"listens:"),
            answer: named(b"listened:"),
            owes: AtomicBool::new(false),
            vouching: Mutex::default(),
        }
    }

    /// This process listens from now on. Unless another one did before and still does, nobody knows what was changed.
    pub(super) async fn begin(&self) -> Result<()> {
        *self.vouching() = Vouching::default();
        if !self.owes.load(Relaxed) && self.others_listen().await {
            return Ok(());
        }
        self.all_changed().await
    }

    /// Whether somebody answers. Of two who begin at once one may go without, which costs loads and harms nothing.
    async fn others_listen(&self) -> bool {
        let Some(node) = self.cache else { return false };
        let asked = Bytes::from(self.road.entropy.nonce().to_be_bytes().to_vec());
        if self.put(node, &self.question, asked.clone()).await.is_err() {
            return false;
        }
        let until: Instant = self.road.clock.now() + PATIENCE;
        while self.road.clock.now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            if matches!(self.read(node, &self.answer).await, Ok(Some(answer)) if answer == asked) {
                return true;
            }
        }
        false
    }

    /// What this process listens to is there, and has told all until now. Not said to who asks: he takes it for a gap.
    pub(super) async fn sign_of_life(&self) {
        let Some(node) = self.cache else { return };
        let due = self.vouching().due();
        let answered = match due {
            Some(due) => self.put(node, &self.answer, due).await.is_ok(),
            None => true,
        };
        let asked = self.read(node, &self.question).await.ok().flatten();
        self.vouching().asked(asked, answered);
    }

    /// The row of this key was changed; `rest` is what stands after the prefix.
    pub(super) async fn changed(&self, rest: &[u8]) -> Result<()> {
        let key = Key::new([&*self.route.prefix, rest].concat());
        let told = invalidate::key(self.road, &key, self.soon()).await;
        self.owes.fetch_or(told.is_err(), Relaxed);
        told
    }

    pub(super) async fn all_changed(&self) -> Result<()> {
        let told = invalidate::prefix(self.road, &self.route.prefix, self.soon()).await;
        self.owes.store(told.is_err(), Relaxed);
        told
    }

    async fn put(&self, node: NodeId, key: &Key, value: Bytes) -> Result<()> {
        let set = Op::Set {
            key: key.clone(),
            value,
            ttl: TtlChange::For(PATIENCE),
            condition: Condition::Always,
            want_previous: false,
        };
        guard::call(&self.road.nodes[node], &set, self.soon()).await.map(drop)
    }

    async fn read(&self, node: NodeId, key: &Key) -> Result<Option<Bytes>> {
        let read = Op::Get { key: key.clone(), with_ttl: false };
        let reply = guard::call(&self.road.nodes[node], &read, self.soon()).await?;
        Ok(reply.into_record()?.map(|record| record.value))
    }

    fn vouching(&self) -> std::sync::MutexGuard<'_, Vouching> {
        self.vouching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn soon(&self) -> Deadline {
        self.road.clock.deadline_in(STEP)
    }
}

/// Which question a listener may answer.
#[derive(Debug, Default)]
struct Vouching {
    /// The question that stood at the last sign of life.
    seen: Option<Bytes>,
    /// The last one answered.
    answered: Option<Bytes>,
}

impl Vouching {
    /// What is to be answered with a sign of life: what stood already at the one before.
    fn due(&self) -> Option<Bytes> {
        self.seen.clone().filter(|seen| self.answered.as_ref() != Some(seen))
    }

    /// What stands now; `answered`: that what was due was said.
    fn asked(&mut self, question: Option<Bytes>, answered: bool) {
        if answered && let Some(due) = self.due() {
            self.answered = Some(due);
        }
        self.seen = question;
    }
}

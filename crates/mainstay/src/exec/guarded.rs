//! One write of a record route with a cache before the record: mark, commit, publish; or around the cache.
//! It must not know how copies are marked (`sync::mark`), nor put values into caches by itself.

use std::{sync::Arc, time::Duration};

use super::{Road, write::send};
use crate::{
    backend::semantics::keys_of,
    clock::Deadline,
    config::Consistency,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    op::{Op, OpClass, RecordOp, Under},
    reply::{Committed, Reply},
    route::Route,
    sync::{
        domain::Domain,
        mark::{self, Mark},
    },
};

/// How often a write is begun anew because the control row had moved or its time was up.
const ROUNDS_MAX: usize = 8;

/// A strict write that waits under dirty rows holds them open this much longer than it has to wait.
const OPEN_SLACK: Duration = Duration::from_secs(5);

/// Longer than any key stays dirty: a write that has to be known for so long is never performed.
const NEVER: Duration = Duration::from_secs(86_400);

/// One write.
struct Guarded<'a> {
    road: &'a Arc<Road>,
    route: &'a Route,
    domain: &'a Arc<Domain>,
    op: &'a Op,
    keys: Vec<Key>,
    deadline: Deadline,
}

/// Commits under a mark, or, where none can be placed, around the cache.
///
/// # Errors
/// The record's own; `Conflict` and `DeadlineExceeded` without effect when the cache was never in a state to write under.
pub(super) async fn commit(
    road: &Arc<Road>,
    route: &Route,
    domain: &Arc<Domain>,
    op: &Op,
    deadline: Deadline,
) -> Result<Reply> {
    let record = &road.nodes[domain.record];
    if !record.view(road.clock.now()).is_available() {
        // Nothing can be committed: no copy has to be hidden for it.
        return Err(record.refusal(road.clock.now()));
    }
    let keys = keys_of(op);
    Guarded { road, route, domain, op, keys, deadline }.commit().await
}

impl Guarded<'_> {
    async fn commit(&self) -> Result<Reply> {
        let Self { road, domain, .. } = *self;
        if self.is_strict() && domain.view().is_none() {
            // How long a write around the cache has to wait is not known yet, and may be far less than the longest.
            domain.look_again(self.deadline).await;
        }
        let mut around = false;
        for _ in 0..ROUNDS_MAX {
            let mark = match around {
                true => None,
                false => Mark::place(road, domain, &self.keys, self.deadline).await,
            };
            around |= mark.is_none();
            let under = mark.as_ref().map_or_else(|| self.beside(), Mark::under);
            match self.send(self.op, under, self.deadline).await {
                Ok(Committed::Done(reply)) => {
                    self.settle(mark, &reply).await?;
                    return Ok(*reply);
                }
                Ok(Committed::Overtaken) => {
                    if let Some(mark) = mark {
                        mark.take_back(road, domain);
                    }
                    domain.look_again(self.deadline).await;
                }
                Ok(Committed::Wait(left)) => self.wait(left).await?,
                Err(error) => {
                    if let Some(mark) = mark.filter(|_| error.effect() == Effect::None) {
                        mark.take_back(road, domain);
                    }
                    return Err(error);
                }
            }
        }
        let text = "the cache was degraded and readmitted again and again while this was written";
        Err(Error::new(ErrorKind::Conflict, text).at(road.nodes[domain.record].name()))
    }

    fn is_strict(&self) -> bool {
        self.route.consistency == Consistency::Strict
    }

    /// What protects a write around the cache.
    fn beside(&self) -> Under {
        let now = self.road.clock.now();
        self.domain.note_around(&self.keys, now);
        let known_for = self.is_strict().then(|| self.domain.known_for());
        // Rows that nobody waits for any more must not keep their keys from being drained.
        let open_for = known_for.unwrap_or_default().min(self.deadline.left(now)) + OPEN_SLACK;
        Under::Around { known_for, open_for }
    }

    /// A strict write around the cache waits until every lease that does not know it has ended.
    async fn wait(&self, left: Duration) -> Result<()> {
        let [cache, record] =
            [self.domain.cache, self.domain.record].map(|id| self.road.nodes[id].name());
        if self.deadline.left(self.road.clock.now()) <= left {
            let text = format!(
                "`{cache}` cannot be reached, and a strict write around it waits {} ms: give it a longer deadline",
                left.as_millis()
            );
            let error = Error::new(ErrorKind::DeadlineExceeded, text);
            return Err(error.at(record).retry_after(left));
        }
        tokio::time::sleep(left).await;
        Ok(())
    }

    /// After the commit: the copies follow, before the acknowledgement where marks can be evicted.
    async fn settle(&self, mark: Option<Mark>, reply: &Reply) -> Result<()> {
        let Self { road, domain, .. } = *self;
        let Some(mark) = mark else {
            domain.renote_around(&self.keys, road.clock.now());
            domain.want_drain();
            return Ok(());
        };
        if !changes(self.op, reply) {
            mark.take_back(road, domain);
            return Ok(());
        }
        let life_max = self.route.ttl_max[domain.cache].get().unwrap_or(Duration::MAX);
        let copy = mark::offer(self.op, reply, life_max);
        if !domain.evicts() {
            mark.publish(road, domain, copy);
            return Ok(());
        }
        if mark.publish_now(road, domain, copy).await {
            return Ok(());
        }
        // Committed, but not safe to acknowledge: the caller cannot know, and is told so.
        self.make_dirty().await.map_err(|error| error.with_effect(Effect::Unknown))
    }

    /// A mark may have been evicted, and the cache does not say: the keys are made dirty before the acknowledgement. A
    /// strict write also waits until every lease that does not know it has ended, as one around the cache does.
    async fn make_dirty(&self) -> Result<()> {
        let Self { road, domain, .. } = *self;
        domain.note_around(&self.keys, road.clock.now());
        for key in &self.keys {
            // Makes the row and commits it, and never comes to the write, which would change nothing either.
            let write = Op::SetRange { key: key.clone(), offset: 0, value: bytes::Bytes::new() };
            let under = Under::Around { known_for: Some(NEVER), open_for: Duration::ZERO };
            let step = road.clock.deadline_in(road.nodes[domain.record].timeout());
            self.send(&write, under, step).await?;
        }
        domain.renote_around(&self.keys, road.clock.now());
        domain.want_drain();
        if self.is_strict() { self.wait(domain.known_for()).await } else { Ok(()) }
    }

    async fn send(&self, op: &Op, under: Under, deadline: Deadline) -> Result<Committed> {
        let commit = Op::Record(RecordOp::Commit {
            cache: Arc::clone(&self.domain.name),
            write: Box::new(op.clone()),
            under,
        });
        let record = &self.road.nodes[self.domain.record];
        send(self.road, record, &commit, deadline).await?.into_committed()
    }
}

/// Whether the copies have to go. Only a strict write that was refused leaves them: a delete that found nothing shows
/// that any copy is wrong.
fn changes(op: &Op, reply: &Reply) -> bool {
    match reply {
        Reply::Written(written) => written.applied || op.unfenced().class() != OpClass::Strict,
        _ => true,
    }
}

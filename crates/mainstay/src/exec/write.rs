//! Writes of a record route: protect the copies, commit in the record, offer the value.
//! It must not know how copies are marked (`sync::mark`), nor put values into caches by itself.

use std::{sync::Arc, time::Duration};

use super::{Road, Served};
use crate::{
    backend::semantics::keys_of,
    clock::Deadline,
    config::Consistency,
    entry::{Ack, Key, Worth},
    error::{Effect, Error, ErrorKind, Result},
    guard::{self, backoff::full_jitter, classify::NextStep, classify::next_step},
    node::Node,
    op::{Op, OpClass, RecordOp, Under},
    reply::{Committed, Reply},
    route::{NodeId, Route},
    sync::{
        domain::Domain,
        mark::{self, Mark},
    },
};

/// How often a write is begun anew because the control row had moved or its time was up.
const ROUNDS_MAX: usize = 8;

/// A strict write that waits under dirty rows holds them open this much longer than it has to wait.
const OPEN_SLACK: Duration = Duration::from_secs(5);

pub(super) async fn commit(
    road: &Arc<Road>,
    route: &Arc<Route>,
    record: NodeId,
    op: &Op,
    deadline: Deadline,
) -> Result<Served> {
    let committed = match road.domain(route) {
        Some(domain) => Box::pin(guarded(road, route, domain, op, deadline)).await,
        None => send(road, &road.nodes[record], op, deadline).await,
    };
    match committed {
        Ok(reply) => {
            let worth = Worth::Write(Ack::Durable);
            Ok(Served { worth, ..Served::by(record, reply) })
        }
        Err(error) if error.kind().is_callers() => Err(error),
        Err(error) => Err(road.unavailable(route, vec![error], op.class())),
    }
}

/// Commits under a mark, or, where none can be placed, around the cache.
async fn guarded(
    road: &Arc<Road>,
    route: &Route,
    domain: &Arc<Domain>,
    op: &Op,
    deadline: Deadline,
) -> Result<Reply> {
    let keys = keys_of(op);
    let mut around = false;
    if route.consistency == Consistency::Strict && domain.view().is_none() {
        // How long a write around the cache has to wait is not known yet, and may be far less than the longest.
        domain.look_again(deadline).await;
    }
    for _ in 0..ROUNDS_MAX {
        let mark = match around {
            true => None,
            false => Mark::place(road, domain, &keys, deadline).await,
        };
        around |= mark.is_none();
        let under = match &mark {
            Some(mark) => mark.under(),
            None => beside(road, route, domain, &keys, deadline),
        };
        match send_guarded(road, domain, op, under, deadline).await {
            Ok(Committed::Done(reply)) => {
                settle(road, route, domain, op, &keys, mark, &reply).await?;
                return Ok(*reply);
            }
            Ok(Committed::Overtaken) => {
                if let Some(mark) = mark {
                    mark.take_back(road, domain);
                }
                domain.look_again(deadline).await;
            }
            Ok(Committed::Wait(left)) => wait(road, domain, left, deadline).await?,
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

/// What protects a write around the cache.
fn beside(road: &Road, route: &Route, domain: &Domain, keys: &[Key], deadline: Deadline) -> Under {
    let now = road.clock.now();
    domain.note_around(keys, now);
    let known_for = match route.consistency {
        Consistency::Bounded => None,
        Consistency::Strict => Some(domain.known_for()),
    };
    // Rows that nobody waits for any more must not keep their keys from being drained.
    let open_for = known_for.unwrap_or_default().min(deadline.left(now)) + OPEN_SLACK;
    Under::Around { known_for, open_for }
}

/// A strict write around the cache waits until every lease that does not know it has ended.
async fn wait(road: &Road, domain: &Domain, left: Duration, deadline: Deadline) -> Result<()> {
    let name = road.nodes[domain.cache].name();
    if deadline.left(road.clock.now()) <= left {
        let text = format!(
            "`{name}` cannot be reached, and a strict write around it waits {} ms: give it a longer deadline",
            left.as_millis()
        );
        return Err(Error::new(ErrorKind::DeadlineExceeded, text)
            .at(road.nodes[domain.record].name())
            .retry_after(left));
    }
    tokio::time::sleep(left).await;
    Ok(())
}

/// After the commit: the copies follow, before the acknowledgement where marks can be evicted.
async fn settle(
    road: &Arc<Road>,
    route: &Route,
    domain: &Arc<Domain>,
    op: &Op,
    keys: &[Key],
    mark: Option<Mark>,
    reply: &Reply,
) -> Result<()> {
    let Some(mark) = mark else {
        domain.renote_around(keys, road.clock.now());
        domain.want_drain();
        return Ok(());
    };
    let life_max = route.ttl_max[domain.cache].unwrap_or(Duration::MAX);
    let copy = mark::offer(op, reply, life_max);
    if !domain.evicts() {
        mark.publish(road, domain, copy);
        return Ok(());
    }
    if mark.publish_now(road, domain, copy).await {
        return Ok(());
    }
    make_dirty(road, domain, keys).await
}

/// A mark may have been evicted, and the cache does not say: the keys are made dirty before the acknowledgement.
async fn make_dirty(road: &Arc<Road>, domain: &Domain, keys: &[Key]) -> Result<()> {
    domain.note_around(keys, road.clock.now());
    for key in keys {
        // Changes nothing but the dirty row.
        let write = Op::SetRange { key: key.clone(), offset: 0, value: bytes::Bytes::new() };
        let under = Under::Around { known_for: None, open_for: Duration::ZERO };
        let deadline = road.clock.deadline_in(road.nodes[domain.record].timeout());
        let made = send_guarded(road, domain, &write, under, deadline).await;
        // Committed, but not safe to acknowledge: the caller cannot know, and is told so.
        made.map_err(|error| error.with_effect(Effect::Unknown))?;
    }
    domain.renote_around(keys, road.clock.now());
    domain.want_drain();
    Ok(())
}

async fn send_guarded(
    road: &Road,
    domain: &Domain,
    op: &Op,
    under: Under,
    deadline: Deadline,
) -> Result<Committed> {
    let commit = Op::Record(RecordOp::Commit {
        cache: Arc::clone(&domain.name),
        write: Box::new(op.clone()),
        under,
    });
    send(road, &road.nodes[domain.record], &commit, deadline).await?.into_committed()
}

/// Sends a write, again only when it was certainly not applied: one whose outcome is unknown may still be committed, and
/// a second one of it after others would undo theirs.
async fn send(road: &Road, node: &Node, op: &Op, deadline: Deadline) -> Result<Reply> {
    let mut tries = 0;
    loop {
        let error = match guard::call(node, op, deadline).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        let now = road.clock.now();
        let again =
            worth_repeating(&error) && tries < node.retry().max && node.try_spend_budget(now);
        let wait =
            full_jitter(node.retry().base, node.retry().wait_max, tries, road.entropy.unit());
        if !again || wait >= deadline.left(now) {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        tries += 1;
    }
}

fn worth_repeating(error: &Error) -> bool {
    let step = next_step(error.kind(), error.effect(), OpClass::Strict);
    // A pool may hold connections that died with the server.
    error.effect() == Effect::None
        && (step == NextStep::RetrySame || error.kind() == ErrorKind::Disconnected)
}

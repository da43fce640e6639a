//! The one place where a write is journaled: its record is down, or earlier writes to its keys wait for the record yet.
//! It must not know how entries are kept (`sync::journal`) nor how they reach the record (`sync::replay`).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{Road, write};
use crate::{
    backend::semantics::keys_of,
    clock::Deadline,
    entry::{Ack, Key},
    error::{Effect, Error, ErrorKind, Result},
    event::EventKind,
    guard::classify::is_outage,
    op::{Op, OpClass},
    reply::{Reply, Written},
    route::{NodeId, Route},
    status::Availability,
    sync::{
        backlog::Backlog,
        journal::{Base, Overlaid},
    },
};

/// How long a strict operation waits for earlier writes to its keys while the record is up.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// One write that may meet the journal.
struct Writer<'a> {
    road: &'a Arc<Road>,
    backlog: &'a Backlog,
    route: &'a Arc<Route>,
    record: NodeId,
    op: &'a Op,
    keys: Vec<Key>,
    deadline: Deadline,
}

/// Writes to the record, or to the journal.
pub(super) async fn commit(
    road: &Arc<Road>,
    backlog: &Backlog,
    route: &Arc<Route>,
    record: NodeId,
    op: &Op,
    deadline: Deadline,
) -> Result<(Reply, Ack)> {
    let keys = keys_of(op);
    Box::pin(Writer { road, backlog, route, record, op, keys, deadline }.commit()).await
}

impl Writer<'_> {
    async fn commit(&self) -> Result<(Reply, Ack)> {
        let may_wait = self.op.class() == OpClass::LastWriterWins;
        if self.backlog.holds(&self.keys) {
            if may_wait {
                // Behind them, also when the record is back: it has not got them yet.
                return self.append(None).await;
            }
            settled(self.road, self.record, &self.keys, self.deadline, self.op.name()).await?;
        }
        let may_wait = may_wait && self.route.journal;
        let error = match self.refusal().filter(|_| may_wait) {
            // Nothing is marked for a write that the record would not get.
            Some(error) => error,
            None => match write::direct(self.road, self.route, self.record, self.op, self.deadline)
                .await
            {
                Ok(reply) => {
                    self.note(&reply);
                    return Ok((reply, Ack::Durable));
                }
                Err(error) => error,
            },
        };
        if may_wait && error.effect() == Effect::None && is_outage(error.kind()) {
            return self.append(Some(error)).await;
        }
        Err(error)
    }

    /// Why the record's guard would refuse, when waiting is of use.
    fn refusal(&self) -> Option<Error> {
        let (node, now) = (&self.road.nodes[self.record], self.road.clock.now());
        match node.view(now).availability {
            Availability::Refuses(kind) if is_outage(kind) => Some(node.refusal(now)),
            Availability::Refuses(_) | Availability::Available => None,
        }
    }

    async fn append(&self, of_record: Option<Error>) -> Result<(Reply, Ack)> {
        let before = self.backlog.overlaid_all(&self.keys);
        let base = self.base();
        if base.known_until_us.is_none()
            && base.version.is_none()
            && before.iter().all(Option::is_none)
        {
            let text = "this process has not met the record yet: it cannot know what a journaled write would overwrite";
            return Err(self.refused(of_record, Error::new(ErrorKind::NotReady, text)));
        }
        let route = String::from_utf8_lossy(&self.route.prefix);
        let appended = self.backlog.append(self.op.clone(), &route, base, self.deadline).await;
        match appended {
            Ok(seq) => {
                self.announce(of_record.as_ref());
                Ok((
                    answer(self.op, &self.keys, &before, self.road.clock.unix_ms()),
                    Ack::Journaled(seq),
                ))
            }
            Err(error) if error.kind().is_callers() => Err(error),
            Err(error) => Err(self.refused(of_record, error)),
        }
    }

    fn refused(&self, of_record: Option<Error>, of_journal: Error) -> Error {
        let of_journal = of_journal.at(&self.backlog.name);
        Error::unavailable(of_record.into_iter().chain([of_journal]).collect())
    }

    /// What is known here of the keys in the record.
    fn base(&self) -> Base {
        let version = match self.keys.as_slice() {
            [key] => self.backlog.seen.newest(key),
            _ => None,
        };
        let domains = self.road.domains.iter().filter(|domain| domain.record == self.record);
        let of_leases =
            domains.filter_map(|domain| domain.view()).map(|view| view.known_until_us());
        let of_record = self.backlog.of(self.record).and_then(|waiting| waiting.known_until_us());
        Base { version, known_until_us: of_leases.max().max(of_record), after_seq: None }
    }

    /// The first that waits is an event.
    fn announce(&self, of_record: Option<&Error>) {
        let Some(waiting) = self.backlog.of(self.record) else { return };
        if waiting.set_waiting(true) {
            let kind =
                EventKind::Journal { state: "waiting", entries: self.backlog.journal.depth() };
            let reason = of_record.map_or_else(String::new, ToString::to_string);
            self.road.nodes[self.record].publish(kind, reason);
        }
        waiting.wake();
    }

    fn note(&self, reply: &Reply) {
        if !self.route.journal {
            return;
        }
        if let ([key], Reply::Written(Written { version: Some(version), .. })) =
            (self.keys.as_slice(), reply)
        {
            self.backlog.seen.gave(key, *version);
        }
    }
}

/// Ends once the record has what was written to these keys before; `name` comes after it.
///
/// # Errors
/// `Conflict` while the record is down, and when it takes too long.
pub(super) async fn settled(
    road: &Road,
    record: NodeId,
    keys: &[Key],
    deadline: Deadline,
    name: &str,
) -> Result<()> {
    let Some(backlog) = road.backlog.as_ref().filter(|backlog| backlog.holds(keys)) else {
        return Ok(());
    };
    let (node, now) = (&road.nodes[record], road.clock.now());
    let up = node.view(now).is_available();
    let deadline = deadline.within(now, if up { SETTLE_MAX } else { Duration::ZERO });
    if up && backlog.until_settled(keys, deadline).await {
        return Ok(());
    }
    let text = format!(
        "`{name}` comes after writes that wait in the journal until the record is back: try again then"
    );
    let after = node.view(now).retry_in.unwrap_or(SETTLE_MAX);
    Err(Error::new(ErrorKind::Conflict, text).at(node.name()).retry_after(after))
}

/// What a write that waits answers: nobody knows what the record holds, so its keys count as being there, except where
/// an earlier write that waits has taken them away.
fn answer(op: &Op, keys: &[Key], before: &[Option<Overlaid>], now_unix_ms: i64) -> Reply {
    let gone =
        |before: &Option<Overlaid>| before.as_ref().is_some_and(|seen| seen.gone(now_unix_ms));
    match op {
        Op::DeleteMany { .. } => {
            let there = keys.iter().zip(before).filter(|(_, before)| !gone(before));
            let distinct: BTreeSet<&Key> = there.map(|(key, _)| key).collect();
            Reply::Integer(i64::try_from(distinct.len()).unwrap_or(i64::MAX))
        }
        Op::Delete { .. } | Op::Expire { .. } => {
            Reply::Written(Written { applied: !before.iter().any(gone), ..Written::default() })
        }
        _ => Reply::Written(Written { applied: true, ..Written::default() }),
    }
}

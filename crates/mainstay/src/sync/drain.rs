//! Keys that some process wrote around a cache are made true in it, by every process that reaches it.
//! It must not know who wrote them.

use std::{sync::Arc, time::Duration};

use super::{
    domain::{Counts, Domain},
    view::View,
};
use crate::{
    clock::Instant,
    entry::Key,
    error::Result,
    event::EventKind,
    exec::Road,
    guard,
    op::{CopyOp, DirtyRow, Op, RecordOp},
};

/// Rows of one round.
const BATCH: usize = 500;
/// Time for one question.
const STEP: Duration = Duration::from_secs(2);
/// Between two attempts while rows are left: some are held open, or the cache has gone again.
const PAUSE_MIN: Duration = Duration::from_millis(60);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Between two events: a cache that takes no marks, but serves, is drained many times a second.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Drained keys that no event has told of yet.
struct Untold {
    keys: u64,
    next: Instant,
}

impl Untold {
    /// Ends when there is something to tell and it is time.
    async fn due(&self) {
        match self.keys {
            0 => std::future::pending().await,
            _ => tokio::time::sleep_until(self.next).await,
        }
    }

    fn tell(&mut self, road: &Road, domain: &Domain) {
        let now = road.clock.now();
        if self.keys > 0 && now >= self.next {
            let kind = EventKind::Readmission { keys: std::mem::take(&mut self.keys) };
            road.nodes[domain.cache].publish(kind, "written around the cache, made absent in it");
            self.next = now + TELL_EVERY;
        }
    }
}

/// Drains one cache for ever.
pub(crate) async fn keep(road: Arc<Road>, id: usize) {
    let domain = &road.domains[id];
    let mut untold = Untold { keys: 0, next: road.clock.now() };
    loop {
        tokio::select! {
            () = domain.drain_wanted() => {}
            () = untold.due() => {
                untold.tell(&road, domain);
                continue;
            }
        }
        // Processes that see the same rows do not all begin at once.
        let pause = PAUSE_MIN + (PAUSE_MAX - PAUSE_MIN).mul_f64(road.entropy.unit());
        tokio::time::sleep(pause).await;
        // A failure is the node's: its breaker has seen it. The next look asks again while there are dirty keys.
        let drained = drain(&road, domain).await.unwrap_or(0);
        if drained > 0 {
            Counts::add(&domain.counts.drained, drained);
            untold.keys += drained as u64;
            untold.tell(&road, domain);
            domain.want_look();
        }
    }
}

/// One pass over all rows; how many went. While nothing could be done about them, the record is not asked for them.
async fn drain(road: &Arc<Road>, domain: &Domain) -> Result<usize> {
    let (mut drained, mut from) = (0, None);
    loop {
        if domain.view().is_none_or(|view| !leased(road, domain, &view)) {
            return Ok(drained);
        }
        let rows = dirty(road, domain, from.take()).await?;
        let Some(last) = rows.last().map(|row| row.key.following()) else { return Ok(drained) };
        let full = rows.len() == BATCH;
        drained += make_absent(road, domain, rows).await?;
        if !full {
            return Ok(drained);
        }
        from = Some(last);
    }
}

async fn dirty(road: &Arc<Road>, domain: &Domain, from: Option<Key>) -> Result<Vec<DirtyRow>> {
    let op = RecordOp::Dirty { cache: Arc::clone(&domain.name), from, limit: BATCH };
    let deadline = road.clock.deadline_in(STEP);
    guard::call(&road.nodes[domain.record], &Op::Record(op), deadline).await?.into_dirty()
}

/// In the cache first, then in the record; nothing in the record unless the right cache is known to have done it.
async fn make_absent(road: &Arc<Road>, domain: &Domain, rows: Vec<DirtyRow>) -> Result<usize> {
    let Some(view) = domain.view().filter(|view| leased(road, domain, view)) else { return Ok(0) };
    let keys = rows.iter().map(|row| view.key_of(&row.key)).collect();
    let op = Op::Copy(CopyOp::Drain { keys });
    guard::call(&road.nodes[domain.cache], &op, road.clock.deadline_in(STEP)).await?;
    if !leased(road, domain, &view) {
        return Ok(0);
    }
    let op = Op::Record(RecordOp::Drained { cache: Arc::clone(&domain.name), rows });
    let deadline = road.clock.deadline_in(STEP);
    let gone = guard::call(&road.nodes[domain.record], &op, deadline).await?.into_integer()?;
    Ok(usize::try_from(gone).unwrap_or(0))
}

fn leased(road: &Road, domain: &Domain, view: &View) -> bool {
    let readable = road.nodes[domain.cache].guard().is_readable();
    readable && view.may_read(road.clock.now(), road.clock.suspended())
}

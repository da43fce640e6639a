//! The task that tends one cache: looks at the record and the cache three times a lease, and acts on the verdict.
//! It must not know single reads and writes.

use std::{sync::Arc, time::Duration};

use super::{
    domain::{Counts, Domain},
    phase::Look,
    verdict::Verdict,
    view::{Lease, View, beacon_key},
};
use crate::{
    clock::Instant,
    error::Result,
    event::EventKind,
    exec::Road,
    guard::{self, Wants, backoff},
    op::CopyOp,
    op::{Beacon, Control, LeaseRow, Op, RecordOp, Terms},
    reply::Reply,
};

/// Looks a lease.
const LOOKS: u32 = 3;
/// The beacon's answer is worth no longer wait than this.
const BEACON_WAIT: Duration = Duration::from_millis(500);
/// A look that was asked for comes no sooner than this after the one before.
const SPACING: Duration = Duration::from_millis(20);

/// Tends the cache. Never ends.
pub(crate) async fn keep(road: Arc<Road>, id: usize) {
    let domain = &road.domains[id];
    loop {
        let number = domain.begin_look();
        look(&road, domain).await;
        domain.end_look(number);
        tokio::time::sleep(SPACING).await;
        let pause = pause(&road, domain);
        tokio::select! {
            biased;
            () = domain.look_wanted() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// A third of a lease, ±10 %; sooner when a readmission is due.
fn pause(road: &Road, domain: &Domain) -> Duration {
    let view = domain.view();
    let lease = view.as_ref().map_or(domain.config.lease, |view| view.control.terms.lease);
    let usual = backoff::spread(lease / LOOKS, 0.1, road.entropy.unit());
    let due = view.and_then(|view| domain.watch().readmit_at(view.readmit_wait()));
    match due.map(|due| due.saturating_duration_since(road.clock.now())) {
        Some(left) if !left.is_zero() => usual.min(left),
        _ => usual,
    }
}

/// One look, and what follows from it.
async fn look(road: &Arc<Road>, domain: &Domain) {
    let (asked, suspended) = (road.clock.now(), road.clock.suspended());
    let row = match ask_record(road, domain).await {
        Ok(row) => row,
        Err(error) => {
            domain.set_reason(format!("the record does not answer: {error}"));
            note_phase(road, domain, false);
            return;
        }
    };
    let heard = road.clock.now();
    let due = row.control.active && row.control.beacon_age >= row.control.terms.lease;
    let raise = due.then_some(row.control.beacon);
    let mut beacon = ask_cache(road, domain, &row.control, raise).await.ok();
    if due && beacon.is_none() {
        // A server without memory to spare takes no writes; what it holds is as good as before.
        beacon = ask_cache(road, domain, &row.control, None).await.ok();
    }
    if let Some(beacon) = &beacon
        && domain.set_evicts(beacon.evicts)
        && beacon.evicts
    {
        let text = "maxmemory with an evicting policy: writes wait for the cache, strict routes read from the record";
        road.nodes[domain.cache].publish(EventKind::Copies { state: "evictable" }, text);
    }
    let ahead_ms = beacon.as_ref().map_or(0, |beacon| beacon.now_ms - road.clock.unix_ms());
    let wait = View::new(row.clone(), None, heard).readmit_wait();
    let now = road.clock.now();
    let verdict = domain.watch().judge(&row, beacon.as_ref(), wait, now);
    let lease = match &verdict {
        Verdict::Grant => Some(Lease::new(asked, suspended, row.control.terms.lease, ahead_ms)),
        // One slow reply ends no lease.
        Verdict::Withhold(_) if beacon.is_none() => standing(domain, &row.control),
        _ => None,
    };
    if !matches!(verdict, Verdict::Grant) && lease.is_none() {
        domain.revoke();
    }
    let dirty = !row.dirty.is_empty();
    domain.see(View::new(row.clone(), lease, heard), asked);
    if dirty && lease.is_some() {
        domain.want_drain();
    }
    act(road, domain, &row, beacon.as_ref(), verdict).await;
    note_phase(road, domain, beacon.is_some());
}

/// The lease of before, if it is still about the same copies.
fn standing(domain: &Domain, control: &Control) -> Option<Lease> {
    let view = domain.view().filter(|view| !view.is_revoked())?;
    let same = view.control.epoch == control.epoch && control.active;
    if same { view.lease() } else { None }
}

async fn act(
    road: &Arc<Road>,
    domain: &Domain,
    row: &LeaseRow,
    beacon: Option<&Beacon>,
    verdict: Verdict,
) {
    let epoch = row.control.epoch;
    let cache = Arc::clone(&domain.name);
    match verdict {
        Verdict::Grant => {
            domain.set_reason("");
            if let Some(beacon) = beacon.filter(|beacon| beacon.beacon > row.control.beacon) {
                let op = RecordOp::Raised { cache, epoch, beacon: beacon.beacon };
                // Lost: the next look raises again.
                drop(to_record(road, domain, op).await);
            }
        }
        Verdict::Withhold(reason) => domain.set_reason(reason),
        Verdict::Reconnect(reason) => {
            domain.set_reason(reason);
            road.nodes[domain.cache].guard().wake().want(Wants::RECONNECT);
        }
        Verdict::Degrade(reason) => {
            domain.set_reason(reason.clone());
            let op = RecordOp::Degrade { cache, epoch, reason: reason.clone() };
            if did(to_record(road, domain, op).await) {
                let node = &road.nodes[domain.cache];
                node.publish(EventKind::Copies { state: "degraded" }, reason);
            }
            domain.want_look();
        }
        Verdict::Readmit => {
            if let Some(beacon) = beacon {
                readmit(road, domain, &row.control, beacon).await;
            }
            domain.want_look();
        }
    }
}

async fn readmit(road: &Arc<Road>, domain: &Domain, control: &Control, beacon: &Beacon) {
    let mut raised = beacon.clone();
    if beacon.beacon == 0
        && let Ok(answer) = ask_cache(road, domain, control, Some(0)).await
    {
        // A beacon of 0 could be lost without a trace.
        raised = answer;
    }
    if raised.identity != beacon.identity {
        // Another server answers by now; the next look judges that one.
        return;
    }
    let op = RecordOp::Readmit {
        cache: Arc::clone(&domain.name),
        epoch: control.epoch,
        identity: raised.identity,
        beacon: raised.beacon,
    };
    if did(to_record(road, domain, op).await) {
        Counts::add(&domain.counts.readmissions, 1);
        let text = "a new generation of copies: nothing of before is read";
        road.nodes[domain.cache].publish(EventKind::Copies { state: "readmitted" }, text);
    }
}

fn did(reply: Result<Reply>) -> bool {
    reply.and_then(Reply::into_integer).is_ok_and(|rows| rows > 0)
}

async fn ask_record(road: &Road, domain: &Domain) -> Result<LeaseRow> {
    let terms = Terms {
        lease: domain.config.lease,
        mark: domain.config.mark_for(domain.statement),
        statement: domain.statement,
    };
    let id = u64::try_from(road.entropy.nonce() >> 64).unwrap_or(u64::MAX);
    let op = RecordOp::Lease {
        cache: Arc::clone(&domain.name),
        terms,
        id,
        dirty_max: domain.config.dirty_max,
    };
    Ok(*to_record(road, domain, op).await?.into_lease()?)
}

async fn to_record(road: &Road, domain: &Domain, op: RecordOp) -> Result<Reply> {
    let deadline = road.clock.deadline_in(domain.config.lease);
    guard::call(&road.nodes[domain.record], &Op::Record(op), deadline).await
}

async fn ask_cache(
    road: &Road,
    domain: &Domain,
    control: &Control,
    raise: Option<u64>,
) -> Result<Beacon> {
    let op = Op::Copy(CopyOp::Beacon { key: beacon_key(control), raise });
    let deadline = road.clock.deadline_in(BEACON_WAIT);
    guard::call(&road.nodes[domain.cache], &op, deadline).await?.into_beacon()
}

/// A connection to the cache has been built: whose copies are these? Runs before the node is declared up.
///
/// # Errors
/// The cache's own.
pub(crate) async fn meet(road: &Road, domain: &Domain) -> Result<()> {
    domain.watch().connected();
    if let Some(view) = domain.view() {
        let op = Op::Copy(CopyOp::Beacon { key: beacon_key(&view.control), raise: None });
        let deadline = road.clock.deadline_in(BEACON_WAIT);
        let reply = guard::call_unguarded(&road.nodes[domain.cache], &op, deadline).await?;
        if reply.into_beacon()?.identity != view.control.identity {
            view.revoke();
        }
    }
    domain.want_look();
    Ok(())
}

fn note_phase(road: &Road, domain: &Domain, answered: bool) {
    let now: Instant = road.clock.now();
    let (hits, misses) = domain.reads();
    let look = match domain.view() {
        None => Look { answered, hits, reads: hits + misses, ..Look::default() },
        Some(view) => Look {
            reachable: road.nodes[domain.cache].view(now).is_available(),
            answered,
            active: view.control.active,
            leased: view.may_read(now, road.clock.suspended()),
            generation: view.control.generation,
            hits,
            reads: hits + misses,
        },
    };
    let (changed, share) = {
        let mut lifecycle = domain.lifecycle();
        (lifecycle.on(now, look), lifecycle.share())
    };
    domain.set_share(share);
    if let Some((from, to)) = changed {
        let kind = EventKind::Lifecycle { from: from.as_str(), to: to.as_str() };
        road.nodes[domain.cache].publish(kind, domain.reason());
    }
}

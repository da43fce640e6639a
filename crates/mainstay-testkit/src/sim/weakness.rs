//! Mechanisms of the protocol that a run can do without, so that the simulation shows that it would notice.
//! It must not know who runs. Each is left out between the library and the server, so that the library stays as it is.
//!
//! Only the model (`protocol`) shows what happens without these, for they are not seen from outside the library, or a
//! statement would have to take time within the server: `LeaseCheckedBeforeReply`, `RenewedLeaseAccepted`,
//! `JoinsFlightUnderWay`, `ReadmitBeforeCommitsEnd`, `ControlRowNotShared`, `TtlCountsFromStore`, `DeleteForgetsVersion`.
//! `ExpiredMarkDoesNotTaint` and `DirtyRowDeletedUnconditionally` need several rare things at once: 2,000 histories have
//! not shown them, the model does. Those about intents and warm readmissions name what the library does not have (a dirty row made anew waits again, and
//! every readmission is cold).

use std::time::Duration;

use bytes::Bytes;
use mainstay::{
    Condition, Key, Op, Reply, Result, TtlChange,
    backend::{
        memory::Memory,
        semantics::copies::{self, Next, Seen},
    },
    op::{CopyOp, CopyValue, RecordOp, Under},
    reply::Committed,
};

use super::{
    dice::Dice,
    plan::{Fault, FaultKind, Noise, Plan},
    servers::{CACHE, perform as ask},
    world::World,
};

/// One mechanism left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// Nobody marks a key before a commit.
    NoMark,
    /// A reader fills without a token, over anything.
    FillWithoutToken,
    /// A token is asked for again, late, under its name.
    TokenReused,
    /// A publish overwrites anything.
    PublishUnconditionally,
    /// A mark is sent again, late, under its nonce.
    NonceReused,
    /// A mark that expires leaves no taint on those beside it.
    ExpiredMarkDoesNotTaint,
    /// A drain leaves marks untainted.
    DrainDoesNotTaint,
    /// A dirty row goes though it was written again since it was read.
    DirtyRowDeletedUnconditionally,
    /// A lease does not carry the dirty keys.
    LeaseWithoutDirtySet,
    /// A strict write around the cache does not wait.
    NoWaitInStrict,
    /// A commit does not compare the epoch that its mark was made under.
    CommitIgnoresEpoch,
    /// A commit is performed though its mark may have expired.
    CommitIgnoresDeadline,
    /// A commit without an answer is sent again.
    UnknownCommitRetried,
    /// A readmission keeps the generation.
    ColdKeepsGeneration,
    /// A degraded cache is readmitted at once.
    ReadmitAtOnce,
    /// Nobody compares who the server is.
    IdentityNotChecked,
    /// Nobody compares beacons.
    BeaconNotChecked,
    /// Marks are evicted, and Redis does not say that it may.
    EvictionsHidden,
    /// Sessions are not told to the library.
    NoSessionFloor,
}

impl Weakness {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::NoMark,
        Self::FillWithoutToken,
        Self::TokenReused,
        Self::PublishUnconditionally,
        Self::NonceReused,
        Self::ExpiredMarkDoesNotTaint,
        Self::DrainDoesNotTaint,
        Self::DirtyRowDeletedUnconditionally,
        Self::LeaseWithoutDirtySet,
        Self::NoWaitInStrict,
        Self::CommitIgnoresEpoch,
        Self::CommitIgnoresDeadline,
        Self::UnknownCommitRetried,
        Self::ColdKeepsGeneration,
        Self::ReadmitAtOnce,
        Self::IdentityNotChecked,
        Self::BeaconNotChecked,
        Self::EvictionsHidden,
        Self::NoSessionFloor,
    ];
}

impl Weakness {
    /// The plan in which this is looked for: rough where it is rare.
    #[must_use]
    pub fn plan(self, seed: u64) -> Plan {
        match self {
            Self::TokenReused => Plan { pauses: seed.is_multiple_of(2), ..Plan::rough(seed) },
            // A publish is sent again when its answer is lost.
            Self::NonceReused => {
                let noise = Noise { slow: 200, late: 30, lost: 100, refused: 0 };
                Plan { noise, pauses: true, ..Plan::rough(seed) }
            }
            // A write under a mark is slow while another goes around the cache, is seen by a look and drained.
            Self::DrainDoesNotTaint => {
                let noise = Noise { slow: 400, late: 60, lost: 0, refused: 0 };
                let (lease, processes) = (Duration::from_millis(300), 4);
                Plan { noise, lease, processes, pauses: true, ..Plan::rough(seed) }
            }
            // Two writes of one key, each of which loses its way for as long as a mark stands.
            Self::ExpiredMarkDoesNotTaint => {
                let noise = Noise { slow: 300, late: 150, lost: 80, refused: 0 };
                Plan { noise, pauses: true, evicts: false, ..Plan::rough(seed) }
            }
            // Readers whose leases last while a drain is on its way.
            Self::DirtyRowDeletedUnconditionally => {
                let noise = Noise { slow: 400, late: 0, lost: 0, refused: 0 };
                let (lease, strict, processes) = (Duration::from_secs(1), false, 4);
                Plan { noise, lease, strict, processes, pauses: true, ..Plan::rough(seed) }
            }
            // Copies of a strict route are read only where nothing is said to be evicted.
            Self::EvictionsHidden => {
                let kind = FaultKind::Evict(400);
                let mut plan = Plan { evicts: true, strict: true, ..Plan::rough(seed) };
                plan.faults.push(Fault { at_ms: 500, for_ms: plan.work_ms, kind });
                plan
            }
            _ => Plan::of(seed),
        }
    }
}

/// After which time a message arrives once more.
pub(super) fn sent_again(
    weakness: Option<Weakness>,
    op: &Op,
    answered: bool,
    dice: &mut Dice,
) -> Option<Duration> {
    let (again, last_ms) = match (weakness?, op) {
        // More of them would taint whatever they could spoil.
        (Weakness::NonceReused, Op::Copy(CopyOp::Mark { .. })) => (dice.permille(60), 500),
        (Weakness::TokenReused, Op::Copy(CopyOp::Token { .. })) => (dice.permille(500), 1_000),
        (Weakness::UnknownCommitRetried, Op::Record(RecordOp::Commit { .. })) => (!answered, 1_000),
        _ => return None,
    };
    again.then(|| dice.ms(1, last_ms))
}

/// The server performs an operation, but for what is left out.
pub(super) fn perform(
    weakness: Option<Weakness>,
    world: &World,
    server: &Memory,
    op: &Op,
) -> Result<Reply> {
    let Some(weakness) = weakness else { return ask(server, op) };
    match op {
        Op::Copy(copy) => on_copy(weakness, world, server, op, copy),
        Op::Record(record) => on_record(weakness, world, server, op, record),
        _ => ask(server, op),
    }
}

fn on_copy(
    weakness: Weakness,
    world: &World,
    server: &Memory,
    op: &Op,
    copy: &CopyOp,
) -> Result<Reply> {
    match (weakness, copy) {
        (Weakness::NoMark, CopyOp::Mark { .. }) => Ok(Reply::Done),
        (Weakness::FillWithoutToken, CopyOp::Token { keys, .. }) => {
            Ok(Reply::Flags(vec![true; keys.len()]))
        }
        (Weakness::FillWithoutToken, CopyOp::Fill { entries, .. }) => {
            for (key, value) in entries {
                put_value(server, key, value)?;
            }
            Ok(Reply::Flags(vec![true; entries.len()]))
        }
        (Weakness::PublishUnconditionally, CopyOp::Publish { key, copy, .. }) => {
            put_value(server, key, copy)?;
            Ok(Reply::Flags(vec![true]))
        }
        (Weakness::DrainDoesNotTaint, CopyOp::Drain { keys }) => {
            let unmarked = |key: &&Key| !held(server, key).is_some_and(is_marked);
            let keys = keys.iter().filter(unmarked).cloned().collect();
            ask(server, &Op::Copy(CopyOp::Drain { keys }))
        }
        (Weakness::ExpiredMarkDoesNotTaint, _) => {
            for key in keys_of(copy) {
                forget_expired(server, key)?;
            }
            ask(server, op)
        }
        (Weakness::IdentityNotChecked, CopyOp::Beacon { .. }) => {
            let mut beacon = ask(server, op)?.into_beacon()?;
            "somebody".clone_into(&mut beacon.identity);
            Ok(Reply::Beacon(beacon))
        }
        (Weakness::BeaconNotChecked, CopyOp::Beacon { .. }) => {
            let mut beacon = ask(server, op)?.into_beacon()?;
            let recorded = world.state().control().map_or(0, |(row, _)| row.beacon);
            beacon.beacon = beacon.beacon.max(recorded);
            Ok(Reply::Beacon(beacon))
        }
        _ => ask(server, op),
    }
}

fn on_record(
    weakness: Weakness,
    world: &World,
    server: &Memory,
    op: &Op,
    record: &RecordOp,
) -> Result<Reply> {
    match (weakness, record) {
        (_, RecordOp::Lease { .. }) => {
            let mut row = ask(server, op)?.into_lease()?;
            match weakness {
                // Some key, so that the real ones are drained as ever.
                Weakness::LeaseWithoutDirtySet => row.dirty.fill(Key::from("of nobody")),
                Weakness::ColdKeepsGeneration => {
                    row.control.generation = row.control.generation.min(1);
                }
                _ => {}
            }
            Ok(Reply::Lease(row))
        }
        (
            Weakness::NoWaitInStrict,
            RecordOp::Commit { cache, write, under: Under::Around { open_for, .. } },
        ) => {
            let under = Under::Around { known_for: None, open_for: *open_for };
            let commit = RecordOp::Commit { cache: cache.clone(), write: write.clone(), under };
            ask(server, &Op::Record(commit))
        }
        (
            Weakness::CommitIgnoresEpoch,
            RecordOp::Commit { write, under: Under::Mark { .. }, .. },
        ) => Ok(Reply::Committed(Committed::Done(Box::new(ask(server, write)?)))),
        (
            Weakness::CommitIgnoresDeadline,
            RecordOp::Commit { cache, write, under: Under::Mark { epoch, .. } },
        ) => {
            let under = Under::Mark { epoch: *epoch, deadline_us: i64::MAX };
            let commit = RecordOp::Commit { cache: cache.clone(), write: write.clone(), under };
            ask(server, &Op::Record(commit))
        }
        (Weakness::DirtyRowDeletedUnconditionally, RecordOp::Drained { rows, .. }) => {
            let cache = CACHE.into();
            let now = RecordOp::Dirty { cache, from: None, limit: usize::MAX };
            let mut now = ask(server, &Op::Record(now))?.into_dirty()?;
            now.retain(|row| rows.iter().any(|read| read.key == row.key));
            ask(server, &Op::Record(RecordOp::Drained { cache: CACHE.into(), rows: now }))
        }
        (Weakness::ReadmitAtOnce, RecordOp::Degrade { epoch, .. }) => {
            let reply = ask(server, op)?;
            if reply == Reply::Integer(1) {
                let (identity, beacon) = world.redis_now();
                let (cache, epoch) = (CACHE.into(), epoch + 1);
                let readmit = RecordOp::Readmit { cache, epoch, identity, beacon };
                ask(server, &Op::Record(readmit))?;
            }
            Ok(reply)
        }
        _ => ask(server, op),
    }
}

fn keys_of(copy: &CopyOp) -> Vec<&Key> {
    match copy {
        CopyOp::Mark { keys, .. }
        | CopyOp::Unmark { keys, .. }
        | CopyOp::Token { keys, .. }
        | CopyOp::Drain { keys } => keys.iter().collect(),
        CopyOp::Publish { key, .. } => vec![key],
        CopyOp::Fill { entries, .. } => entries.iter().map(|(key, _)| key).collect(),
        CopyOp::Beacon { .. } => Vec::new(),
    }
}

fn held(server: &Memory, key: &Key) -> Option<Bytes> {
    let get = Op::Get { key: key.clone(), with_ttl: false };
    Some(ask(server, &get).and_then(Reply::into_record).ok()??.value)
}

fn is_marked(entry: Bytes) -> bool {
    copies::read(entry) == Seen::Marked
}

/// Stores a value whatever stands there.
fn put_value(server: &Memory, key: &Key, copy: &CopyValue) -> Result<()> {
    let beacon = ask(server, &Op::Copy(CopyOp::Beacon { key: key.clone(), raise: None }))?;
    let now = beacon.into_beacon()?.now_ms;
    let (Next::Put(token, _), _) = copies::token(None, 1, Duration::from_secs(5), now) else {
        return Ok(());
    };
    match copies::fill(Some(token), 1, copy, now).0 {
        Next::Put(entry, ends_at) => set(server, key, entry, TtlChange::At(ends_at)),
        Next::Keep | Next::Remove => Ok(()),
    }
}

fn set(server: &Memory, key: &Key, value: Bytes, ttl: TtlChange) -> Result<()> {
    let condition = Condition::Always;
    let op = Op::Set { key: key.clone(), value, ttl, condition, want_previous: false };
    ask(server, &op).map(drop)
}

/// Takes the nonces away whose time is over, without a trace (`semantics::copies` says how marks are encoded).
fn forget_expired(server: &Memory, key: &Key) -> Result<()> {
    const NONCE: usize = 16 + 8 + 8;
    let Some(entry) = held(server, key).filter(|entry| is_marked(entry.clone())) else {
        return Ok(());
    };
    let beacon = ask(server, &Op::Copy(CopyOp::Beacon { key: key.clone(), raise: None }))?;
    let now = beacon.into_beacon()?.now_ms;
    let count = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
    let nonces = entry[6..].chunks_exact(NONCE).take(count.try_into().unwrap_or(0));
    let ends_at = |nonce: &[u8]| {
        nonce[24..].iter().fold(0_i64, |number, byte| (number << 8) | i64::from(*byte))
    };
    let stand: Vec<&[u8]> = nonces.filter(|nonce| ends_at(nonce) > now).collect();
    if stand.is_empty() || stand.len() == count.try_into().unwrap_or(0) {
        return Ok(());
    }
    let best = &entry[6 + NONCE * usize::try_from(count).unwrap_or(0)..];
    let number = u32::try_from(stand.len()).unwrap_or(0).to_be_bytes();
    let until = stand.iter().map(|nonce| ends_at(nonce)).max().unwrap_or(0);
    let bytes = [&entry[..2], &number, &stand.concat(), best].concat();
    set(server, key, bytes.into(), TtlChange::At(until))
}

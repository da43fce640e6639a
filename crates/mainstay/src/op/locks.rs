//! What is asked of a backend about locks: lease rows, fencing tokens, who is the authority, who may vote.
//! It must not know the modes (`lock`), nor how a backend keeps any of it.

use std::time::Duration;

use super::Op;
use crate::entry::Key;

/// An operation on locks. What each does is `semantics::locks`; times are the backend's clock, Unix microseconds. Each may
/// be repeated by the same holder, except `Commit`.
#[derive(Clone, Debug, PartialEq)]
pub enum LockOp {
    /// Takes a free or expired lock, or begins one's own lease anew. → `Locked::Granted`, `Held` or `Refused`.
    Acquire {
        /// The lock.
        name: Key,
        /// A fresh random number for each acquisition.
        holder: u128,
        /// How long the lease lasts.
        ttl: Duration,
        /// Who counts.
        counting: Counting,
        /// Who holds it, for people; at most 255 bytes.
        note: String,
        /// What must hold besides.
        ground: Ground,
        /// Who waits, if it is held: noted, and served in time. `None`: nobody waits.
        waiter: Option<Waiter>,
    },
    /// The second phase of a quorum: while the holder's lease lasts and the counter is lower, it becomes this.
    /// Never repeated. → `Locked::Granted` or `Gone`.
    Commit {
        /// The lock.
        name: Key,
        /// Who holds it.
        holder: u128,
        /// The token.
        token: u64,
    },
    /// The lease begins anew, if it has not ended. → `Locked::Granted`, `Gone` or `Refused`.
    Renew {
        /// The lock.
        name: Key,
        /// Who holds it.
        holder: u128,
        /// How long the lease lasts from now.
        ttl: Duration,
        /// What must hold besides.
        ground: Ground,
    },
    /// The lock is free, if this holder has it. The counter stays. → `Locked::Granted` or `Gone`.
    Release {
        /// The lock.
        name: Key,
        /// Who holds it.
        holder: u128,
    },
    /// A resource is used under this token: refused when a higher one has been seen. → `Locked::Granted` or `Fenced`.
    Fence {
        /// The resource, often named like the lock.
        resource: Key,
        /// The token.
        token: u64,
    },
    /// Who holds what, for people. → `Reply::Locks`.
    List {
        /// `LockPage::next` of the page before; `None` begins. Opaque.
        after: Option<Key>,
        /// Rows to aim for.
        limit: usize,
    },
    /// Whether this backend may vote, and what it knows. → `Reply::Member`.
    Member {
        /// The identity of a backend that has none yet.
        id: u128,
    },
    /// It may vote from now on. → `Locked::Granted`, or `Refused` when it is not this one any more.
    Admit {
        /// `Member::identity` as it was read.
        identity: String,
        /// No token up to this is given again.
        floor: u64,
    },
    /// Who grants in failover mode. → `Reply::Authority`.
    Authority,
    /// Another grants from the next epoch on. → `Locked::Granted`, or `Refused` when the epoch has moved on.
    Move {
        /// The epoch as known.
        epoch: u64,
        /// The new authority.
        to: Seat,
        /// Nothing is granted under the new epoch before this much time has passed.
        wait: Duration,
    },
}

/// A process that waits for a lock, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// A number of the process: within it whoever asks first has the turn.
    pub process: u128,
    /// For how long the one whose turn it is has waited.
    pub waited: Duration,
}

/// Who gives the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// This backend: the token moves when the holder changes.
    Here,
    /// The asker, from the counters of many: this one only tells its own.
    Later,
}

/// What must hold, in the same statement, for a lock to be granted or renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Nothing more.
    Free,
    /// This backend may vote (`Admit`).
    Member,
    /// The authority stands at this epoch, and its wait is over.
    Epoch(u64),
    /// It may vote as this: what it granted it has not forgotten.
    Server(String),
}

/// Who grants in failover mode, and on which terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    /// The configured name of the backend.
    pub backend: String,
    /// Which run of which server; empty where the backend is the arbiter itself.
    pub identity: String,
    /// The longest lease that may be asked for.
    pub ttl_max: Duration,
    /// How long a process may grant without asking the arbiter again.
    pub view: Duration,
}

/// Who grants in failover mode, as the arbiter has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    /// Rises with each move; 0: nobody has been named yet.
    pub epoch: u64,
    /// Who.
    pub seat: Seat,
    /// How long nothing may be granted yet.
    pub wait: Duration,
    /// The arbiter's clock.
    pub now_us: i64,
}

/// A backend as a voter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Changes when it may have forgotten.
    pub identity: String,
    /// Whether it may vote.
    pub admitted: bool,
    /// How long it has been this one, by its own clock.
    pub known_for: Duration,
    /// The highest counter that it knows of.
    pub counter: u64,
}

/// One lock, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRow {
    /// Its name.
    pub name: Key,
    /// The last token.
    pub token: u64,
    /// How long the lease lasts yet; `None`: nobody holds it.
    pub left: Option<Duration>,
    /// Who holds it, or held it last.
    pub note: String,
    /// Names the grant while somebody holds it: whoever knows it can release it.
    pub holder: Option<u128>,
}

/// Some locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockPage {
    /// The locks.
    pub rows: Vec<LockRow>,
    /// Where to go on; `None`: this was the last page. Opaque.
    pub next: Option<Key>,
}

/// A write that is applied only while no higher token has been seen for its lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The lock.
    pub lock: Key,
    /// The token that it was granted under.
    pub token: u64,
}

impl LockOp {
    /// The longest note, in bytes.
    pub const NOTE_MAX: usize = 255;

    /// The channel over which engines that have such tell of a lock that was released while somebody waited.
    pub const FREED: &str = "mainstay_lock_freed";

    /// What is told there: this, and the number of the one process whom it concerns, as 32 hexadecimal digits, or
    /// nothing more: all that wait.
    pub fn freed(name: &Key) -> String {
        format!("{:016x}", name.stable_hash())
    }

    /// The word for metrics and traces.
    pub fn name(&self) -> &'static str {
        match self {
            LockOp::Acquire { .. } => "lock_acquire",
            LockOp::Commit { .. } => "lock_commit",
            LockOp::Renew { .. } => "lock_renew",
            LockOp::Release { .. } => "lock_release",
            LockOp::Fence { .. } => "lock_fence",
            LockOp::List { .. } => "lock_list",
            LockOp::Member { .. } => "lock_member",
            LockOp::Admit { .. } => "lock_admit",
            LockOp::Authority => "lock_authority",
            LockOp::Move { .. } => "lock_move",
        }
    }

    /// Whether it changes nothing that matters when it is repeated or lost.
    pub fn is_read(&self) -> bool {
        matches!(self, LockOp::List { .. } | LockOp::Member { .. } | LockOp::Authority)
    }
}

impl From<LockOp> for Op {
    fn from(op: LockOp) -> Self {
        Op::Lock(op)
    }
}

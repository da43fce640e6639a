//! Locks that say what they guarantee: leases with fencing tokens, guards, waiting, leader election.
//! It must not know the front doors, routes or copies; a lock goes to its granters and nowhere else.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    clock::{Clock, Deadline},
    config::LocksConfig,
    entropy::Entropy,
    entry::Key,
    error::{Error, ErrorKind, Result},
    event::Events,
    live::LiveDuration,
    node::Node,
    op::{LockOp, LockPage},
    status::LocksStatus,
    task::Tasks,
};

mod acquire;
mod choose;
mod claims;
mod drift;
mod election;
mod guard;
mod hints;
mod lease;
mod modes;
mod releaser;
mod renew;
#[cfg(test)]
mod tests;
mod wait;

pub use election::{Campaign, Leadership, Term};
pub use guard::{LockGuard, Released};

use drift::Drift;
use hints::Hints;
use modes::Mode;
use releaser::Releaser;
use wait::Queues;

/// How a lock is asked for.
#[derive(Clone, Debug)]
pub struct LockOptions {
    /// How long the lease lasts; at most `locks.ttl_max`. Default 30 s, or `locks.ttl_max` where that is shorter.
    pub ttl: Option<Duration>,
    /// How long to wait while somebody else holds it; zero: not at all. Default `locks.wait_max`.
    pub wait: Option<Duration>,
    /// The least that the lock must guarantee; refused with `Unsupported` where it does not. Default: anything.
    pub require: Option<Guarantee>,
    /// Whether a guard renews its lease at a third of it, for as long as it lives. Default: yes.
    pub renew: bool,
    /// Who asks, shown to those who find it held; at most 255 bytes. Default: this process's identifier.
    pub note: Option<String>,
}

impl Default for LockOptions {
    fn default() -> Self {
        Self { ttl: None, wait: None, require: None, renew: true, note: None }
    }
}

impl LockOptions {
    /// The lease where the caller says nothing.
    pub const TTL: Duration = Duration::from_secs(30);
    /// The shortest lease: below it, a hiccup of the network ends it.
    pub const TTL_MIN: Duration = Duration::from_millis(100);
}

/// What a lock is worth. docs/locks.md says under which assumptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guarantee {
    /// Every process: one holder within the lease, and tokens that only rise.
    Fenced,
    /// Every process, as long as Redis loses nothing: for saving work, not for correctness. Its tokens may repeat.
    BestEffort,
    /// The processes of this host that open the same file.
    Host,
    /// This process.
    Process,
}

impl Guarantee {
    /// Whether it is at least what was asked for. `BestEffort` reaches further than `Host` and promises less: neither is
    /// the other.
    pub fn satisfies(self, wanted: Self) -> bool {
        match wanted {
            Guarantee::Fenced => self == Guarantee::Fenced,
            Guarantee::BestEffort => matches!(self, Guarantee::Fenced | Guarantee::BestEffort),
            Guarantee::Host => matches!(self, Guarantee::Fenced | Guarantee::Host),
            Guarantee::Process => self != Guarantee::BestEffort,
        }
    }

    /// What this word names.
    pub fn named(word: &str) -> Option<Self> {
        let all = [Self::Fenced, Self::BestEffort, Self::Host, Self::Process];
        all.into_iter().find(|guarantee| guarantee.as_str() == word)
    }

    /// The word for documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Guarantee::Fenced => "fenced",
            Guarantee::BestEffort => "best_effort",
            Guarantee::Host => "host",
            Guarantee::Process => "process",
        }
    }
}

/// Who grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockMode {
    /// One row of one database.
    Record,
    /// A majority of independent backends.
    Quorum,
    /// Redis while the database says so.
    Failover,
    /// One key of one Redis.
    Redis,
    /// A file of this host, or this process's memory.
    Local,
}

impl LockMode {
    /// The word for documents.
    pub fn as_str(self) -> &'static str {
        match self {
            LockMode::Record => "record",
            LockMode::Quorum => "quorum",
            LockMode::Failover => "failover",
            LockMode::Redis => "redis",
            LockMode::Local => "local",
        }
    }
}

/// What names one grant, without this process: enough to renew and to release it from anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The lock.
    pub name: Key,
    /// The random number under which it was granted; whoever knows it may renew and release.
    pub holder: u128,
    /// The fencing token. In failover mode the upper bits are the authority's epoch.
    pub token: u64,
}

/// A grant that nobody renews by himself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What names it.
    pub claim: Claim,
    /// How long it may be believed yet, drift allowed for.
    pub left: Duration,
    /// What it is worth.
    pub guarantee: Guarantee,
}

/// What asking for a lock gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The lock.
    Granted(Grant),
    /// Somebody else has it.
    Held {
        /// How long that lease lasts yet, unless it is renewed.
        left: Duration,
        /// Who, for people.
        note: String,
    },
}

/// The locks of one storage. Cheap to clone.
#[derive(Clone)]
pub struct Locks(pub(crate) Arc<Core>);

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locks").field("mode", &self.mode()).finish_non_exhaustive()
    }
}

/// Everything that a lock meets on its way.
pub(crate) struct Core {
    pub(crate) parts: Parts,
    /// None: no backend grants locks.
    pub(crate) mode: Option<Mode>,
    pub(crate) queues: Arc<Queues>,
    pub(crate) hints: Arc<Hints>,
    pub(crate) counts: Counts,
    pub(crate) releaser: Releaser,
}

/// What locks are made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: LocksConfig,
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) tasks: Tasks,
    pub(crate) events: Events,
    /// Per node: what its answers show of its clock.
    pub(crate) drifts: Vec<std::sync::Mutex<Drift>>,
    /// By when a call that says nothing wants an answer.
    pub(crate) deadline: LiveDuration,
    /// How long a call waits that does not say.
    pub(crate) wait_max: LiveDuration,
}

/// What happened since start, and what is.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) held: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) granted: AtomicU64,
    pub(crate) contended: AtomicU64,
    pub(crate) lost: AtomicU64,
}

impl Locks {
    /// From the parts of a storage. Starts what must run in the background.
    ///
    /// # Errors
    /// `InvalidArgument` when the configured backends cannot grant in the configured mode.
    pub(crate) fn new(parts: Parts) -> Result<Self> {
        let mode = choose::mode(&parts)?;
        let (releaser, due) = Releaser::new();
        let hints = Arc::new(Hints::new(parts.entropy.nonce(), parts.nodes.len()));
        let core = Arc::new(Core {
            parts,
            mode,
            queues: Arc::default(),
            hints,
            counts: Counts::default(),
            releaser,
        });
        releaser::start(&core, due);
        if let Some(mode) = &core.mode {
            mode.start(&core);
        }
        Ok(Self(core))
    }

    /// Takes over what may change while locks are held.
    pub(crate) fn reconfigure(&self, config: &LocksConfig, deadline: Duration) {
        self.0.parts.wait_max.set(config.wait_max);
        self.0.parts.deadline.set(deadline);
    }

    /// Who grants; `None`: nobody can.
    pub fn mode(&self) -> Option<LockMode> {
        self.0.mode.as_ref().map(Mode::word)
    }

    /// What its locks are worth; `None`: there are none.
    pub fn guarantee(&self) -> Option<Guarantee> {
        self.0.mode.as_ref().map(Mode::guarantee)
    }

    /// Asks for a lock, waiting as the options say; the caller renews and releases it by its claim. A dropped call
    /// releases what it may have been granted.
    ///
    /// # Errors
    /// `InvalidArgument`; `Unsupported` where the lock would not guarantee what is required; those of the backends.
    pub async fn ask(&self, name: impl Into<Key>, options: &LockOptions) -> Result<Asked> {
        claims::ask(&self.0, &name.into(), options).await
    }

    /// Renews a grant for this long, if its lease has not ended; `None`: it has. The caller must not believe a renewal
    /// that comes after its own deadline.
    ///
    /// # Errors
    /// Those of the backends: then the old lease stands.
    pub async fn renew(&self, claim: &Claim, ttl: Duration) -> Result<Option<Grant>> {
        claims::renew(&self.0, claim, ttl).await
    }

    /// Releases a grant.
    ///
    /// # Errors
    /// Those of the backends: it is not known whether it was released. It is tried again in the background.
    pub async fn release(&self, claim: &Claim) -> Result<Released> {
        claims::release(&self.0, claim).await
    }

    /// Some locks, for people. In quorum mode: as one member has them.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn list(&self, after: Option<Key>, limit: usize) -> Result<LockPage> {
        let node = self.0.mode()?.shown_by(&self.0.parts);
        let op = LockOp::List { after, limit: limit.clamp(1, 10_000) };
        let deadline = self.0.parts.clock.deadline_in(self.0.parts.deadline.get());
        self.0.parts.send(node, op, deadline).await?.into_locks()
    }

    /// The lock under a guard that renews it; `None`: somebody else has it still after the wait.
    pub(crate) async fn lock(&self, name: Key, options: &LockOptions) -> Result<Option<LockGuard>> {
        acquire::lock(&self.0, &name, options).await
    }

    /// A candidacy for the leadership of this name.
    pub(crate) fn campaign(&self, name: Key, options: LockOptions) -> Result<Campaign> {
        acquire::check(&self.0, &name, &options)?;
        Ok(Campaign::new(&self.0, name, options))
    }

    /// Why a wait was in vain.
    pub(crate) fn in_vain(&self, name: &Key) -> Error {
        let shown = String::from_utf8_lossy(name.as_bytes());
        let whose = if self.0.queues.is_held(name) {
            "this very process holds it: a lock is not re-entrant"
        } else {
            "another process holds it"
        };
        let message = format!("the lock {shown:?} did not become free in time: {whose}");
        Error::new(ErrorKind::DeadlineExceeded, message)
    }

    /// For the status document.
    pub(crate) fn status(&self) -> LocksStatus {
        let Core { counts, parts, mode, releaser, .. } = &*self.0;
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        LocksStatus {
            mode: self.mode().map_or("none", LockMode::as_str),
            guarantee: self.guarantee().map_or("none", Guarantee::as_str),
            backends: mode.iter().flat_map(|mode| mode.backends(parts)).collect(),
            authority: mode.as_ref().and_then(|mode| mode.authority(parts)),
            held: of(&counts.held),
            waiting: of(&counts.waiting),
            granted: of(&counts.granted),
            contended: of(&counts.contended),
            lost: of(&counts.lost),
            releasing: releaser.pending(),
            unreleased: releaser.given_up(),
        }
    }
}

impl Core {
    pub(crate) fn mode(&self) -> Result<&Mode> {
        self.mode.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "no backend of this storage can grant locks")
        })
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.parts.clock.deadline_in(self.parts.deadline.get())
    }
}

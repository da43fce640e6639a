//! Looks at who believes to hold each lock, at tokens and at fenced writes, and says what must not be.
//! It must not know how a lock is granted, nor why anything goes wrong.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mainstay::{Instant, LockGuard};

use crate::history::Micros;

/// The last events that are kept for a story.
const STORY_MAX: usize = 40;

/// Bits of a token below the epoch of the authority that gave it (docs/locks.md).
pub(super) const COUNTER_BITS: u32 = 43;

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// Two believed to hold one lock at one moment.
    TwoHolders,
    /// A lock was granted under a token that is not higher than each before.
    TokenOrder,
    /// A fenced write was applied after one of a later holder, or two wrote under one token.
    FencedOverlap,
    /// A lease that had ended lasts again.
    CameBack,
    /// A lock could not be had after everything was mended.
    HeldForEver,
}

/// What one holder believes, which he may look at at any time.
#[derive(Clone, Debug)]
pub(super) struct Belief(Arc<Mutex<Held>>);

/// By what it is held.
#[derive(Debug)]
pub(super) enum Held {
    /// A guard of the library.
    Guard(LockGuard),
    /// A claim, which its holder believes until then.
    Until(Instant),
    /// Given up.
    Nothing,
}

impl Belief {
    pub(super) fn new(held: Held) -> Self {
        Self(Arc::new(Mutex::new(held)))
    }

    pub(super) fn is_held(&self, now: Instant) -> bool {
        match &*self.lock() {
            Held::Guard(guard) => guard.is_held(),
            Held::Until(until) => now < *until,
            Held::Nothing => false,
        }
    }

    /// As its holder looks, before each step.
    pub(super) fn check(&self, now: Instant) -> bool {
        match &*self.lock() {
            Held::Guard(guard) => guard.check().is_ok(),
            Held::Until(until) => now < *until,
            Held::Nothing => false,
        }
    }

    /// It is believed that long instead.
    pub(super) fn extend(&self, until: Instant) {
        *self.lock() = Held::Until(until);
    }

    /// It is believed no more.
    pub(super) fn give_up(&self) -> Held {
        std::mem::replace(&mut *self.lock(), Held::Nothing)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One grant.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    /// Of this run: rises with each grant.
    pub(super) number: u64,
    pub(super) process: usize,
    pub(super) lock: u64,
    pub(super) token: u64,
    pub(super) belief: Belief,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {}, token {})", self.number, self.process, shown(self.token))
    }
}

/// A token for people: with its epoch before it, if it has one.
pub(super) fn shown(token: u64) -> String {
    let (epoch, counter) = (token >> COUNTER_BITS, token & ((1 << COUNTER_BITS) - 1));
    if epoch == 0 { counter.to_string() } else { format!("{epoch}/{counter}") }
}

/// What was seen of one lock.
#[derive(Debug, Default)]
struct Seen {
    holds: Vec<Hold>,
    highest: u64,
    /// The token and the holder of the last fenced write.
    wrote: Option<(u64, u64)>,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Judge {
    locks: BTreeMap<u64, Seen>,
    /// When each lease ends, by the clock of the server that granted it: by its run, name and holder.
    leases: BTreeMap<(u64, Vec<u8>, u128), i64>,
    /// Who was granted each lock last, by a run of a server and name.
    last: BTreeMap<(u64, Vec<u8>), u128>,
    found: Option<Found>,
    story: VecDeque<String>,
    pub(super) counts: Counts,
}

/// The first promise that was broken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) broken: Broken,
    pub(super) at: Micros,
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Locks that were granted.
    pub grants: u64,
    /// Fenced writes that were applied.
    pub writes: u64,
    /// Fenced writes that were refused for their token.
    pub refused: u64,
    /// Holders that found the lock lost when they looked.
    pub lost: u64,
    /// Moves of the authority, and members that were let vote.
    pub moves: u64,
}

impl Judge {
    /// Something that people may want to know.
    pub(super) fn tell(&mut self, at: Micros, text: impl fmt::Display) {
        if self.found.is_some() {
            return;
        }
        if self.story.len() == STORY_MAX {
            self.story.pop_front();
        }
        self.story.push_back(format!("{:>6}.{:03} ms  {text}", at / 1_000, at % 1_000));
    }

    /// A lock was granted, now.
    pub(super) fn granted(
        &mut self,
        at: Micros,
        now: Instant,
        (process, lock, token): (usize, u64, u64),
        belief: &Belief,
    ) -> Hold {
        self.counts.grants += 1;
        let number = self.counts.grants;
        self.tell(
            at,
            format_args!(
                "process {process} holds lock {lock}, token {}, as {number}",
                shown(token)
            ),
        );
        let hold = Hold { number, process, lock, token, belief: belief.clone() };
        let seen = self.locks.entry(lock).or_default();
        seen.holds.retain(|other| other.belief.is_held(now));
        seen.holds.push(hold.clone());
        let before = seen.highest;
        seen.highest = before.max(token);
        if token <= before {
            let told = format!("token {} of {number} after {}", shown(token), shown(before));
            self.broken(at, Broken::TokenOrder, &told);
        }
        self.look(at, now, lock);
        hold
    }

    /// Whether two believe in a lock.
    pub(super) fn look(&mut self, at: Micros, now: Instant, lock: u64) {
        let Some(seen) = self.locks.get(&lock) else { return };
        let held: Vec<String> = seen
            .holds
            .iter()
            .filter(|hold| hold.belief.is_held(now))
            .map(|hold| hold.to_string())
            .collect();
        if held.len() > 1 {
            let told = format!("lock {lock}: {}", held.join(" and "));
            self.broken(at, Broken::TwoHolders, &told);
        }
    }

    /// The process has ended: what it believed is returned, to be dropped elsewhere.
    pub(super) fn ended(&mut self, process: usize) -> Vec<Held> {
        let holds = self.locks.values().flat_map(|seen| &seen.holds);
        holds.filter(|hold| hold.process == process).map(|hold| hold.belief.give_up()).collect()
    }

    /// The database has applied a fenced write.
    pub(super) fn wrote(&mut self, at: Micros, lock: u64, token: u64, holder: u64) {
        self.counts.writes += 1;
        let before = self.locks.entry(lock).or_default().wrote.replace((token, holder));
        if before != Some((token, holder)) {
            self.tell(
                at,
                format_args!("{holder} has written under token {} of lock {lock}", shown(token)),
            );
        }
        if let Some((last, writer)) = before
            && (last > token || (last == token && writer != holder))
        {
            let told = format!("{holder} wrote under {token} after {writer} under {last}");
            self.broken(at, Broken::FencedOverlap, &told);
        }
    }

    /// A server has begun a lease, or begun it anew; `renewed`: it was asked to only where it lasts.
    pub(super) fn leased(
        &mut self,
        at: Micros,
        (run, name, holder): (u64, &[u8], u128),
        (now_us, ends_us): (i64, i64),
        renewed: bool,
    ) {
        let before = self.leases.insert((run, name.to_vec(), holder), ends_us);
        if now_us < ends_us {
            self.last.insert((run, name.to_vec()), holder);
        }
        // A server that was made from another's data has leases that were not seen here.
        if let Some(ended) = before
            && renewed
            && ended <= now_us
        {
            let late = now_us.saturating_sub(ended);
            let told = format!("a server renewed for {holder:x} what had ended {late} us ago");
            self.broken(at, Broken::CameBack, &told);
        }
    }

    /// Who was granted a lock last there; 0: nobody.
    pub(super) fn holder(&self, run: u64, name: &[u8]) -> u128 {
        self.last.get(&(run, name.to_vec())).copied().unwrap_or(0)
    }

    /// A promise is broken; the first one counts.
    pub(super) fn broken(&mut self, at: Micros, broken: Broken, told: &str) {
        self.tell(at, format_args!("WRONG: {broken:?}: {told}"));
        self.found.get_or_insert(Found { broken, at });
    }

    /// What was broken, and what had happened.
    pub(super) fn verdict(&self) -> (Option<Found>, Vec<String>) {
        (self.found, self.story.iter().cloned().collect())
    }
}

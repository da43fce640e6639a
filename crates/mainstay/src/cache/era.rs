//! How far what was kept may be believed: since when a feed has been unbroken, up to when it has told of changes, and
//! under which look at the record.
//! It must not know IO nor what is kept; time is an argument.
//!
//! A value that was read from the cache in this era is as new as everything that the cache had been told by the moment
//! up to which the feed has spoken. What was written around the cache is in the look, or has been drained before it: the
//! drain is told of like any change, but only a feed that has come as far as the look shows that it has been told.
//! Hence a look counts once the feed has passed the moment at which its answer was there.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;

use crate::{clock::Instant, entry::Key, sync::view::View};

/// From the moment that a feed began until it breaks.
#[derive(Debug)]
pub(crate) struct Era {
    /// Another than that of each before it in the same memory.
    pub(super) number: u32,
    /// The generation of the copies that are followed; `None`: nothing is followed, a value counts for its route's time.
    generation: Option<u64>,
    proof: ArcSwapOption<Proof>,
    /// A look that is newer than what has been told so far.
    next: Mutex<Option<Arc<View>>>,
}

/// What makes a hit true.
#[derive(Debug)]
struct Proof {
    /// Every change before this has been told.
    told: Instant,
    /// A look whose drained keys have been told.
    view: Arc<View>,
}

/// Why a kept value may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grounds {
    /// How much older than an acknowledged write it is at most.
    pub(crate) bound: Duration,
    /// Everything that was written before this moment is known.
    pub(crate) known: Instant,
}

impl Era {
    /// The number of the only one where nothing is followed.
    pub(super) const ALONE: u32 = 0;

    pub(super) fn new(number: u32, generation: Option<u64>) -> Self {
        Self { number, generation, proof: ArcSwapOption::empty(), next: Mutex::new(None) }
    }

    /// Whether copies of this generation may be kept.
    pub(crate) fn is_of(&self, generation: Option<u64>) -> bool {
        self.generation == generation
    }

    /// The feed has told of every change before this moment; `view` is the last look.
    pub(crate) fn told(&self, told: Instant, view: Option<Arc<View>>) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |view: &Arc<View>| view.heard() <= told;
        let before = || self.proof.load_full().map(|proof| Arc::clone(&proof.view));
        let view = view.filter(|view| self.generation == Some(view.control.generation));
        let counts = view.clone().filter(known).or_else(|| next.clone().filter(known));
        *next = view;
        if let Some(view) = counts.or_else(before) {
            self.proof.store(Some(Arc::new(Proof { told, view })));
        }
    }

    /// Whether a value of this key may be served now. `view`: the last look.
    pub(crate) fn vouches(
        &self,
        view: &View,
        key: &Key,
        now: Instant,
        suspended: Duration,
    ) -> Option<Grounds> {
        let proof = self.proof.load();
        let proof = proof.as_ref()?;
        let bound = view.control.terms.lease;
        let fresh = self.generation == Some(view.control.generation)
            && now < proof.told + bound
            && view.may_read(now, suspended)
            && proof.view.may_read(now, suspended);
        if !fresh || view.is_dirty(key) || proof.view.is_dirty(key) {
            return None;
        }
        let asked = proof.view.asked()?;
        Some(Grounds { bound, known: asked.min(proof.told) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        op::{Control, LeaseRow, Terms},
        sync::view::Lease,
    };

    const S: Duration = Duration::from_secs(1);
    const AWAKE: Duration = Duration::ZERO;

    fn look(generation: u64, asked: Instant, dirty: &[&str]) -> Arc<View> {
        let control = Control {
            id: 1,
            active: true,
            epoch: 1,
            generation,
            identity: "run".into(),
            beacon: 1,
            beacon_age: Duration::ZERO,
            reason: String::new(),
            terms: Terms { lease: 2 * S, mark: 5 * S, statement: S },
        };
        let dirty = dirty.iter().map(|key| Key::from(*key)).collect();
        let row = LeaseRow { control, dirty, more: false, now_us: 0 };
        let lease = Lease::new(asked, AWAKE, 2 * S, 0);
        Arc::new(View::new(row, Some(lease), asked + S / 100))
    }

    fn vouches(era: &Era, view: &View, now: Instant) -> bool {
        era.vouches(view, &"k".into(), now, AWAKE).is_some()
    }

    #[test]
    fn it_takes_a_feed_that_has_passed_the_look() {
        let start = Clock::system().now();
        let (era, view) = (Era::new(1, Some(7)), look(7, start + S, &[]));
        assert!(!vouches(&era, &view, start + S), "nothing has been told");
        era.told(start + S, Some(Arc::clone(&view)));
        assert!(!vouches(&era, &view, start + S), "what the look knows as drained is not told yet");
        era.told(start + S + S / 5, Some(Arc::clone(&view)));
        assert!(vouches(&era, &view, start + S + S / 5));
    }

    #[test]
    fn the_look_before_counts_until_the_feed_has_passed_the_next() {
        let start = Clock::system().now();
        let (old, new) = (look(7, start, &[]), look(7, start + S, &[]));
        let era = Era::new(1, Some(7));
        era.told(start + S / 2, Some(old));
        era.told(start + S, Some(Arc::clone(&new)));
        assert!(vouches(&era, &new, start + S));
        assert!(!vouches(&era, &new, start + 2 * S), "the lease of the look that counts has ended");
        // A newer one comes before each sign of life: the one before it has been passed.
        era.told(start + S + S / 2, Some(look(7, start + S + S / 2, &[])));
        assert!(vouches(&era, &new, start + 2 * S));
    }

    #[test]
    fn nothing_counts_a_lease_after_the_last_sign_of_life() {
        let start = Clock::system().now();
        let era = Era::new(1, Some(7));
        era.told(start + S / 10, Some(look(7, start, &[])));
        let fresh = look(7, start + S, &[]);
        assert!(vouches(&era, &fresh, start + S));
        era.told(start + S + S / 10, Some(Arc::clone(&fresh)));
        let later = look(7, start + 3 * S, &[]);
        assert!(vouches(&era, &later, start + S * 29 / 10));
        assert!(!vouches(&era, &later, start + S * 31 / 10));
    }

    #[test]
    fn not_a_dirty_key_another_generation_or_a_revoked_lease() {
        let start = Clock::system().now();
        let told = start + S / 10;
        let era = Era::new(1, Some(7));
        era.told(told, Some(look(7, start, &["k"])));
        let view = look(7, start, &[]);
        assert!(!vouches(&era, &view, told), "dirty in the look that counts");
        era.told(told, Some(Arc::clone(&view)));
        assert!(vouches(&era, &view, told));
        assert!(!vouches(&era, &look(7, told, &["k"]), told), "dirty in the last look");
        assert!(!vouches(&era, &look(8, told, &[]), told));
        view.revoke();
        assert!(!vouches(&era, &look(7, told, &[]), told));
    }
}

//! Bytes that all connections of a door hold in their buffers together.
//! It must not know what is in them, nor decide who has to give way.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A connection's buffers count in steps of this many bytes: small requests cost no shared write, and are free.
const STEP: u64 = 16 << 10;

/// A ceiling, and how much of it is held.
#[derive(Debug)]
pub(crate) struct Budget {
    max: AtomicU64,
    held: AtomicU64,
}

impl Budget {
    pub(crate) fn new(max: u64) -> Self {
        Self { max: AtomicU64::new(max), held: AtomicU64::new(0) }
    }

    pub(crate) fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// Another ceiling. What is held over a lower one stays; whoever grows gives way.
    pub(crate) fn set_max(&self, max: u64) {
        self.max.store(max, Ordering::Relaxed);
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

/// What one connection or one request holds of it; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    held: u64,
}

impl Share {
    /// What a connection may hold whatever the others do, so that small requests go on when large ones have taken all.
    pub(crate) const FREE: u64 = 64 << 10;

    /// Nothing yet.
    pub(crate) fn of(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), held: 0 }
    }

    /// What it holds, but for less than a step.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// From now on so many bytes. False: it has grown past what all may hold together, and is to give way.
    pub(crate) fn set(&mut self, bytes: u64) -> bool {
        let bytes = bytes - bytes % STEP;
        if bytes <= self.held {
            if bytes < self.held {
                self.budget.held.fetch_sub(self.held - bytes, Ordering::Relaxed);
                self.held = bytes;
            }
            return true;
        }
        let more = bytes - self.held;
        let all = self.budget.held.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        self.held = bytes;
        all <= self.budget.max() || bytes <= Self::FREE
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_grows_past_the_ceiling_gives_way_and_small_ones_never_do() {
        let budget = Arc::new(Budget::new(1 << 20));
        let (mut large, mut other) = (Share::of(&budget), Share::of(&budget));
        assert!(large.set(1 << 20));
        assert!(other.set(Share::FREE));
        assert!(!other.set(Share::FREE + STEP));
        // Who does not grow is left alone.
        assert!(large.set(1 << 20));
        drop(other);
        assert_eq!(budget.held(), 1 << 20);
        assert!(large.set(STEP - 1));
        assert_eq!(budget.held(), 0);
        large.set(5 * STEP);
        drop(large);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn another_ceiling_holds_for_who_grows() {
        let budget = Arc::new(Budget::new(1 << 20));
        let mut share = Share::of(&budget);
        assert!(share.set(1 << 20));
        budget.set_max(1 << 19);
        assert!(share.set(1 << 20), "who does not grow stays");
        assert!(!share.set((1 << 20) + STEP));
        budget.set_max(1 << 21);
        assert!(share.set(1 << 21));
    }
}

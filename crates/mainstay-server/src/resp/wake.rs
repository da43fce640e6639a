//! How one connection is woken: by its commands in flight, one bit each, and from outside, by signals.
//! It must not know what the commands do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{self, Waker},
};

use futures_util::task::AtomicWaker;

/// Commands in flight at most.
pub(super) const SLOTS_MAX: usize = 128;

/// Finish what is in progress, then close.
pub(super) const DRAIN: u8 = 1;

/// Close now.
pub(super) const KILL: u8 = 2;

/// Who wants the connection's attention.
#[derive(Debug, Default)]
pub(super) struct Wake {
    connection: AtomicWaker,
    slots: [AtomicU64; SLOTS_MAX / 64],
    signals: AtomicU8,
}

impl Wake {
    /// Wakes this task from now on. To be called before anything is looked at.
    pub(super) fn register(&self, waker: &Waker) {
        self.connection.register(waker);
    }

    /// Tells the connection.
    pub(super) fn signal(&self, signal: u8) {
        self.signals.fetch_or(signal, Ordering::Release);
        self.connection.wake();
    }

    /// There is something to be looked at.
    pub(super) fn rouse(&self) {
        self.connection.wake();
    }

    /// What it has been told.
    pub(super) fn has(&self, signal: u8) -> bool {
        self.signals.load(Ordering::Acquire) & signal != 0
    }

    /// Calls `each` with every slot that was woken since the last time.
    pub(super) fn drain_slots(&self, mut each: impl FnMut(usize)) {
        for (word, bits) in self.slots.iter().enumerate() {
            if bits.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut woken = bits.swap(0, Ordering::Acquire);
            while woken != 0 {
                each(word * 64 + woken.trailing_zeros() as usize);
                woken &= woken - 1;
            }
        }
    }

    /// A waker that sets this slot's bit.
    pub(super) fn waker(self: &Arc<Self>, slot: usize) -> Waker {
        debug_assert!(slot < SLOTS_MAX);
        Waker::from(Arc::new(SlotWaker { slot, wake: Arc::clone(self) }))
    }
}

struct SlotWaker {
    slot: usize,
    wake: Arc<Wake>,
}

impl task::Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let bit = 1 << (self.slot % 64);
        self.wake.slots[self.slot / 64].fetch_or(bit, Ordering::Release);
        self.wake.connection.wake();
    }
}

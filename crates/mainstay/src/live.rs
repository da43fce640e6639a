//! Settings that may be replaced while others read them: one load of an atomic for each look.
//! It must not know what they mean, nor who replaces them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};

/// A value that is replaced as a whole. For what is read seldom; what every operation reads is one of the numbers below.
pub(crate) struct Live<T>(ArcSwap<T>);

impl<T> Live<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(ArcSwap::from_pointee(value))
    }

    /// Borrowed for one look.
    pub(crate) fn get(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// For longer.
    pub(crate) fn full(&self) -> Arc<T> {
        self.0.load_full()
    }

    pub(crate) fn set(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A duration.
pub(crate) struct LiveDuration(AtomicU64);

impl LiveDuration {
    pub(crate) fn new(duration: Duration) -> Self {
        Self(AtomicU64::new(nanos(duration)))
    }

    pub(crate) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }

    pub(crate) fn set(&self, duration: Duration) {
        self.0.store(nanos(duration), Relaxed);
    }
}

/// A duration, or none.
pub(crate) struct LiveLimit(AtomicU64);

impl LiveLimit {
    /// Longer than anything lasts: none.
    const NONE: u64 = u64::MAX;

    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self(AtomicU64::new(limit.map_or(Self::NONE, nanos)))
    }

    pub(crate) fn get(&self) -> Option<Duration> {
        let nanos = self.0.load(Relaxed);
        (nanos != Self::NONE).then(|| Duration::from_nanos(nanos))
    }

    pub(crate) fn set(&self, limit: Option<Duration>) {
        self.0.store(limit.map_or(Self::NONE, nanos), Relaxed);
    }
}

/// A number of things or bytes.
pub(crate) struct LiveSize(AtomicUsize);

impl LiveSize {
    pub(crate) fn new(size: usize) -> Self {
        Self(AtomicUsize::new(size))
    }

    /// Of bytes, as a configuration has them.
    pub(crate) fn of_bytes(bytes: u64) -> Self {
        Self::new(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, size: usize) {
        self.0.store(size, Relaxed);
    }

    pub(crate) fn set_bytes(&self, bytes: u64) {
        self.set(Self::of_bytes(bytes).get());
    }
}

/// Yes or no.
pub(crate) struct LiveFlag(AtomicBool);

impl LiveFlag {
    pub(crate) fn new(yes: bool) -> Self {
        Self(AtomicBool::new(yes))
    }

    pub(crate) fn get(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, yes: bool) {
        self.0.store(yes, Relaxed);
    }
}

/// A copy has the value of the moment, and two are equal while their values are.
macro_rules! as_its_value {
    ($($name:ident),*) => {$(
        impl Clone for $name {
            fn clone(&self) -> Self {
                Self::new(self.get())
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.get() == other.get()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.get().fmt(f)
            }
        }
    )*};
}

as_its_value!(LiveDuration, LiveLimit, LiveSize, LiveFlag);

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1).min(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read() {
        let limit = LiveLimit::new(None);
        for value in [None, Some(Duration::ZERO), Some(Duration::from_millis(1500))] {
            limit.set(value);
            assert_eq!(limit.get(), value);
        }
        limit.set(Some(Duration::MAX));
        assert!(limit.get().is_some_and(|longest| longest > Duration::from_secs(1 << 33)));
        let (size, flag) = (LiveSize::of_bytes(u64::MAX), LiveFlag::new(false));
        assert_eq!((size.get(), flag.get()), (usize::MAX, false));
        size.set(3);
        size.set_bytes(u64::MAX);
        assert_eq!(size.get(), usize::MAX);
        let (whole, time) = (Live::new(1), LiveDuration::new(Duration::from_secs(1)));
        whole.set(2);
        time.set(Duration::from_secs(2));
        assert_eq!((**whole.get(), *whole.full(), time.get()), (2, 2, Duration::from_secs(2)));
        assert!(time == time.clone() && format!("{time:?}{whole:?}") == "2s2");
    }
}

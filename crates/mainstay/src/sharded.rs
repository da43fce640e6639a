//! What every call writes, kept apart by thread: a cache line that two cores write travels between them each time.
//! It must not know what is kept.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Parts; where there are more threads, some share one.
pub(crate) const SHARDS: usize = 8;

/// On cache lines of its own: two, for processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);

/// The part of this thread.
pub(crate) fn mine() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    MINE.with(|mine| *mine)
}

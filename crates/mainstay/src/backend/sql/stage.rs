//! How far a piece of work has come that one side waits for and another does.
//! It must not know what the work is.

use std::sync::atomic::{AtomicU8, Ordering};

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Shared by the one who waits and the one who works.
#[derive(Debug, Default)]
pub(super) struct Stage(AtomicU8);

impl Stage {
    /// False: the one who waits has given up before. What was undone may begin again.
    pub(super) fn begin(&self) -> bool {
        let swap = self.0.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire);
        swap != Err(GIVEN_UP)
    }

    /// What was begun came to nothing, and has not begun any more. False: it had not.
    pub(super) fn undo(&self) -> bool {
        let swap = self.0.compare_exchange(BEGUN, WAITING, Ordering::AcqRel, Ordering::Acquire);
        swap.is_ok()
    }

    /// True: the work will never begin. False: it has.
    pub(super) fn give_up(&self) -> bool {
        let swap = self.0.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire);
        swap != Err(BEGUN)
    }
}

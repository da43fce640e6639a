//! Any bytes as the rows of a question for changes.
//! It must not be called but by tests.

use super::marks::{Changed, Mark};

/// Takes any bytes.
///
/// # Panics
/// When marks are not in one order.
pub(crate) fn rows(bytes: &[u8]) {
    let mut marks: Vec<Mark> = Mark::read(bytes).into_iter().collect();
    marks.extend(Changed::read(bytes).into_iter().flatten().map(|changed| changed.mark));
    marks.sort();
    assert!(marks.is_sorted(), "{marks:?}");
}

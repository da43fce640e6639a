//! What keeps a cache true to its record, and moves what a lower backend took for a higher one.
//! It must not know the front doors.

#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "joined to the road in the next change")
)]
pub(crate) mod journal;
pub(crate) mod missed;
pub(crate) mod overflow;

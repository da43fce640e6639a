//! What keeps a cache true to its record, and moves what a lower backend took for a higher one.
//! It must not know the front doors.

pub(crate) mod missed;
pub(crate) mod overflow;

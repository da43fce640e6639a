//! How copies are kept true: leases, marks, dirty keys, readmission; what a lower backend took for a higher one.
//! It must not know the front doors, nor how an engine does its part.

pub(crate) mod audit;
pub(crate) mod domain;
pub(crate) mod drain;
#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "joined to the road in the next change")
)]
pub(crate) mod journal;
pub(crate) mod keeper;
pub(crate) mod mark;
pub(crate) mod overflow;
pub(crate) mod phase;
pub(crate) mod session;
pub(crate) mod verdict;
pub(crate) mod view;

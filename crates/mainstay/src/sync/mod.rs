//! How copies are kept true: leases, marks, dirty keys, readmission; what a lower backend took for a higher one.
//! It must not know the front doors, nor how an engine does its part.

pub(crate) mod audit;
pub(crate) mod backlog;
pub(crate) mod domain;
pub(crate) mod drain;
pub(crate) mod journal;
pub(crate) mod keeper;
pub(crate) mod mark;
pub(crate) mod merge;
pub(crate) mod overflow;
pub(crate) mod phase;
pub(crate) mod replay;
pub(crate) mod rows;
pub(crate) mod seen;
pub(crate) mod session;
pub(crate) mod verdict;
pub(crate) mod view;

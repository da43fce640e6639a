//! Copies of a record's values in a cache: what stands in the cache, and who may put it there.
//! It must not know routes or guards.

pub(crate) mod copy;

//! The Rust of the README and of the documentation, compiled by the documentation tests.
//! It must not be in the crate otherwise.

#[doc = include_str!("../../../README.md")]
struct Readme;

#[doc = include_str!("../../../docs/caching.md")]
struct Caching;

#[doc = include_str!("../../../docs/locks.md")]
struct Locks;

#[doc = include_str!("../../../docs/tutorials/rust.md")]
struct Tutorial;

//! How a lock stays one lock, as models that are explored in every state they can reach: one module for each protocol.
//! It must not know the library: the words are those of chapter 8 of the design, and a reader can lay the two side by side.
//!
//! - [`record`]: one row grants. `row` is `mainstay::backend::semantics::locks::Row`.
//! - [`failover`]: Redis grants while the record says so; then the record does.
//! - [`quorum`]: a majority of three backends grants, in two phases; no clock is trusted with the tokens.
//!
//! Messages arrive late, in any order, or never; a process that stalls simply takes no step while time passes. Each
//! `explore` answers with the number of states, or with the shortest story of how a promise was broken; docs/adr/0011 says
//! what is assumed and left out.

#[cfg(test)]
mod checks;
mod fleet;
mod row;

pub mod failover;
pub mod quorum;
pub mod record;

/// Clients by letter, for the stories.
fn client(at: impl Into<usize>) -> char {
    "ABCDEFGH".chars().nth(at.into()).unwrap_or('?')
}

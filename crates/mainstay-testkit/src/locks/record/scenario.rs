//! How large a world is explored, and the rules that can be left out.
//! It must not know how a step is carried out.

/// The bounds of one exploration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// For the tables.
    pub name: &'static str,
    /// Processes.
    pub clients: u8,
    /// How many acquisitions each of them may begin.
    pub acquisitions: u8,
    /// The length of a lease, in ticks.
    pub ttl: u8,
}

/// One rule left out of the protocol. Each gives a counter-example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakening {
    /// A release frees the lock whoever holds it.
    ReleaseWithoutHolder,
    /// A renewal brings a lease back that has ended.
    RenewalIgnoresExpiry,
    /// Whoever replaces a holder whose lease has ended gets the same token.
    ExpiryKeepsToken,
}

impl Weakening {
    /// All of them.
    pub const ALL: [Self; 3] =
        [Self::ReleaseWithoutHolder, Self::RenewalIgnoresExpiry, Self::ExpiryKeepsToken];
}

/// Seconds in all.
pub fn small() -> Vec<Scenario> {
    vec![Scenario { name: "record: two", clients: 2, acquisitions: 2, ttl: 2 }]
}

/// Seconds more.
pub fn full() -> Vec<Scenario> {
    vec![
        Scenario { name: "record: two, thrice", clients: 2, acquisitions: 3, ttl: 3 },
        Scenario { name: "record: three", clients: 3, acquisitions: 2, ttl: 2 },
    ]
}

/// A small scenario in which leaving this rule out gives a wrong answer.
pub fn catching(_: Weakening) -> Scenario {
    Scenario { name: "for one weakening", clients: 2, acquisitions: 2, ttl: 2 }
}

//! How large a world is explored, and the rules that can be left out.
//! It must not know how a step is carried out.

/// The bounds of one exploration; three backends, one lock: locks share only a member's standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// For the tables.
    pub name: &'static str,
    /// How many acquisitions: by as many clients, or one after the other by fewer.
    pub acquisitions: u8,
    /// How often a backend may forget everything; never while another one is out.
    pub amnesia: u8,
}

/// One rule left out of the protocol. Each gives a counter-example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakening {
    /// Each backend counts its own grants; the token is the highest counter; there is no second phase.
    CountedPerBackend,
    /// The token is one more than the highest counter, and is written back nowhere.
    NotWrittenBack,
    /// One commit is enough for the lock.
    MinorityCommits,
    /// A commit is performed though the counter is as high already.
    CommitOverwrites,
    /// A backend that has forgotten does not sit out: it takes counters and votes.
    NoSittingOut,
    /// A backend that has forgotten takes the counters first, then sits out, then votes.
    CountersTakenTooSoon,
    /// A backend that has forgotten takes the counter of one other, which is no majority of the others.
    CounterOfOneOther,
    /// One grant is enough to choose a token.
    MinorityGrants,
    /// A commit does not look whose lease it is.
    CommitIgnoresHolder,
}

impl Weakening {
    /// All that the tokens rest on, in the order of the protocol.
    pub const ALL: [Self; 7] = [
        Self::CountedPerBackend,
        Self::NotWrittenBack,
        Self::MinorityCommits,
        Self::CommitOverwrites,
        Self::NoSittingOut,
        Self::CountersTakenTooSoon,
        Self::CounterOfOneOther,
    ];

    /// What the tokens do not rest on: these rules are there so that there is one holder at a time.
    pub const SPARE: [Self; 2] = [Self::MinorityGrants, Self::CommitIgnoresHolder];
}

/// Seconds in all.
pub fn small() -> Vec<Scenario> {
    vec![
        Scenario { name: "quorum: two", acquisitions: 2, amnesia: 0 },
        Scenario { name: "quorum: two, amnesia", acquisitions: 2, amnesia: 1 },
    ]
}

/// Minutes in all, the largest last.
pub fn full() -> Vec<Scenario> {
    vec![
        Scenario { name: "quorum: two, amnesia twice", acquisitions: 2, amnesia: 2 },
        Scenario { name: "quorum: three", acquisitions: 3, amnesia: 0 },
        Scenario { name: "quorum: three, amnesia", acquisitions: 3, amnesia: 1 },
    ]
}

/// A small scenario in which leaving this rule out gives a wrong answer.
pub fn catching(weakening: Weakening) -> Scenario {
    use Weakening::{CounterOfOneOther, CountersTakenTooSoon, NoSittingOut};
    let forgets = matches!(weakening, NoSittingOut | CountersTakenTooSoon | CounterOfOneOther);
    Scenario { name: "for one weakening", acquisitions: 2, amnesia: forgets.into() }
}

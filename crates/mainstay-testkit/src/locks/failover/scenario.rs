//! How large a world is explored, and the rules that can be left out.
//! It must not know how a step is carried out.

/// The bounds of one exploration. Time has no end; lengths are in ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// For the tables.
    pub name: &'static str,
    /// Processes.
    pub clients: u8,
    /// How many acquisitions each of them may begin.
    pub acquisitions: u8,
    /// The length of a lease.
    pub ttl: u8,
    /// How long Redis may be asked after a look at the authority (Ta).
    pub view: u8,
    /// How often the authority may move.
    pub moves: u8,
    /// How often another Redis may take the place of the one that there is, without its data.
    pub losses: u8,
}

/// One rule left out of the protocol. Each gives a counter-example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakening {
    /// The authority moves from Redis to the record, which grants at once.
    NoWaitAtHandover,
    /// The record waits one tick less than the view and the lease.
    WaitTooShort,
    /// The authority moves from the record to Redis, which grants at once.
    NoWaitOnTheWayBack,
    /// A look at the authority is good for ever.
    NoViewLease,
    /// The token is the counter of whoever has granted it.
    TokenWithoutEpoch,
    /// A release frees the lock whoever holds it.
    ReleaseWithoutHolder,
    /// A lease counts from the reply, not from the moment at which the view was looked at before the request was sent.
    LeaseCountsFromReply,
    /// The record grants and renews under an epoch that it has seen the end of.
    RecordDoesNotLook,
    /// A move forgets what is left of the wait of the move before.
    MoveForgetsWait,
    /// Any Redis grants, also one that has taken the other's place since the epoch began.
    AnyRedisGrants,
}

impl Weakening {
    /// All of them, in the order of the protocol.
    pub const ALL: [Self; 10] = [
        Self::NoWaitAtHandover,
        Self::WaitTooShort,
        Self::NoWaitOnTheWayBack,
        Self::NoViewLease,
        Self::TokenWithoutEpoch,
        Self::ReleaseWithoutHolder,
        Self::LeaseCountsFromReply,
        Self::RecordDoesNotLook,
        Self::MoveForgetsWait,
        Self::AnyRedisGrants,
    ];
}

const TWO: Scenario = Scenario {
    name: "for one weakening",
    clients: 2,
    acquisitions: 1,
    ttl: 2,
    view: 1,
    moves: 2,
    losses: 0,
};

/// Seconds in all.
pub fn small() -> Vec<Scenario> {
    vec![
        Scenario { name: "failover: there and back", ..TWO },
        Scenario { name: "failover: promotion", losses: 1, moves: 1, ..TWO },
    ]
}

/// Minutes in all, the largest last.
pub fn full() -> Vec<Scenario> {
    vec![
        Scenario { name: "failover: long leases", ttl: 3, view: 2, ..TWO },
        Scenario { name: "failover: three moves, promotion", moves: 3, losses: 1, ..TWO },
        Scenario { name: "failover: two each", moves: 1, acquisitions: 2, ..TWO },
        Scenario { name: "failover: three clients", clients: 3, moves: 1, ..TWO },
    ]
}

/// A small scenario in which leaving this rule out gives a wrong answer.
pub fn catching(weakening: Weakening) -> Scenario {
    match weakening {
        Weakening::ReleaseWithoutHolder => Scenario { acquisitions: 2, moves: 0, ..TWO },
        Weakening::AnyRedisGrants => Scenario { losses: 1, moves: 0, ..TWO },
        Weakening::NoWaitOnTheWayBack
        | Weakening::RecordDoesNotLook
        | Weakening::MoveForgetsWait => TWO,
        _ => Scenario { moves: 1, ..TWO },
    }
}

//! How large a world is explored: who writes what, who reads, and which faults may strike.
//! It must not know how a step is carried out.

/// What a route promises its readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Promise {
    /// Linearizable per key: a write around Redis waits for the leases that do not know it.
    Strict,
    /// Stale for at most one lease, and only while some process cannot reach Redis.
    Bounded,
}

/// One write, by a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    /// A new value.
    Set,
    /// A new value that the record lets expire.
    SetMortal,
    /// A tombstone.
    Delete,
    /// A new value in place of the version that the writer saw when it began, and of no other.
    CompareAndSet,
}

/// How writers reach Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// Marks arrive; publishes may be late or lost.
    Good,
    /// A mark may be lost or late; its writer goes around Redis.
    Bad,
    /// The last writer does not reach Redis; the marks of the others arrive.
    LastGone,
    /// No writer reaches Redis.
    Gone,
}

/// The bounds of one exploration. One key: keys share nothing but the control row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scenario {
    /// For the tables.
    pub name: &'static str,
    /// Strict or bounded.
    pub promise: Promise,
    /// One writer each. Writer `n` and reader `n` are one process.
    pub writes: Vec<Write>,
    /// How many processes read.
    pub readers: u8,
    /// How many reads each of them makes.
    pub reads: u8,
    /// How often one write may be tried (1 to 3).
    pub attempts: u8,
    /// How writers reach Redis.
    pub link: Link,
    /// How often the whole cache may be degraded without a restart of Redis.
    pub degradations: u8,
    /// How often Redis may restart with an old snapshot.
    pub restarts: u8,
    /// Whether values may leave Redis at any time (time to live, eviction).
    pub values_vanish: bool,
    /// How often Redis may evict a mark. Where it may, a write is acknowledged only when its publish has found its mark or
    /// the key has been drained, or is dirty and the leases have been waited for; and the promise is less: no read that begins after the
    /// acknowledgement returns an older version, though reads during the write may disagree.
    pub mark_evictions: u8,
    /// Whether connections may come to lead to another server than the one that the record means, while that one is read on.
    pub strays: bool,
    /// How many drains may be under way at once.
    pub drainers: u8,
}

impl Scenario {
    /// One writer, one reader, one read, no faults but late messages.
    pub const fn calm(name: &'static str) -> Self {
        Self {
            name,
            promise: Promise::Strict,
            writes: Vec::new(),
            readers: 1,
            reads: 1,
            attempts: 1,
            link: Link::Good,
            degradations: 0,
            restarts: 0,
            values_vanish: false,
            mark_evictions: 0,
            strays: false,
            drainers: 1,
        }
    }
}

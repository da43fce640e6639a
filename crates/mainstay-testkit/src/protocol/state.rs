//! The world between two steps: the record, Redis, the processes, the messages under way, and the witness.
//! It must not know which steps are allowed.

use super::entry::{Entry, Value};
use super::scenario::Scenario;

/// D: every field changes in transactions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) row: Value,
    pub(crate) control: Control,
    /// Whether the key has a dirty row. Its number is only ever compared with the one that a drain has read: see `Draining`.
    /// Its age is what the leases know: those that were granted since it was made have it in their dirty set.
    pub(crate) dirty: bool,
    /// Some dirty row has been old enough: only for the weakening in which that outlives the row.
    pub(crate) aged: bool,
    /// The version that has outlived its time, if any.
    pub(crate) expired: Option<u8>,
}

/// The control row of one cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Control {
    pub(crate) active: bool,
    pub(crate) epoch: u8,
    pub(crate) generation: u8,
    /// The Redis that was readmitted: run id and replication id.
    pub(crate) incarnation: u8,
}

/// R: one entry for each generation of the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Redis {
    pub(crate) incarnation: u8,
    pub(crate) entries: Vec<Entry>,
}

/// What a process learnt of the control row when it set out, and which Redis its connection led to then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub(crate) epoch: u8,
    pub(crate) generation: u8,
    pub(crate) incarnation: u8,
}

/// How far a write has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Writing {
    Idle,
    /// Has read the control row.
    Ready(View),
    /// Its mark stands.
    Marked(View),
    /// Its statement has compared epoch and deadline; the commit is not visible yet.
    Committing(View),
    /// Redis did not answer or is not known to be the right one, or the cache is degraded: the commit goes around it, and
    /// is sent again until it is performed.
    Around,
    /// In a transaction that has seen the cache degraded.
    InDegraded,
    /// Visible in the record, not acknowledged.
    Committed(Value),
    /// The same, and nothing older can be read: its publish has found its mark, or it has drained the key, or the key is
    /// dirty and known to be.
    Confirmed(Value),
    Done,
}

/// One process that writes once, and its messages under way to Redis.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Writer {
    pub(crate) writing: Writing,
    pub(crate) attempt: u8,
    /// What a compare-and-set expects.
    pub(crate) expected: u8,
    pub(crate) late_mark: Option<(u8, u16)>,
    /// The last: whether it is clean.
    pub(crate) late_unmark: Option<(u8, u16, bool)>,
    pub(crate) publish: Option<(u8, u16, Value)>,
}

/// Leave to read from Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) view: View,
    /// The key is in its dirty set.
    pub(crate) dirty: bool,
    /// Only the witness reads it: the promise allows staleness until this lease ends.
    pub(crate) excused: bool,
}

/// How far a read has come. The floor is the newest serial that anyone had seen when it began. A read that needs
/// no reply of Redis begins when the record answers: beginning earlier would only lower its floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    Idle,
    /// A GET is under way to Redis; the lease is the one that the read set out under, `None` once it has ended.
    Asked {
        floor: u8,
        generation: u8,
        lease: Option<Lease>,
    },
    /// Redis replied with a value.
    Replied {
        floor: u8,
        lease: Option<Lease>,
        value: Value,
    },
    /// Redis replied that it has nothing.
    Missed {
        floor: u8,
        generation: u8,
    },
    /// Goes to the record, with or without a token.
    AtRecord {
        floor: u8,
        token: Option<(u8, u8)>,
    },
    /// The record has answered; only where waiters take another's answer is this a state of its own.
    Answered {
        floor: u8,
        value: Value,
    },
}

/// One process that reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reader {
    pub(crate) reading: Reading,
    pub(crate) reads: u8,
    pub(crate) lease: Option<Lease>,
    pub(crate) fill: Option<(u8, u8, Value)>,
    /// The newest version that this session has seen or written.
    pub(crate) session: u8,
    /// The same by serial, for the witness.
    pub(crate) session_serial: u8,
}

/// A drain under way. `same`: the dirty row still is the one that was read. A row's number rises with each write around
/// the cache and is never used again, so this is all that comparing numbers can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Draining {
    Idle,
    Selected { same: bool, generation: u8 },
    Drained { same: bool },
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wrong {
    StaleRead { got: u8, known: u8 },
    SessionWentBack { got: u8, known: u8 },
    AppliedTwice { writer: u8 },
}

/// What an onlooker knows who sees every answer at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Witness {
    /// The newest serial that a finished operation has shown.
    pub(crate) seen: u8,
    /// Writers whose write has become visible; a bit each.
    pub(crate) applied: u8,
    pub(crate) wrong: Option<Wrong>,
}

/// The world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) record: Record,
    pub(crate) redis: Redis,
    pub(crate) writers: Vec<Writer>,
    pub(crate) readers: Vec<Reader>,
    pub(crate) drains: Vec<Draining>,
    pub(crate) degradations: u8,
    pub(crate) evictions: u8,
    pub(crate) witness: Witness,
}

/// The value that is there from the beginning.
pub(crate) const FIRST: Value = Value { version: 1, serial: 1, deleted: false, mortal: false };

impl State {
    /// The first value is in the record, in Redis what is given.
    pub(crate) fn new(scenario: &Scenario, entry: Entry) -> Self {
        let control = Control { active: true, epoch: 0, generation: 0, incarnation: 0 };
        let writer = Writer {
            writing: Writing::Idle,
            attempt: 0,
            expected: 0,
            late_mark: None,
            late_unmark: None,
            publish: None,
        };
        let reader = Reader {
            reading: Reading::Idle,
            reads: 0,
            lease: None,
            fill: None,
            session: 1,
            session_serial: 1,
        };
        let generations = 1 + usize::from(scenario.degradations + scenario.restarts);
        let mut entries = vec![Entry::Absent; generations];
        entries[0] = entry;
        Self {
            record: Record { row: FIRST, control, dirty: false, aged: false, expired: None },
            redis: Redis { incarnation: 0, entries },
            writers: vec![writer; scenario.writes.len()],
            readers: vec![reader; scenario.readers.into()],
            drains: vec![Draining::Idle; scenario.drainers.into()],
            degradations: 0,
            evictions: 0,
            witness: Witness { seen: 1, applied: 0, wrong: None },
        }
    }

    /// The entry of a generation; late messages reach old ones.
    pub(crate) fn entry(&mut self, generation: u8) -> &mut Entry {
        &mut self.redis.entries[usize::from(generation)]
    }

    /// Makes the key dirty, or raises the number of its row.
    pub(crate) fn make_dirty(&mut self) {
        self.record.dirty = true;
        self.outdate_drains();
    }

    /// The dirty row is deleted.
    pub(crate) fn make_clean(&mut self) {
        self.record.dirty = false;
        self.outdate_drains();
    }

    /// The row that drains have read is no more.
    fn outdate_drains(&mut self) {
        for drain in &mut self.drains {
            if let Draining::Selected { same, .. } | Draining::Drained { same } = drain {
                *same = false;
            }
        }
    }

    /// Staleness is allowed until these leases end.
    pub(crate) fn excuse(&mut self, which: impl Fn(&Lease) -> bool) {
        self.leases().filter(|lease| which(lease)).for_each(|lease| lease.excused = true);
    }

    /// Every lease under which a value may still be served: held, or asked under by a read in flight.
    fn leases(&mut self) -> impl Iterator<Item = &mut Lease> {
        self.readers.iter_mut().flat_map(|reader| {
            let asked = match &mut reader.reading {
                Reading::Asked { lease, .. } | Reading::Replied { lease, .. } => lease.as_mut(),
                _ => None,
            };
            reader.lease.as_mut().into_iter().chain(asked)
        })
    }

    /// Whether some lease passes the test.
    pub(crate) fn any_lease(&self, test: impl Fn(&Lease) -> bool) -> bool {
        self.readers.iter().any(|reader| {
            let asked = asked_under(&reader.reading);
            reader.lease.iter().chain(&asked).any(&test)
        })
    }
}

/// The lease that a read in flight set out under, while it lasts.
pub(crate) fn asked_under(reading: &Reading) -> Option<Lease> {
    match reading {
        Reading::Asked { lease, .. } | Reading::Replied { lease, .. } => *lease,
        _ => None,
    }
}

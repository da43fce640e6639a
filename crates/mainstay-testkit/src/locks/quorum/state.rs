//! The world between two steps: three members, the acquisitions, and the witness.
//! It must not know which steps are allowed.

/// Independent backends.
pub(crate) const MEMBERS: usize = 3;
/// More than half of them.
pub(crate) const MAJORITY: u32 = 2;

/// Members, a bit each.
pub(crate) type Set = u8;

/// One backend's idea of the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    /// Whose lease it is.
    pub(crate) holder: Option<u8>,
    pub(crate) counter: u8,
    pub(crate) standing: Standing,
}

/// Whether a backend may vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    Votes,
    /// Has forgotten, and lets the longest lease pass.
    SitsOut(Taken),
    /// Asks the others for their counters.
    Asks(Taken),
}

/// What a member that has forgotten was told by others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Taken {
    pub(crate) from: Set,
    pub(crate) floor: u8,
}

/// How far an acquisition has come. It begins with the first grant that arrives, and is finished with the commit that makes
/// a majority: sooner or later would only lower what is asked of the others. The floor is the highest token that was
/// finished when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Acquisition {
    Idle,
    Asking {
        floor: u8,
        counted: [Option<u8>; MEMBERS],
    },
    Committing {
        floor: u8,
        token: u8,
        counted: Set,
        committed: Set,
    },
    Finished {
        token: u8,
    },
    /// Took longer than its lease.
    Over,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wrong {
    Twice { by: u8, token: u8 },
    NotHigher { by: u8, token: u8, known: u8 },
}

/// The world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) members: [Member; MEMBERS],
    pub(crate) acquisitions: Vec<Acquisition>,
    /// How often a member has forgotten.
    pub(crate) forgotten: u8,
    /// Tokens of finished acquisitions, a bit each.
    pub(crate) given: u32,
    pub(crate) wrong: Option<Wrong>,
}

impl State {
    /// Nothing was ever granted.
    pub(crate) fn new(acquisitions: u8) -> Self {
        let member = Member { holder: None, counter: 0, standing: Standing::Votes };
        Self {
            members: [member; MEMBERS],
            acquisitions: vec![Acquisition::Idle; acquisitions.into()],
            forgotten: 0,
            given: 0,
            wrong: None,
        }
    }

    /// The highest token of a finished acquisition.
    pub(crate) fn highest(&self) -> u8 {
        (0..32).rev().find(|at| self.given & 1 << at != 0).unwrap_or(0)
    }

    /// An acquisition that began above `floor` has its token.
    pub(crate) fn finish(&mut self, by: usize, floor: u8, token: u8) {
        let name = u8::try_from(by).unwrap_or(u8::MAX);
        if self.given & 1 << token != 0 {
            self.wrong = Some(Wrong::Twice { by: name, token });
        } else if token <= floor {
            self.wrong = Some(Wrong::NotHigher { by: name, token, known: floor });
        }
        self.given |= 1 << token;
        self.acquisitions[by] = Acquisition::Finished { token };
    }
}

impl Acquisition {
    /// Whether it rests on what this member has said.
    pub(crate) fn counts_on(&self, member: usize) -> bool {
        match self {
            Self::Asking { counted, .. } => counted[member].is_some(),
            Self::Committing { counted, committed, .. } => (counted | committed) & bit(member) != 0,
            Self::Idle | Self::Finished { .. } | Self::Over => false,
        }
    }
}

/// A set of one.
pub(crate) fn bit(member: usize) -> Set {
    1 << member
}

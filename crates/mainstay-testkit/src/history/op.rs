//! One call of a run, when it began and how it ended.
//! It must not judge.

use std::sync::Arc;

use super::call::{Ack, Call, Outcome, ReadOutcome, Version, WriteOutcome};

/// Microseconds of the run's one clock.
pub type Micros = u64;
/// A process that uses the library.
pub type ClientId = u32;
/// A session, unique in the run.
pub type SessionId = u32;

/// Names a call of one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u32);

/// A place in the order of events: the time, and among equal times the order of recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The time.
    pub t: Micros,
    /// The number of the event, from 1.
    pub event: u64,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No answer was recorded: it may take effect at any time.
    Open,
    /// It was answered.
    Ok(Outcome, Moment),
    /// It was certainly not executed.
    Failed(Moment),
    /// The client gave up at this moment: it may have been executed, or be executed later.
    Unknown(Moment),
}

/// Whether a call changed its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It did not.
    Never,
    /// It may have, at any time since it began: no answer, or one that promises less than durability.
    Maybe,
    /// It did before it was answered, and the record has it.
    Certain,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Its name.
    pub id: OpId,
    /// Who called.
    pub client: ClientId,
    /// In which session.
    pub session: SessionId,
    /// On which key.
    pub key: Arc<str>,
    /// What was asked.
    pub call: Call,
    /// When it began.
    pub invoked: Moment,
    /// How it ended.
    pub fate: Fate,
}

impl Moment {
    /// Before every event.
    pub const MIN: Self = Self { t: 0, event: 0 };
    /// After every event.
    pub const MAX: Self = Self { t: Micros::MAX, event: u64::MAX };
}

impl Op {
    /// The latest moment at which it can have taken effect: its answer, or [`Moment::MAX`] where the answer does not
    /// say that it had (also of a journaled write: the record gets it later).
    #[must_use]
    pub fn finish(&self) -> Moment {
        match self.fate {
            _ if self.effect() == Effect::Maybe => Moment::MAX,
            Fate::Ok(_, at) | Fate::Failed(at) => at,
            Fate::Open | Fate::Unknown(_) => Moment::MAX,
        }
    }

    /// When the client went on, if it did.
    #[must_use]
    pub fn ended(&self) -> Option<Moment> {
        match self.fate {
            Fate::Ok(_, at) | Fate::Failed(at) | Fate::Unknown(at) => Some(at),
            Fate::Open => None,
        }
    }

    /// The answer of a get.
    #[must_use]
    pub fn read(&self) -> Option<&ReadOutcome> {
        match &self.fate {
            Fate::Ok(Outcome::Read(read), _) => Some(read),
            Fate::Ok(Outcome::Write(_), _) | Fate::Open | Fate::Failed(_) | Fate::Unknown(_) => {
                None
            }
        }
    }

    /// The answer of anything but a get.
    #[must_use]
    pub fn write(&self) -> Option<&WriteOutcome> {
        match &self.fate {
            Fate::Ok(Outcome::Write(write), _) => Some(write),
            Fate::Ok(Outcome::Read(_), _) | Fate::Open | Fate::Failed(_) | Fate::Unknown(_) => None,
        }
    }

    /// Whether it changed its key.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match (&self.call, &self.fate) {
            (Call::Get, _) | (_, Fate::Failed(_)) => Effect::Never,
            (_, Fate::Open | Fate::Unknown(_)) => Effect::Maybe,
            (_, Fate::Ok(Outcome::Read(_), _)) => Effect::Never,
            (_, Fate::Ok(Outcome::Write(write), _)) => match (write.applied, write.ack) {
                (false, _) => Effect::Never,
                (true, Ack::Durable) => Effect::Certain,
                (true, Ack::Journaled | Ack::Volatile) => Effect::Maybe,
            },
        }
    }

    /// The version of a write that was acknowledged as durable, if it was told.
    #[must_use]
    pub fn durable_version(&self) -> Option<Version> {
        if self.effect() == Effect::Certain { self.write()?.version } else { None }
    }

    /// Whether it had taken effect before `other` began.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        self.finish() < other.invoked
    }
}

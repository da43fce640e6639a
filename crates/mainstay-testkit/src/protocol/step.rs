//! The steps that the world can take; each is one statement, one script, or one message that arrives.
//! It must not know when a step is allowed or what it does.

/// Indices name writers, readers and drains; the last of a mark's expiry is its nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Write(usize, WriteStep),
    Read(usize, ReadStep),
    Drain(usize),
    DrainStrays(usize),
    Control(ControlStep),
    MarkExpires(u8, u16),
    TokenExpires(u8),
    ValueVanishes(u8),
    MarkIsEvicted(u8),
}

/// A step of one writer, or of one of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WriteStep {
    Begin,
    Mark,
    MarkStrays,
    MarkTimesOut,
    MarkArrivesLate,
    UnmarkArrives,
    Check,
    GiveUp,
    Commit,
    Abort,
    Repeat,
    RetryUnknown,
    PublishArrives,
    DrainArrives,
    DrainStrays,
    MakeDirty,
    Acknowledge,
    SendAround,
    CommitInDegraded,
}

/// A step of one reader, or of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ReadStep {
    Renew,
    LeaseEnds,
    Ask,
    RedisReplies,
    Serve,
    TakeToken,
    TokenArrivesAgain,
    ReadRecord,
    Return,
    Join(usize),
    FillArrives,
}

/// A whole-cache event, or one of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ControlStep {
    Degrade,
    Readmit,
    RedisRestarts,
    RecordExpires,
}

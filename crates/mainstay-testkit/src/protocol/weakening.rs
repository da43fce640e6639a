//! The rules of the protocol that can be left out, one at a time.
//! It must not know how a rule is carried out: the steps ask whether it is left out.

/// One rule left out of the protocol. Each gives a counter-example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weakening {
    /// A write commits without having marked the key in Redis.
    NoMark,
    /// A reader stores what it read from the record whenever it finds nothing or an older value.
    FillWithoutToken,
    /// A request for a fill token is sent again under the same token.
    TokenReused,
    /// A publish overwrites whatever it finds.
    PublishUnconditionally,
    /// A mark may expire while its write can still commit (deadline plus statement time not below the mark's life).
    MarkMayExpire,
    /// A mark is sent again under its nonce: by the writer, by the guard's retry, or by the driver.
    NonceReused,
    /// It is not looked again, after the reply to a mark, which server has answered.
    MarkNotVerified,
    /// A commit does not compare the epoch that its mark was made under.
    CommitIgnoresEpoch,
    /// A commit that timed out is sent again.
    UnknownCommitRetried,
    /// A mark under which something was, or may have been, committed is taken back as clean.
    UncleanLeavesValue,
    /// A delete forgets the key's version, so that the next write starts anew.
    DeleteForgetsVersion,
    /// A copy's time to live counts from when Redis stores it, not from its mark or token.
    TtlCountsFromStore,
    /// A mark that expires does not taint those that stand beside it.
    ExpiryDoesNotTaint,
    /// A drain leaves marks untainted.
    DrainDoesNotTaint,
    /// A drain does not look which server has answered.
    DrainNotVerified,
    /// The dirty row is deleted though its number has risen since it was read.
    DirtyRowDeletedUnconditionally,
    /// A lease does not carry the dirty set.
    LeaseWithoutDirtySet,
    /// A reader checks its lease before Redis replies, not after.
    LeaseCheckedBeforeReply,
    /// A reader checks the lease it has after the reply, not the one it asked under.
    RenewedLeaseAccepted,
    /// A new connection is used before it was asked which server it leads to.
    ConnectionNotMet,
    /// A strict write around Redis is one transaction, as a bounded one: it waits for nobody.
    NoWaitInStrict,
    /// A strict write that is sent again is performed if its row is there, however young.
    StrictIgnoresAge,
    /// A dirty row that was deleted and made anew is as old as the first one.
    AgeSurvivesDeletion,
    /// A strict write in degraded state does not wait for the leases.
    NoWaitInDegraded,
    /// A waiter takes the answer of a read of the record that was sent before the waiter began.
    JoinsFlightUnderWay,
    /// Where marks can be evicted: a write is acknowledged without knowing that its publish found its mark.
    AcknowledgedUnconfirmed,
    /// The same: a strict write that makes its key dirty after the commit is acknowledged at once.
    MadeDirtyWithoutWaiting,
    /// The same: it is not looked which server has carried out the publish or drain that confirms.
    ConfirmedByAnotherServer,
    /// A session in bounded mode does not remember the newest version it has seen.
    NoSessionFloor,
    /// The cache is readmitted while leases of the old epoch last.
    ReadmitBeforeLeasesEnd,
    /// The cache is readmitted while a commit checked under the old epoch is not yet visible.
    ReadmitBeforeCommitsEnd,
    /// A readmission keeps the generation.
    ReadmissionKeepsGeneration,
    /// Which incarnation of Redis is the right one is remembered by each process, not in the control row.
    IncarnationOnlyInMemory,
    /// A write in degraded state does not hold the control row shared until its commit.
    ControlRowNotShared,
}

impl Weakening {
    /// All of them, in the order of the protocol.
    pub const ALL: [Self; 34] = [
        Self::NoMark,
        Self::FillWithoutToken,
        Self::TokenReused,
        Self::PublishUnconditionally,
        Self::MarkMayExpire,
        Self::NonceReused,
        Self::MarkNotVerified,
        Self::CommitIgnoresEpoch,
        Self::UnknownCommitRetried,
        Self::UncleanLeavesValue,
        Self::DeleteForgetsVersion,
        Self::TtlCountsFromStore,
        Self::ExpiryDoesNotTaint,
        Self::DrainDoesNotTaint,
        Self::DrainNotVerified,
        Self::DirtyRowDeletedUnconditionally,
        Self::LeaseWithoutDirtySet,
        Self::LeaseCheckedBeforeReply,
        Self::RenewedLeaseAccepted,
        Self::ConnectionNotMet,
        Self::NoWaitInStrict,
        Self::StrictIgnoresAge,
        Self::AgeSurvivesDeletion,
        Self::NoWaitInDegraded,
        Self::JoinsFlightUnderWay,
        Self::AcknowledgedUnconfirmed,
        Self::MadeDirtyWithoutWaiting,
        Self::ConfirmedByAnotherServer,
        Self::NoSessionFloor,
        Self::ReadmitBeforeLeasesEnd,
        Self::ReadmitBeforeCommitsEnd,
        Self::ReadmissionKeepsGeneration,
        Self::IncarnationOnlyInMemory,
        Self::ControlRowNotShared,
    ];
}

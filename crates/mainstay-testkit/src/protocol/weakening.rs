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
    /// A commit does not compare the epoch that its mark was made under.
    CommitIgnoresEpoch,
    /// A commit that timed out is sent again.
    UnknownCommitRetried,
    /// A delete forgets the key's version, so that the next write starts anew.
    DeleteForgetsVersion,
    /// A copy's time to live counts from when Redis stores it, not from its mark or token.
    TtlCountsFromStore,
    /// A mark that expires does not taint those that stand beside it.
    ExpiryDoesNotTaint,
    /// A drain leaves marks untainted.
    DrainDoesNotTaint,
    /// The dirty row is deleted though its version has risen since it was read.
    DirtyRowDeletedUnconditionally,
    /// The dirty row is deleted though a write has announced an intent under it.
    DrainUnderOpenIntent,
    /// A bypassing write commits without looking whether its intent still stands.
    IntentNotChecked,
    /// A lease does not carry the dirty set.
    LeaseWithoutDirtySet,
    /// A reader checks its lease before Redis replies, not after.
    LeaseCheckedBeforeReply,
    /// A reader checks the lease it has after the reply, not the one it asked under.
    RenewedLeaseAccepted,
    /// A strict write that bypasses Redis does not wait for the leases that do not know it.
    NoWaitInStrict,
    /// A waiter takes the answer of a read of the record that was sent before the waiter began.
    JoinsFlightUnderWay,
    /// Where marks can be evicted: a write is acknowledged without knowing that its publish found its mark.
    AcknowledgedUnconfirmed,
    /// A session in bounded mode does not remember the newest version it has seen.
    NoSessionFloor,
    /// The cache is readmitted cold while leases of the old epoch last.
    ReadmitBeforeLeasesEnd,
    /// The cache is readmitted cold while a commit checked under the old epoch is not yet visible.
    ReadmitBeforeCommitsEnd,
    /// Cold readmission keeps the generation.
    ColdKeepsGeneration,
    /// Cold readmission deletes the dirty rows but not the intents.
    ColdKeepsIntents,
    /// Warm readmission drops the dirty rows.
    WarmDropsDirtyRows,
    /// Warm readmission though Redis is not the incarnation that degraded.
    WarmAfterRestart,
    /// Which incarnation of Redis is the right one is remembered by each process, not in the control row.
    IncarnationOnlyInMemory,
    /// A write in degraded state does not hold the control row shared until its commit.
    ControlRowNotShared,
}

impl Weakening {
    /// All of them, in the order of the protocol.
    pub const ALL: [Self; 30] = [
        Self::NoMark,
        Self::FillWithoutToken,
        Self::TokenReused,
        Self::PublishUnconditionally,
        Self::MarkMayExpire,
        Self::NonceReused,
        Self::CommitIgnoresEpoch,
        Self::UnknownCommitRetried,
        Self::DeleteForgetsVersion,
        Self::TtlCountsFromStore,
        Self::ExpiryDoesNotTaint,
        Self::DrainDoesNotTaint,
        Self::DirtyRowDeletedUnconditionally,
        Self::DrainUnderOpenIntent,
        Self::IntentNotChecked,
        Self::LeaseWithoutDirtySet,
        Self::LeaseCheckedBeforeReply,
        Self::RenewedLeaseAccepted,
        Self::NoWaitInStrict,
        Self::JoinsFlightUnderWay,
        Self::AcknowledgedUnconfirmed,
        Self::NoSessionFloor,
        Self::ReadmitBeforeLeasesEnd,
        Self::ReadmitBeforeCommitsEnd,
        Self::ColdKeepsGeneration,
        Self::ColdKeepsIntents,
        Self::WarmDropsDirtyRows,
        Self::WarmAfterRestart,
        Self::IncarnationOnlyInMemory,
        Self::ControlRowNotShared,
    ];
}

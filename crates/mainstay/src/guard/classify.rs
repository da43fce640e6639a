//! What an error means: for the breaker, for a probe, for the connection, and for the operation's next step.
//! It must not know any driver's errors, nor who asks; the tables are exhaustive on purpose.

use crate::{
    error::{Effect, ErrorKind},
    op::OpClass,
};

/// What one call says about the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It answered; the caller's own errors and conflicts included.
    Success,
    /// It failed.
    Failure,
    /// It refused for want of memory, connections, disk or time: counts as a slow call.
    Overload,
    /// It refused this one at once, for want of room or for the statement itself: a failed call that says nothing against
    /// the next.
    Refused,
    /// It refused the credentials: a failure, and isolation after three in a row.
    Forbidden,
    /// Its data cannot be read: a failure, and isolation at once.
    Corrupt,
    /// The call ended without saying anything about the backend.
    Abandoned,
}

/// What an error says about the backend that gave it.
pub fn verdict(kind: ErrorKind) -> Verdict {
    use ErrorKind::*;
    match kind {
        InvalidArgument | WrongType | NotInteger | NotFloat | Overflow | TooLarge | NoSuchKey
        | Unsupported | Conflict => Verdict::Success,
        // `OutOfUse` from a backend: it has lost its client. The guard's own refusals are never judged.
        Disconnected | Timeout | NotReady | WrongNode | Misconfigured | OutOfUse => {
            Verdict::Failure
        }
        Overloaded => Verdict::Overload,
        StorageFull => Verdict::Refused,
        Forbidden => Verdict::Forbidden,
        Corrupt => Verdict::Corrupt,
        BreakerOpen | Shed | Unavailable | DeadlineExceeded | LoadFailed | Closed | Internal => {
            Verdict::Abandoned
        }
    }
}

/// What a failed query of the application's own says: a table that it has renamed says nothing against the backend.
pub fn verdict_of_query(kind: ErrorKind) -> Verdict {
    match kind {
        ErrorKind::Misconfigured => Verdict::Refused,
        other => verdict(other),
    }
}

/// What the supervisor does when a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// Nothing: the breaker and the next probe will tell.
    Nothing,
    /// Probe at once: the connection may be gone.
    Probe,
    /// Resolve the name again and connect anew: this is not the node that we want.
    Reconnect,
}

/// What the supervisor does when a call failed with this. (Timeouts count three in a row.)
pub fn reaction(kind: ErrorKind) -> Reaction {
    use ErrorKind::*;
    match kind {
        Disconnected | OutOfUse | NotReady | Corrupt => Reaction::Probe,
        WrongNode => Reaction::Reconnect,
        InvalidArgument | WrongType | NotInteger | NotFloat | Overflow | TooLarge | NoSuchKey
        | Unsupported | Timeout | Overloaded | StorageFull | Conflict | Forbidden
        | Misconfigured | BreakerOpen | Shed | Unavailable | DeadlineExceeded | LoadFailed
        | Closed | Internal => Reaction::Nothing,
    }
}

/// Whether a probe that failed with this has shown that the connection is of no more use.
pub fn loses_connection(kind: ErrorKind) -> bool {
    use ErrorKind::*;
    match kind {
        Disconnected | Timeout | WrongNode | OutOfUse | DeadlineExceeded => true,
        InvalidArgument | WrongType | NotInteger | NotFloat | Overflow | TooLarge | NoSuchKey
        | Unsupported | NotReady | Overloaded | StorageFull | Conflict | Forbidden
        | Misconfigured | Corrupt | BreakerOpen | Shed | Unavailable | LoadFailed | Closed
        | Internal => false,
    }
}

/// What a probe says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeOutcome {
    /// It serves.
    Good,
    /// It is there and answers, but not everything: no writes, no right to probe. Calls decide.
    Partial,
    /// It does not serve.
    Bad,
}

/// What a failed probe says.
pub fn probe_outcome(kind: ErrorKind) -> ProbeOutcome {
    use ErrorKind::*;
    match kind {
        Conflict => ProbeOutcome::Good,
        Overloaded | StorageFull | Forbidden | Misconfigured | Unsupported => ProbeOutcome::Partial,
        InvalidArgument | WrongType | NotInteger | NotFloat | Overflow | TooLarge | NoSuchKey
        | Disconnected | Timeout | NotReady | WrongNode | Corrupt | BreakerOpen | Shed
        | OutOfUse | Unavailable | DeadlineExceeded | LoadFailed | Closed | Internal => {
            ProbeOutcome::Bad
        }
    }
}

/// Whether an error says that a record is not to be had for now, so that a write which was certainly not applied may wait
/// in the journal. What a person must mend does not end by waiting; what was shed here, or came too late here, says
/// nothing of the record, and a conflict says that it is there.
pub fn is_outage(kind: ErrorKind) -> bool {
    use ErrorKind::*;
    match kind {
        Disconnected | Timeout | NotReady | WrongNode | Overloaded | StorageFull | BreakerOpen
        | OutOfUse | Unavailable => true,
        InvalidArgument | WrongType | NotInteger | NotFloat | Overflow | TooLarge | NoSuchKey
        | Unsupported | Conflict | Forbidden | Misconfigured | Corrupt | Shed
        | DeadlineExceeded | LoadFailed | Closed | Internal => false,
    }
}

/// What the road does after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextStep {
    /// Give the error to the caller: it is the caller's.
    Return,
    /// Try the same backend again, after a wait and within the budget.
    RetrySame,
    /// Go to the next backend of the plan; on the last one, try it again like `RetrySame`.
    NextBackend,
    /// Stop, and say what is known: nothing more can be tried safely.
    Stop,
}

/// What the road does after an attempt failed with this.
pub fn next_step(kind: ErrorKind, effect: Effect, class: OpClass) -> NextStep {
    use ErrorKind::*;
    match kind {
        InvalidArgument | WrongType | NotInteger | NotFloat | Overflow | TooLarge | NoSuchKey
        | Unsupported => NextStep::Return,
        Disconnected | Timeout | NotReady | WrongNode => match (class, effect) {
            (OpClass::Read | OpClass::LastWriterWins, Effect::None | Effect::Unknown) => {
                NextStep::NextBackend
            }
            (OpClass::Strict, Effect::None) => NextStep::RetrySame,
            (OpClass::Strict, Effect::Unknown) => NextStep::Stop,
        },
        Conflict => match (class, effect) {
            (OpClass::Read | OpClass::LastWriterWins, Effect::None | Effect::Unknown)
            | (OpClass::Strict, Effect::None) => NextStep::RetrySame,
            (OpClass::Strict, Effect::Unknown) => NextStep::Stop,
        },
        Overloaded | StorageFull | Forbidden | Misconfigured | Corrupt | BreakerOpen | Shed
        | OutOfUse => match class {
            OpClass::Read | OpClass::LastWriterWins => NextStep::NextBackend,
            OpClass::Strict => NextStep::Stop,
        },
        Unavailable | DeadlineExceeded | LoadFailed | Closed | Internal => NextStep::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_errors_say_nothing_against_the_backend_and_go_back() {
        for kind in ErrorKind::ALL.into_iter().filter(|kind| kind.is_callers()) {
            assert_eq!(verdict(kind), Verdict::Success, "{kind:?}");
            for class in [OpClass::Read, OpClass::LastWriterWins, OpClass::Strict] {
                assert_eq!(next_step(kind, Effect::None, class), NextStep::Return, "{kind:?}");
            }
        }
    }

    #[test]
    fn a_strict_operation_of_unknown_effect_is_never_tried_again_nor_moved() {
        for kind in ErrorKind::ALL.into_iter().filter(|kind| !kind.is_callers()) {
            assert_eq!(next_step(kind, Effect::Unknown, OpClass::Strict), NextStep::Stop);
            assert_ne!(next_step(kind, Effect::None, OpClass::Strict), NextStep::NextBackend);
        }
    }

    #[test]
    fn only_what_speaks_against_a_backend_is_an_outage() {
        let refused = [ErrorKind::BreakerOpen, ErrorKind::OutOfUse, ErrorKind::Unavailable];
        for kind in ErrorKind::ALL.into_iter().filter(|kind| is_outage(*kind)) {
            let ill =
                matches!(verdict(kind), Verdict::Failure | Verdict::Overload | Verdict::Refused);
            assert!(ill || refused.contains(&kind), "{kind:?}");
        }
        assert!(!is_outage(ErrorKind::Shed) && !is_outage(ErrorKind::Misconfigured));
    }

    #[test]
    fn a_conflict_is_a_success_that_is_tried_again() {
        assert_eq!(verdict(ErrorKind::Conflict), Verdict::Success);
        let step = next_step(ErrorKind::Conflict, Effect::None, OpClass::Strict);
        assert_eq!(step, NextStep::RetrySame);
    }

    #[test]
    fn the_callers_deadline_is_not_the_backends_failure_but_a_timeout_is() {
        assert_eq!(verdict(ErrorKind::DeadlineExceeded), Verdict::Abandoned);
        assert_eq!(verdict(ErrorKind::Timeout), Verdict::Failure);
    }

    #[test]
    fn whatever_loses_the_connection_is_a_bad_probe() {
        for kind in ErrorKind::ALL.into_iter().filter(|kind| loses_connection(*kind)) {
            assert_eq!(probe_outcome(kind), ProbeOutcome::Bad, "{kind:?}");
        }
    }
}

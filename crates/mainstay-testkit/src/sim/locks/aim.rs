//! In which world each weakness is looked for: most anywhere, some in one that is made after the story of what goes wrong.
//! It must not know how a rule is left out.

use std::time::Duration;

use super::plan::{Fault, Mode, Plan, Trouble};
use super::weakness::Weakness;
use crate::sim::{
    dice::Dice,
    plan::{Noise, Way},
};

impl Weakness {
    /// Where it is looked for: a plan of a mode that has the rule.
    #[must_use]
    pub fn plan(self, seed: u64) -> Plan {
        match self {
            Self::WaitWithoutView => old_view(seed),
            Self::MemberWithoutFloor => low_counters(seed),
            Self::NoWaitAtHandover
            | Self::WaitWithoutLease
            | Self::TokenWithoutEpoch
            | Self::RunNotTested => Plan::in_mode(Mode::Failover, seed),
            Self::MemberVotesAtOnce | Self::VotesNotTested => split_votes(seed),
            Self::ReleaseWithoutHolder
            | Self::RenewalResurrects
            | Self::NoDriftAllowance
            | Self::NoFence => Plan::of(seed),
        }
    }
}

/// One process does not reach Redis for long, and has the authority move; another does not hear of that in time.
fn old_view(seed: u64) -> Plan {
    let mut dice = Dice::new(seed, 5);
    let cut = |at_ms, for_ms, process, server| {
        let kind = Trouble::Cut { process, server, way: Way::Both };
        Fault { at_ms, for_ms, kind }
    };
    let faults = vec![cut(3_000, 8_000, 0, 1), cut(dice.between(4_500, 6_500), 5_000, 1, 0)];
    let plan = Plan::in_mode(Mode::Failover, seed);
    let (view, noise) = (Duration::from_millis(1_500), Noise::default());
    let (locks, work_ms) = (1, 13_000);
    Plan { processes: 2, locks, view, noise, faults, work_ms, ttl: plan.ttl_max, ..plan }
}

/// A lock is granted while one Redis is away; that one comes back while the other one forgets that it has granted it.
fn split_votes(seed: u64) -> Plan {
    let mut dice = Dice::new(seed, 5);
    let plan = Plan::in_mode(Mode::Quorum, seed);
    let (longest, ttl_max) = (2_500, Duration::from_millis(2_500));
    let away = longest + 3_000;
    let forget = Trouble::Forget { server: 1, back_ms: None, proxied: false, split: None };
    let faults = vec![
        Fault { at_ms: away, for_ms: dice.between(500, 2_500), kind: Trouble::Away(2) },
        Fault { at_ms: away + dice.between(600, 3_000), for_ms: 0, kind: forget },
    ];
    let plan = Plan { locks: 1, think_ms: 50, noise: Noise::default(), faults, ..plan };
    Plan { ttl: ttl_max, ttl_max, work_ms: away + 5_000, ..plan }
}

/// Tokens are given while one Redis is away; the other one forgets them, and is let vote. Then the database is away, before
/// anything was granted from which the first would have learnt them.
fn low_counters(seed: u64) -> Plan {
    let mut dice = Dice::new(seed, 5);
    let plan = Plan::in_mode(Mode::Quorum, seed);
    let longest = u64::try_from(plan.ttl_max.as_millis()).unwrap_or(u64::MAX);
    let begins = longest + 3_000;
    let forgets = begins + 6_000;
    let votes = forgets + longest + 1_000;
    let alone = votes + dice.between(100, 1_200);
    let forget = Trouble::Forget { server: 1, back_ms: None, proxied: false, split: None };
    let fault = |at_ms, for_ms, kind| Fault { at_ms, for_ms, kind };
    let faults = vec![
        fault(begins, votes - begins - dice.between(500, 2_000), Trouble::Away(2)),
        fault(forgets, 0, forget),
        fault(alone, 6_000, Trouble::Away(0)),
    ];
    // So few ask that none may have in between.
    let few = Plan { processes: 2, contenders: 1, locks: 2, think_ms: 1_500, ..plan };
    Plan { noise: Noise::default(), faults, work_ms: alone + 6_000, ..few }
}

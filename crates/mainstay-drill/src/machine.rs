//! The phases of a drill, as a pure state machine: time and what is seen are arguments, what is to be done is returned.
//! It must not wait, read a clock, or know how anything is done.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Seen recovered for so long without a break, it counts as recovered: from the first moment of it.
const SETTLED: Duration = Duration::from_millis(300);

/// Where a drill is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Load, and nothing broken.
    Steady,
    /// Broken.
    Fault,
    /// Healed, not yet as before.
    Recovery,
    /// As before again, or given up; the load goes on for a while.
    After,
    /// The load has ended; everything is read back.
    Verify,
}

impl Phase {
    /// Those with load.
    pub const LOADED: [Self; 4] = [Self::Steady, Self::Fault, Self::Recovery, Self::After];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Fault => "fault",
            Self::Recovery => "recovery",
            Self::After => "after",
            Self::Verify => "verify",
        }
    }
}

/// How long each phase lasts, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Before the fault.
    pub steady: Duration,
    /// The fault.
    pub hold: Duration,
    /// The recovery, at most.
    pub recovery: Duration,
    /// Load after the recovery.
    pub after: Duration,
    /// Down and up, for a fault that comes and goes.
    pub flap: Option<(Duration, Duration)>,
}

impl Times {
    /// For a fault of this length: what stands around it is a third of it, from 1 s to 5 s.
    pub fn around(hold: Duration, recovery: Duration, flap: Option<(Duration, Duration)>) -> Self {
        let beside = (hold / 3).clamp(Duration::from_secs(1), Duration::from_secs(5));
        Self { steady: beside, hold, recovery, after: beside, flap }
    }

    /// The whole, when the recovery takes no time.
    pub fn least(&self) -> Duration {
        self.steady + self.hold + self.after
    }
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make ready for the fault: take the snapshot that it will need.
    Prepare,
    /// Break.
    Break,
    /// Heal; `last`: for good.
    Heal {
        /// Whether the fault is over.
        last: bool,
    },
    /// The system is as before the fault, `after` healing.
    Recovered {
        /// Time since it was healed.
        after: Duration,
    },
    /// It is not, and the drill waits no longer.
    GaveUp,
    /// End the load and read everything back.
    Verify,
}

/// A drill under way. Actions take time; `step` is told the time after each.
#[derive(Clone, Debug)]
pub struct Machine {
    times: Times,
    phase: Phase,
    since: Duration,
    prepared: bool,
    /// In the fault: whether it is in force, and since when.
    broken: bool,
    toggled: Duration,
    /// Since when it has been seen well, in the recovery.
    well: Option<Duration>,
}

impl Machine {
    /// Begins in the steady state, at time `now`.
    pub fn new(times: Times, now: Duration) -> Self {
        Self {
            times,
            phase: Phase::Steady,
            since: now,
            prepared: false,
            broken: false,
            toggled: now,
            well: None,
        }
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Since when.
    pub fn since(&self) -> Duration {
        self.since
    }

    /// Time left of this phase, at most.
    pub fn left(&self, now: Duration) -> Duration {
        let length = match self.phase {
            Phase::Steady => self.times.steady,
            Phase::Fault => self.times.hold,
            Phase::Recovery => self.times.recovery,
            Phase::After => self.times.after,
            Phase::Verify => Duration::ZERO,
        };
        (self.since + length).saturating_sub(now)
    }

    /// What is to be done now, if anything. `well`: every backend serves as before.
    pub fn step(&mut self, now: Duration, well: bool) -> Option<Action> {
        match self.phase {
            Phase::Steady if !self.prepared && now >= self.since + self.times.steady / 2 => {
                self.prepared = true;
                Some(Action::Prepare)
            }
            Phase::Steady if now >= self.since + self.times.steady => {
                self.enter(Phase::Fault, now);
                (self.broken, self.toggled) = (true, now);
                Some(Action::Break)
            }
            Phase::Fault if now >= self.since + self.times.hold => {
                self.broken = false;
                Some(Action::Heal { last: true })
            }
            Phase::Fault => self.flap(now),
            Phase::Recovery => self.watch(now, well),
            Phase::After if now >= self.since + self.times.after => {
                self.enter(Phase::Verify, now);
                Some(Action::Verify)
            }
            Phase::Steady | Phase::After | Phase::Verify => None,
        }
    }

    /// The fault has been lifted for good.
    pub fn healed(&mut self, now: Duration) {
        if self.phase == Phase::Fault {
            self.enter(Phase::Recovery, now);
        }
    }

    fn flap(&mut self, now: Duration) -> Option<Action> {
        let (down, up) = self.times.flap?;
        if now < self.toggled + if self.broken { down } else { up } {
            return None;
        }
        (self.broken, self.toggled) = (!self.broken, now);
        Some(if self.broken { Action::Break } else { Action::Heal { last: false } })
    }

    fn watch(&mut self, now: Duration, well: bool) -> Option<Action> {
        let first = if well { Some(*self.well.get_or_insert(now)) } else { None };
        self.well = first;
        let action = match first {
            Some(first) if now >= first + SETTLED => {
                Action::Recovered { after: first.saturating_sub(self.since) }
            }
            _ if now >= self.since + self.times.recovery => Action::GaveUp,
            _ => return None,
        };
        self.enter(Phase::After, now);
        Some(action)
    }

    fn enter(&mut self, phase: Phase, now: Duration) {
        (self.phase, self.since) = (phase, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn times() -> Times {
        Times { steady: s(2), hold: s(10), recovery: s(20), after: s(3), flap: None }
    }

    #[test]
    fn the_phases_follow_each_other_and_recovery_counts_from_healing() {
        let mut machine = Machine::new(times(), s(100));
        assert_eq!(machine.step(s(100), true), None);
        assert_eq!(machine.step(s(101), true), Some(Action::Prepare));
        assert_eq!(machine.step(s(102), true), Some(Action::Break));
        assert_eq!(machine.step(s(111), false), None);
        assert_eq!(machine.left(s(111)), s(1));
        assert_eq!(machine.step(s(112), false), Some(Action::Heal { last: true }));
        machine.healed(s(114));
        assert_eq!(machine.phase(), Phase::Recovery);
        assert_eq!(machine.step(s(115), true), None);
        assert_eq!(machine.step(ms(115_100), false), None, "a relapse begins anew");
        assert_eq!(machine.step(s(116), true), None);
        assert_eq!(machine.step(s(117), true), Some(Action::Recovered { after: s(2) }));
        assert_eq!(machine.step(s(120), true), Some(Action::Verify));
        assert_eq!(machine.step(s(999), true), None);
    }

    #[test]
    fn what_does_not_recover_is_given_up_and_verified_all_the_same() {
        let mut machine = Machine::new(times(), s(0));
        let actions = [1, 2, 12].map(|now| machine.step(s(now), false));
        assert_eq!(actions[2], Some(Action::Heal { last: true }));
        machine.healed(s(12));
        assert_eq!(machine.step(s(31), false), None);
        assert_eq!(machine.step(s(32), false), Some(Action::GaveUp));
        assert_eq!(machine.step(s(35), false), Some(Action::Verify));
    }

    #[test]
    fn a_flapping_fault_comes_and_goes_until_it_is_over() {
        let flap = Some((s(2), s(3)));
        let mut machine = Machine::new(Times { flap, ..times() }, s(0));
        let mut seen = Vec::new();
        for now in 0..=12 {
            seen.extend(machine.step(s(now), true).map(|action| (now, action)));
        }
        let heal = Action::Heal { last: false };
        let (prepare, broken) = (Action::Prepare, Action::Break);
        let expected = [(1, prepare), (2, broken), (4, heal), (7, broken), (9, heal)];
        assert_eq!(seen, [&expected[..], &[(12, Action::Heal { last: true })]].concat());
    }

    proptest! {
        /// Whatever is seen and however uneven the steps are: it is healed after it was broken, and it ends.
        #[test]
        fn it_always_heals_and_always_ends(gaps in prop::collection::vec((1u64..1500, any::<bool>()), 200),
                                           flapping in any::<bool>()) {
            let flap = flapping.then_some((ms(700), ms(900)));
            let mut machine = Machine::new(Times { flap, ..times() }, Duration::ZERO);
            let (mut now, mut broken, mut healed, mut verified) = (Duration::ZERO, false, false, 0);
            for (gap, well) in gaps {
                now += ms(gap);
                match machine.step(now, well) {
                    Some(Action::Break) => {
                        prop_assert!(!broken && !healed);
                        broken = true;
                    }
                    Some(Action::Heal { last }) => {
                        broken = false;
                        healed |= last;
                        if last { machine.healed(now); }
                    }
                    Some(Action::Verify) => verified += 1,
                    Some(Action::Recovered { .. } | Action::GaveUp) => prop_assert!(healed && !broken),
                    Some(Action::Prepare) | None => {}
                }
            }
            if now > ms(40_000) {
                prop_assert!(verified == 1 && healed && !broken);
            }
        }
    }
}

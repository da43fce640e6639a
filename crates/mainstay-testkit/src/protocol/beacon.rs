//! The beacon as a model of its own: how processes tell that Redis has rolled back, and when they cannot.
//! It must not know values, writes or leases.
//!
//! Redis and the record each hold a number. A process reads the record's, then asks Redis, which raises its own if the two
//! are equal, then raises the record's to what Redis answered. So Redis is never behind the record, unless it rolled back.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// How the beacon is read and raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BeaconRule {
    /// As above.
    Right,
    /// The record's number is raised first, then that of Redis.
    RecordRaisedFirst,
    /// Redis is asked before the record is read.
    RedisAskedFirst,
    /// Redis answers with the number from before it raised it, and the record is set to one more than the answer.
    OldNumberAnswered,
}

/// What the processes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    ReadRecord(usize),
    AskRedis(usize),
    RaiseRecord(usize),
    RollBack,
}

/// How far one process has come in one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Look {
    record: Option<u8>,
    redis: Option<u8>,
    raised: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    redis: u8,
    record: u8,
    looks: [Look; 2],
    rolled_back: bool,
    /// Some process has seen Redis behind the record.
    accused: bool,
    /// A look that began after the rollback has found nothing.
    missed: bool,
}

#[derive(Debug, Clone)]
struct Beacon {
    rule: BeaconRule,
    rollback: bool,
}

const MAX: u8 = 4;

impl Beacon {
    fn may(&self, look: Look) -> [bool; 3] {
        let Look { record, redis, raised } = look;
        match self.rule {
            BeaconRule::Right | BeaconRule::OldNumberAnswered => {
                [record.is_none(), record.is_some() && redis.is_none(), redis.is_some()]
            }
            BeaconRule::RecordRaisedFirst => {
                [record.is_none(), raised && redis.is_none(), record.is_some() && !raised]
            }
            BeaconRule::RedisAskedFirst => {
                [redis.is_some() && record.is_none(), redis.is_none(), record.is_some()]
            }
        }
    }

    /// The script in Redis; it raises its number only where a process has come to raise it.
    fn ask(&self, state: &mut State, by: usize) {
        let old = state.redis;
        let due = match self.rule {
            BeaconRule::RedisAskedFirst => true,
            BeaconRule::RecordRaisedFirst => state.looks[by].record == Some(old),
            BeaconRule::Right | BeaconRule::OldNumberAnswered => {
                state.looks[by].record == Some(old)
            }
        };
        state.redis += u8::from(due);
        let answer = if self.rule == BeaconRule::Right { state.redis } else { old };
        state.looks[by].redis = Some(answer);
    }

    fn raise(&self, state: &mut State, by: usize) {
        let Look { record, redis, .. } = state.looks[by];
        let to = match self.rule {
            BeaconRule::Right => redis.unwrap_or(0),
            BeaconRule::RecordRaisedFirst => record.unwrap_or(0) + 1,
            BeaconRule::RedisAskedFirst | BeaconRule::OldNumberAnswered => redis.unwrap_or(0) + 1,
        };
        if record == Some(state.record) && to > state.record {
            state.record = to;
        }
        state.looks[by].raised = true;
    }

    /// Both numbers are known: compare them; begin anew when the look is complete.
    fn judge(&self, state: &mut State, by: usize, step: Step) {
        let Look { record, redis, raised } = state.looks[by];
        let (Some(record), Some(redis)) = (record, redis) else { return };
        if !matches!(step, Step::RaiseRecord(_)) && redis < record {
            state.accused = true;
        }
        if raised {
            state.missed |= state.rolled_back && !state.accused;
            state.looks[by] = Look::default();
        }
    }
}

impl Model for Beacon {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let looks = [Look::default(); 2];
        vec![State {
            redis: 1,
            record: 1,
            looks,
            rolled_back: false,
            accused: false,
            missed: false,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.accused || state.redis >= MAX || state.record >= MAX {
            return;
        }
        for by in 0..state.looks.len() {
            let all = [Step::ReadRecord(by), Step::AskRedis(by), Step::RaiseRecord(by)];
            let may = self.may(state.looks[by]);
            steps.extend(all.into_iter().zip(may).filter(|(_, may)| *may).map(|(step, _)| step));
        }
        let idle = state.looks == [Look::default(); 2];
        if self.rollback && !state.rolled_back && idle {
            steps.push(Step::RollBack);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut next = last.clone();
        match step {
            Step::ReadRecord(by) => next.looks[by].record = Some(next.record),
            Step::AskRedis(by) => self.ask(&mut next, by),
            Step::RaiseRecord(by) => self.raise(&mut next, by),
            // The snapshot is as old as the last change of Redis's number, or older than one.
            Step::RollBack => next.rolled_back = true,
        }
        if let Step::ReadRecord(by) | Step::AskRedis(by) | Step::RaiseRecord(by) = step {
            self.judge(&mut next, by, step);
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nobody is accused falsely", |_, state: &State| {
                !state.accused || state.rolled_back
            }),
            Property::always("every rollback is seen", |_, state: &State| !state.missed),
        ]
    }
}

/// The steps that lead to a false accusation under this rule; `None` if there are none.
pub fn false_accusation(rule: BeaconRule) -> Option<Vec<String>> {
    counter_example(Beacon { rule, rollback: false }, "nobody is accused falsely")
}

/// The steps after which a rollback that is younger than the last raise stays unseen: a beacon alone is not enough.
pub fn unseen_rollback() -> Option<Vec<String>> {
    counter_example(Beacon { rule: BeaconRule::Right, rollback: true }, "every rollback is seen")
}

fn counter_example(model: Beacon, property: &'static str) -> Option<Vec<String>> {
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let steps = checker.discovery(property)?.into_actions();
    Some(steps.into_iter().map(|step| format!("{step:?}")).collect())
}

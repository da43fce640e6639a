//! Random sequences on a few keys, beside the pure functions on a model of the same keys.
//! Knows nothing of engines; a failure names the seed and all steps up to it.

use super::{LONG, NOW, Subject, copy};
use bytes::Bytes;
use mainstay::Key;
use mainstay::backend::semantics::copies::{self, Next, Seen};
use mainstay::op::{CopyOp, CopyValue};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

const KEYS: usize = 3;
const SEQUENCES: u64 = 40;
const STEPS: usize = 30;
/// Waited for where it is used: nothing depends on its being short or long.
const SHORT: Duration = Duration::from_millis(8);

/// The model's clock goes on only in waits, and then further than any short life.
struct Model {
    entries: Vec<Option<(Bytes, i64)>>,
    now: i64,
    /// Given, so that the steps name some that stand, some that stood, and each only once as a new one.
    names: u128,
}

impl Model {
    fn new() -> Self {
        Self { entries: vec![None; KEYS], now: 1_000_000, names: 0 }
    }

    fn current(&self, at: usize) -> Option<Bytes> {
        let held = self.entries[at].as_ref().filter(|(_, ends_at)| *ends_at > self.now);
        held.map(|(bytes, _)| bytes.clone())
    }

    fn change(&mut self, at: usize, (next, flag): (Next, bool)) -> bool {
        match next {
            Next::Keep => {}
            Next::Remove => self.entries[at] = None,
            Next::Put(bytes, ends_at) => self.entries[at] = Some((bytes, ends_at)),
        }
        flag
    }

    /// What the step does to one key.
    fn apply(&mut self, at: usize, step: &Step) -> bool {
        let (held, now) = (self.current(at), self.now);
        let outcome = match step {
            Step::Mark { name, life } => {
                let ends_at = self.entries[at].as_ref().map_or(0, |(_, ends_at)| *ends_at);
                (copies::mark(held, ends_at, *name, *life, now), true)
            }
            Step::Unmark { name, clean } => (copies::unmark(held, *name, *clean, now), true),
            Step::Publish { name, copy } => copies::publish(held, *name, copy, now),
            Step::Token { name, life } => copies::token(held, *name, *life, now),
            Step::Fill { name, copy } => copies::fill(held, *name, copy, now),
            Step::Drain => (copies::drain(held, now), true),
            Step::Wait => return true,
        };
        self.change(at, outcome)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Mark { name: u128, life: Duration },
    Unmark { name: u128, clean: bool },
    Publish { name: u128, copy: CopyValue },
    Token { name: u128, life: Duration },
    Fill { name: u128, copy: CopyValue },
    Drain,
    Wait,
}

impl Step {
    fn any(random: &mut StdRng, names: &mut u128) -> Self {
        let mut fresh = || {
            *names += 1;
            *names
        };
        match random.random_range(0..20) {
            0..5 => Self::Mark { name: fresh(), life: life(random) },
            5..9 => Self::Token { name: fresh(), life: life(random) },
            kind => {
                let name = names.saturating_sub(random.random_range(0..5));
                match kind {
                    9 => Self::Unmark { name, clean: random.random_bool(0.6) },
                    10 => Self::Drain,
                    11..16 => Self::Publish { name, copy: any_copy(random) },
                    _ => Self::Fill { name, copy: any_copy(random) },
                }
            }
        }
    }

    /// Whether it brings something that ends soon: the model and the backend agree again once that is over.
    fn is_short(&self) -> bool {
        match self {
            Self::Mark { life, .. } | Self::Token { life, .. } => *life == SHORT,
            Self::Publish { copy, .. } | Self::Fill { copy, .. } => copy.life == SHORT,
            Self::Unmark { .. } | Self::Drain | Self::Wait => false,
        }
    }

    fn on(&self, keys: Vec<Key>) -> CopyOp {
        match self.clone() {
            Self::Mark { name, life } => CopyOp::Mark { keys, nonce: name, life },
            Self::Unmark { name, clean } => CopyOp::Unmark { keys, nonce: name, clean },
            Self::Publish { name, copy } => {
                CopyOp::Publish { key: keys[0].clone(), nonce: name, copy }
            }
            Self::Token { name, life } => CopyOp::Token { keys, token: name, life },
            Self::Fill { name, copy } => {
                let entries = keys.into_iter().map(|key| (key, copy.clone())).collect();
                CopyOp::Fill { entries, token: name }
            }
            Self::Drain | Self::Wait => CopyOp::Drain { keys },
        }
    }
}

fn life(random: &mut StdRng) -> Duration {
    match random.random_range(0..40) {
        0 => SHORT,
        1..4 => NOW,
        _ => LONG,
    }
}

fn any_copy(random: &mut StdRng) -> CopyValue {
    let ttl = random.random_bool(0.3).then(|| Duration::from_millis(random.random_range(0..9_999)));
    CopyValue { life: life(random), ttl, ..copy(random.random_range(1..6)) }
}

/// What a reader sees, without what depends on the clock.
fn visible(bytes: Option<Bytes>) -> String {
    match bytes.map(copies::read) {
        None => "-".to_owned(),
        Some(Seen::Value { value, version, expires_at, taken_at }) => {
            format!("V {version} {value:?} {:?}", expires_at.map(|at| at - taken_at))
        }
        Some(other) => format!("{other:?}"),
    }
}

pub(super) async fn run(s: Subject) {
    let seed: u64 = rand::random();
    for sequence in 0..SEQUENCES {
        let keys: Vec<Key> = (0..KEYS).map(|at| s.key(format!("{sequence}/{at}"))).collect();
        let random = StdRng::seed_from_u64(seed.wrapping_add(sequence));
        one(&s, &keys, random, seed.wrapping_add(sequence)).await;
    }
}

async fn one(s: &Subject, keys: &[Key], mut random: StdRng, seed: u64) {
    let mut model = Model::new();
    let mut steps = Vec::new();
    for _ in 0..STEPS {
        let step = Step::any(&mut random, &mut model.names);
        let mut on: Vec<usize> = (0..KEYS).filter(|_| random.random_bool(0.4)).collect();
        if on.is_empty() || matches!(step, Step::Publish { .. }) {
            on = vec![random.random_range(0..KEYS)];
        }
        let expected: Vec<bool> = on.iter().map(|at| model.apply(*at, &step)).collect();
        steps.push((step.clone(), on.clone()));
        let op = step.on(on.iter().map(|at| keys[*at].clone()).collect());
        match op {
            CopyOp::Mark { .. } | CopyOp::Unmark { .. } | CopyOp::Drain { .. } => {
                s.copy_done(op).await;
            }
            op => assert_eq!(s.copy_flags(op).await, expected, "seed {seed}: {steps:#?}"),
        }
        if step.is_short() {
            s.passed(&keys[0], SHORT).await;
            model.now += 2 * i64::try_from(SHORT.as_millis()).expect("short");
            steps.push((Step::Wait, Vec::new()));
        }
        for (at, key) in keys.iter().enumerate() {
            let (here, there) = (visible(model.current(at)), visible(s.value(key).await));
            assert_eq!(there, here, "key {at}, seed {seed}: {steps:#?}");
        }
    }
}

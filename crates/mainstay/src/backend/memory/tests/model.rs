//! Random operations against a plain map under the same semantics, on a clock that the test moves.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::backend::semantics::{Stored, ttl_left};

const BOUNDS: Bounds = Bounds { value_max: VALUE_MAX };

#[derive(Clone, Debug)]
enum Step {
    Do(Op),
    Sleep(u64),
    Purge(usize),
}

#[derive(Debug)]
struct Model {
    map: BTreeMap<Key, Stored>,
    counter: u64,
}

impl Model {
    fn live(&self, key: &Key, now: i64) -> Option<Stored> {
        let stored = self.map.get(key)?;
        stored.expires_at.is_none_or(|at| at > now).then(|| stored.clone())
    }

    fn write(&mut self, op: &Op, now: i64) -> Result<Reply> {
        let mut slots = Vec::new();
        for key in semantics::keys_of(op) {
            self.counter += 1;
            let next = Version { epoch: 1, counter: self.counter };
            slots.push(Slot { stored: self.live(&key, now), key, next, change: Change::Keep });
        }
        let reply = semantics::apply(op, &mut slots, now, BOUNDS)?;
        for Slot { key, stored, next: version, change } in slots {
            match change {
                Change::Keep => {}
                Change::Put { value, expires_at } => {
                    self.map.insert(key, Stored { value, expires_at, version });
                }
                Change::Expire { expires_at } => {
                    let value = stored.unwrap().value;
                    self.map.insert(key, Stored { value, expires_at, version });
                }
                Change::Remove => {
                    self.map.remove(&key);
                }
            }
        }
        Ok(reply)
    }
}

fn keys() -> impl Strategy<Value = Key> {
    prop_oneof!["[ab][0-9]?".prop_map(Key::from), Just(Key::from("n"))]
}

fn values() -> impl Strategy<Value = Bytes> {
    prop_oneof!["[0-9]{1,3}", "[a-z]{0,6}"].prop_map(Bytes::from)
}

fn ttls() -> impl Strategy<Value = TtlChange> {
    prop_oneof![
        Just(TtlChange::Clear),
        Just(TtlChange::Keep),
        (1_u64..50).prop_map(|ms| TtlChange::For(Duration::from_millis(ms))),
        (-5_i64..50).prop_map(|ms| TtlChange::At(1_000_000 + ms)),
    ]
}

fn conditions() -> impl Strategy<Value = Condition> {
    prop_oneof![
        3 => Just(Condition::Always),
        1 => Just(Condition::Absent),
        1 => Just(Condition::Present),
        1 => values().prop_map(Condition::ValueIs),
        1 => values().prop_map(Condition::ValueIsNot),
    ]
}

fn writes() -> impl Strategy<Value = Op> {
    let set = (keys(), values(), ttls(), conditions(), any::<bool>());
    prop_oneof![
        4 => set.prop_map(|(key, value, ttl, condition, want_previous)| {
            Op::Set { key, value, ttl, condition, want_previous }
        }),
        1 => (prop::collection::vec((keys(), values()), 0..5), ttls(), any::<bool>())
            .prop_map(|(entries, ttl, all_absent)| Op::SetMany { entries, ttl, all_absent }),
        1 => (keys(), conditions(), any::<bool>()).prop_map(|(key, condition, want_previous)| {
            Op::Delete { key, condition, want_previous }
        }),
        1 => prop::collection::vec(keys(), 0..4).prop_map(|keys| Op::DeleteMany { keys }),
        1 => (keys(), ttls()).prop_map(|(key, ttl)| {
            Op::Expire { key, ttl, condition: ExpireCondition::Always }
        }),
        1 => (keys(), -9_i64..9).prop_map(|(key, by)| Op::Increment { key, by }),
        1 => (keys(), values()).prop_map(|(key, value)| Op::Append { key, value }),
        1 => (keys(), keys(), any::<bool>(), any::<bool>()).prop_map(
            |(from, to, keep_source, replace)| Op::Move { from, to, keep_source, replace }
        ),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => writes().prop_map(Step::Do),
        2 => (0_u64..30).prop_map(Step::Sleep),
        1 => (0_usize..4).prop_map(Step::Purge),
    ];
    prop::collection::vec(step, 1..80)
}

async fn agree(memory: &Memory, model: &Model) {
    let now = memory.clock.unix_ms();
    let live: BTreeSet<Key> =
        model.map.keys().filter(|key| model.live(key, now).is_some()).cloned().collect();
    for prefix in ["", "a", "b1"] {
        let under =
            live.iter().filter(|key| key.as_bytes().starts_with(prefix.as_bytes())).cloned();
        let under: Vec<Key> = under.collect();
        assert_eq!(count(memory, prefix).await, under.len() as i64);
        assert_eq!(scan(memory, prefix, 3).await, under);
    }
    for key in model.map.keys() {
        let expected = model.live(key, now).map(|stored| Record {
            value: stored.value,
            version: Some(stored.version),
            ttl: stored.expires_at.map(|at| ttl_left(at, now)),
        });
        let op = Op::Get { key: key.clone(), with_ttl: true };
        assert_eq!(run(memory, op).await.unwrap(), Reply::Record(expected), "{key:?}");
    }
}

async fn follow(steps: Vec<Step>) {
    let clock = Clock::starting_at(1_000_000);
    let memory = Memory::new(&MemoryConfig::default(), VALUE_MAX, clock.clone());
    let memory = opened(memory).await;
    let mut model = Model { map: BTreeMap::new(), counter: clock.unix_us() };
    for step in steps {
        match step {
            Step::Do(op) => {
                let expected = model.write(&op, clock.unix_ms()).map_err(|error| error.kind());
                let got = run(&memory, op.clone()).await.map_err(|error| error.kind());
                assert_eq!(got, expected, "{op:?}");
            }
            Step::Sleep(ms) => tokio::time::advance(Duration::from_millis(ms)).await,
            Step::Purge(limit) => {
                assert!(memory.purge(limit, soon(&memory)).await.unwrap() <= limit);
            }
        }
    }
    agree(&memory, &model).await;
    memory.clear();
    assert_eq!(memory.stats().bytes, 0, "the books balance");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]
    #[test]
    fn it_behaves_as_a_plain_map(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(follow(steps));
    }
}

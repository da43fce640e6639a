//! Single-key writes of many callers at once: what each is told, and what is there afterwards.
//! Knows nothing of any engine.

use crate::sql::{done, generous, set, value};
use bytes::Bytes;
use mainstay::backend::Backend;
use mainstay::op::{LeaseRow, RecordOp, Terms, Under};
use mainstay::reply::Committed;
use mainstay::{Condition, Effect, Error, ErrorKind, Key, Op, Reply, Result, TtlChange, Version};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const WRITERS: usize = 64;
/// Writes of each.
const ROUNDS: usize = 12;
/// Keys that all writers share.
const SHARED: usize = 5;
const MINUTE_US: i64 = 60_000_000;

type Record = Arc<dyn Backend>;

fn put(key: String, value: String) -> Op {
    let (key, value) = (Key::from(key), Bytes::from(value));
    let (ttl, condition) = (TtlChange::Clear, Condition::Always);
    Op::Set { key, value, ttl, condition, want_previous: false }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: Key::from(key), condition: Condition::Always, want_previous: false }
}

async fn lease(record: &Record) -> LeaseRow {
    let second = Duration::from_secs(1);
    let terms = Terms { lease: 2 * second, mark: 5 * second, statement: second };
    let op = RecordOp::Lease { cache: Arc::from("redis"), terms, id: 7, dirty_max: 9 };
    *done(record, Op::Record(op)).await.into_lease().unwrap()
}

/// A record with an active cache before it; what a mark stands under for a minute.
pub(crate) async fn activated(record: &Record) -> Under {
    let control = lease(record).await.control;
    if !control.active {
        let (cache, identity) = (Arc::from("redis"), "run".to_owned());
        let readmit = RecordOp::Readmit { cache, epoch: control.epoch, identity, beacon: 0 };
        assert_eq!(done(record, Op::Record(readmit)).await.into_integer().unwrap(), 1);
    }
    let row = lease(record).await;
    Under::Mark { epoch: row.control.epoch, deadline_us: row.now_us + MINUTE_US }
}

fn guarded(write: Op, under: Under) -> Op {
    Op::Record(RecordOp::Commit { cache: Arc::from("redis"), write: Box::new(write), under })
}

/// Performs all at once; how each ended, in their order.
async fn at_once(record: &Record, ops: Vec<Op>) -> Vec<Result<Reply>> {
    let mut calls = JoinSet::new();
    for (index, op) in ops.into_iter().enumerate() {
        let record = Arc::clone(record);
        calls.spawn(async move { (index, record.execute(&op, generous()).await) });
    }
    let outcomes: BTreeMap<usize, _> = calls.join_all().await.into_iter().collect();
    outcomes.into_values().collect()
}

fn version_of(reply: Reply) -> Version {
    let reply = match reply {
        Reply::Committed(Committed::Done(reply)) => *reply,
        other => other,
    };
    reply.into_written().unwrap().version.unwrap()
}

/// Writers on keys of their own and on shared ones, guarded or not: every acknowledged write has a version of its own,
/// versions rise, and the youngest is there. Returns how many writes that were.
pub(crate) async fn versions_rise(record: &Record, under: Option<Under>) -> usize {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let record = Arc::clone(record);
        writers.spawn(async move {
            let mut given = Vec::new();
            for round in 0..ROUNDS {
                let key = match round % 2 {
                    0 => format!("own:{writer}"),
                    _ => format!("shared:{}", (writer + round) % SHARED),
                };
                let value = format!("{writer}:{round}");
                let write = put(key.clone(), value.clone());
                let op = under.map_or_else(|| write.clone(), |under| guarded(write.clone(), under));
                given.push((key, version_of(done(&record, op).await), value));
            }
            given
        });
    }
    let mut by_key: BTreeMap<String, BTreeMap<Version, String>> = BTreeMap::new();
    let mut writes = 0;
    for given in writers.join_all().await {
        let mut last: BTreeMap<String, Version> = BTreeMap::new();
        for (key, version, value) in given {
            let before = last.insert(key.clone(), version);
            assert!(before.is_none_or(|before| before < version), "{key}: {before:?}, {version}");
            let other = by_key.entry(key.clone()).or_default().insert(version, value);
            assert_eq!(other, None, "{key}: two writes were given {version}");
            writes += 1;
        }
    }
    assert_eq!(writes, WRITERS * ROUNDS);
    for (key, given) in &by_key {
        let get = Op::Get { key: Key::from(key.as_str()), with_ttl: false };
        let found = done(record, get).await.into_record().unwrap().unwrap();
        let (version, written) = given.last_key_value().unwrap();
        assert_eq!((found.version, &*found.value), (Some(*version), written.as_bytes()), "{key}");
    }
    writes
}

/// Sets and deletes at once: a delete of nothing says so, one of something gives a version.
pub(crate) async fn deletes_tell_what_they_found(record: &Record, under: Option<Under>) {
    let guard =
        |write: Op| under.map_or_else(|| write.clone(), |under| guarded(write.clone(), under));
    for n in (0..WRITERS).step_by(2) {
        done(record, put(format!("d:{n}"), "there".to_owned())).await;
    }
    let keys = (0..WRITERS).map(|n| format!("d:{n}"));
    let deletes = keys.clone().map(|key| guard(delete(&key)));
    let sets = keys.map(|key| guard(put(key.replace("d:", "e:"), "v".to_owned())));
    let outcomes = at_once(record, deletes.chain(sets).collect()).await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let reply = match outcome.unwrap() {
            Reply::Committed(Committed::Done(reply)) => *reply,
            other => other,
        };
        let written = reply.into_written().unwrap();
        let there = n >= WRITERS || n.is_multiple_of(2);
        assert_eq!((written.applied, written.version.is_some()), (there, there), "{n}");
    }
    assert_eq!(value(record, "d:0").await, None);
    assert_eq!(value(record, "e:63").await.as_deref(), Some(b"v".as_slice()));
}

/// Marks whose time is up, and marks of another epoch, among good ones: only theirs are overtaken.
pub(crate) async fn overtaken_alone(record: &Record) {
    let good = activated(record).await;
    let Under::Mark { epoch, deadline_us } = good else { panic!("{good:?}") };
    let late = Under::Mark { epoch, deadline_us: deadline_us - 2 * MINUTE_US };
    let old = Under::Mark { epoch: epoch - 1, deadline_us };
    for write in [|n| put(format!("m:{n}"), "v".to_owned()), |n| delete(&format!("m:{n}"))] {
        let under = |n: usize| [good, late, good, old][n % 4];
        let ops = (0..WRITERS).map(|n| guarded(write(n), under(n))).collect();
        for (n, outcome) in at_once(record, ops).await.into_iter().enumerate() {
            let committed = outcome.unwrap().into_committed().unwrap();
            let overtaken = matches!(committed, Committed::Overtaken);
            assert_eq!(overtaken, n % 2 == 1, "{n}: {committed:?}");
        }
    }
    assert_eq!(value(record, "m:1").await, None);
}

/// The server refuses the key `bad`.
pub(crate) async fn one_bad_row_fails_alone(record: &Record) {
    for under in [None, Some(activated(record).await)] {
        let key = |n: usize| if n == 40 { "bad".to_owned() } else { format!("g:{n}") };
        let write = |n| put(key(n), "v".to_owned());
        let op = |n| under.map_or_else(|| write(n), |under| guarded(write(n), under));
        let ops = (0..WRITERS).map(op).collect();
        for (n, outcome) in at_once(record, ops).await.into_iter().enumerate() {
            match outcome {
                Ok(reply) => assert!(n != 40 && version_of(reply).counter > 0),
                Err(error) => {
                    let found = (n, error.kind(), error.effect());
                    assert_eq!(found, (40, ErrorKind::InvalidArgument, Effect::None), "{error}");
                }
            }
        }
    }
}

/// Somebody holds the row of the key `held`: all others are written meanwhile.
pub(crate) async fn a_lock_keeps_only_its_key(record: &Record, release: impl AsyncFnOnce()) {
    let held = {
        let record = Arc::clone(record);
        let ops = (0..4).map(|_| set("held", "mine")).collect();
        tokio::spawn(async move { at_once(&record, ops).await })
    };
    for _ in 0..3 {
        let ops = (0..WRITERS).map(|n| put(format!("h:{n}"), "v".to_owned())).collect();
        for outcome in at_once(record, ops).await {
            version_of(outcome.unwrap());
        }
    }
    assert!(!held.is_finished());
    release().await;
    let versions = held.await.unwrap().into_iter().map(|outcome| version_of(outcome.unwrap()));
    assert_eq!(versions.collect::<std::collections::BTreeSet<_>>().len(), 4);
}

/// What a writer knows of its key when the server is gone.
pub(crate) struct Left {
    key: String,
    acknowledged: usize,
    error: Error,
}

/// Writers that go on until they are refused; `kill` once all have written a few times.
pub(crate) async fn until_killed(record: &Record, kill: impl FnOnce()) -> Vec<Left> {
    let under = activated(record).await;
    let (written, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (record, written) = (Arc::clone(record), written.clone());
        writers.spawn(async move {
            let key = format!("k:{writer}");
            for round in 1.. {
                let op = guarded(put(key.clone(), round.to_string()), under);
                if let Err(error) = record.execute(&op, generous()).await {
                    return Left { key, acknowledged: round - 1, error };
                }
                written.send(()).unwrap();
            }
            panic!("it wrote for ever");
        });
    }
    for _ in 0..10 * WRITERS {
        seen.recv().await.unwrap();
    }
    kill();
    writers.join_all().await
}

/// Nothing that was acknowledged is lost, and only what is in doubt may be there beyond it.
pub(crate) async fn nothing_is_lost(record: &Record, left: Vec<Left>) {
    assert!(left.iter().any(|one| one.error.effect() == Effect::Unknown), "some were under way");
    for Left { key, acknowledged, error } in left {
        assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
        let found = value(record, &key).await.map(|value| String::from_utf8(value.into()).unwrap());
        let found: usize = found.map_or(0, |text| text.parse().unwrap());
        let doubt = usize::from(error.effect() == Effect::Unknown);
        assert!((acknowledged..=acknowledged + doubt).contains(&found), "{key}: {found}, {error}");
    }
}

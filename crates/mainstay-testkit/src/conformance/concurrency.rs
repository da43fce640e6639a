//! Many tasks on the same keys: no update is lost, none is counted twice.
//! Knows nothing of failures: those are the fault suites'.

use super::subject::{deadline, set};
use super::{Check, Subject};
use bytes::Bytes;
use futures_util::FutureExt;
use mainstay::{Condition, Key, Op, TtlChange};
use std::collections::BTreeSet;
use tokio::task::JoinSet;

pub(super) const CHECKS: &[Check] = &[
    Check::new("concurrency: 64 tasks increment", |s| Box::pin(increments(s))),
    Check::new("concurrency: 64 tasks append", |s| Box::pin(appends(s))),
    Check::new("concurrency: compare-and-set by value loses nothing", |s| {
        Box::pin(cas_by_value(s))
    }),
    Check::new("concurrency: compare-and-set by version loses nothing", |s| {
        Box::pin(cas_by_version(s))
    })
    .when(|c| c.versions),
    Check::new("concurrency: one of 64 creates, one of 64 deletes", |s| Box::pin(one_winner(s))),
    Check::new("concurrency: no version is given twice", |s| Box::pin(versions(s)))
        .when(|c| c.versions),
    Check::new("concurrency: batches over the same keys in any order", |s| Box::pin(batches(s))),
    Check::new("concurrency: dropped calls do no harm", |s| Box::pin(dropped(s))),
];

const TASKS: usize = 64;

/// Runs so many tasks at once and returns what they return.
async fn race<F>(s: &Subject, tasks: usize, task: fn(Subject, usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let mut running = JoinSet::new();
    for number in 0..tasks {
        running.spawn(task(s.clone(), number));
    }
    running.join_all().await
}

fn shared(s: &Subject) -> Key {
    s.key("shared")
}

async fn number(s: &Subject) -> i64 {
    let value = s.value(&shared(s)).await.unwrap_or_default();
    String::from_utf8_lossy(&value).parse().unwrap_or(-1)
}

async fn increments(s: Subject) {
    let answers = race(&s, TASKS, |s, _| async move {
        let mut sums = Vec::new();
        for _ in 0..5 {
            sums.push(s.computed(Op::Increment { key: shared(&s), by: 1 }).await);
        }
        sums
    });
    let mut sums: Vec<i64> = answers.await.concat();
    sums.sort_unstable();
    assert!(sums == (1..=320).collect::<Vec<_>>(), "each sum is answered exactly once: {sums:?}");
    assert_eq!(number(&s).await, 320);
}

async fn appends(s: Subject) {
    let answers = race(&s, TASKS, |s, number| async move {
        let value = Bytes::from(vec![u8::try_from(number).unwrap_or(u8::MAX); 3]);
        s.computed(Op::Append { key: shared(&s), value }).await
    });
    let lengths: BTreeSet<i64> = answers.await.into_iter().collect();
    assert_eq!(lengths, (1..=64).map(|n| n * 3).collect());
    let value = s.value(&shared(&s)).await.unwrap_or_default();
    let whole = value.chunks(3).all(|part| part.iter().all(|byte| *byte == part[0]));
    assert!(whole, "no append is torn by another");
    assert_eq!(value.chunks(3).map(|part| part[0]).collect::<BTreeSet<_>>().len(), TASKS);
}

async fn cas_by_value(s: Subject) {
    s.set(&shared(&s), "0").await;
    let applied = race(&s, 16, |s, _| async move {
        let mut applied = 0;
        for _ in 0..8 {
            let seen = s.value(&shared(&s)).await.unwrap_or_default();
            let number: i64 = String::from_utf8_lossy(&seen).parse().unwrap_or(-1);
            let op = set(
                &shared(&s),
                (number + 1).to_string(),
                TtlChange::Keep,
                Condition::ValueIs(seen),
            );
            applied += i64::from(s.written(op).await.applied);
        }
        applied
    });
    let applied: i64 = applied.await.into_iter().sum();
    assert!(applied > 0, "somebody wins");
    assert_eq!(number(&s).await, applied, "every applied write counts once");
}

async fn cas_by_version(s: Subject) {
    s.set(&shared(&s), "0").await;
    let applied = race(&s, 16, |s, _| async move {
        let mut applied = 0;
        for _ in 0..8 {
            let Some(seen) = s.get(&shared(&s)).await else { continue };
            let Some(version) = seen.version else { continue };
            let number: i64 = String::from_utf8_lossy(&seen.value).parse().unwrap_or(-1);
            let condition = Condition::VersionIs(version);
            let op = set(&shared(&s), (number + 1).to_string(), TtlChange::Keep, condition);
            applied += i64::from(s.written(op).await.applied);
        }
        applied
    });
    let applied: i64 = applied.await.into_iter().sum();
    assert!(applied > 0, "somebody wins");
    assert_eq!(number(&s).await, applied, "every applied write counts once");
}

async fn one_winner(s: Subject) {
    for _ in 0..5 {
        let created = race(&s, TASKS, |s, number| async move {
            let op = set(&shared(&s), number.to_string(), TtlChange::Clear, Condition::Absent);
            (s.written(op).await.applied, i64::try_from(number).unwrap_or(-1))
        });
        let winners: Vec<i64> = created
            .await
            .into_iter()
            .filter_map(|(applied, number)| applied.then_some(number))
            .collect();
        assert_eq!(winners, [number(&s).await], "one creates, and its value stands");
        let deleted = race(&s, TASKS, |s, _| async move { s.delete(&shared(&s)).await });
        assert_eq!(deleted.await.into_iter().filter(|applied| *applied).count(), 1, "one deletes");
    }
}

async fn versions(s: Subject) {
    let answers = race(&s, TASKS, |s, number| async move {
        let first = s.set(&shared(&s), number.to_string()).await.version;
        let second = s.set(&shared(&s), number.to_string()).await.version;
        assert!(first < second, "in the order of one writer: {first:?} {second:?}");
        [first, second]
    });
    let versions: BTreeSet<_> = answers.await.into_iter().flatten().collect();
    assert_eq!(versions.len(), TASKS * 2);
    assert_eq!(
        versions.into_iter().next_back().flatten(),
        s.version(&shared(&s)).await,
        "the highest stands"
    );
}

async fn batches(s: Subject) {
    race(&s, 32, |s, number| async move {
        let mut entries: Vec<(Key, Bytes)> =
            (0..10).map(|key| (s.key(key.to_string()), Bytes::from(number.to_string()))).collect();
        if number % 2 == 1 {
            entries.reverse();
        }
        let keys: Vec<Key> = entries.iter().rev().map(|(key, _)| key.clone()).collect();
        s.done(Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false }).await;
        if number % 8 == 0 {
            s.done(Op::DeleteMany { keys }).await;
        }
    })
    .await;
    let keys = (0..10).map(|key| s.key(key.to_string())).collect();
    let records =
        s.done(Op::GetMany { keys }).await.into_records().expect("GetMany answers Records");
    let values: BTreeSet<_> =
        records.into_iter().map(|record| record.map(|record| record.value)).collect();
    assert!(
        !s.capabilities().atomic_many || values.len() == 1,
        "one batch won everywhere: {values:?}"
    );
}

async fn dropped(s: Subject) {
    for round in 0..200 {
        let key = s.key((round % 7).to_string());
        let op = set(&key, "v", TtlChange::Clear, Condition::Always);
        let mut call = s.backend().execute(&op, deadline());
        for _ in 0..round % 4 {
            if (&mut call).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    race(&s, TASKS, |s, number| async move {
        let key = s.key(format!("after/{number}"));
        s.set(&key, number.to_string()).await;
        assert_eq!(s.value(&key).await, Some(Bytes::from(number.to_string())));
    })
    .await;
}

//! What only SQLite can show of a record with caches before it: two handles, one write lock, groups, clocks that differ.

use std::sync::Arc;

use super::{super::lane::Job, *};
use crate::{
    op::{Base, DirtyRow, LeaseRow, RecordOp, Terms, Under},
    reply::{Applied, Committed},
};

const TERMS: Terms = Terms {
    lease: Duration::from_secs(2),
    mark: Duration::from_secs(5),
    statement: Duration::from_secs(1),
};
const AROUND: Under = Under::Around { known_for: None, open_for: Duration::ZERO };

fn cache() -> Arc<str> {
    Arc::from("redis")
}

async fn ask(sqlite: &Sqlite, op: RecordOp) -> Reply {
    run(sqlite, Op::Record(op)).await.unwrap()
}

pub(super) async fn lease(sqlite: &Sqlite) -> LeaseRow {
    let op = RecordOp::Lease { cache: cache(), terms: TERMS, id: 7, dirty_max: 100 };
    *ask(sqlite, op).await.into_lease().unwrap()
}

pub(super) async fn readmit(sqlite: &Sqlite, epoch: u64) -> Reply {
    let op = RecordOp::Readmit { cache: cache(), epoch, identity: "run".into(), beacon: 0 };
    ask(sqlite, op).await
}

async fn dirty(sqlite: &Sqlite) -> Vec<DirtyRow> {
    let op = RecordOp::Dirty { cache: cache(), from: None, limit: 1000 };
    ask(sqlite, op).await.into_dirty().unwrap()
}

async fn drained(sqlite: &Sqlite, rows: Vec<DirtyRow>) -> i64 {
    ask(sqlite, RecordOp::Drained { cache: cache(), rows }).await.into_integer().unwrap()
}

fn guarded(write: Op, under: Under) -> Op {
    Op::Record(RecordOp::Commit { cache: cache(), write: Box::new(write), under })
}

async fn commit(sqlite: &Sqlite, write: Op, under: Under) -> Committed {
    run(sqlite, guarded(write, under)).await.unwrap().into_committed().unwrap()
}

fn put(key: &str) -> Op {
    set(key, "v", TtlChange::Clear)
}

/// Leased and readmitted: active at epoch 1.
async fn active(path: &Path) -> Sqlite {
    let sqlite = open(path).await;
    lease(&sqlite).await;
    assert_eq!(readmit(&sqlite, 0).await, Reply::Integer(1));
    sqlite
}

#[tokio::test]
async fn a_marked_write_that_waited_for_the_lock_past_its_deadline_is_overtaken() {
    let folder = Folder::new("control-lock");
    let path = folder.path("main.db");
    let sqlite = active(&path).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let deadline_us = lease(&sqlite).await.now_us + 30_000;
    let mark = Under::Mark { epoch: 1, deadline_us };
    let (late, plain, ()) =
        futures_util::join!(commit(&sqlite, put("k"), mark), run(&sqlite, put("plain")), async {
            while lease(&sqlite).await.now_us < deadline_us {
                tokio::task::yield_now().await;
            }
            other.execute_batch("COMMIT").unwrap();
        });
    assert_eq!(late, Committed::Overtaken);
    assert!(plain.is_ok() && read(&sqlite, "plain").await.is_some());
    assert_eq!(read(&sqlite, "k").await, None);
    sqlite.close().await;
}

/// The check and the commit are one to everybody else, but time passes in between.
#[tokio::test]
async fn a_group_that_comes_too_late_for_a_mark_begins_again_without_it() {
    let sqlite = new("sqlite::memory:", &Clock::system());
    let rules = &sqlite.plan.rules;
    let connection = schema::open_writer(&Location::Memory, true).unwrap();
    let lease = RecordOp::Lease { cache: cache(), terms: TERMS, id: 7, dirty_max: 1 };
    control::first_lease(&connection, &lease).unwrap();
    let readmit = RecordOp::Readmit { cache: cache(), epoch: 0, identity: "run".into(), beacon: 0 };
    control::write(&connection, &readmit, rules).unwrap();
    let mark = |deadline_us| Under::Mark { epoch: 1, deadline_us };
    let add = || Op::Increment { key: Key::from("n"), by: 1 };
    let writes = [
        guarded(put("short"), mark(i64::MAX)),
        guarded(add(), mark(i64::MAX)),
        add(),
        guarded(add(), AROUND),
    ];
    let (jobs, answers): (Vec<Job>, Vec<_>) = writes
        .into_iter()
        .map(|write| {
            let (job, _, answer) = Job::new(Work::Op(write), soon(&sqlite));
            (job, answer)
        })
        .unzip();
    let (mut done, lost) =
        group::perform_all(&connection, group::begin(&connection, jobs, rules), rules);
    assert!(lost.is_none() && !connection.is_autocommit());
    assert!(matches!(done[0].1, Ok(Reply::Committed(Committed::Done(_)))), "performed in time");
    let passed = mark(control::now_us(&connection).unwrap());
    done[0].0.work = Work::Op(guarded(put("short"), passed));
    let again = group::end(&connection, done, lost, rules);
    assert_eq!((again.len(), connection.is_autocommit()), (4, true), "all was rolled back");
    let (done, lost) =
        group::perform_all(&connection, group::begin(&connection, again, rules), rules);
    assert!(group::end(&connection, done, lost, rules).is_empty(), "and now it is committed");
    let mut sums = Vec::new();
    for (number, answer) in answers.into_iter().enumerate() {
        let reply = answer.await.unwrap().unwrap();
        match (number, reply) {
            (0, reply) => assert_eq!(reply, Reply::Committed(Committed::Overtaken)),
            (_, Reply::Committed(Committed::Done(reply))) => sums.push(*reply),
            (_, reply) => sums.push(reply),
        }
    }
    let sums = sums.into_iter().map(|reply| reply.into_written().unwrap().outcome);
    assert_eq!(sums.collect::<Vec<_>>(), [1, 2, 3].map(Outcome::Integer), "each counts once");
}

#[tokio::test]
async fn a_bad_guarded_write_fails_its_caller_only() {
    let folder = Folder::new("control-group");
    let sqlite = active(&folder.path("main.db")).await;
    run(&sqlite, set("text", "x", TtlChange::Clear)).await.unwrap();
    let work = (0..90).map(|task| {
        let sqlite = &sqlite;
        async move {
            let (key, under) = match task % 3 {
                0 => ("text", AROUND),
                1 => ("n", AROUND),
                _ => ("n", Under::Mark { epoch: 1, deadline_us: i64::MAX }),
            };
            let add = Op::Increment { key: Key::from(key), by: 1 };
            (task % 3, run(sqlite, guarded(add, under)).await.map_err(|error| error.kind()))
        }
    });
    for (which, result) in futures_util::future::join_all(work).await {
        match which {
            0 => assert_eq!(result, Err(ErrorKind::NotInteger)),
            _ => assert!(matches!(result, Ok(Reply::Committed(Committed::Done(_))))),
        }
    }
    assert_eq!(read(&sqlite, "n").await.unwrap().value, "60");
    let dirty: Vec<Key> = dirty(&sqlite).await.into_iter().map(|row| row.key).collect();
    assert_eq!(dirty, [Key::from("n")]);
    sqlite.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_drain_each_row_once_and_let_no_write_past_a_readmission() {
    let folder = Folder::new("control-handles");
    let path = folder.path("main.db");
    let (one, two) = (active(&path).await, open(&path).await);
    let mut epoch = 1;
    for round in 0..20 {
        for number in 0..10 {
            commit(&one, put(&format!("{round}-{number}")), AROUND).await;
        }
        let rows = dirty(&two).await;
        let (a, b) = futures_util::join!(drained(&one, rows.clone()), drained(&two, rows));
        assert_eq!((a + b, dirty(&one).await.len()), (10, 0));
        let degrade = RecordOp::Degrade { cache: cache(), epoch, reason: "why".into() };
        assert_eq!(ask(&one, degrade).await, Reply::Integer(1));
        let key = format!("raced-{round}");
        let (written, seen) = futures_util::join!(commit(&one, put(&key), AROUND), async {
            assert_eq!(readmit(&two, epoch + 1).await, Reply::Integer(1));
            read(&two, &key).await.is_some()
        });
        assert!(matches!(written, Committed::Done(_)));
        let dirty = dirty(&two).await;
        assert!(seen || dirty.len() == 1, "written after the readmission, and not dirty");
        drained(&one, dirty).await;
        epoch += 2;
    }
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn processes_whose_clocks_differ_agree_on_the_time() {
    let folder = Folder::new("control-clocks");
    let path = folder.path("main.db");
    let one = active(&path).await;
    let hour_ms = 3_600_000;
    let slow = new(&url(&path), &Clock::starting_at(Clock::system().unix_ms() - hour_ms));
    slow.connect(soon(&slow)).await.unwrap();
    let (before, between, after) = (lease(&one).await, lease(&slow).await, lease(&one).await);
    assert!(before.now_us <= between.now_us && between.now_us <= after.now_us);
    let mark = Under::Mark { epoch: 1, deadline_us: after.now_us };
    assert_eq!(commit(&slow, put("k"), mark).await, Committed::Overtaken);
    let base = Base { version: None, known_until_us: Some(lease(&one).await.now_us) };
    write(&slow, put("k")).await;
    let apply = RecordOp::Apply { journal: 1, seq: 1, write: Box::new(put("k")), base };
    let applied = ask(&one, apply).await.into_applied().unwrap();
    assert_eq!(applied, Applied::Conflict(Key::from("k")), "a slow clock hides no write");
    for sqlite in [one, slow] {
        sqlite.close().await;
    }
}

#[tokio::test]
async fn dirty_rows_and_journals_are_there_after_reopening() {
    let folder = Folder::new("control-reopen");
    let path = folder.path("main.db");
    let sqlite = active(&path).await;
    commit(&sqlite, put("k"), AROUND).await;
    let add = Op::Increment { key: Key::from("n"), by: 1 };
    let apply =
        RecordOp::Apply { journal: u128::MAX, seq: 9, write: Box::new(add), base: Base::default() };
    assert!(matches!(ask(&sqlite, apply.clone()).await, Reply::Applied(Applied::Done(_))));
    let (rows, control) = (dirty(&sqlite).await, lease(&sqlite).await.control);
    // Without `close`: as after a crash, but for the pages in the system's cache.
    std::mem::forget(sqlite);
    let sqlite = open(&path).await;
    assert_eq!((dirty(&sqlite).await, rows.len()), (rows, 2));
    let again = lease(&sqlite).await.control;
    assert_eq!((again.epoch, again.active, again.id), (control.epoch, true, control.id));
    assert_eq!(ask(&sqlite, apply).await, Reply::Applied(Applied::Already));
    sqlite.close().await;
}

//! The record's part of the cache protocol where only real connections show it: lock waits, two at once, poolers, limits.
//! Knows nothing of what the conformance suite asks of every record.

use super::new;
use crate::sql::{self, connected, done, generous, increment, set, unanswered, value};
use bytes::Bytes;
use mainstay::backend::Backend;
use mainstay::config::BackendConfig;
use mainstay::op::{Base, DirtyRow, LeaseRow, RecordOp, Terms, Under};
use mainstay::reply::{Applied, Committed};
use mainstay::{Condition, Effect, Error, ErrorKind, Key, Op, Reply, TtlChange};
use mainstay_testkit::proxy::{Direction, Proxy, Toxics};
use mainstay_testkit::servers::{PgBouncer, Postgres};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const TERMS: Terms = Terms {
    lease: Duration::from_secs(2),
    mark: Duration::from_secs(5),
    statement: Duration::from_secs(1),
};
const AT_ONCE: Under = Under::Around { known_for: None, open_for: Duration::ZERO };
/// PgBouncer drops what a session asks for, instead of refusing it.
const SILENT: &str = "ignore_startup_parameters = options";

type Record = Arc<dyn Backend>;

fn cache() -> Arc<str> {
    Arc::from("redis")
}

async fn ask(record: &Record, op: RecordOp) -> Reply {
    done(record, Op::Record(op)).await
}

async fn lease(record: &Record) -> LeaseRow {
    let op = RecordOp::Lease { cache: cache(), terms: TERMS, id: 7, dirty_max: 1000 };
    *ask(record, op).await.into_lease().unwrap()
}

async fn readmit(record: &Record, epoch: u64) -> i64 {
    let op = RecordOp::Readmit { cache: cache(), epoch, identity: "run".to_owned(), beacon: 0 };
    ask(record, op).await.into_integer().unwrap()
}

/// Active at epoch 1.
async fn activated(url: &str, connections: usize) -> Record {
    let record = connected(new, url, connections).await;
    lease(&record).await;
    assert_eq!(readmit(&record, 0).await, 1);
    record
}

fn guarded(write: Op, under: Under) -> Op {
    Op::Record(RecordOp::Commit { cache: cache(), write: Box::new(write), under })
}

/// A mark that stands for so long from now.
async fn mark(record: &Record, epoch: u64, left: Duration) -> Under {
    let left = i64::try_from(left.as_micros()).unwrap();
    Under::Mark { epoch, deadline_us: lease(record).await.now_us + left }
}

fn spawn(record: &Record, op: Op) -> JoinHandle<Result<Reply, Error>> {
    let record = Arc::clone(record);
    tokio::spawn(async move { record.execute(&op, generous()).await })
}

async fn committed(call: JoinHandle<Result<Reply, Error>>) -> Committed {
    call.await.unwrap().unwrap().into_committed().unwrap()
}

/// The writes that take different roads, all to the key `k`.
fn writes() -> [Op; 5] {
    let (key, keys) = (Key::from("k"), vec![Key::from("k")]);
    let entries = vec![(key.clone(), Bytes::from("late"))];
    [
        set("k", "late"),
        Op::Delete { key, condition: Condition::Always, want_previous: false },
        Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false },
        Op::DeleteMany { keys },
        increment("k"),
    ]
}

/// Somebody else's transaction.
struct Holder {
    client: tokio_postgres::Client,
    driver: JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Holder {
    async fn begin(postgres: &Postgres, sql: &str) -> Self {
        let connected = tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls).await;
        let (client, connection) = connected.unwrap();
        let driver = tokio::spawn(connection);
        client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
        Self { client, driver }
    }

    async fn end(self) {
        self.client.batch_execute("COMMIT").await.unwrap();
        drop(self.client);
        self.driver.await.unwrap().unwrap();
    }
}

/// Waits until so many statements wait for a lock.
async fn blocked(postgres: &Postgres, count: usize) {
    let sql = "select count(*) from pg_locks where not granted";
    until(async || postgres.psql(sql).await.unwrap() == count.to_string()).await;
}

async fn until(holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(30), "it never came to be");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn past(record: &Record, under: Under) {
    let Under::Mark { deadline_us, .. } = under else { return };
    until(async || lease(record).await.now_us > deadline_us).await;
}

#[tokio::test]
async fn a_commit_that_waits_for_a_lock_past_its_deadline_is_overtaken() {
    let postgres = Postgres::start().await.unwrap();
    let bouncer = PgBouncer::start(&postgres).await.unwrap();
    let direct = activated(&postgres.url(), 4).await;
    let pooled = connected(new, &bouncer.url(), 4).await;
    done(&direct, set("k", "1")).await;
    for write in writes() {
        let holder = Holder::begin(&postgres, "SELECT 1 FROM mainstay_kv FOR UPDATE").await;
        // Both have to be at the lock by then.
        let under = mark(&direct, 1, Duration::from_secs(2)).await;
        let calls = [&direct, &pooled].map(|record| spawn(record, guarded(write.clone(), under)));
        blocked(&postgres, 2).await;
        past(&direct, under).await;
        holder.end().await;
        for (record, call) in [&direct, &pooled].into_iter().zip(calls) {
            assert_eq!(committed(call).await, Committed::Overtaken, "{write:?}");
            assert_eq!(value(record, "k").await.as_deref(), Some(b"1".as_slice()), "{write:?}");
        }
    }
}

#[tokio::test]
async fn a_commit_that_waits_for_a_lock_within_its_deadline_is_performed() {
    let postgres = Postgres::start().await.unwrap();
    let record = activated(&postgres.url(), 4).await;
    for write in writes() {
        done(&record, set("k", "1")).await;
        let holder = Holder::begin(&postgres, "SELECT 1 FROM mainstay_kv FOR UPDATE").await;
        let under = mark(&record, 1, Duration::from_secs(60)).await;
        let call = spawn(&record, guarded(write.clone(), under));
        blocked(&postgres, 1).await;
        holder.end().await;
        assert!(matches!(committed(call).await, Committed::Done(_)), "{write:?}");
        assert_ne!(value(&record, "k").await.as_deref(), Some(b"1".as_slice()), "{write:?}");
    }
}

#[tokio::test]
async fn a_transaction_whose_epoch_ends_before_it_commits_is_overtaken() {
    let postgres = Postgres::start().await.unwrap();
    let record = activated(&postgres.url(), 4).await;
    done(&record, set("k", "1")).await;
    let holder = Holder::begin(&postgres, "SELECT 1 FROM mainstay_kv FOR UPDATE").await;
    let under = mark(&record, 1, Duration::from_secs(60)).await;
    let call = spawn(&record, guarded(increment("k"), under));
    blocked(&postgres, 1).await;
    let degrade = RecordOp::Degrade { cache: cache(), epoch: 1, reason: "test".to_owned() };
    assert_eq!(ask(&record, degrade).await.into_integer().unwrap(), 1);
    holder.end().await;
    assert_eq!(committed(call).await, Committed::Overtaken);
    assert_eq!(value(&record, "k").await.as_deref(), Some(b"1".as_slice()));
}

#[tokio::test]
async fn a_readmission_waits_for_a_write_in_the_degraded_state() {
    let postgres = Postgres::start().await.unwrap();
    let record = connected(new, &postgres.url(), 6).await;
    for (epoch, write) in (0..).step_by(2).zip(writes()) {
        done(&record, set("k", "1")).await;
        lease(&record).await;
        let holder = Holder::begin(&postgres, "SELECT 1 FROM mainstay_kv FOR UPDATE").await;
        let call = spawn(&record, guarded(write.clone(), AT_ONCE));
        blocked(&postgres, 1).await;
        let identity = "run".to_owned();
        let readmit = RecordOp::Readmit { cache: cache(), epoch, identity, beacon: 0 };
        let readmission = spawn(&record, Op::Record(readmit));
        blocked(&postgres, 2).await;
        assert!(!lease(&record).await.control.active, "a lease waits for nobody");
        holder.end().await;
        assert!(matches!(committed(call).await, Committed::Done(_)), "{write:?}");
        assert_eq!(readmission.await.unwrap().unwrap().into_integer().unwrap(), 1);
        let row = lease(&record).await;
        assert!(row.control.active && row.dirty.is_empty(), "{write:?}");
        let degrade =
            RecordOp::Degrade { cache: cache(), epoch: epoch + 1, reason: "test".to_owned() };
        assert_eq!(ask(&record, degrade).await.into_integer().unwrap(), 1);
    }
}

#[tokio::test]
async fn a_write_that_waited_for_a_readmission_makes_its_key_dirty() {
    let postgres = Postgres::start().await.unwrap();
    let record = connected(new, &postgres.url(), 4).await;
    lease(&record).await;
    let change = "UPDATE mainstay_cache SET active = true, epoch = 1, generation = 1";
    let holder = Holder::begin(&postgres, change).await;
    let call = spawn(&record, guarded(set("k", "v"), AT_ONCE));
    blocked(&postgres, 1).await;
    let base = Base::default();
    let write = Box::new(set("j", "v"));
    let apply = RecordOp::Apply { journal: 1, seq: 1, write, base };
    let applied = spawn(&record, Op::Record(apply));
    blocked(&postgres, 2).await;
    holder.end().await;
    assert!(matches!(committed(call).await, Committed::Done(_)));
    let applied = applied.await.unwrap().unwrap().into_applied().unwrap();
    assert!(matches!(applied, Applied::Done(_)), "{applied:?}");
    assert_eq!(lease(&record).await.dirty, [Key::from("j"), Key::from("k")]);
}

#[tokio::test]
async fn drains_at_once_take_each_row_once_and_wait_for_nobody() {
    let postgres = Postgres::start().await.unwrap();
    let record = activated(&postgres.url(), 8).await;
    let entries = (0..500).map(|n| (Key::from(format!("k{n:03}")), Bytes::from("v"))).collect();
    let write = Op::SetMany { entries, ttl: TtlChange::Clear, all_absent: false };
    done(&record, guarded(write, AT_ONCE)).await;
    let dirty = RecordOp::Dirty { cache: cache(), from: None, limit: 1000 };
    let rows: Vec<DirtyRow> = ask(&record, dirty).await.into_dirty().unwrap();
    assert_eq!(rows.len(), 500);
    let held = "SELECT 1 FROM mainstay_dirty WHERE key = 'k007' FOR UPDATE";
    let holder = Holder::begin(&postgres, held).await;
    let drain = |rows: Vec<DirtyRow>| Op::Record(RecordOp::Drained { cache: cache(), rows });
    let drains: Vec<_> = (0..4)
        .map(|n| {
            let rows = if n % 2 == 0 { rows.clone() } else { rows.iter().rev().cloned().collect() };
            spawn(&record, drain(rows))
        })
        .collect();
    let mut gone = 0;
    for drain in drains {
        gone += drain.await.unwrap().unwrap().into_integer().unwrap();
    }
    let left = lease(&record).await.dirty;
    assert!(left.contains(&Key::from("k007")), "it is locked");
    assert_eq!(usize::try_from(gone).unwrap() + left.len(), 500);
    holder.end().await;
    // What one drain had locked the others left; nobody is at it any more.
    let last = done(&record, drain(rows)).await.into_integer().unwrap();
    assert_eq!(usize::try_from(last).unwrap(), left.len());
    assert!(lease(&record).await.dirty.is_empty());
}

#[tokio::test]
async fn the_server_ends_a_guarded_write_that_takes_too_long() {
    let postgres = Postgres::start().await.unwrap();
    let bouncer = PgBouncer::start(&postgres).await.unwrap();
    let silent = PgBouncer::start_with(&postgres, SILENT).await.unwrap();
    // Its own questions may take their time.
    let patient = activated(&postgres.url(), 2).await;
    done(&patient, set("k", "1")).await;
    for url in [postgres.url(), bouncer.url(), silent.url()] {
        let short =
            BackendConfig { timeout: Some(Duration::from_millis(500)), ..sql::config(&url, 2) };
        let record = new(&short).unwrap();
        record.connect(generous()).await.unwrap();
        for write in writes() {
            let holder = Holder::begin(&postgres, "SELECT 1 FROM mainstay_kv FOR UPDATE").await;
            let under = mark(&patient, 1, Duration::from_secs(60)).await;
            for under in [under, AT_ONCE] {
                // The caller would wait for half a minute.
                let op = guarded(write.clone(), under);
                let error = record.execute(&op, generous()).await.unwrap_err();
                let found = (error.kind(), error.effect());
                assert_eq!(found, (ErrorKind::Overloaded, Effect::None), "{write:?}: {error}");
            }
            holder.end().await;
            assert_eq!(value(&patient, "k").await.as_deref(), Some(b"1".as_slice()), "{write:?}");
        }
        assert!(lease(&patient).await.dirty.is_empty(), "nothing is dirty that was not written");
    }
}

#[tokio::test]
async fn the_server_ends_a_transaction_whose_client_is_silent() {
    let postgres = Postgres::start().await.unwrap();
    let bouncer = PgBouncer::start_with(&postgres, SILENT).await.unwrap();
    let proxy = Proxy::start(bouncer.port()).await.unwrap();
    activated(&postgres.url(), 1).await;
    let url = proxy.url(&bouncer.url(), bouncer.port());
    // The server's patience with a client; the write has to be at the lock by then.
    let short = BackendConfig { timeout: Some(Duration::from_secs(3)), ..sql::config(&url, 2) };
    let record = new(&short).unwrap();
    record.connect(generous()).await.unwrap();
    done(&record, increment("k")).await;
    let holder = Holder::begin(&postgres, "SELECT 1 FROM mainstay_kv FOR UPDATE").await;
    let call = spawn(&record, guarded(increment("k"), AT_ONCE));
    blocked(&postgres, 1).await;
    // The rows are locked, but the answer never arrives: what would be stored is never sent.
    proxy.set(Toxics::half_open(Direction::ToClient)).await;
    holder.end().await;
    let open = "select count(*) from pg_stat_activity where state like 'idle in transaction%'";
    until(async || postgres.psql(open).await.unwrap() == "0").await;
    let free = "select count(*) from pg_locks l join pg_class c on c.oid = l.relation \
                where c.relname = 'mainstay_kv' and l.pid <> pg_backend_pid()";
    until(async || postgres.psql(free).await.unwrap() == "0").await;
    call.abort();
    proxy.heal().await;
    assert_eq!(value(&record, "k").await.as_deref(), Some(b"1".as_slice()));
}

#[tokio::test]
async fn a_marked_write_whose_answer_is_lost_is_in_doubt() {
    let postgres = Postgres::start().await.unwrap();
    let proxy = Proxy::start(postgres.port()).await.unwrap();
    let record = activated(&proxy.url(&postgres.url(), postgres.port()), 2).await;
    let under = mark(&record, 1, Duration::from_secs(60)).await;
    // On a connection where the statement is prepared: else that would be what gets no answer, and is sent first.
    done(&record, guarded(set("k", "before"), under)).await;
    proxy.set(Toxics::half_open(Direction::ToClient)).await;
    let write = guarded(set("k", "lost"), under);
    let lost = record.execute(&write, unanswered()).await.unwrap_err();
    assert_eq!((lost.kind(), lost.effect()), (ErrorKind::Timeout, Effect::Unknown), "{lost}");
    proxy.heal().await;
    assert_eq!(value(&record, "k").await.as_deref(), Some(b"lost".as_slice()), "it was applied");
}

#[tokio::test]
async fn deletes_of_nothing_leave_nothing_that_a_journal_takes_for_a_write() {
    let postgres = Postgres::start().await.unwrap();
    let record = connected(new, &postgres.url(), 2).await;
    let known_until_us = Some(lease(&record).await.now_us);
    let apply = |journal, write| {
        let base = Base { version: None, known_until_us };
        RecordOp::Apply { journal, seq: 1, write: Box::new(write), base }
    };
    let keys = vec![Key::from("a"), Key::from("b")];
    let nothing = ask(&record, apply(1, Op::DeleteMany { keys })).await.into_applied().unwrap();
    assert_eq!(nothing, Applied::Done(Box::new(Reply::Integer(0))));
    assert_eq!(postgres.psql("select count(*) from mainstay_kv").await.unwrap(), "0");
    let second = ask(&record, apply(2, set("a", "v"))).await.into_applied().unwrap();
    assert!(matches!(second, Applied::Done(_)), "{second:?}");
}

#[tokio::test]
async fn a_database_of_schema_1_is_brought_forward_with_all_it_holds() {
    let postgres = Postgres::start().await.unwrap();
    postgres.psql(SCHEMA_1).await.unwrap();
    let bouncer = PgBouncer::start(&postgres).await.unwrap();
    sql::created_at_once(new, &bouncer.url()).await;
    let record = activated(&postgres.url(), 2).await;
    let kept = done(&record, sql::get("kept")).await.into_record().unwrap().unwrap();
    assert_eq!((&kept.value[..], kept.version.unwrap().counter), (b"v".as_slice(), 41));
    let next = done(&record, set("gone", "back")).await.into_written().unwrap().version.unwrap();
    assert_eq!((next.epoch, next.counter), (3, 8), "the tombstone's version goes on");
    assert_eq!(postgres.psql("select * from mainstay_meta").await.unwrap(), "1|4|3");
    let under = mark(&record, 1, Duration::from_secs(60)).await;
    let written = done(&record, guarded(set("kept", "w"), under)).await;
    assert!(matches!(written.into_committed().unwrap(), Committed::Done(_)));
}

/// As version 0.1 made it, with a value and a tombstone.
const SCHEMA_1: &str = "
CREATE TABLE mainstay_meta (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    schema_version bigint NOT NULL,
    epoch integer NOT NULL
);
CREATE TABLE mainstay_kv (
    key bytea PRIMARY KEY,
    epoch integer NOT NULL,
    counter bigint NOT NULL,
    value bytea,
    deleted boolean NOT NULL,
    expires_at bigint,
    updated_at bigint NOT NULL
);
CREATE INDEX mainstay_kv_expires_at ON mainstay_kv (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE mainstay_probe (
    id smallint PRIMARY KEY,
    stamp bigint NOT NULL
);
INSERT INTO mainstay_meta (id, schema_version, epoch) VALUES (1, 1, 3);
INSERT INTO mainstay_kv VALUES ('kept', 3, 41, 'v', false, null, 1700000000000);
INSERT INTO mainstay_kv VALUES ('gone', 3, 7, null, true, 1700000000000, 1700000000000);
";

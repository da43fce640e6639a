//! What only this engine can show of a record with caches before it: locks, clocks, limits, the older schema.

use super::new;
use crate::sql::{self, connected, done, generous, set, value};
use mainstay::backend::Backend;
use mainstay::op::{Base, LeaseRow, RecordOp, Terms, Under};
use mainstay::reply::{Applied, Committed};
use mainstay::{Condition, Effect, ErrorKind, Key, Op, Result};
use mainstay_testkit::servers::MariaDb;
use mysql_async::prelude::Queryable;
use std::sync::Arc;
use std::time::Duration;

const TERMS: Terms = Terms {
    lease: Duration::from_secs(2),
    mark: Duration::from_secs(5),
    statement: Duration::from_secs(1),
};
const AROUND: Under = Under::Around { known_for: None, open_for: Duration::ZERO };
const MINUTE_US: i64 = 60_000_000;

async fn lease(backend: &Arc<dyn Backend>) -> LeaseRow {
    lease_on(backend, TERMS).await
}

async fn lease_on(backend: &Arc<dyn Backend>, terms: Terms) -> LeaseRow {
    let op = RecordOp::Lease { cache: Arc::from("cache"), terms, id: 7, dirty_max: 9 };
    *done(backend, Op::Record(op)).await.into_lease().unwrap()
}

async fn did(backend: &Arc<dyn Backend>, op: RecordOp) -> bool {
    done(backend, Op::Record(op)).await.into_integer().unwrap() == 1
}

fn readmit(epoch: u64) -> RecordOp {
    RecordOp::Readmit { cache: Arc::from("cache"), epoch, identity: "run".to_owned(), beacon: 0 }
}

fn degrade(epoch: u64) -> RecordOp {
    RecordOp::Degrade { cache: Arc::from("cache"), epoch, reason: "why".to_owned() }
}

/// A cache that is active at epoch 1.
async fn active(backend: &Arc<dyn Backend>, terms: Terms) {
    lease_on(backend, terms).await;
    assert!(did(backend, readmit(0)).await);
}

async fn mark(backend: &Arc<dyn Backend>, us: i64) -> Under {
    Under::Mark { epoch: 1, deadline_us: lease(backend).await.now_us + us }
}

fn guarded(write: Op, under: Under) -> Op {
    Op::Record(RecordOp::Commit { cache: Arc::from("cache"), write: Box::new(write), under })
}

fn delete(key: &str) -> Op {
    Op::Delete { key: Key::from(key), condition: Condition::Always, want_previous: false }
}

fn spawned(backend: &Arc<dyn Backend>, op: Op) -> tokio::task::JoinHandle<Result<mainstay::Reply>> {
    let backend = Arc::clone(backend);
    tokio::spawn(async move { backend.execute(&op, generous()).await })
}

async fn committed(op: tokio::task::JoinHandle<Result<mainstay::Reply>>) -> Committed {
    op.await.unwrap().unwrap().into_committed().unwrap()
}

/// Somebody else who holds what this statement locks.
async fn holder(mariadb: &MariaDb, sql: &str) -> mysql_async::Conn {
    let opts = mysql_async::Opts::from_url(&mariadb.url()).unwrap();
    let mut holder = mysql_async::Conn::new(opts).await.unwrap();
    holder.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await.unwrap();
    holder.query_drop("START TRANSACTION").await.unwrap();
    holder.query_drop(sql).await.unwrap();
    holder
}

/// Waits until so many transactions wait for a lock.
async fn waiting(mariadb: &MariaDb, transactions: usize) {
    let sql = "select variable_value from information_schema.global_status \
        where variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'";
    for _ in 0..3000 {
        if mariadb.sql(sql).await.unwrap().trim() == transactions.to_string() {
            return;
        }
        tokio::task::yield_now().await;
    }
    unreachable!("{transactions} transactions never waited");
}

async fn until(backend: &Arc<dyn Backend>, us: i64) {
    while lease(backend).await.now_us < us {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marked_write_that_waited_past_its_deadline_is_overtaken() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 4).await;
    active(&backend, TERMS).await;
    done(&backend, set("k", "1")).await;
    let many = Op::SetMany {
        entries: vec![(Key::from("k"), "2".into()), (Key::from("l"), "2".into())],
        ttl: mainstay::TtlChange::Clear,
        all_absent: false,
    };
    for write in [set("k", "2"), delete("k"), sql::increment("k"), many] {
        let mut holder = holder(&mariadb, "UPDATE mainstay_kv SET epoch = epoch + 1").await;
        let now_us = lease(&backend).await.now_us;
        let under = Under::Mark { epoch: 1, deadline_us: now_us + 2_000_000 };
        let late = spawned(&backend, guarded(write.clone(), under));
        waiting(&mariadb, 1).await;
        until(&backend, now_us + 2_000_000).await;
        holder.query_drop("ROLLBACK").await.unwrap();
        assert_eq!(committed(late).await, Committed::Overtaken, "{write:?}");
        assert_eq!(value(&backend, "k").await.as_deref(), Some(&b"1"[..]), "{write:?}");
        holder.disconnect().await.unwrap();
    }
    assert_eq!(value(&backend, "l").await, None, "all or nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_ends_a_write_that_waits_longer_than_a_statement_may() {
    let mariadb = MariaDb::start().await.unwrap();
    let patient = connected(new, &mariadb.url(), 2).await;
    active(&patient, TERMS).await;
    done(&patient, set("k", "1")).await;
    // So short for the guarded writes alone: all else may take its time.
    let mut config = sql::config(&mariadb.url(), 2);
    config.timeout = Some(Duration::from_millis(300));
    let backend = new(&config).unwrap();
    backend.connect(generous()).await.unwrap();
    let mut holder = holder(&mariadb, "UPDATE mainstay_kv SET epoch = epoch + 1").await;
    for write in [set("k", "2"), delete("k"), sql::increment("k")] {
        for under in [mark(&patient, MINUTE_US).await, AROUND] {
            let error = backend.execute(&guarded(write.clone(), under), generous()).await;
            let error = error.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::None));
        }
    }
    holder.query_drop("ROLLBACK").await.unwrap();
    assert_eq!(value(&patient, "k").await.as_deref(), Some(&b"1"[..]));
    assert_eq!(lease(&patient).await.dirty, [], "rolled back with the value");
    holder.disconnect().await.unwrap();
}

#[tokio::test]
async fn leases_and_marked_writes_wait_for_nobody_who_holds_the_control_row() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 2).await;
    active(&backend, TERMS).await;
    let holder = holder(&mariadb, "UPDATE mainstay_cache SET beacon = beacon + 1").await;
    for write in [set("k", "1"), delete("k"), sql::increment("n")] {
        for under in [mark(&backend, MINUTE_US).await, AROUND] {
            let reply = done(&backend, guarded(write.clone(), under)).await;
            assert!(matches!(reply.into_committed(), Ok(Committed::Done(_))), "{write:?}");
        }
    }
    holder.disconnect().await.unwrap();
}

#[tokio::test]
async fn a_marked_write_to_one_key_is_one_statement() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 1).await;
    active(&backend, TERMS).await;
    let under = mark(&backend, MINUTE_US).await;
    let round = async || {
        for write in [set("k", "1"), set("k", "2"), delete("k")] {
            let reply = done(&backend, guarded(write, under)).await;
            assert!(matches!(reply.into_committed(), Ok(Committed::Done(_))));
        }
    };
    round().await;
    let counts = "select variable_name, variable_value from information_schema.global_status \
        where variable_name in ('COM_STMT_EXECUTE', 'COM_STMT_PREPARE', 'COM_BEGIN', 'COM_COMMIT')";
    let before = mariadb.sql(counts).await.unwrap();
    round().await;
    let after = mariadb.sql(counts).await.unwrap();
    let read = |text: &str, name: &str| -> i64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit('\t').next().unwrap().parse().unwrap()
    };
    let rose = |name: &str| read(&after, name) - read(&before, name);
    assert_eq!(rose("COM_STMT_EXECUTE"), 3);
    assert_eq!(rose("COM_STMT_PREPARE") + rose("COM_BEGIN") + rose("COM_COMMIT"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_readmission_waits_for_a_write_around_the_degraded_cache() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 4).await;
    active(&backend, TERMS).await;
    assert!(did(&backend, degrade(1)).await);
    done(&backend, set("k", "1")).await;
    let journaled = |seq| {
        let (write, base) = (Box::new(set("k", "2")), Base::default());
        let base = Base { known_until_us: Some(i64::MAX), ..base };
        Op::Record(RecordOp::Apply { journal: 1, seq, write, base })
    };
    for (epoch, write) in [(2, guarded(set("k", "2"), AROUND)), (4, journaled(1))] {
        let mut holder = holder(&mariadb, "UPDATE mainstay_kv SET epoch = epoch + 1").await;
        let write = spawned(&backend, write);
        waiting(&mariadb, 1).await;
        let readmission = spawned(&backend, Op::Record(readmit(epoch)));
        waiting(&mariadb, 2).await;
        assert!(!readmission.is_finished() && !lease(&backend).await.control.active);
        holder.query_drop("ROLLBACK").await.unwrap();
        let reply = write.await.unwrap().unwrap();
        let performed = matches!(
            reply,
            mainstay::Reply::Committed(Committed::Done(_))
                | mainstay::Reply::Applied(Applied::Done(_))
        );
        assert!(performed, "{reply:?}");
        assert_eq!(readmission.await.unwrap().unwrap().into_integer().unwrap(), 1);
        let row = lease(&backend).await;
        assert!(row.control.active && row.dirty.is_empty());
        assert!(did(&backend, degrade(epoch + 1)).await);
        holder.disconnect().await.unwrap();
    }
}

/// It saw no cache to protect, or not this one; by its commit copies may have been made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_that_is_new_is_not_overlooked() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 4).await;
    done(&backend, set("k", "1")).await;
    let (write, base) = (Box::new(set("k", "2")), Base::default());
    let base = Base { known_until_us: Some(i64::MAX), ..base };
    let journaled = Op::Record(RecordOp::Apply { journal: 1, seq: 1, write, base });
    for write in [guarded(set("k", "2"), AROUND), journaled] {
        mariadb.sql("delete from mainstay_cache; delete from mainstay_dirty").await.unwrap();
        let mut holder = holder(&mariadb, "UPDATE mainstay_kv SET epoch = epoch + 1").await;
        let write = spawned(&backend, write);
        waiting(&mariadb, 1).await;
        active(&backend, TERMS).await;
        holder.query_drop("ROLLBACK").await.unwrap();
        write.await.unwrap().unwrap();
        assert_eq!(lease(&backend).await.dirty, [Key::from("k")]);
        holder.disconnect().await.unwrap();
    }
}

#[tokio::test]
async fn a_drain_waits_for_no_other_key() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 2).await;
    active(&backend, TERMS).await;
    for key in ["a", "b", "c"] {
        done(&backend, guarded(set(key, "v"), AROUND)).await;
    }
    let cache: Arc<str> = Arc::from("cache");
    let all = RecordOp::Dirty { cache: Arc::clone(&cache), from: None, limit: 9 };
    let mut rows = done(&backend, Op::Record(all)).await.into_dirty().unwrap();
    let held =
        "UPDATE mainstay_dirty SET `number` = `number` + 1 WHERE `cache` = 'cache' AND `key` = 'b'";
    let mut holder = holder(&mariadb, held).await;
    rows.retain(|row| row.key != Key::from("b"));
    let drain = RecordOp::Drained { cache, rows };
    assert_eq!(done(&backend, Op::Record(drain)).await.into_integer().unwrap(), 2);
    holder.query_drop("COMMIT").await.unwrap();
    assert_eq!(lease(&backend).await.dirty, [Key::from("b")]);
    holder.disconnect().await.unwrap();
}

/// A lease that was granted before the commit knows nothing of a dirty row that says it is older.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dirty_rows_are_not_stamped_long_before_they_are_committed() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 4).await;
    active(&backend, Terms { statement: Duration::from_millis(200), ..TERMS }).await;
    done(&backend, set("k", "1")).await;
    let mut holder = holder(&mariadb, "UPDATE mainstay_kv SET epoch = epoch + 1").await;
    let write = spawned(&backend, guarded(set("k", "2"), AROUND));
    waiting(&mariadb, 1).await;
    let began_us = lease(&backend).await.now_us;
    until(&backend, began_us + 200_000).await;
    holder.query_drop("ROLLBACK").await.unwrap();
    assert!(matches!(committed(write).await, Committed::Done(_)), "it began anew");
    let since = mariadb.sql("select since_us from mainstay_dirty").await.unwrap();
    let since: i64 = since.trim().parse().unwrap();
    assert!(since >= began_us + 200_000, "{since} {began_us}");
    holder.disconnect().await.unwrap();
}

#[tokio::test]
async fn an_epoch_that_has_risen_is_no_reason_to_be_overtaken() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 1).await;
    active(&backend, TERMS).await;
    let mut epoch = 1;
    for under in [mark(&backend, MINUTE_US).await, AROUND] {
        for write in [set("k", "v"), set("k", "w"), delete("k"), sql::increment("n")] {
            mariadb.sql("update mainstay_meta set epoch = epoch + 1").await.unwrap();
            epoch += 1;
            match done(&backend, guarded(write, under)).await.into_committed().unwrap() {
                Committed::Done(reply) => {
                    let version = reply.into_written().unwrap().version.unwrap();
                    assert_eq!(version.epoch, epoch);
                }
                other => unreachable!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_database_of_schema_1_is_brought_forward_with_all_it_holds() {
    let mariadb = MariaDb::start().await.unwrap();
    mariadb.sql(SCHEMA_1).await.unwrap();
    let backend = connected(new, &mariadb.url(), 2).await;
    assert_eq!(value(&backend, "k").await.as_deref(), Some(&b"v"[..]));
    assert_eq!(value(&backend, "gone").await, None);
    let meta = mariadb.sql("select schema_version, epoch from mainstay_meta").await.unwrap();
    assert_eq!(meta.trim(), "4\t5");
    active(&backend, TERMS).await;
    let under = mark(&backend, MINUTE_US).await;
    for (key, counter) in [("k", 8), ("gone", 10)] {
        let reply = done(&backend, guarded(set(key, "w"), under)).await;
        let Committed::Done(reply) = reply.into_committed().unwrap() else {
            unreachable!("the mark stands")
        };
        let version = reply.into_written().unwrap().version.unwrap();
        assert_eq!((version.epoch, version.counter), (5, counter), "versions go on");
    }
}

/// As schema 1 was created, with a value and a tombstone.
const SCHEMA_1: &str = "
    CREATE TABLE mainstay_kv (
        `key` VARBINARY(2048) NOT NULL PRIMARY KEY,
        epoch INT NOT NULL,
        counter BIGINT NOT NULL,
        value LONGBLOB,
        deleted TINYINT NOT NULL,
        expires_at BIGINT,
        updated_at BIGINT NOT NULL,
        KEY mainstay_kv_expires_at (expires_at)
    ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
    CREATE TABLE mainstay_probe (
        id TINYINT NOT NULL PRIMARY KEY,
        stamp BIGINT NOT NULL
    ) ENGINE = InnoDB;
    CREATE TABLE mainstay_meta (
        id TINYINT NOT NULL PRIMARY KEY,
        schema_version BIGINT NOT NULL,
        epoch INT NOT NULL
    ) ENGINE = InnoDB;
    INSERT INTO mainstay_meta (id, schema_version, epoch) VALUES (1, 1, 5);
    INSERT INTO mainstay_kv VALUES ('k', 5, 7, 'v', 0, NULL, 1700000000000);
    INSERT INTO mainstay_kv VALUES ('gone', 5, 9, NULL, 1, 1700000000000, 1700000000000);
";

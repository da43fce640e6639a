//! Single-key writes sent together on a real MariaDB: how many commits they are, and who is told what.
//! Knows nothing of how they are gathered.

use super::new;
use crate::sql::{connected, done, set};
use crate::together::{
    a_lock_keeps_only_its_key, activated, deletes_tell_what_they_found, nothing_is_lost,
    one_bad_row_fails_alone, overtaken_alone, until_killed, versions_rise,
};
use mainstay::{
    Config, Storage,
    config::BackendConfig,
    status::{BreakerState, Health},
};
use mainstay_testkit::servers::{MariaDb, MariaDbOptions};
use mysql_async::prelude::Queryable;
use std::time::Duration;

/// Statements that committed by themselves, and commits of many.
async fn commits(mariadb: &MariaDb) -> usize {
    let sql = "select cast(sum(variable_value) as unsigned) from information_schema.global_status \
               where variable_name in ('COM_STMT_EXECUTE', 'COM_COMMIT')";
    mariadb.sql(sql).await.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_many_callers_share_transactions() {
    let mariadb = MariaDb::start().await.unwrap();
    let record = connected(new, &mariadb.url(), 8).await;
    for under in [None, Some(activated(&record).await)] {
        let before = commits(&mariadb).await;
        // What reads the values afterwards counts as well.
        let writes = versions_rise(&record, under).await;
        let needed = commits(&mariadb).await - before;
        assert!(needed < writes / 2, "{needed} commits for {writes} writes");
        deletes_tell_what_they_found(&record, under).await;
    }
    overtaken_alone(&record).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_sent_together_fit_into_a_small_packet() {
    let settings = vec![("max-allowed-packet".to_owned(), "1M".to_owned())];
    let options = MariaDbOptions { settings, ..Default::default() };
    let mariadb = MariaDb::start_with(options).await.unwrap();
    let record = connected(new, &mariadb.url(), 8).await;
    let under = activated(&record).await;
    versions_rise(&record, Some(under)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writes_sent_together_a_bad_one_fails_alone() {
    let mariadb = MariaDb::start().await.unwrap();
    let record = connected(new, &mariadb.url(), 8).await;
    mariadb.sql("alter table mainstay_kv add constraint check (`key` <> 'bad')").await.unwrap();
    one_bad_row_fails_alone(&record).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_locked_keeps_no_other_write_from_being_performed() {
    let mariadb = MariaDb::start().await.unwrap();
    let record = connected(new, &mariadb.url(), 16).await;
    done(&record, set("held", "before")).await;
    let holder = mysql_async::Opts::from_url(&mariadb.url()).unwrap();
    let mut holder = mysql_async::Conn::new(holder).await.unwrap();
    holder.query_drop("START TRANSACTION").await.unwrap();
    let lock = "SELECT 1 FROM mainstay_kv WHERE `key` = 'held' FOR UPDATE";
    holder.query_drop(lock).await.unwrap();
    a_lock_keeps_only_its_key(&record, async || holder.query_drop("COMMIT").await.unwrap()).await;
    holder.disconnect().await.unwrap();
}

/// Calls that many have waited for one row's lock are no sign of a database that is slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_locked_opens_no_breaker() {
    let mariadb = MariaDb::start().await.unwrap();
    let mut config = Config::default();
    let patient = Some(Duration::from_secs(20));
    let db = BackendConfig { timeout: patient, ..BackendConfig::at(mariadb.url()) };
    config.backends.insert("db".to_owned(), db);
    let storage = Storage::open(config).await.unwrap();
    storage.set("held", "before").await.unwrap();
    let holder = mysql_async::Opts::from_url(&mariadb.url()).unwrap();
    let mut holder = mysql_async::Conn::new(holder).await.unwrap();
    holder.query_drop("START TRANSACTION").await.unwrap();
    let lock = "SELECT 1 FROM mainstay_kv WHERE `key` = 'held' FOR UPDATE";
    holder.query_drop(lock).await.unwrap();
    // Begun after the first of the others, so that it goes with the rest of them.
    let held = storage.set("held", "after");
    let others = async {
        for round in 0..50 {
            let sets = (0..16).map(|n| storage.set(format!("k{n}"), format!("{round}")));
            for set in futures_util::future::join_all(sets).await {
                set.unwrap();
            }
        }
        let status = storage.status();
        let db = status.backends.iter().find(|backend| &*backend.name == "db").unwrap();
        assert_eq!((db.breaker.state, db.health), (BreakerState::Closed, Health::Up), "{db:?}");
        holder.query_drop("COMMIT").await.unwrap();
    };
    let ((), held) = tokio::join!(others, held);
    held.unwrap();
    assert_eq!(&*storage.get("held").await.unwrap().unwrap().value, b"after");
    holder.disconnect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_amid_many_writes_loses_nothing_that_was_acknowledged() {
    let mut mariadb = MariaDb::start().await.unwrap();
    let record = connected(new, &mariadb.url(), 8).await;
    let left = until_killed(&record, || mariadb.kill()).await;
    mariadb.restart().await.unwrap();
    nothing_is_lost(&record, left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_writes_under_an_epoch_that_rises_meanwhile() {
    let mariadb = MariaDb::start().await.unwrap();
    let record = connected(new, &mariadb.url(), 8).await;
    let under = Some(activated(&record).await);
    let raise = mariadb.sql("update mainstay_meta set epoch = epoch + 1");
    let (_, raised) = tokio::join!(versions_rise(&record, under), raise);
    raised.unwrap();
    versions_rise(&record, under).await;
    let old = "select count(*) from mainstay_kv where epoch <> (select epoch from mainstay_meta)";
    assert_eq!(mariadb.sql(old).await.unwrap(), "0");
}

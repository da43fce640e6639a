//! Single-key writes sent together on real servers: how many transactions they are, and who is told what.
//! Knows nothing of how they are gathered.

use super::new;
use crate::sql::{connected, done, set};
use crate::together::{
    a_lock_keeps_only_its_key, activated, deletes_tell_what_they_found, nothing_is_lost,
    one_bad_row_fails_alone, overtaken_alone, until_killed, versions_rise,
};
use mainstay_testkit::servers::{PgBouncer, Postgres};

/// Transactions that wrote something, this one included.
async fn transactions(postgres: &Postgres) -> usize {
    postgres.psql("select txid_current()").await.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_many_callers_share_transactions() {
    let postgres = Postgres::start().await.unwrap();
    let bouncer = PgBouncer::start(&postgres).await.unwrap();
    for url in [postgres.url(), bouncer.url()] {
        let record = connected(new, &url, 8).await;
        for under in [None, Some(activated(&record).await)] {
            let before = transactions(&postgres).await;
            let writes = versions_rise(&record, under).await;
            let needed = transactions(&postgres).await - before;
            assert!(needed < writes / 2, "{needed} transactions for {writes} writes");
            deletes_tell_what_they_found(&record, under).await;
        }
        overtaken_alone(&record).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writes_sent_together_a_bad_one_fails_alone() {
    let postgres = Postgres::start().await.unwrap();
    let record = connected(new, &postgres.url(), 8).await;
    postgres.psql("alter table mainstay_kv add check (key <> 'bad')").await.unwrap();
    one_bad_row_fails_alone(&record).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_locked_keeps_no_other_write_from_being_performed() {
    let postgres = Postgres::start().await.unwrap();
    let record = connected(new, &postgres.url(), 16).await;
    done(&record, set("held", "before")).await;
    let (holder, connection) =
        tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    holder.batch_execute("BEGIN; SELECT key FROM mainstay_kv FOR UPDATE").await.unwrap();
    let release = async || holder.batch_execute("COMMIT").await.unwrap();
    a_lock_keeps_only_its_key(&record, release).await;
    drop(holder);
    driver.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_amid_many_writes_loses_nothing_that_was_acknowledged() {
    let mut postgres = Postgres::start().await.unwrap();
    let record = connected(new, &postgres.url(), 8).await;
    let left = until_killed(&record, || postgres.kill()).await;
    postgres.restart().await.unwrap();
    nothing_is_lost(&record, left).await;
}

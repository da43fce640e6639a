//! The library's PostgreSQL backend, on real servers and behind a transaction pooler.

mod control;
mod prepared;
mod together;

use crate::sql::{
    self, connected, connecting, done, generous, get, increment, set, unanswered, value,
};
use mainstay::backend::Backend;
use mainstay::backend::sql::postgres::Postgres as Adapter;
use mainstay::config::BackendConfig;
use mainstay::{Condition, Effect, ErrorKind, Key, Op, Result, Version};
use mainstay_testkit::conformance;
use mainstay_testkit::proxy::{Direction, Proxy, Toxics};
use mainstay_testkit::servers::{PgBouncer, Postgres, PostgresOptions};
use std::sync::Arc;

fn new(config: &BackendConfig) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(Adapter::new(config, sql::VALUE_MAX, mainstay::Entropy::seeded(1))?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let postgres = Postgres::start().await.unwrap();
    conformance::run_all(new(&sql::config(&postgres.url(), 25)).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_behind_a_transaction_pooler() {
    let postgres = Postgres::start().await.unwrap();
    let bouncer = PgBouncer::start(&postgres).await.unwrap();
    conformance::run_all(new(&sql::config(&bouncer.url(), 25)).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_connections_are_enough() {
    let postgres = Postgres::start().await.unwrap();
    conformance::run_all(new(&sql::config(&postgres.url(), 2)).unwrap()).await;
}

#[tokio::test]
async fn a_silent_server_costs_a_call_no_more_than_its_deadline() {
    let postgres = Postgres::start().await.unwrap();
    for connections in [1, 8] {
        let backend = connected(new, &postgres.url(), connections).await;
        done(&backend, Op::DeleteMany { keys: vec![Key::from("silence:n")] }).await;
        sql::silence(&backend, || postgres.stop(), || postgres.cont()).await;
    }
}

#[tokio::test]
async fn a_killed_server_is_said_to_be_gone_and_used_again_when_it_is_back() {
    let mut postgres = Postgres::start().await.unwrap();
    let backend = connected(new, &postgres.url(), 8).await;
    done(&backend, set("k", "v")).await;
    postgres.kill();
    for op in [get("k"), set("k", "w"), increment("n")] {
        let error = backend.execute(&op, generous()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
    }
    let refused = backend.execute(&set("k", "w"), generous()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Disconnected, Effect::None));
    postgres.restart().await.unwrap();
    assert_eq!(value(&backend, "k").await.as_deref(), Some(b"v".as_slice()));
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_in_doubt() {
    let postgres = Postgres::start().await.unwrap();
    let proxy = Proxy::start(postgres.port()).await.unwrap();
    let backend = connected(new, &proxy.url(&postgres.url(), postgres.port()), 2).await;
    done(&backend, set("k", "before")).await;
    proxy.set(Toxics::half_open(Direction::ToClient)).await;
    let lost = backend.execute(&set("k", "lost"), unanswered()).await.unwrap_err();
    assert_eq!((lost.kind(), lost.effect()), (ErrorKind::Timeout, Effect::Unknown), "{lost}");
    proxy.heal().await;
    let found = value(&backend, "k").await;
    assert_eq!(found.as_deref(), Some(b"lost".as_slice()), "it was applied");
}

#[tokio::test]
async fn a_probe_goes_on_over_a_new_connection() {
    let postgres = Postgres::start().await.unwrap();
    let proxy = Proxy::start(postgres.port()).await.unwrap();
    let backend = connected(new, &proxy.url(&postgres.url(), postgres.port()), 1).await;
    sql::cut_under_the_probe(&backend, &proxy).await;
}

#[tokio::test]
async fn a_read_only_server_is_the_wrong_node() {
    let postgres = Postgres::start().await.unwrap();
    let backend = connected(new, &postgres.url(), 2).await;
    postgres.psql("alter system set default_transaction_read_only = on").await.unwrap();
    postgres.psql("select pg_reload_conf()").await.unwrap();
    assert_eq!(connecting(new, &postgres.url()).await.kind(), ErrorKind::WrongNode);
    for op in [set("k", "v"), increment("n")] {
        let error = backend.execute(&op, generous()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::WrongNode, Effect::None), "{error}");
    }
    let probed = backend.probe(mainstay::backend::ProbeDepth::Ping, generous()).await;
    assert_eq!(probed.unwrap_err().kind(), ErrorKind::WrongNode);
}

#[tokio::test]
async fn an_exhausted_pool_refuses_before_anything_is_sent() {
    let postgres = Postgres::start().await.unwrap();
    let backend = connected(new, &postgres.url(), 1).await;
    done(&backend, increment("held")).await;
    let (holder, connection) =
        tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    holder.batch_execute("BEGIN; SELECT key FROM mainstay_kv FOR UPDATE").await.unwrap();
    sql::exhausted(&backend, "held").await;
    holder.batch_execute("COMMIT").await.unwrap();
    done(&backend, increment("held")).await;
    drop(holder);
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn dropped_calls_leave_the_connections_in_step() {
    let postgres = Postgres::start().await.unwrap();
    let bouncer = PgBouncer::start(&postgres).await.unwrap();
    for url in [postgres.url(), bouncer.url()] {
        sql::dropped(&connected(new, &url, 8).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_many_keys_do_not_wait_in_a_circle() {
    let postgres = Postgres::start().await.unwrap();
    sql::crossing(&connected(new, &postgres.url(), 12).await).await;
}

#[tokio::test]
async fn a_database_of_schema_3_gets_columns_for_who_waits() {
    let postgres = Postgres::start().await.unwrap();
    sql::created_at_once(new, &postgres.url()).await;
    postgres.psql(sql::SCHEMA_3).await.unwrap();
    sql::created_at_once(new, &postgres.url()).await;
    sql::goes_on_counting(&connected(new, &postgres.url(), 1).await).await;
}

#[tokio::test]
async fn the_schema_is_created_by_many_at_once_and_a_newer_one_is_refused() {
    let postgres = Postgres::start().await.unwrap();
    sql::created_at_once(new, &postgres.url()).await;
    postgres.psql("update mainstay_meta set schema_version = 5").await.unwrap();
    let newer = connecting(new, &postgres.url()).await;
    assert_eq!(newer.kind(), ErrorKind::Misconfigured);
    assert!(newer.message().contains("upgrade"), "{newer}");
}

#[tokio::test]
async fn tables_of_another_role_are_enough() {
    let options = PostgresOptions { require_password: true, ..Default::default() };
    let postgres = Postgres::start_with(options).await.unwrap();
    postgres.psql("create role weak login password 'weak'").await.unwrap();
    postgres.psql("revoke create on schema public from public").await.unwrap();
    let weak = postgres.url().replace("mainstay:mainstay@", "weak:weak@");
    let denied = connecting(new, &weak).await;
    assert_eq!(denied.kind(), ErrorKind::Forbidden, "{denied}");
    connected(new, &postgres.url(), 1).await.close().await;
    let grant = "grant select, insert, update, delete on all tables in schema public to weak";
    postgres.psql(grant).await.unwrap();
    let backend = connected(new, &weak, 1).await;
    done(&backend, increment("n")).await;
    assert_eq!(value(&backend, "n").await.as_deref(), Some(b"1".as_slice()));
    let wrong = weak.replace("weak:weak@", "weak:wrong@");
    assert_eq!(connecting(new, &wrong).await.kind(), ErrorKind::Forbidden);
}

#[tokio::test]
async fn old_tombstones_and_expired_values_are_purged_and_versions_go_on_rising() {
    let postgres = Postgres::start().await.unwrap();
    let backend = connected(new, &postgres.url(), 1).await;
    let before = done(&backend, set("k", "v")).await.into_written().unwrap().version.unwrap();
    let delete =
        Op::Delete { key: Key::from("k"), condition: Condition::Always, want_previous: false };
    done(&backend, delete).await;
    assert_eq!(backend.purge(10, generous()).await.unwrap(), 0, "a young tombstone is kept");
    let age = "update mainstay_kv set expires_at = expires_at - 7200000 where deleted";
    postgres.psql(age).await.unwrap();
    assert_eq!(backend.purge(10, generous()).await.unwrap(), 1);
    assert_eq!(postgres.psql("select count(*) from mainstay_kv").await.unwrap(), "0");
    postgres.psql("update mainstay_meta set epoch = epoch + 1").await.unwrap();
    let after = done(&backend, set("k", "v")).await.into_written().unwrap().version.unwrap();
    assert!(after > before && after.counter > before.counter + 1, "{before} then {after}");
    assert_eq!(after.epoch, Version { epoch: before.epoch + 1, ..before }.epoch);
}

#[tokio::test]
async fn of_several_servers_the_one_that_answers_and_takes_writes_is_used() {
    let (silent, reader, primary) = tokio::join!(
        Postgres::start(),
        Postgres::start_with(PostgresOptions {
            settings: vec![("default_transaction_read_only".to_owned(), "on".to_owned())],
            ..Default::default()
        }),
        Postgres::start()
    );
    let (silent, reader, primary) = (silent.unwrap(), reader.unwrap(), primary.unwrap());
    silent.stop();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{},", silent.port(), reader.port());
    let url = primary.url().replace('@', &format!("@{hosts}"));
    let config = BackendConfig {
        connect_timeout: std::time::Duration::from_secs(6),
        ..sql::config(&format!("{url}?target_session_attrs=read-write"), 1)
    };
    let backend = new(&config).unwrap();
    backend.connect(generous()).await.unwrap();
    done(&backend, set("k", "v")).await;
    assert_eq!(primary.psql("select count(*) from mainstay_kv").await.unwrap(), "1");
    silent.cont();
}

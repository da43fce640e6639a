//! The library's MySQL and MariaDB backend, on a real MariaDB.

use crate::sql::{
    self, connected, connecting, done, generous, get, increment, set, unanswered, value,
};
use bytes::Bytes;
use mainstay::backend::Backend;
use mainstay::backend::sql::mysql::Mysql as Adapter;
use mainstay::config::BackendConfig;
use mainstay::{Condition, Effect, ErrorKind, Key, Op, Result, TtlChange};
use mainstay_testkit::conformance;
use mainstay_testkit::proxy::{Direction, Proxy, Toxics};
use mainstay_testkit::servers::{MariaDb, MariaDbOptions};
use mysql_async::prelude::Queryable;
use std::sync::Arc;

mod opening;
mod record;
mod together;

fn new(config: &BackendConfig) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(Adapter::new(config, sql::VALUE_MAX)?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let mariadb = MariaDb::start().await.unwrap();
    let url = mariadb.url().replace("mysql:", "mariadb:");
    conformance::run_all(new(&sql::config(&url, 25)).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_is_enough() {
    let mariadb = MariaDb::start().await.unwrap();
    conformance::run_all(new(&sql::config(&mariadb.url(), 1)).unwrap()).await;
}

#[tokio::test]
async fn a_silent_server_costs_a_call_no_more_than_its_deadline() {
    let mariadb = MariaDb::start().await.unwrap();
    for connections in [1, 8] {
        let backend = connected(new, &mariadb.url(), connections).await;
        done(&backend, Op::DeleteMany { keys: vec![Key::from("silence:n")] }).await;
        sql::silence(&backend, || mariadb.stop(), || mariadb.cont()).await;
    }
}

#[tokio::test]
async fn a_killed_server_is_said_to_be_gone_and_used_again_when_it_is_back() {
    let mut mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 4).await;
    done(&backend, set("k", "v")).await;
    mariadb.kill();
    for op in [get("k"), set("k", "w"), increment("n")] {
        let error = backend.execute(&op, generous()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
    }
    let refused = backend.execute(&set("k", "w"), generous()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Disconnected, Effect::None));
    mariadb.restart().await.unwrap();
    assert_eq!(value(&backend, "k").await.as_deref(), Some(b"v".as_slice()));
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_in_doubt() {
    let mariadb = MariaDb::start().await.unwrap();
    let proxy = Proxy::start(mariadb.port()).await.unwrap();
    let backend = connected(new, &proxy.url(&mariadb.url(), mariadb.port()), 1).await;
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
    let mariadb = MariaDb::start().await.unwrap();
    let proxy = Proxy::start(mariadb.port()).await.unwrap();
    let backend = connected(new, &proxy.url(&mariadb.url(), mariadb.port()), 1).await;
    sql::cut_under_the_probe(&backend, &proxy).await;
}

#[tokio::test]
async fn a_read_only_server_is_the_wrong_node() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 2).await;
    mariadb.sql("set global read_only = 1").await.unwrap();
    assert_eq!(connecting(new, &mariadb.url()).await.kind(), ErrorKind::WrongNode);
    let probed = backend.probe(mainstay::backend::ProbeDepth::Ping, generous()).await;
    assert_eq!(probed.unwrap_err().kind(), ErrorKind::WrongNode);
}

#[tokio::test]
async fn an_exhausted_pool_refuses_before_anything_is_sent() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 1).await;
    done(&backend, increment("held")).await;
    let holder = mysql_async::Opts::from_url(&mariadb.url()).unwrap();
    let mut holder = mysql_async::Conn::new(holder).await.unwrap();
    holder.query_drop("START TRANSACTION").await.unwrap();
    holder.query_drop("UPDATE mainstay_kv SET epoch = epoch + 1").await.unwrap();
    sql::exhausted(&backend, "held").await;
    holder.query_drop("ROLLBACK").await.unwrap();
    done(&backend, increment("held")).await;
    holder.disconnect().await.unwrap();
}

#[tokio::test]
async fn dropped_calls_leave_the_connections_in_step() {
    let mariadb = MariaDb::start().await.unwrap();
    sql::dropped(&connected(new, &mariadb.url(), 4).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_many_keys_do_not_wait_in_a_circle() {
    let mariadb = MariaDb::start().await.unwrap();
    sql::crossing(&connected(new, &mariadb.url(), 12).await).await;
}

#[tokio::test]
async fn a_database_of_schema_3_gets_columns_for_who_waits() {
    let mariadb = MariaDb::start().await.unwrap();
    sql::created_at_once(new, &mariadb.url()).await;
    mariadb.sql(sql::SCHEMA_3).await.unwrap();
    sql::created_at_once(new, &mariadb.url()).await;
    sql::goes_on_counting(&connected(new, &mariadb.url(), 1).await).await;
}

#[tokio::test]
async fn the_schema_is_created_by_many_at_once_and_a_newer_one_is_refused() {
    let mariadb = MariaDb::start().await.unwrap();
    sql::created_at_once(new, &mariadb.url()).await;
    mariadb.sql("update mainstay_meta set schema_version = 5").await.unwrap();
    let newer = connecting(new, &mariadb.url()).await;
    assert_eq!(newer.kind(), ErrorKind::Misconfigured);
    assert!(newer.message().contains("upgrade"), "{newer}");
}

#[tokio::test]
async fn a_value_over_the_packet_limit_is_refused_and_harms_no_connection() {
    let settings = vec![("max-allowed-packet".to_owned(), "1M".to_owned())];
    let options = MariaDbOptions { settings, ..Default::default() };
    let mariadb = MariaDb::start_with(options).await.unwrap();
    let backend = connected(new, &mariadb.url(), 1).await;
    let large = Bytes::from(vec![7; 1 << 20]);
    let (key, ttl) = (Key::from("k"), TtlChange::Clear);
    let condition = Condition::Always;
    let op =
        Op::Set { key: key.clone(), value: large.clone(), ttl, condition, want_previous: true };
    let plain = Op::Append { key: key.clone(), value: large };
    for op in [op, plain] {
        let error = backend.execute(&op, generous()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::None), "{error}");
        assert!(error.message().contains("max_allowed_packet"), "{error}");
    }
    let half = Bytes::from(vec![7; 600_000]);
    let entries = vec![(key, half.clone()), (Key::from("l"), half)];
    done(&backend, Op::SetMany { entries, ttl, all_absent: false }).await;
    assert_eq!(value(&backend, "l").await.map(|value| value.len()), Some(600_000));
}

#[tokio::test]
async fn killed_connections_are_replaced() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 1).await;
    done(&backend, set("k", "v")).await;
    let mine = "select id from information_schema.processlist where db = 'mainstay' and id <> connection_id()";
    for id in mariadb.sql(mine).await.unwrap().lines() {
        mariadb.sql(&format!("kill {id}")).await.unwrap();
    }
    assert_eq!(value(&backend, "k").await.as_deref(), Some(b"v".as_slice()));
}

#[tokio::test]
async fn an_epoch_that_has_risen_is_written_at_once() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 1).await;
    let mut version = done(&backend, set("k", "v")).await.into_written().unwrap().version.unwrap();
    for op in [
        set("k", "w"),
        increment("n"),
        Op::Delete { key: Key::from("k"), condition: Condition::Always, want_previous: false },
    ] {
        mariadb.sql("update mainstay_meta set epoch = epoch + 1").await.unwrap();
        let next = done(&backend, op).await.into_written().unwrap().version.unwrap();
        assert_eq!(next.epoch, version.epoch + 1);
        version = next;
    }
}

#[tokio::test]
async fn old_tombstones_and_expired_values_are_purged_and_versions_go_on_rising() {
    let mariadb = MariaDb::start().await.unwrap();
    let backend = connected(new, &mariadb.url(), 1).await;
    let before = done(&backend, set("k", "v")).await.into_written().unwrap().version.unwrap();
    let delete =
        Op::Delete { key: Key::from("k"), condition: Condition::Always, want_previous: false };
    done(&backend, delete).await;
    assert_eq!(backend.purge(10, generous()).await.unwrap(), 0, "a young tombstone is kept");
    let age = "update mainstay_kv set expires_at = expires_at - 7200000 where deleted = 1";
    mariadb.sql(age).await.unwrap();
    assert_eq!(backend.purge(10, generous()).await.unwrap(), 1);
    assert_eq!(mariadb.sql("select count(*) from mainstay_kv").await.unwrap(), "0");
    let after = done(&backend, set("k", "v")).await.into_written().unwrap().version.unwrap();
    assert!(after.counter > before.counter + 1, "{before} then {after}");
}

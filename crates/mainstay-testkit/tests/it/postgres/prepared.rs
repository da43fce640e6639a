//! Where statements are prepared, and where never.

use super::*;
use mainstay::op::{Query, Rows, Statement};

async fn ask(backend: &Arc<dyn Backend>, sql: &str) -> String {
    let statement = Arc::new(Statement { sql: sql.to_owned(), rows: Rows::One });
    let query = Op::Query(Query { statement, arguments: Vec::new() });
    let found = done(backend, query).await.into_rows().unwrap().unwrap();
    String::from_utf8(found.to_vec()).unwrap()
}

/// How many statements are prepared in the session of the one connection, after some writes and reads.
async fn prepared(backend: &Arc<dyn Backend>) -> String {
    for value_of in ["v", "w"] {
        done(backend, set("k", value_of)).await;
        assert_eq!(value(backend, "k").await.as_deref(), Some(value_of.as_bytes()));
        done(backend, increment("n")).await;
    }
    ask(
        backend,
        "SELECT count(*) > 2 AS prepared, count(*) = 0 AS none FROM pg_prepared_statements",
    )
    .await
}

const PREPARED: &str = r#"{"prepared":true,"none":false}"#;
const NONE: &str = r#"{"prepared":false,"none":true}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_prepared_where_the_session_is_ours_alone() {
    let postgres = Postgres::start().await.unwrap();
    let direct = connected(new, &postgres.url(), 1).await;
    assert_eq!(prepared(&direct).await, PREPARED);
    let bouncer = PgBouncer::start(&postgres).await.unwrap();
    let pooled = connected(new, &bouncer.url(), 1).await;
    assert_eq!(prepared(&pooled).await, NONE);
}

/// The limits are there, by the role; but the session is that of everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_drops_what_a_session_begins_with_is_seen_through() {
    let postgres = Postgres::start().await.unwrap();
    let limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
    for limit in limits {
        postgres.psql(&format!("ALTER ROLE mainstay SET {limit} = '7s'")).await.unwrap();
    }
    let drops = "ignore_startup_parameters = options\ndefault_pool_size = 1";
    let bouncer = PgBouncer::start_with(&postgres, drops).await.unwrap();
    let pooled = connected(new, &bouncer.url(), 1).await;
    let limit = ask(&pooled, "SELECT current_setting('statement_timeout') AS limit").await;
    assert_eq!(limit, r#"{"limit":"7s"}"#);
    assert_eq!(prepared(&pooled).await, NONE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_forgets_its_statements_is_written_to_without_them() {
    let postgres = Postgres::start().await.unwrap();
    let forget = "CREATE FUNCTION forget() RETURNS boolean LANGUAGE plpgsql AS \
                  $$ BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN true; END $$";
    postgres.psql(forget).await.unwrap();
    let direct = connected(new, &postgres.url(), 1).await;
    assert_eq!(prepared(&direct).await, PREPARED);
    assert_eq!(ask(&direct, "SELECT forget()").await, r#"{"forget":true}"#);
    assert_eq!(prepared(&direct).await, NONE);
    assert_eq!(value(&direct, "n").await.as_deref(), Some(&b"4"[..]), "each was counted once");
}

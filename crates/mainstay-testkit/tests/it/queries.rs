//! Queries of the application's own tables: what each engine's types become in JSON, and what is refused.

use crate::sql::{self, connected, generous};
use mainstay::backend::sql::{mysql::Mysql, postgres::Postgres, sqlite::Sqlite};
use mainstay::backend::{Backend, Told};
use mainstay::config::BackendConfig;
use mainstay::op::{Query, Rows, Statement};
use mainstay::{Effect, ErrorKind, Key, Op, Result};
use mainstay_testkit::servers::{self, MariaDb, PgBouncer};
use std::sync::Arc;

/// The rows of a query as JSON text.
async fn ask(
    backend: &Arc<dyn Backend>,
    sql: &str,
    rows: Rows,
    arguments: &[&str],
) -> Result<Option<String>> {
    let statement = Arc::new(Statement { sql: sql.to_owned(), rows });
    let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
    let query = Op::Query(Query { statement, arguments });
    let found = backend.execute(&query, generous()).await?.into_rows()?;
    Ok(found.map(|json| String::from_utf8(json.to_vec()).unwrap()))
}

async fn one(backend: &Arc<dyn Backend>, sql: &str, arguments: &[&str]) -> String {
    ask(backend, sql, Rows::One, arguments).await.unwrap().unwrap()
}

async fn kind(backend: &Arc<dyn Backend>, sql: &str, arguments: &[&str]) -> ErrorKind {
    let error = ask(backend, sql, Rows::Many, arguments).await.unwrap_err();
    assert_eq!(error.effect(), Effect::None);
    error.kind()
}

fn new_postgres(config: &BackendConfig) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(Postgres::new(config, sql::VALUE_MAX, mainstay::Entropy::seeded(1))?))
}

async fn postgres_answers(backend: &Arc<dyn Backend>) {
    let types = "SELECT 42::int AS i, 9223372036854775807 AS big, 12.340::numeric AS dec, 0.1::float8 AS f,
        'NaN'::float8 AS nan, true AS yes, 'a\"b'::text AS t, NULL::int AS nothing, '\\x00ff'::bytea AS bytes,
        DATE '2024-02-29' AS d, TIMESTAMP '2024-02-29 12:34:56.789' AS ts, '{\"k\": [1]}'::jsonb AS j, ARRAY[1,2] AS a -- end";
    assert_eq!(
        one(backend, types, &[]).await,
        r#"{"i":42,"big":9223372036854775807,"dec":12.340,"f":0.1,"nan":"NaN","yes":true,"t":"a\"b","nothing":null,"bytes":"\\x00ff","d":"2024-02-29","ts":"2024-02-29T12:34:56.789","j":{"k": [1]},"a":[1,2]}"#
    );
    let numbers = "SELECT n FROM generate_series($1::int, $2::int) n WHERE n <> $3;";
    let found = ask(backend, numbers, Rows::Many, &["1", "4", "2"]).await.unwrap();
    assert_eq!(found.unwrap().replace(' ', ""), r#"[{"n":1},{"n":3},{"n":4}]"#);
    assert_eq!(ask(backend, numbers, Rows::Many, &["2", "1", "0"]).await.unwrap(), None);
    assert_eq!(ask(backend, numbers, Rows::One, &["2", "1", "0"]).await.unwrap(), None);
    assert_eq!(
        kind(backend, numbers, &["1; DROP TABLE x", "2", "3"]).await,
        ErrorKind::InvalidArgument
    );
    assert_eq!(kind(backend, "SELECT * FROM no_such_table", &[]).await, ErrorKind::Misconfigured);
    assert_eq!(kind(backend, "DELETE FROM mainstay_kv", &[]).await, ErrorKind::Misconfigured);
    let many = "SELECT n FROM generate_series(1, 20000) n";
    assert_eq!(kind(backend, many, &[]).await, ErrorKind::TooLarge);
    let wide = "SELECT repeat('x', 1000000) AS x FROM generate_series(1, 9)";
    assert_eq!(kind(backend, wide, &[]).await, ErrorKind::TooLarge);
    assert!(one(backend, many, &[]).await.starts_with(r#"{"n":1}"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_makes_faithful_json_also_behind_a_transaction_pooler() {
    let server = servers::Postgres::start().await.unwrap();
    let direct = connected(new_postgres, &server.url(), 4).await;
    postgres_answers(&direct).await;
    let bouncer = PgBouncer::start(&server).await.unwrap();
    postgres_answers(&connected(new_postgres, &bouncer.url(), 4).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_rows_become_faithful_json() {
    let server = MariaDb::start().await.unwrap();
    let new = |config: &BackendConfig| -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Mysql::new(config, sql::VALUE_MAX)?))
    };
    let backend = connected(new, &server.url(), 4).await;
    let types = "SELECT 42 AS i, 18446744073709551615 AS big, CAST('12.340' AS DECIMAL(10,3)) AS d, 0.1e0 AS f,
        'a\"b' AS t, NULL AS nothing, x'00ff' AS bytes, x'4142' AS ascii_bytes, DATE '2024-02-29' AS da,
        TIMESTAMP '2024-02-29 12:34:56.789' AS ts, TIME '-30:00:01' AS ti";
    assert_eq!(
        one(&backend, types, &[]).await,
        r#"{"i":42,"big":18446744073709551615,"d":12.340,"f":0.1,"t":"a\"b","nothing":null,"bytes":"\\x00ff","ascii_bytes":"\\x4142","da":"2024-02-29","ts":"2024-02-29T12:34:56.789","ti":"-30:00:01"}"#
    );
    let numbers = "SELECT seq AS n FROM seq_1_to_4 WHERE seq BETWEEN ? AND ?";
    let found = ask(&backend, numbers, Rows::Many, &["2", "3"]).await.unwrap();
    assert_eq!(found.as_deref(), Some(r#"[{"n":2},{"n":3}]"#));
    assert_eq!(ask(&backend, numbers, Rows::Many, &["9", "9"]).await.unwrap(), None);
    let spliced = ask(&backend, numbers, Rows::Many, &["1 OR 1=1", "0"]).await.unwrap();
    assert_eq!(spliced, None, "an argument is a value, never a part of the statement");
    assert_eq!(kind(&backend, "SELECT * FROM no_such_table", &[]).await, ErrorKind::Misconfigured);
    assert_eq!(kind(&backend, "DELETE FROM mainstay_kv", &[]).await, ErrorKind::WrongNode);
    let many = "SELECT seq FROM seq_1_to_20000";
    assert_eq!(kind(&backend, many, &[]).await, ErrorKind::TooLarge);
    let wide = "SELECT repeat('x', 1000000) AS x FROM seq_1_to_9";
    assert_eq!(kind(&backend, wide, &[]).await, ErrorKind::TooLarge);
    assert_eq!(one(&backend, many, &[]).await, r#"{"seq":1}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_rows_become_faithful_json_and_nothing_is_written() {
    let folder = crate::sqlite::Folder::new("queries");
    let url = format!("sqlite://{}/app.db", folder.0.display());
    let new = |config: &BackendConfig| -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Sqlite::new(config, sql::VALUE_MAX, mainstay::Clock::system())?))
    };
    let backend = connected(new, &url, 4).await;
    let types = "SELECT 42 AS i, 0.1 AS f, 'a\"b' AS t, NULL AS n, x'00ff' AS bytes";
    assert_eq!(
        one(&backend, types, &[]).await,
        r#"{"i":42,"f":0.1,"t":"a\"b","n":null,"bytes":"\\x00ff"}"#
    );
    let found = ask(&backend, "SELECT ?1 AS a, ?2 AS b", Rows::Many, &["x", "y"]).await.unwrap();
    assert_eq!(found.as_deref(), Some(r#"[{"a":"x","b":"y"}]"#));
    assert_eq!(kind(&backend, "DELETE FROM mainstay_kv", &[]).await, ErrorKind::Misconfigured);
    assert_eq!(kind(&backend, "SELECT ?1", &[]).await, ErrorKind::Misconfigured);
    assert_eq!(kind(&backend, "SELECT * FROM no_such_table", &[]).await, ErrorKind::Misconfigured);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_tells_what_is_notified_and_when_it_stops() {
    let mut server = servers::Postgres::start().await.unwrap();
    let backend = connected(new_postgres, &server.url(), 4).await;
    let mut feed = backend.listen("users \"changed\"", generous()).await.unwrap();
    let (client, connection) =
        tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let notify = "NOTIFY \"users \"\"changed\"\"\", '42'; NOTIFY \"users \"\"changed\"\"\", 'a:b'; NOTIFY other, 'x'";
    client.batch_execute(notify).await.unwrap();
    let mut keys = Vec::new();
    while keys.len() < 2 {
        match feed.next().await.unwrap() {
            Told::Changed(told) => keys.extend(told),
            other => assert!(matches!(other, Told::UpTo(_)), "{other:?}"),
        }
    }
    assert_eq!(keys, [Key::from("42"), Key::from("a:b")]);
    client.batch_execute("NOTIFY \"users \"\"changed\"\"\"").await.unwrap();
    while feed.next().await.unwrap() != Told::All {}
    server.kill();
    let end = loop {
        match feed.next().await {
            Ok(told) => assert!(matches!(told, Told::UpTo(_)), "{told:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(end.kind(), ErrorKind::Disconnected, "{end}");
    drop(client);
    assert!(driver.await.unwrap().is_err(), "the server was killed");
}

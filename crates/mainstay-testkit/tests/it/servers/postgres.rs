//! PostgreSQL.

use super::hangs;
use mainstay_testkit::servers::{Postgres, PostgresOptions};

#[tokio::test]
async fn starts_hangs_dies_and_comes_back() {
    let mut postgres = Postgres::start().await.unwrap();
    postgres.psql("create table t (n int); insert into t values (7)").await.unwrap();
    postgres.stop();
    assert!(hangs(postgres.psql("select 1")).await);
    postgres.cont();
    assert_eq!(postgres.psql("select n from t").await.unwrap(), "7");
    postgres.kill();
    assert!(postgres.psql("select 1").await.is_err());
    postgres.restart().await.unwrap();
    assert_eq!(
        postgres.psql("select n from t").await.unwrap(),
        "7",
        "committed rows survive a kill"
    );
    postgres.restart_empty().await.unwrap();
    assert!(postgres.psql("select n from t").await.is_err());
}

#[tokio::test]
async fn stopping_reaches_the_process_that_serves_a_connection() {
    let postgres = Postgres::start().await.unwrap();
    postgres.psql("create table gate (n int)").await.unwrap();
    // Each statement of the loop sees what was committed before it.
    let waits = "do $$ begin while not exists (select 1 from gate) loop perform pg_sleep(0.05); \
        end loop; end $$; select 'done'";
    let mut session = Box::pin(postgres.psql(waits));
    let serving = "select pid from pg_stat_activity where query like '%from gate%' and pid <> pg_backend_pid()";
    let pid = loop {
        assert!(hangs(&mut session).await, "the session waits for the gate");
        let found = postgres.psql(serving).await.unwrap();
        if !found.is_empty() {
            break found;
        }
    };
    postgres.stop();
    assert_eq!(state(&pid), "T");
    postgres.cont();
    postgres.psql("insert into gate values (1)").await.unwrap();
    assert_eq!(session.await.unwrap(), "done");
}

/// The letter that the kernel shows for a process: `T` is stopped.
fn state(pid: &str) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").map(|(_, rest)| rest[..1].to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_password_and_settings() {
    let settings = vec![("max_connections".to_owned(), "7".to_owned())];
    let options =
        PostgresOptions { require_password: true, fsync: true, settings, ..Default::default() };
    let postgres = Postgres::start_with(options).await.unwrap();
    assert_eq!(postgres.psql("show max_connections; show fsync").await.unwrap(), "7\non");
    let wrong = postgres.url().replace("mainstay:mainstay", "mainstay:wrong");
    let output =
        std::process::Command::new("psql").args(["-d", &wrong, "-c", "select 1"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("password authentication failed"));
}

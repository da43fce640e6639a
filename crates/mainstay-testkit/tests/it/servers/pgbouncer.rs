//! PgBouncer in front of PostgreSQL.

use super::hangs;
use mainstay_testkit::servers::{PgBouncer, Postgres};

#[tokio::test]
async fn pools_transactions_hangs_dies_and_comes_back() {
    let mut postgres = Postgres::start().await.unwrap();
    let mut bouncer = PgBouncer::start(&postgres).await.unwrap();
    assert_ne!(bouncer.url(), postgres.url());
    assert_eq!(bouncer.psql("select 6 * 7").await.unwrap(), "42");
    assert!(bouncer.admin("show databases").await.unwrap().contains("mainstay"));
    assert!(bouncer.admin("show config").await.unwrap().contains("pool_mode|transaction"));
    bouncer.stop();
    assert!(hangs(bouncer.psql("select 1")).await);
    bouncer.cont();
    assert_eq!(bouncer.psql("select 1").await.unwrap(), "1");
    bouncer.kill();
    assert!(bouncer.psql("select 1").await.is_err());
    assert_eq!(postgres.psql("select 1").await.unwrap(), "1");
    bouncer.restart().await.unwrap();
    postgres.restart().await.unwrap();
    bouncer.restart().await.unwrap();
    assert_eq!(bouncer.psql("select 1").await.unwrap(), "1");
}

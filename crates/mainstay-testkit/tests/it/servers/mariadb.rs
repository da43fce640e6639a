//! MariaDB.

use super::hangs;
use mainstay_testkit::servers::{MariaDb, MariaDbOptions};

#[tokio::test]
async fn starts_hangs_dies_and_comes_back() {
    let settings = vec![("max-connections".to_owned(), "17".to_owned())];
    let mut mariadb =
        MariaDb::start_with(MariaDbOptions { settings, ..Default::default() }).await.unwrap();
    mariadb.sql("create table t (n int); insert into t values (7)").await.unwrap();
    assert_eq!(mariadb.sql("select @@max_connections").await.unwrap(), "17");
    mariadb.stop();
    assert!(hangs(mariadb.sql("select 1")).await);
    mariadb.cont();
    assert_eq!(mariadb.sql("select n from t").await.unwrap(), "7");
    mariadb.kill();
    assert!(mariadb.sql("select 1").await.is_err());
    mariadb.restart().await.unwrap();
    assert_eq!(mariadb.sql("select n from t").await.unwrap(), "7", "committed rows survive a kill");
    mariadb.restart_empty().await.unwrap();
    assert!(mariadb.sql("select n from t").await.is_err());
}

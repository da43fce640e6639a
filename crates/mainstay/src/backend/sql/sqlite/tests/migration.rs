//! A database of schema 1 is brought forward, and loses nothing.

use super::{
    records::{lease, readmit},
    *,
};
use crate::{
    op::{Counting, Ground, LockOp, Waiter},
    reply::Locked,
};

/// What version 1 made, and some rows of it.
const SCHEMA_1: &str = "
PRAGMA journal_mode = WAL;
CREATE TABLE mainstay_meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    probed_at INTEGER NOT NULL
) STRICT;
CREATE TABLE mainstay_kv (
    key BLOB NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    expires_at INTEGER,
    updated_at INTEGER NOT NULL,
    value BLOB
) STRICT;
CREATE INDEX mainstay_kv_expiry ON mainstay_kv (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX mainstay_kv_tombstones ON mainstay_kv (updated_at) WHERE deleted = 1;
INSERT INTO mainstay_meta VALUES (1, 1, 3, 0);
INSERT INTO mainstay_kv VALUES (CAST('k' AS BLOB), 2, 41, 0, NULL, 1, CAST('v' AS BLOB));
INSERT INTO mainstay_kv VALUES
    (CAST('ttl' AS BLOB), 2, 42, 0, 9000000000000, 1, CAST('w' AS BLOB));
INSERT INTO mainstay_kv VALUES (CAST('gone' AS BLOB), 3, 9000000000000000, 1, NULL, 1, NULL);
";

fn schema_1(path: &Path) {
    Connection::open(path).unwrap().execute_batch(SCHEMA_1).unwrap();
}

#[tokio::test]
async fn a_database_of_schema_1_is_brought_forward_without_a_loss() {
    let folder = Folder::new("schema-1");
    let path = folder.path("main.db");
    schema_1(&path);
    for opened in 0..2 {
        let sqlite = open(&path).await;
        let record = read(&sqlite, "k").await.unwrap();
        let version = Version { epoch: 2, counter: 41 };
        assert_eq!((record.value, record.version), (Bytes::from("v"), Some(version)));
        assert!(read(&sqlite, "ttl").await.unwrap().ttl.is_some());
        assert_eq!(count(&sqlite, b"").await, 2 + opened);
        let row = lease(&sqlite).await.control;
        assert_eq!((row.active, row.epoch), (opened == 1, opened as u64));
        if opened == 0 {
            assert_eq!(readmit(&sqlite, 0).await, Reply::Integer(1));
            let again = write(&sqlite, set("gone", "v", TtlChange::Clear)).await;
            let expected = Version { epoch: 3, counter: 9_000_000_000_000_001 };
            assert_eq!(again, expected, "the epoch, and the tombstone's counter");
        }
        sqlite.close().await;
    }
    let found = "SELECT schema_version FROM mainstay_meta";
    let found: i64 =
        Connection::open(&path).unwrap().query_row(found, [], |row| row.get(0)).unwrap();
    assert_eq!(found, crate::backend::sql::SCHEMA_VERSION);
}

#[tokio::test]
async fn a_database_of_schema_2_gets_the_tables_of_locks() {
    let folder = Folder::new("schema-2");
    let path = folder.path("main.db");
    schema_1(&path);
    open(&path).await.close().await;
    let back = "DROP TABLE mainstay_lock; DROP TABLE mainstay_fence; DROP TABLE mainstay_fleet;
        UPDATE mainstay_meta SET schema_version = 2";
    Connection::open(&path).unwrap().execute_batch(back).unwrap();
    let sqlite = open(&path).await;
    let fence = LockOp::Fence { resource: "a".into(), token: 3 };
    let reply = run(&sqlite, fence.into()).await.unwrap();
    assert!(matches!(reply, Reply::Lock(Locked::Granted { .. })));
    assert_eq!(read(&sqlite, "k").await.unwrap().value, "v");
    sqlite.close().await;
}

#[tokio::test]
async fn a_database_of_schema_3_keeps_its_locks() {
    let folder = Folder::new("schema-3");
    let path = folder.path("main.db");
    open(&path).await.close().await;
    let back = "DROP TABLE mainstay_lock;
        CREATE TABLE mainstay_lock (name BLOB NOT NULL PRIMARY KEY, holder BLOB,
            token INTEGER NOT NULL, expires_us INTEGER NOT NULL, note TEXT NOT NULL)
            STRICT, WITHOUT ROWID;
        INSERT INTO mainstay_lock VALUES (CAST('a' AS BLOB), NULL, 41, 0, 'before');
        UPDATE mainstay_meta SET schema_version = 3";
    Connection::open(&path).unwrap().execute_batch(back).unwrap();
    let sqlite = open(&path).await;
    let op = LockOp::Acquire {
        name: "a".into(),
        holder: 1,
        ttl: Duration::from_secs(60),
        counting: Counting::Here,
        note: "after".to_owned(),
        ground: Ground::Free,
        waiter: Some(Waiter { process: 1, waited: Duration::ZERO }),
    };
    let reply = run(&sqlite, op.into()).await.unwrap();
    assert!(matches!(reply, Reply::Lock(Locked::Granted { token: 42, .. })), "{reply:?}");
    sqlite.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_bring_it_forward_at_once() {
    let folder = Folder::new("schema-1-many");
    let path = folder.path("main.db");
    schema_1(&path);
    let handles: Vec<Sqlite> = futures_util::future::join_all((0..6).map(|_| open(&path))).await;
    for sqlite in &handles {
        assert_eq!(read(sqlite, "k").await.unwrap().value, "v");
        assert_eq!(lease(sqlite).await.control.id, 7);
    }
    for sqlite in handles {
        sqlite.close().await;
    }
}

#[tokio::test]
async fn a_migration_that_fails_half_way_leaves_schema_1() {
    let folder = Folder::new("schema-1-half");
    let path = folder.path("main.db");
    schema_1(&path);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE mainstay_journal (theirs)").unwrap();
    let sqlite = new(&url(&path), &Clock::system());
    assert!(sqlite.connect(soon(&sqlite)).await.is_err());
    let made =
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('mainstay_cache', 'mainstay_dirty')";
    let made: i64 = other.query_row(made, [], |row| row.get(0)).unwrap();
    assert_eq!(made, 0);
    other.execute_batch("DROP TABLE mainstay_journal").unwrap();
    sqlite.connect(soon(&sqlite)).await.unwrap();
    assert_eq!(read(&sqlite, "k").await.unwrap().value, "v");
    assert_eq!(lease(&sqlite).await.dirty, []);
    sqlite.close().await;
}

//! Expiry, tombstones and versions, on a clock that the test moves.

use super::*;

/// In memory, on the paused clock.
async fn in_memory(clock: &Clock) -> Sqlite {
    let sqlite = new("sqlite::memory:", clock);
    sqlite.connect(soon(&sqlite)).await.unwrap();
    sqlite
}

async fn pass(ms: u64) {
    tokio::time::advance(Duration::from_millis(ms)).await;
}

/// Rows, tombstones included.
async fn rows(sqlite: &Sqlite) -> usize {
    let mut rows = 0;
    for key in ["k", "other", "third"] {
        let op = Op::Set {
            key: Key::from(key),
            value: Bytes::new(),
            ttl: TtlChange::Clear,
            condition: Condition::Present,
            want_previous: true,
        };
        let reply = run(sqlite, op).await.unwrap().into_written().unwrap();
        rows += usize::from(reply.applied);
    }
    rows
}

#[tokio::test(start_paused = true)]
async fn a_record_is_gone_at_its_expiry_and_not_before() {
    let sqlite = in_memory(&Clock::system()).await;
    write(&sqlite, set("k", "v", for_ms(100))).await;
    pass(99).await;
    assert_eq!(read(&sqlite, "k").await.unwrap().ttl, Some(Duration::from_millis(1)));
    assert_eq!((count(&sqlite, b"").await, rows(&sqlite).await), (1, 1));
    write(&sqlite, set("k", "v", for_ms(100))).await;
    pass(100).await;
    assert_eq!(read(&sqlite, "k").await, None);
    assert_eq!((count(&sqlite, b"").await, rows(&sqlite).await), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn versions_rise_over_delete_expiry_and_purge() {
    let clock = Clock::system();
    let sqlite = in_memory(&clock).await;
    let mut last = write(&sqlite, set("k", "v", TtlChange::Clear)).await;
    assert!(last.counter >= clock.unix_us() - 1_000_000, "a new row starts at the clock");
    for purged in [false, true] {
        for op in [delete("k"), set("k", "v", for_ms(10))] {
            let next = write(&sqlite, op).await;
            assert!(next > last, "{next} after {last}");
            last = next;
        }
        if purged {
            pass(11).await;
            assert_eq!(sqlite.purge(10, soon(&sqlite)).await.unwrap(), 1, "the expired row");
            assert_eq!(sqlite.purge(10, soon(&sqlite)).await.unwrap(), 0, "a young tombstone");
            // Tombstones age by the host's clock.
            sqlite.client().unwrap().with_writer(|writer| {
                let earlier = "UPDATE mainstay_kv SET updated_at = updated_at - 3600001";
                writer.execute(earlier, []).unwrap();
            });
            assert_eq!(sqlite.purge(10, soon(&sqlite)).await.unwrap(), 1, "an old tombstone");
        }
        pass(11).await;
        let next = write(&sqlite, set("k", "v", TtlChange::Clear)).await;
        assert!(next > last, "{next} after {last}");
        last = next;
    }
}

#[tokio::test(start_paused = true)]
async fn purge_stays_within_its_limit() {
    let sqlite = in_memory(&Clock::system()).await;
    let entries = (0..1300).map(|number| (Key::from(format!("{number}")), Bytes::from("v")));
    let op = Op::SetMany { entries: entries.collect(), ttl: for_ms(5), all_absent: false };
    run(&sqlite, op).await.unwrap();
    assert_eq!(count(&sqlite, b"").await, 1300);
    pass(5).await;
    assert_eq!(count(&sqlite, b"").await, 0);
    for expected in [1200, 100, 0] {
        assert_eq!(sqlite.purge(1200, soon(&sqlite)).await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn compare_and_set_tells_versions_apart() {
    let sqlite = in_memory(&Clock::system()).await;
    let old = write(&sqlite, set("k", "1", TtlChange::Clear)).await;
    let new = write(&sqlite, set("k", "2", TtlChange::Clear)).await;
    for (version, applied) in [(old, false), (new, true), (new, false)] {
        let op = Op::Set {
            key: Key::from("k"),
            value: Bytes::from("3"),
            ttl: TtlChange::Clear,
            condition: Condition::VersionIs(version),
            want_previous: false,
        };
        let reply = run(&sqlite, op).await.unwrap().into_written().unwrap();
        assert_eq!(reply.applied, applied, "{version}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cap_on_the_ttl_holds_for_every_write() {
    let config = BackendConfig {
        ttl_max: Some(Duration::from_millis(50)),
        ..BackendConfig::at("sqlite::memory:")
    };
    let sqlite = Sqlite::new(&config, VALUE_MAX, Clock::system()).unwrap();
    sqlite.connect(soon(&sqlite)).await.unwrap();
    write(&sqlite, set("k", "v", TtlChange::Clear)).await;
    write(&sqlite, set("short", "v", for_ms(20))).await;
    let condition = ExpireCondition::Always;
    write(&sqlite, Op::Expire { key: Key::from("short"), ttl: for_ms(9_000), condition }).await;
    for key in ["k", "short"] {
        assert_eq!(read(&sqlite, key).await.unwrap().ttl, Some(Duration::from_millis(50)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_epoch_of_the_database_stands_in_every_version() {
    let folder = Folder::new("epoch");
    let path = folder.path("main.db");
    let sqlite = open(&path).await;
    let before = write(&sqlite, set("k", "v", TtlChange::Clear)).await;
    Connection::open(&path).unwrap().execute("UPDATE mainstay_meta SET epoch = 2", []).unwrap();
    let after = write(&sqlite, set("k", "v", TtlChange::Clear)).await;
    assert_eq!((before.epoch, after.epoch, after.counter), (1, 2, before.counter + 1));
    let sum = run(&sqlite, Op::Increment { key: Key::from("n"), by: 5 }).await.unwrap();
    assert_eq!(sum.into_written().unwrap().outcome, Outcome::Integer(5));
    sqlite.close().await;
}

//! Files that cannot be used, files that vanish, locks that others hold.

use super::*;

async fn refused(path: &Path) -> Error {
    let sqlite = new(&url(path), &Clock::system());
    sqlite.connect(soon(&sqlite)).await.unwrap_err()
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_kept() {
    let folder = Folder::new("notadb");
    let path = folder.path("main.db");
    let content = "not a database, but somebody's only copy ".repeat(100);
    std::fs::write(&path, &content).unwrap();
    assert_eq!(refused(&path).await.kind(), ErrorKind::Corrupt);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
}

#[tokio::test]
async fn damaged_pages_are_refused_and_kept() {
    let folder = Folder::new("corrupt");
    let path = folder.path("main.db");
    let sqlite = open(&path).await;
    let entries = (0..500).map(|number| (Key::from(format!("{number}")), Bytes::from("v")));
    let op = Op::SetMany { entries: entries.collect(), ttl: TtlChange::Clear, all_absent: false };
    run(&sqlite, op).await.unwrap();
    sqlite.close().await;
    let mut content = std::fs::read(&path).unwrap();
    let half = content.len() / 2;
    content[half..].fill(0xa5);
    std::fs::write(&path, &content).unwrap();
    let error = refused(&path).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("main.db"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap()[half..], content[half..]);
}

#[tokio::test]
async fn a_row_that_makes_no_sense_fails_its_reader_only() {
    let folder = Folder::new("row");
    let path = folder.path("main.db");
    let sqlite = open(&path).await;
    for key in ["bad", "good"] {
        write(&sqlite, set(key, "v", TtlChange::Clear)).await;
    }
    let other = Connection::open(&path).unwrap();
    other
        .execute("UPDATE mainstay_kv SET counter = -1 WHERE key = CAST('bad' AS BLOB)", [])
        .unwrap();
    let get = Op::Get { key: Key::from("bad"), with_ttl: false };
    for op in [get, set("bad", "w", TtlChange::Clear)] {
        assert_eq!(run(&sqlite, op).await.unwrap_err().kind(), ErrorKind::WrongType);
    }
    assert_eq!(read(&sqlite, "good").await.unwrap().value, "v");
    sqlite.close().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = Folder::new("newer");
    let path = folder.path("main.db");
    open(&path).await.close().await;
    let other = Connection::open(&path).unwrap();
    other.execute("UPDATE mainstay_meta SET schema_version = 7", []).unwrap();
    let error = refused(&path).await;
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.message().contains("schema 7"), "{error}");
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_is_named() {
    let folder = Folder::new("cantopen");
    std::fs::write(folder.path("file"), "").unwrap();
    std::fs::create_dir(folder.path("folder")).unwrap();
    for name in ["file/main.db", "folder"] {
        let error = refused(&folder.path(name)).await;
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.message().contains(name.split('/').next().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_written_into_a_file_that_was_removed() {
    let folder = Folder::new("unlinked");
    let (path, aside) = (folder.path("main.db"), folder.path("aside.db"));
    let sqlite = open(&path).await;
    write(&sqlite, set("k", "v", TtlChange::Clear)).await;
    std::fs::rename(&path, &aside).unwrap();
    for error in [
        run(&sqlite, set("k", "w", TtlChange::Clear)).await.unwrap_err(),
        sqlite.probe(ProbeDepth::Ping, soon(&sqlite)).await.unwrap_err(),
        sqlite.connect(soon(&sqlite)).await.unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::Misconfigured, Effect::None),
            "{error}"
        );
        assert!(error.message().contains("main.db"), "{error}");
    }
    assert!(!path.exists(), "no empty file takes the place of the lost one");
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(read(&sqlite, "k").await.unwrap().value, "v");
    write(&sqlite, set("k", "x", TtlChange::Clear)).await;
    sqlite.close().await;
}

#[tokio::test]
async fn another_process_with_the_lock_costs_a_timeout_without_effect() {
    let folder = Folder::new("locked");
    let path = folder.path("main.db");
    let sqlite = open(&path).await;
    write(&sqlite, set("k", "v", TtlChange::Clear)).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let deadline = sqlite.plan.rules.clock.deadline_in(Duration::from_millis(50));
    let error = sqlite.execute(&set("k", "w", TtlChange::Clear), deadline).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::None));
    assert_eq!(read(&sqlite, "k").await.unwrap().value, "v", "reads go on");
    let late = set("k", "x", TtlChange::Clear);
    let waiting = run(&sqlite, late);
    let (done, ()) = futures_util::join!(waiting, async {
        other.execute_batch("COMMIT").unwrap();
    });
    done.unwrap();
    assert_eq!(read(&sqlite, "k").await.unwrap().value, "x");
    sqlite.close().await;
}

#[tokio::test]
async fn a_full_disk_fails_the_write_and_reads_go_on() {
    let folder = Folder::new("full");
    let path = folder.path("main.db");
    let sqlite = open(&path).await;
    write(&sqlite, set("k", "v", TtlChange::Clear)).await;
    let client = sqlite.client().unwrap();
    client.with_writer(|writer| {
        let pages: i64 = writer.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        writer.execute_batch(&format!("PRAGMA max_page_count = {}", pages + 2)).unwrap();
    });
    let large = "x".repeat(100_000);
    let work = (0..6).map(|task| {
        let value = if task == 3 { large.as_str() } else { "small" };
        run(&sqlite, set(&format!("k{task}"), value, TtlChange::Clear))
    });
    let results = futures_util::future::join_all(work).await;
    let error = results[3].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::StorageFull, Effect::None));
    for (task, result) in results.iter().enumerate() {
        let stored = read(&sqlite, &format!("k{task}")).await;
        assert_eq!(stored.is_some(), result.is_ok(), "{task}: {result:?}");
    }
    assert_eq!(read(&sqlite, "k").await.unwrap().value, "v");
    client.with_writer(|writer| writer.execute_batch("PRAGMA max_page_count = 100000").unwrap());
    write(&sqlite, set("k", &large, TtlChange::Clear)).await;
    sqlite.close().await;
}

//! The journal with the real binary: what it has acknowledged is in the database in the end, whatever died in between.

use mainstay_testkit::servers::{MariaDb, Postgres};
use serde_json::Value as Json;

use crate::process::{Mainstay, until};

const WITH_JOURNAL: &str = r#"
[journal]
bytes_max = "1MiB"

[[route]]
prefix = ""
record = "db"
on_record_down = "journal"
"#;

impl Mainstay {
    async fn journal(&self) -> Json {
        let answer = self.http("GET", "/v1/journal", "").await;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(&body[body.find('{').unwrap_or(0)..=body.rfind('}').unwrap_or(0)])
            .unwrap_or_else(|error| panic!("{error} in {answer}"))
    }

    /// Waits until it knows the record well enough for writes to wait for it.
    async fn until_met(&self) {
        until("the record to be met", async || {
            self.journal().await["status"]["unmet_records"] == 0
        })
        .await;
    }

    async fn until_replayed(&self) {
        until("the journal to be empty", async || self.journal().await["status"]["depth"] == 0)
            .await;
    }
}

/// One through each front door, and one in a batch; what is told of them.
async fn three_writes_wait(mainstay: &Mainstay) {
    let put = mainstay.http("PUT", "/v1/kv/k", "waits").await;
    assert!(put.starts_with("HTTP/1.1 202"), "{put}");
    assert!(put.contains("x-mainstay-journal: 1") && put.contains(r#"{"journaled":1}"#), "{put}");
    let read = mainstay.http_get("/v1/kv/k?meta").await;
    assert!(read.contains(r#""worth":"pending""#) && read.contains("waits"), "{read}");
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["SET", "resp", "too"]).await, "OK");
    assert_eq!(client.text(&["GET", "resp"]).await, "too");
    let meta = client.text(&["MAINSTAY.META", "resp"]).await;
    assert!(
        meta.contains("112, 101, 110, 100, 105, 110, 103") || meta.contains("pending"),
        "{meta}"
    );
    let strict = client.text(&["INCR", "k"]).await;
    assert!(strict.starts_with("UNAVAILABLE"), "{strict}");
    let batch = r#"{"operations":[{"op":"set","key":"item","value":"in a batch"}]}"#;
    let batch = mainstay.http("POST", "/v1/batch", batch).await;
    assert!(batch.contains(r#""status":202"#) && batch.contains(r#""journaled":3"#), "{batch}");
    let metrics = mainstay.http_get("/metrics").await;
    assert!(metrics.contains("mainstay_journal_entries{} 3"), "{metrics}");
    assert!(mainstay.run(&["journal", "show"]).await.starts_with("3 wait, 0 dead letters"));
}

#[tokio::test]
async fn a_write_survives_the_database_and_then_the_process() {
    let mut postgres = Postgres::start().await.unwrap();
    let variables = [("DATABASE_URL", &*postgres.url())];
    let mut mainstay = Mainstay::start_with(WITH_JOURNAL, &variables).await;
    mainstay.wait_for("db", "up").await;
    let put = mainstay.http("PUT", "/v1/kv/k", "before").await;
    assert!(put.starts_with("HTTP/1.1 204"), "{put}");
    mainstay.until_met().await;
    postgres.kill();
    mainstay.wait_for("db", "down").await;

    three_writes_wait(&mainstay).await;

    mainstay.kill().await;
    let shown = mainstay.run(&["journal", "show", "--dir", "mainstay-data/journal"]).await;
    assert!(shown.contains("waits  1  set  k"), "{shown}");
    let exported = mainstay.run(&["journal", "export", "--dir", "mainstay-data/journal"]).await;
    assert_eq!(exported.lines().count(), 3, "{exported}");
    mainstay.start_again().await;
    let read = mainstay.http_get("/v1/kv/k").await;
    assert!(read.ends_with("waits") || read.contains("waits"), "{read}");
    assert!(mainstay.run(&["journal", "replay"]).await.starts_with("3 wait"));

    postgres.restart().await.unwrap();
    mainstay.until_replayed().await;
    let journal = mainstay.journal().await;
    assert_eq!(
        (&journal["status"]["applied"], &journal["status"]["conflicts"]),
        (&3.into(), &0.into())
    );
    let mut client = mainstay.client().await;
    for (key, value) in [("k", "waits"), ("resp", "too"), ("item", "in a batch")] {
        assert_eq!(client.text(&["GET", key]).await, value);
    }
    let read = mainstay.http_get("/v1/kv/k?meta").await;
    assert!(read.contains(r#""source":"db""#), "{read}");
    // Once: the write of before is one version older.
    let version = |text: &str| {
        let meta = &text[text.find('{').unwrap()..=text.rfind('}').unwrap()];
        let meta: Json = serde_json::from_str(meta).unwrap();
        let version = meta["version"].as_str().unwrap().to_owned();
        version.split_once('-').unwrap().1.parse::<u64>().unwrap()
    };
    let applied = version(&read);
    let put = mainstay.http("PUT", "/v1/kv/k", "after").await;
    assert!(put.starts_with("HTTP/1.1 204"), "{put}");
    assert_eq!(version(&mainstay.http_get("/v1/kv/k?meta").await), applied + 1);
    mainstay.kill().await;
    mainstay.start_again().await;
    mainstay.wait_for("db", "up").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["GET", "k"]).await, "after", "nothing is applied a second time");
    mainstay.terminate().await;
}

#[tokio::test]
async fn a_full_journal_refuses_and_a_conflict_is_kept_for_a_person() {
    let mut mariadb = MariaDb::start().await.unwrap();
    let url = mariadb.url();
    let variables = [("DATABASE_URL", &*url)];
    let mut mainstay = Mainstay::start_with(WITH_JOURNAL, &variables).await;
    mainstay.wait_for("db", "up").await;
    let mut client = mainstay.client().await;
    client.until(&["SET", "k", "before"], "OK").await;
    mainstay.until_met().await;
    mariadb.kill();
    mainstay.wait_for("db", "down").await;
    assert_eq!(client.text(&["SET", "k", "ours"]).await, "OK");
    let big = "x".repeat(400 << 10);
    let mut last = String::new();
    for number in 0..5 {
        last = mainstay.http("PUT", &format!("/v1/kv/big{number}"), &big).await;
        if !last.starts_with("HTTP/1.1 202") {
            break;
        }
    }
    assert!(last.starts_with("HTTP/1.1 503") && last.contains("the journal is full"), "{last}");
    assert!(mainstay.status_text().await.contains("FULL"));
    // While this process is gone, another one writes the key in the database.
    mainstay.kill().await;
    mariadb.restart().await.unwrap();
    let other = Mainstay::start(&variables).await;
    let mut client = other.client().await;
    client.until(&["SET", "k", "theirs"], "OK").await;
    other.terminate().await;
    mainstay.start_again().await;
    mainstay.until_replayed().await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["GET", "k"]).await, "theirs");
    assert_eq!(client.text(&["STRLEN", "big0"]).await, big.len().to_string());
    let shown = mainstay.run(&["journal", "show"]).await;
    assert!(shown.contains("dead   1  set  k: ") && shown.contains("somebody else"), "{shown}");
    assert_eq!(mainstay.run(&["journal", "discard", "1"]).await.trim(), "1: discarded");
    let again = mainstay.http("DELETE", "/v1/journal/dead-letters/1", "").await;
    assert!(again.starts_with("HTTP/1.1 404"), "{again}");
    assert_eq!(mainstay.journal().await["status"]["dead_letters"], 0);
    mainstay.terminate().await;
}

//! What stands in Redis and in a database though none of ours has put it there.

use mainstay_testkit::{
    load::{Client, Value},
    servers::Redis,
};
use rusqlite::Connection;
use serde::Deserialize;

use super::table::{bytes, cases, judge};
use crate::{
    process::{Mainstay, TextClient},
    support::Scratch,
};

#[derive(Deserialize)]
struct Blob {
    name: String,
    kind: Kind,
    blob: Option<String>,
    #[serde(default)]
    commands: Vec<Vec<String>>,
    ask: Option<Vec<String>>,
    answer: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Copy,
    Loaded,
    Own,
}

fn config(redis: &Redis, database: &str) -> String {
    format!(
        r#"
[limits]
value_max = "256B"
[backends.redis]
url = "{}"
[backends.db]
url = "sqlite://{database}"
[[route]]
prefix = "c:"
cache = ["redis"]
record = "db"
[[route]]
prefix = "o:"
backends = ["redis", "memory"]
[[route]]
prefix = "s:"
cache = ["redis"]
[route.source]
backend = "db"
query = "select v from src where k = ?1"
[[route]]
record = "db"
"#,
        redis.url()
    )
}

/// Looks at Redis itself.
struct Behind(Client);

impl Behind {
    async fn run(&mut self, args: &[&[u8]]) -> Value {
        self.0.command(args).await.unwrap()
    }

    /// The keys under which copies of this key stand, once there are some.
    async fn copies(&mut self, key: &str) -> Vec<Vec<u8>> {
        let pattern = format!("*:{key}");
        for _ in 0..1000 {
            let Value::Array(found) = self.run(&[b"KEYS", pattern.as_bytes()]).await else {
                panic!("KEYS answers with an array")
            };
            let names = found.into_iter().filter_map(|name| match name {
                Value::Bulk(Some(name)) => Some(name.to_vec()),
                _ => None,
            });
            let names: Vec<_> = names.collect();
            if !names.is_empty() {
                return names;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("no copy of {key} in Redis");
    }

    async fn spoil(&mut self, case: &Blob, place: &[u8]) {
        if let Some(blob) = &case.blob {
            self.run(&[b"SET", place, &bytes(blob)]).await;
        } else if !matches!(case.kind, Kind::Own) {
            self.run(&[b"DEL", place]).await;
        }
        for command in &case.commands {
            let args: Vec<&[u8]> = command
                .iter()
                .map(|arg| if arg == "KEY" { place } else { arg.as_bytes() })
                .collect();
            self.run(&args).await;
        }
    }
}

async fn look(case: &Blob, number: usize, client: &mut TextClient, behind: &mut Behind) -> String {
    let key = match case.kind {
        Kind::Copy => format!("c:{number}"),
        Kind::Loaded => format!("s:{number}"),
        Kind::Own => format!("o:{number}"),
    };
    if let Kind::Copy = case.kind {
        assert_eq!(client.text(&["SET", &key, "truth"]).await, "OK");
    }
    let places = match case.kind {
        Kind::Own => vec![key.clone().into_bytes()],
        Kind::Copy | Kind::Loaded => {
            client.text(&["GET", &key]).await;
            behind.copies(&key).await
        }
    };
    for place in places {
        behind.spoil(case, &place).await;
    }
    let get = vec!["GET".to_owned(), "KEY".to_owned()];
    let ask = case.ask.as_ref().unwrap_or(&get);
    let ask: Vec<&str> =
        ask.iter().map(|arg| if arg == "KEY" { key.as_str() } else { arg.as_str() }).collect();
    client.text(&ask).await
}

#[tokio::test]
async fn what_is_none_of_ours_in_redis_is_never_a_value() {
    let (redis, scratch) = (Redis::start().await.unwrap(), Scratch::new());
    let database = scratch.path().join("record.db");
    let cases = cases::<Blob>(include_str!("redis.toml"));
    let rows = Connection::open(&database).unwrap();
    rows.execute_batch("CREATE TABLE src (k TEXT, v TEXT)").unwrap();
    for number in 0..cases.len() {
        rows.execute("INSERT INTO src VALUES (?1, 'truth')", [number.to_string()]).unwrap();
    }
    let mainstay =
        Mainstay::start_with(&config(&redis, &database.display().to_string()), &[]).await;
    mainstay.wait_for("redis", "up").await;
    let mut client = mainstay.client().await;
    let mut behind = Behind(Client::connect(([127, 0, 0, 1], redis.port()).into()).await.unwrap());
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let answer = look(case, number, &mut client, &mut behind).await;
        if answer != case.answer {
            wrong.push(format!("{}: {answer}", case.name));
        }
    }
    judge(&wrong);
    assert_eq!(mainstay.backend("redis").await["breaker"]["state"], "closed");
    mainstay.terminate().await;
}

#[derive(Deserialize)]
struct Row {
    name: String,
    values: String,
    ask: Vec<String>,
    answer: String,
}

#[tokio::test]
async fn a_row_that_is_none_of_ours_says_nothing_of_the_others() {
    let scratch = Scratch::new();
    let database = scratch.path().join("record.db");
    let config = format!(
        "[limits]\nvalue_max = \"256B\"\n[backends.db]\nurl = \"sqlite://{}\"\n[[route]]\nrecord = \"db\"\n",
        database.display()
    );
    let mainstay = Mainstay::start_with(&config, &[]).await;
    mainstay.wait_for("db", "up").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["SET", "good", "v"]).await, "OK");
    let rows = Connection::open(&database).unwrap();
    rows.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    let mut wrong = Vec::new();
    for (number, case) in cases::<Row>(include_str!("rows.toml")).iter().enumerate() {
        let key = format!("row{number}");
        let insert = format!("INSERT INTO mainstay_kv VALUES (?1, {})", case.values);
        rows.execute(&insert, [key.as_bytes()]).unwrap();
        let ask: Vec<&str> =
            case.ask.iter().map(|arg| if arg == "KEY" { key.as_str() } else { arg }).collect();
        let answer = client.text(&ask).await;
        let beside = client.text(&["GET", "good"]).await;
        if answer != case.answer || beside != "v" {
            wrong.push(format!("{}: {answer}; the row beside it: {beside}", case.name));
        }
    }
    judge(&wrong);
    assert_eq!(mainstay.backend("db").await["breaker"]["state"], "closed");
    mainstay.terminate().await;
}

//! Messages through Redis to the clients of several processes, and within each while Redis is down.

use std::time::Duration;

use mainstay_testkit::servers::Redis;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::process::{Mainstay, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// A subscriber that sees bytes.
struct Subscriber(TcpStream);

impl Subscriber {
    async fn to(mainstay: &Mainstay) -> Self {
        Self(TcpStream::connect(mainstay.resp()).await.unwrap())
    }

    async fn ask(&mut self, line: &str, expected: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.expect(expected).await;
    }

    async fn expect(&mut self, expected: &str) {
        let mut got = vec![0; expected.len()];
        let read = timeout(PATIENCE, self.0.read_exact(&mut got)).await;
        read.unwrap_or_else(|_| panic!("waited for {expected:?}")).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), expected);
    }
}

fn confirmed(word: &str, name: &str, count: u32) -> String {
    format!("*3\r\n${}\r\n{word}\r\n${}\r\n{name}\r\n:{count}\r\n", word.len(), name.len())
}

fn message(channel: &str, text: &str) -> String {
    format!(
        "*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n{text}\r\n",
        channel.len(),
        text.len()
    )
}

/// What `news` and `ne*` are told.
fn both(text: &str) -> String {
    let pattern = "*4\r\n$8\r\npmessage\r\n$3\r\nne*\r\n$4\r\nnews\r\n";
    format!("{}{pattern}${}\r\n{text}\r\n", message("news", text), text.len())
}

/// Listens to `news` and `ne*`.
async fn listener(mainstay: &Mainstay) -> Subscriber {
    let mut ear = Subscriber::to(mainstay).await;
    ear.ask("subscribe news", &confirmed("subscribe", "news", 1)).await;
    ear.ask("psubscribe ne*", &confirmed("psubscribe", "ne*", 2)).await;
    ear.ask("ping", "*2\r\n$4\r\npong\r\n$0\r\n\r\n").await;
    let refused = "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n";
    ear.ask("get a", refused).await;
    ear
}

/// Both on Redis, which dies and returns at once.
async fn on_redis(redis: &Redis) -> (Mainstay, Mainstay) {
    let config = format!(
        "[backends.redis]\nurl = \"{}\"\nbreaker = {{ open = \"200ms\", open_max = \"200ms\" }}\n",
        redis.url()
    );
    let (one, two) =
        (Mainstay::start_with(&config, &[]).await, Mainstay::start_with(&config, &[]).await);
    one.wait_for("redis", "up").await;
    two.wait_for("redis", "up").await;
    (one, two)
}

#[tokio::test]
async fn messages_go_through_redis_and_stay_here_while_it_is_down() {
    let mut redis = Redis::start().await.unwrap();
    let (one, two) = on_redis(&redis).await;
    let mut ear = listener(&one).await;
    // From the other process, from this one, and past both.
    let (mut here, mut there) = (one.client().await, two.client().await);
    assert_eq!(there.text(&["publish", "news", "a"]).await, "2");
    ear.expect(&both("a")).await;
    assert_eq!(here.text(&["publish", "news", "b"]).await, "2");
    ear.expect(&both("b")).await;
    assert_eq!(redis.redis_cli(&["publish", "news", "c"]).await.unwrap().trim(), "2");
    ear.expect(&both("c")).await;
    assert_eq!(here.list(&["pubsub", "channels"]).await, ["news"]);
    assert_eq!(
        there.text(&["pubsub", "numsub", "news"]).await,
        "[Bulk(Some(b\"news\")), Integer(1)]"
    );
    assert_eq!(here.text(&["pubsub", "numpat"]).await, "1");
    // Two listeners over one connection count as two.
    let mut second = Subscriber::to(&one).await;
    second.ask("subscribe news", &confirmed("subscribe", "news", 1)).await;
    assert_eq!(here.text(&["publish", "news", "d"]).await, "3");
    ear.expect(&both("d")).await;
    second.expect(&message("news", "d")).await;
    second.ask("unsubscribe", &confirmed("unsubscribe", "news", 0)).await;
    second.ask("get a", "$-1\r\n").await;

    redis.kill();
    one.until_backend("redis", "not up", |found| found["health"] != "up").await;
    two.until_backend("redis", "not up", |found| found["health"] != "up").await;
    here.until(&["publish", "news", "e"], "2").await;
    ear.expect(&both("e")).await;
    assert_eq!(there.text(&["publish", "news", "nobody hears this"]).await, "0");
    second.ask("subscribe late", &confirmed("subscribe", "late", 1)).await;
    assert_eq!(here.text(&["publish", "late", "f"]).await, "1");
    second.expect(&message("late", "f")).await;

    redis.restart_empty().await.unwrap();
    until("both subscriptions to stand again", async || {
        let channels = redis.redis_cli(&["pubsub", "channels"]).await.unwrap();
        channels.contains("news") && channels.contains("late")
    })
    .await;
    two.wait_for("redis", "up").await;
    there.until(&["publish", "late", "g"], "1").await;
    second.expect(&message("late", "g")).await;
    drop(ear);
    until("a name that nobody wants to be given up", async || {
        !redis.redis_cli(&["pubsub", "channels"]).await.unwrap().contains("news")
    })
    .await;
    one.terminate().await;
    two.terminate().await;
}

#[tokio::test]
async fn without_redis_channels_are_of_this_process_and_a_slow_subscriber_is_disconnected() {
    let mainstay = Mainstay::start_with("[resp]\nsubscriber_buffer_max = \"1MiB\"\n", &[]).await;
    mainstay.wait_for("sqlite", "up").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["publish", "c", "nobody"]).await, "0");
    // In RESP3 messages are pushes, and other commands go on beside them.
    let mut ear = Subscriber::to(&mainstay).await;
    ear.0.write_all(b"hello 3\r\n").await.unwrap();
    let mut hello = Vec::new();
    while !hello.ends_with(b"*0\r\n") {
        ear.0.read_buf(&mut hello).await.unwrap();
    }
    ear.ask("ssubscribe s", ">3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n").await;
    ear.ask("get a", "_\r\n").await;
    assert_eq!(client.text(&["spublish", "s", "told"]).await, "1");
    assert_eq!(client.text(&["publish", "s", "not told"]).await, "0");
    ear.expect(">3\r\n$8\r\nsmessage\r\n$1\r\ns\r\n$4\r\ntold\r\n").await;
    ear.ask("sunsubscribe s", ">3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n").await;
    let mut slow = Subscriber::to(&mainstay).await;
    slow.ask("subscribe c", &confirmed("subscribe", "c", 1)).await;
    // It takes nothing of what it is told.
    let large = "x".repeat(100_000);
    until("the slow subscriber to be gone", async || {
        mainstay.client().await.text(&["publish", "c", &large]).await == "0"
    })
    .await;
    mainstay.terminate().await;
}

//! Commands that are passed through to a real Redis: the same answers to the byte, clear errors while it is down, and none
//! where they do not belong.

use std::{net::SocketAddr, time::Duration};

use mainstay_testkit::servers::Redis;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::process::{Mainstay, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// Keys of `q:` are passed through, those of `plain:` stand in Redis alone, all others in SQLite behind Redis.
pub(crate) fn config(redis: &Redis, more: &str) -> String {
    format!(
        "[resp]\npassthrough = true\n{more}\n\
         [backends.redis]\nurl = \"{}\"\nbreaker = {{ open = \"200ms\", open_max = \"200ms\" }}\n\
         [backends.db]\nurl = \"sqlite:./data.db\"\n\
         [[route]]\nprefix = \"q:\"\npassthrough = \"redis\"\n\
         [[route]]\nprefix = \"plain:\"\nbackends = [\"redis\"]\n",
        redis.url()
    )
}

async fn served(more: &str) -> (Redis, Mainstay) {
    let redis = Redis::start().await.unwrap();
    let mainstay = Mainstay::start_with(&config(&redis, more), &[]).await;
    mainstay.wait_for("redis", "up").await;
    mainstay.wait_for("db", "up").await;
    (redis, mainstay)
}

/// Waits until so many clients wait in Redis: it says so itself.
async fn until_blocked(redis: &Redis, count: u32) {
    let expected = format!("blocked_clients:{count}");
    until("clients that wait in Redis", async || {
        redis.redis_cli(&["info", "clients"]).await.unwrap().contains(&expected)
    })
    .await;
}

/// A socket whose answers are bytes.
struct Wire(TcpStream);

impl Wire {
    async fn to(address: SocketAddr, hello: &str) -> Self {
        let mut wire = Self(TcpStream::connect(address).await.unwrap());
        wire.ask(hello).await;
        wire
    }

    /// What comes back, up to the answer to an ECHO behind the command.
    async fn ask(&mut self, line: &str) -> String {
        let end = "$7\r\nthe end\r\n";
        self.0.write_all(format!("{line}\r\necho \"the end\"\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            let read = timeout(PATIENCE, self.0.read_buf(&mut answer)).await;
            assert!(read.unwrap_or_else(|_| panic!("{line}: {answer:?}")).unwrap() > 0, "{line}");
        }
        answer.truncate(answer.len() - end.len());
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Commands whose answers are compared with those of Redis itself. Each changes nothing, or changes the same again.
const COMPARED: &[&str] = &[
    "lrange q:l 0 -1",
    "lrange q:none 0 -1",
    "lpop q:none",
    "lpop q:none 2",
    "lmpop 1 q:none left",
    "smembers q:s",
    "sismember q:s a",
    "smismember q:s a x",
    "zrange q:z 0 -1 withscores",
    "zscore q:z a",
    "zscore q:z none",
    "zmscore q:z a none",
    "zrank q:z none",
    "zpopmin q:none",
    "zrangebyscore q:z -inf +inf withscores limit 0 1",
    "zinter 2 q:z q:z withscores",
    "xrange q:x - +",
    "xread count 1 streams q:x 0",
    "xread count 1 streams q:x 99-99",
    "xinfo stream q:x",
    "xlen q:x",
    "geopos q:g here none",
    "geodist q:g here none",
    "hgetall q:h",
    "hget q:h a",
    "hmget q:h a none",
    "hrandfield q:h 1 withvalues",
    "get q:string",
    "get q:none",
    "get q:l",
    "mget q:string q:none",
    "strlen q:string",
    "type q:l",
    "type q:none",
    "object encoding q:l",
    "object nothing q:l",
    "bitcount q:string",
    "getbit q:string 1",
    "pfcount q:hll",
    "sort q:l alpha",
    "exists q:l q:none",
    "ttl q:l",
    "expiretime q:l",
    "eval \"return {1, 'a', false, {2}, redis.call('lrange', KEYS[1], 0, -1), {err='MY own'}}\" 1 q:l",
    "eval \"return redis.call('nope')\" 1 q:l",
    "evalsha 0000000000000000000000000000000000000000 1 q:l",
    "lpush q:string a",
    "lpush q:l",
    "zadd q:z x y",
    "set q:string \"some text\" nx",
    "setrange q:string 0 s",
    "blpop q:none 0.01",
    "bzpopmin q:none 0.01",
    "xread block 10 streams q:x 99-99",
    "dump q:none",
    "copy q:none q:l",
];

/// Floats of RESP3 as numbers: the same one may be written with more digits or fewer.
fn numbers(answer: &str) -> Vec<String> {
    let number = |line: &str| match line.strip_prefix(',').map(str::parse::<f64>) {
        Some(Ok(number)) => format!("number {number}"),
        _ => line.to_owned(),
    };
    answer.split("\r\n").map(number).collect()
}

#[tokio::test]
async fn answers_are_those_of_redis_to_the_byte_in_both_protocols() {
    let (redis, mainstay) = served("").await;
    let direct: SocketAddr = ([127, 0, 0, 1], redis.port()).into();
    let mut fill = Wire::to(mainstay.resp(), "ping").await;
    for line in [
        "rpush q:l b a c",
        "sadd q:s a",
        "zadd q:z 1.5 a 2 b",
        "xadd q:x 1-1 f v",
        "xadd q:x 1-2 f w",
        "geoadd q:g 13.4 52.5 here",
        "hset q:h a 1",
        "set q:string \"some text\"",
        "pfadd q:hll a b c",
    ] {
        let answer = fill.ask(line).await;
        assert!(!answer.starts_with('-'), "{line}: {answer}");
    }
    for hello in ["hello 2", "hello 3"] {
        let mut ours = Wire::to(mainstay.resp(), hello).await;
        let mut theirs = Wire::to(direct, hello).await;
        for line in COMPARED {
            let (ours, theirs) = (ours.ask(line).await, theirs.ask(line).await);
            assert_eq!(numbers(&ours), numbers(&theirs), "{hello}: {line}");
        }
    }
    mainstay.terminate().await;
}

#[tokio::test]
async fn transactions_watch_and_blocking_commands_have_connections_of_their_own() {
    let (redis, mainstay) = served("").await;
    let (mut one, mut other) = (mainstay.client().await, mainstay.client().await);
    for (args, expected) in [
        (&["multi"][..], "OK"),
        (&["rpush", "q:l", "a"], "QUEUED"),
        (&["set", "q:s", "1"], "QUEUED"),
        (&["incr", "q:l"], "QUEUED"),
        (&["ping"], "QUEUED"),
    ] {
        assert_eq!(one.text(args).await, expected);
    }
    assert_eq!(other.text(&["exists", "q:l"]).await, "0", "nothing before EXEC");
    let answer = one.text(&["exec"]).await;
    assert!(answer.starts_with("[Integer(1), Simple(\"OK\"), Error(\"WRONGTYPE"), "{answer}");
    // A watched key that changes, by Mainstay or past it.
    for change in [0, 1] {
        assert_eq!(one.text(&["watch", "q:s"]).await, "OK");
        match change {
            0 => assert_eq!(other.text(&["incr", "q:s"]).await, "2"),
            _ => assert_eq!(redis.redis_cli(&["incr", "q:s"]).await.unwrap().trim(), "3"),
        }
        assert_eq!(one.text(&["multi"]).await, "OK");
        assert_eq!(one.text(&["set", "q:s", "9"]).await, "QUEUED");
        let mut wire = one.text(&["exec"]).await;
        wire.retain(|c| c != ' ');
        assert!(wire == "(nil)" || wire == "[]", "{wire}");
    }
    assert_eq!(one.text(&["get", "q:s"]).await, "3");
    // Never on both sides.
    assert_eq!(one.text(&["multi"]).await, "OK");
    assert_eq!(one.text(&["set", "q:s", "9"]).await, "QUEUED");
    assert!(one.text(&["set", "elsewhere", "9"]).await.starts_with("ERR a transaction is on keys"));
    assert!(one.text(&["exec"]).await.starts_with("EXECABORT"));
    // A worker waits while others go on, and is woken by a push of theirs.
    let mut worker = mainstay.client().await;
    let pushes = async {
        until_blocked(&redis, 1).await;
        assert_eq!(one.text(&["lpush", "q:jobs", "job"]).await, "1");
    };
    let both = futures_util::future::join(worker.list(&["blpop", "q:jobs", "0"]), pushes);
    let (job, ()) = timeout(PATIENCE, both).await.unwrap();
    assert_eq!(job, ["q:jobs", "job"]);
    mainstay.terminate().await;
}

#[tokio::test]
async fn while_redis_is_down_the_error_is_clear_and_the_record_goes_on() {
    let (mut redis, mainstay) = served("").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["lpush", "q:l", "a"]).await, "1");
    assert_eq!(client.text(&["set", "elsewhere", "1"]).await, "OK");
    let mut worker = mainstay.client().await;
    let dies = async {
        until_blocked(&redis, 1).await;
        redis.kill();
    };
    let both = futures_util::future::join(worker.text(&["blpop", "q:jobs", "0"]), dies);
    let (answer, ()) = timeout(PATIENCE, both).await.unwrap();
    assert!(
        answer.starts_with("UNAVAILABLE redis ") && answer.contains("retry_after_ms="),
        "{answer}"
    );
    mainstay.until_backend("redis", "not up", |found| found["health"] != "up").await;
    for args in [
        &["lpush", "q:l", "b"][..],
        &["get", "q:s"],
        &["eval", "return redis.call('get', KEYS[1])", "1", "q:s"],
        &["blpop", "q:l", "1"],
        &["watch", "q:l"],
    ] {
        let answer = client.text(args).await;
        assert!(answer.starts_with("UNAVAILABLE redis "), "{args:?}: {answer}");
        assert!(answer.contains("retry_after_ms="), "{args:?}: {answer}");
    }
    assert_eq!(client.text(&["multi"]).await, "OK");
    assert_eq!(client.text(&["lpush", "q:l", "c"]).await, "QUEUED");
    assert!(client.text(&["exec"]).await.starts_with("UNAVAILABLE redis "));
    // Strings, hashes, scripts and transactions of the record do not notice.
    assert_eq!(client.text(&["incr", "elsewhere"]).await, "2");
    assert_eq!(client.text(&["hset", "h", "a", "1"]).await, "1");
    assert_eq!(client.text(&["hincrby", "h", "a", "1"]).await, "2");
    assert_eq!(client.text(&["multi"]).await, "OK");
    assert_eq!(client.text(&["hget", "h", "a"]).await, "QUEUED");
    assert_eq!(client.text(&["incr", "elsewhere"]).await, "QUEUED");
    assert_eq!(client.text(&["exec"]).await, "[Bulk(Some(b\"2\")), Integer(3)]");
    redis.restart_empty().await.unwrap();
    mainstay.wait_for("redis", "up").await;
    client.until(&["rpush", "q:again", "a"], "1").await;
    assert_eq!(client.list(&["lrange", "q:again", "0", "-1"]).await, ["a"]);
    mainstay.terminate().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_wait_in_redis() {
    let (redis, mainstay) = served("").await;
    let mut wire = Wire::to(mainstay.resp(), "ping").await;
    // More is asked behind it, which waits too.
    wire.0.write_all(b"blpop q:jobs 0\r\nget q:s\r\n").await.unwrap();
    until_blocked(&redis, 1).await;
    drop(wire);
    until_blocked(&redis, 0).await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn what_does_not_belong_in_redis_is_refused() {
    let (redis, mainstay) = served("passthrough_allow = [\"CONFIG SET\", \"memory\"]").await;
    let mut client = mainstay.client().await;
    for (args, refused) in [
        (
            &["lpush", "elsewhere", "a"][..],
            "ERR LPUSH is passed through to `redis`, but keys of route",
        ),
        (&["zunionstore", "q:z", "2", "q:z", "elsewhere"], "ERR ZUNIONSTORE is passed"),
        (&["xread", "streams", "elsewhere", "0"], "ERR XREAD is passed"),
        (&["lpush", "mainstay:x", "a"], "ERR keys that begin with mainstay:"),
        (&["shutdown", "nosave"], "ERR SHUTDOWN is not passed through"),
        (&["debug", "sleep", "1"], "ERR DEBUG is not passed through"),
        (&["monitor"], "ERR MONITOR is not passed through"),
        (&["function", "flush"], "ERR FUNCTION is not passed through"),
        (&["nope", "q:l"], "ERR unknown command 'nope'"),
        (&["json.get", "q:l"], "ERR unknown command"),
    ] {
        let answer = client.text(args).await;
        assert!(answer.starts_with(refused), "{args:?}: {answer}");
    }
    // What the configuration names is passed.
    assert_eq!(client.text(&["config", "set", "hash-max-listpack-entries", "77"]).await, "OK");
    let set = redis.redis_cli(&["config", "get", "hash-max-listpack-entries"]).await.unwrap();
    assert!(set.contains("77"), "{set}");
    // A plain key is the same bytes for Mainstay and for Redis.
    assert_eq!(client.text(&["set", "plain:s", "abc"]).await, "OK");
    assert_eq!(client.text(&["getbit", "plain:s", "1"]).await, "1");
    assert_eq!(client.text(&["lpush", "plain:l", "a"]).await, "1");
    assert!(client.text(&["get", "plain:l"]).await.starts_with("WRONGTYPE"));
    assert_eq!(client.text(&["script", "exists", "0000"]).await, "[Integer(0)]");
    let sha = client.text(&["script", "load", "return redis.call('rpush', KEYS[1], 'x')"]).await;
    assert_eq!(client.text(&["evalsha", &sha, "1", "q:new"]).await, "1");
    assert_eq!(client.text(&["script", "exists", &sha]).await, "[Integer(1)]");
    mainstay.terminate().await;
}

#[tokio::test]
async fn a_hash_in_redis_is_no_string_either() {
    let (_redis, mainstay) = served("").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["hset", "plain:h", "a", "1"]).await, "1");
    for args in [
        &["get", "plain:h"][..],
        &["append", "plain:h", "x"],
        &["setrange", "plain:h", "3", "x"],
        &["incr", "plain:h"],
        &["incrbyfloat", "plain:h", "1"],
        &["getset", "plain:h", "x"],
        &["set", "plain:h", "x", "get"],
        &["getdel", "plain:h"],
        &["getex", "plain:h"],
        &["strlen", "plain:h"],
    ] {
        let answer = client.text(args).await;
        assert!(
            answer.starts_with("WRONGTYPE Operation against a key holding"),
            "{args:?}: {answer}"
        );
    }
    assert_eq!(client.list(&["hgetall", "plain:h"]).await, ["a", "1"]);
    assert_eq!(client.text(&["type", "plain:h"]).await, "hash");
    assert_eq!(client.text(&["set", "plain:s", "7"]).await, "OK");
    assert_eq!(client.text(&["setrange", "plain:s", "1", "5"]).await, "2");
    assert_eq!(client.text(&["getset", "plain:s", "8"]).await, "75");
    assert_eq!(client.text(&["set", "plain:s", "9", "xx", "get", "keepttl"]).await, "8");
    assert_eq!(client.text(&["getdel", "plain:s"]).await, "9");
    assert_eq!(client.text(&["getdel", "plain:s"]).await, "(nil)");
    mainstay.terminate().await;
}

#[tokio::test]
async fn no_increment_is_lost_in_hashes_and_transactions_through_an_outage() {
    let (mut redis, mainstay) = served("").await;
    let writers = futures_util::future::join_all((0..4).map(async |_| {
        let mut wire = Wire::to(mainstay.resp(), "ping").await;
        let (mut done, mut unknown) = (0_i64, 0_i64);
        for _ in 0..60 {
            let answer =
                wire.ask("hincrby h n 1\r\nmulti\r\nincr m\r\nhincrby h k 1\r\nexec").await;
            let known = answer.contains("*2\r\n:") && answer.starts_with(':');
            if known {
                done += 1
            } else {
                unknown += 1
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (done, unknown)
    }));
    let outage = async {
        mainstay.client().await.until(&["hexists", "h", "k"], "1").await;
        redis.kill();
        mainstay.until_backend("redis", "not up", |found| found["health"] != "up").await;
        redis.restart_empty().await.unwrap();
    };
    let (counts, ()) = futures_util::future::join(writers, outage).await;
    let (mut done, mut unknown) = (0, 0);
    for (more, less) in counts {
        (done, unknown) = (done + more, unknown + less);
    }
    assert!(done > 0, "nothing was done");
    let mut client = mainstay.client().await;
    for (args, name) in [
        (&["hget", "h", "n"][..], "field"),
        (&["get", "m"], "counter"),
        (&["hget", "h", "k"], "both"),
    ] {
        let total: i64 = client.text(args).await.parse().unwrap();
        assert!(
            (done..=done + unknown).contains(&total),
            "{name}: {total} of {done} done and {unknown} in doubt"
        );
    }
    mainstay.terminate().await;
}

#[tokio::test]
async fn a_long_transaction_is_one_step_in_its_order_and_leaves_its_connection_as_it_was() {
    let (_redis, mainstay) = served("passthrough_connections_max = 1").await;
    let mut wire = Wire::to(mainstay.resp(), "ping").await;
    let mut lines = String::from("multi\r\nselect 1\r\nselect 0\r\n");
    for n in 0..1_000 {
        lines.push_str(&format!("rpush q:l {n}\r\n"));
    }
    let answer = wire.ask(&format!("{lines}exec")).await;
    let lengths: String = (1..=1_000).map(|n| format!(":{n}\r\n")).collect();
    let queued = "+QUEUED\r\n".repeat(1_002);
    let errors = "-ERR DB index is out of range\r\n+OK\r\n";
    assert_eq!(answer, format!("+OK\r\n{queued}*1002\r\n{errors}{lengths}"));
    let mut client = mainstay.client().await;
    let expected: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    assert_eq!(client.list(&["lrange", "q:l", "0", "-1"]).await, expected);
    // The next one has the same connection, and the same database.
    assert_eq!(client.list(&["blpop", "q:l", "1"]).await, ["q:l", "0"]);
    mainstay.terminate().await;
}

#[tokio::test]
async fn a_watch_that_fails_forgets_none_before_it() {
    let (redis, second) = (Redis::start().await.unwrap(), Redis::start().await.unwrap());
    let more = format!(
        "[backends.second]\nurl = \"{}\"\n[[route]]\nprefix = \"second:\"\npassthrough = \"second\"\n",
        second.url()
    );
    let whole = config(&redis, "passthrough_backend = \"redis\"") + &more;
    let mainstay = Mainstay::start_with(&whole, &[]).await;
    mainstay.wait_for("redis", "up").await;
    mainstay.wait_for("second", "up").await;
    let (mut one, mut other) = (mainstay.client().await, mainstay.client().await);
    // Refused: the first still holds.
    assert_eq!(one.text(&["watch", "q:a"]).await, "OK");
    assert!(one.text(&["watch", "second:a"]).await.starts_with("ERR watched keys"));
    assert_eq!(other.text(&["set", "q:a", "1"]).await, "OK");
    assert_eq!(one.text(&["multi"]).await, "OK");
    assert_eq!(one.text(&["set", "q:a", "2"]).await, "QUEUED");
    let nothing = one.text(&["exec"]).await;
    assert!(nothing == "(nil)" || nothing == "[]", "{nothing}");
    // Its connection is cut: nobody knows what has changed.
    assert_eq!(one.text(&["watch", "q:a"]).await, "OK");
    redis.redis_cli(&["client", "kill", "type", "normal"]).await.unwrap();
    assert!(one.text(&["watch", "q:b"]).await.starts_with("UNAVAILABLE redis "));
    assert_eq!(one.text(&["multi"]).await, "OK");
    assert_eq!(one.text(&["set", "q:a", "2"]).await, "QUEUED");
    let nothing = one.text(&["exec"]).await;
    assert!(nothing == "(nil)" || nothing == "[]", "{nothing}");
    mainstay.wait_for("redis", "up").await;
    one.until(&["get", "q:a"], "1").await;
    // EXEC has ended it.
    assert_eq!(one.text(&["multi"]).await, "OK");
    assert_eq!(one.text(&["set", "q:a", "3"]).await, "QUEUED");
    assert_eq!(one.text(&["exec"]).await, "[Simple(\"OK\")]");
    mainstay.terminate().await;
}

#[tokio::test]
async fn who_sends_without_end_behind_a_wait_is_disconnected() {
    let (redis, mainstay) = served("").await;
    let mut wire = Wire::to(mainstay.resp(), "ping").await;
    wire.0.write_all(b"blpop q:jobs 0\r\n").await.unwrap();
    until_blocked(&redis, 1).await;
    // More than is read ahead: its end would not be seen.
    let _ = timeout(PATIENCE, wire.0.write_all(&b"get q:s\r\n".repeat(1 << 20))).await.unwrap();
    until_blocked(&redis, 0).await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn every_key_that_a_command_writes_is_checked() {
    let (_redis, mainstay) = served("").await;
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["rpush", "q:l", "b", "a"]).await, "2");
    for args in [
        &["sort", "q:l", "alpha", "store", "q:x", "store", "rec"][..],
        &["sort", "q:l", "alpha", "by", "store", "store", "rec"],
        &["georadiusbymember", "q:g", "store", "1", "km", "store", "rec"],
        &["xreadgroup", "group", "streams", "c", "streams", "rec", ">"],
    ] {
        let answer = client.text(args).await;
        assert!(answer.contains("is passed through to `redis`, but keys"), "{args:?}: {answer}");
    }
    mainstay.terminate().await;
}

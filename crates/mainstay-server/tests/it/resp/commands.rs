//! What each command answers, byte by byte, over a socket against memory.

use mainstay_server::resp::RespConfig;

use super::support::{Client, Server, command};

async fn client(config: RespConfig) -> (Server, Client) {
    let server = Server::on_memory(config).await;
    let client = server.client().await;
    (server, client)
}

async fn dialogue(steps: &[(&str, &str)]) {
    let config = RespConfig { allow_flush: true, ..RespConfig::default() };
    let (_server, mut client) = client(config).await;
    for (line, expected) in steps {
        client.ask(line, expected).await;
    }
}

#[tokio::test]
async fn values_are_set_and_read() {
    dialogue(&[
        ("get k", "$-1\r\n"),
        ("set k v", "+OK\r\n"),
        ("get k", "$1\r\nv\r\n"),
        ("set k w nx", "$-1\r\n"),
        ("set k w xx get", "$1\r\nv\r\n"),
        ("set none w xx", "$-1\r\n"),
        ("set k x ifeq v", "$-1\r\n"),
        ("set k x ifeq w", "+OK\r\n"),
        ("set k y ifne x", "$-1\r\n"),
        ("setnx k z", ":0\r\n"),
        ("setnx n z", ":1\r\n"),
        ("getset k y", "$1\r\nx\r\n"),
        ("mset a 1 b 2", "+OK\r\n"),
        ("msetnx b 3 c 3", ":0\r\n"),
        ("msetnx c 3 d 4", ":1\r\n"),
        ("mget a none d a", "*4\r\n$1\r\n1\r\n$-1\r\n$1\r\n4\r\n$1\r\n1\r\n"),
        ("getdel a", "$1\r\n1\r\n"),
        ("getdel a", "$-1\r\n"),
        ("delex b ifeq 9", ":0\r\n"),
        ("delex b ifeq 2", ":1\r\n"),
        ("del c", ":1\r\n"),
        ("del c d none", ":1\r\n"),
        ("unlink k n", ":2\r\n"),
        ("dbsize", ":0\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn parts_and_counters() {
    dialogue(&[
        ("append k hello", ":5\r\n"),
        ("append k _world", ":11\r\n"),
        ("strlen k", ":11\r\n"),
        ("strlen none", ":0\r\n"),
        ("getrange k 0 4", "$5\r\nhello\r\n"),
        ("getrange k -5 -1", "$5\r\nworld\r\n"),
        ("substr none 0 -1", "$0\r\n\r\n"),
        ("setrange k 5 -", ":11\r\n"),
        ("setrange none 5 \"\"", ":0\r\n"),
        ("get k", "$11\r\nhello-world\r\n"),
        ("incr n", ":1\r\n"),
        ("incrby n 41", ":42\r\n"),
        ("decrby n 2", ":40\r\n"),
        ("decr n", ":39\r\n"),
        ("incr k", "-ERR value is not an integer or out of range\r\n"),
        ("set big 9223372036854775807", "+OK\r\n"),
        ("incr big", "-ERR increment or decrement would overflow\r\n"),
        ("incrbyfloat f 10.5", "$4\r\n10.5\r\n"),
        ("incrbyfloat f 0.1", "$4\r\n10.6\r\n"),
        ("incrbyfloat f -5", "$3\r\n5.6\r\n"),
        ("incrbyfloat k 1", "-ERR value is not a valid float\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn expiries_are_set_and_told() {
    dialogue(&[
        ("ttl k", ":-2\r\n"),
        ("set k v", "+OK\r\n"),
        ("ttl k", ":-1\r\n"),
        ("expire k 100", ":1\r\n"),
        ("ttl k", ":100\r\n"),
        ("expire k 50 gt", ":0\r\n"),
        ("expire k 50 lt", ":1\r\n"),
        ("expire k 50 nx", ":0\r\n"),
        ("persist k", ":1\r\n"),
        ("persist k", ":0\r\n"),
        ("expire k 50 xx lt", ":0\r\n"),
        ("expire k 50 lt", ":1\r\n"),
        ("expire k 20 xx lt", ":1\r\n"),
        ("pexpireat k 99999999999000", ":1\r\n"),
        ("pexpiretime k", ":99999999999000\r\n"),
        ("expiretime k", ":99999999999\r\n"),
        ("getex k persist", "$1\r\nv\r\n"),
        ("pttl k", ":-1\r\n"),
        ("getex k ex 100", "$1\r\nv\r\n"),
        ("ttl k", ":100\r\n"),
        ("set k w keepttl", "+OK\r\n"),
        ("ttl k", ":100\r\n"),
        ("set k w", "+OK\r\n"),
        ("ttl k", ":-1\r\n"),
        ("expire k -1", ":1\r\n"),
        ("exists k", ":0\r\n"),
        ("expire k 1", ":0\r\n"),
        ("getex k ex 5", "$-1\r\n"),
        ("set k v pxat 1", "+OK\r\n"),
        ("get k", "$-1\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn keys_are_named_moved_and_listed() {
    dialogue(&[
        ("randomkey", "$-1\r\n"),
        ("mset user:1 a user:2 b other c", "+OK\r\n"),
        ("exists user:1 user:1 none", ":2\r\n"),
        ("touch user:1 none", ":1\r\n"),
        ("type user:1", "+string\r\n"),
        ("type none", "+none\r\n"),
        ("keys user:*", "*2\r\n$6\r\nuser:1\r\n$6\r\nuser:2\r\n"),
        ("keys *1", "*1\r\n$6\r\nuser:1\r\n"),
        ("keys *", "*3\r\n$5\r\nother\r\n$6\r\nuser:1\r\n$6\r\nuser:2\r\n"),
        ("scan 0 match o* count 100", "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nother\r\n"),
        ("scan 0 type list count 100", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("rename user:1 user:3", "+OK\r\n"),
        ("rename user:1 user:3", "-ERR no such key\r\n"),
        ("renamenx user:3 other", ":0\r\n"),
        ("renamenx user:3 user:4", ":1\r\n"),
        ("copy user:4 other", ":0\r\n"),
        ("copy user:4 other replace", ":1\r\n"),
        ("copy none other", ":0\r\n"),
        ("mget user:4 other", "*2\r\n$1\r\na\r\n$1\r\na\r\n"),
        ("flushdb async", "+OK\r\n"),
        ("dbsize", ":0\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn a_scan_in_small_pages_finds_every_key_once_or_more() {
    let (_server, mut client) = client(RespConfig::default()).await;
    for n in 0..300 {
        client.ask(&format!("set key:{n} v"), "+OK\r\n").await;
    }
    let (mut cursor, mut found) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        client.send(format!("scan {cursor} match key:* count 7\r\n")).await;
        assert_eq!(client.line().await, "*2");
        client.line().await;
        cursor = client.line().await;
        let count: usize = client.line().await[1..].parse().unwrap();
        for _ in 0..count {
            client.line().await;
            found.insert(client.line().await);
        }
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found.len(), 300);
}

#[tokio::test]
async fn a_flush_is_refused_unless_it_is_allowed() {
    let (_server, mut client) = client(RespConfig::default()).await;
    client.ask("set k v", "+OK\r\n").await;
    client.send("flushall\r\n").await;
    assert!(client.line().await.starts_with("-ERR FLUSHDB and FLUSHALL are refused"));
    client.ask("exists k", ":1\r\n").await;
}

#[tokio::test]
async fn any_bytes_go_in_and_come_out() {
    let (_server, mut client) = client(RespConfig::default()).await;
    let (key, value) = ((0..=255).collect::<Vec<u8>>(), vec![b'\n'; 100_000]);
    client.send(command(&[b"SET", &key, &value])).await;
    client.expect("+OK\r\n", "set").await;
    client.send(command(&[b"GET", &key])).await;
    let expected = format!("$100000\r\n{}\r\n", "\n".repeat(100_000));
    client.expect(&expected, "get").await;
}

#[tokio::test]
async fn mainstay_tells_where_a_value_comes_from() {
    let (_server, mut client) = client(RespConfig::default()).await;
    client.ask("mainstay.meta none", "$-1\r\n").await;
    client.ask("set k value", "+OK\r\n").await;
    let head = "*14\r\n$6\r\nsource\r\n$6\r\nmemory\r\n$5\r\nstale\r\n:0\r\n\
                $5\r\nworth\r\n$10\r\nunpromised\r\n$6\r\nage_ms\r\n$-1\r\n\
                $6\r\nttl_ms\r\n$-1\r\n$7\r\nversion\r\n";
    client.ask("mainstay.meta k", head).await;
    client.line().await;
    assert!(client.line().await.contains('-'), "a version");
    client.expect("$6\r\nlength\r\n:5\r\n", "length").await;
}

#[tokio::test]
async fn loaded_values_end_by_key_prefix_and_tag() {
    dialogue(&[
        ("set k v", "+OK\r\n"),
        ("mainstay.invalidate key k other", "+OK\r\n"),
        ("mainstay.invalidate PREFIX k", "+OK\r\n"),
        ("mainstay.invalidate tag t", "+OK\r\n"),
        ("get k", "$1\r\nv\r\n"),
        ("mainstay.invalidate all k", "-ERR syntax error\r\n"),
        (
            "mainstay.invalidate key",
            "-ERR wrong number of arguments for 'mainstay.invalidate' command\r\n",
        ),
    ])
    .await;
}

#[tokio::test]
async fn locks_are_taken_renewed_and_released_by_what_names_the_grant() {
    let (_server, mut client) = client(RespConfig::default()).await;
    client.ask("mainstay.lock job ttl 10s note me", "*4\r\n$32\r\n").await;
    let holder = client.line().await.trim().to_owned();
    client.expect(":1\r\n$7\r\nprocess\r\n:", "token and guarantee").await;
    let left: u64 = client.line().await.trim().parse().unwrap();
    assert!(left > 5_000 && left <= 10_000, "{left}");
    client.ask("mainstay.lock job", "$-1\r\n").await;
    client.ask(&format!("mainstay.renew job {holder} 1 ttl 20s"), ":1\r\n").await;
    client.ask(&format!("mainstay.unlock job {holder} 1"), ":1\r\n").await;
    client.ask(&format!("mainstay.unlock job {holder} 1"), ":0\r\n").await;
    client.ask(&format!("mainstay.renew job {holder} 1"), ":0\r\n").await;
    client.ask("mainstay.lock job ttl", "-ERR syntax error\r\n").await;
    client.ask("mainstay.unlock job x y", "-ERR the holder is as MAINSTAY.LOCK gave it\r\n").await;
}

//! Hashes over a socket: what they answer, in scripts and transactions too, and beside strings.

use mainstay_server::resp::RespConfig;

use super::support::{Server, command};

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

/// Commands that follow each other, and what they answer.
const COMMANDS: &[(&str, &str)] = &[
    ("hset h b 1 a 2 b 3", ":2\r\n"),
    ("hget h b", "$1\r\n3\r\n"),
    ("hget h none", "$-1\r\n"),
    ("hget none a", "$-1\r\n"),
    ("hmget h a none b", "*3\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n"),
    ("hgetall h", "*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n3\r\n"),
    ("hgetall none", "*0\r\n"),
    ("hkeys h", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
    ("hvals h", "*2\r\n$1\r\n2\r\n$1\r\n3\r\n"),
    ("hlen h", ":2\r\n"),
    ("hlen none", ":0\r\n"),
    ("hexists h a", ":1\r\n"),
    ("hexists h x", ":0\r\n"),
    ("hstrlen h a", ":1\r\n"),
    ("hsetnx h a 9", ":0\r\n"),
    ("hsetnx h c 9", ":1\r\n"),
    ("hset h a", "-ERR wrong number of arguments for 'hset' command\r\n"),
    ("hset h a 1 b", "-ERR wrong number of arguments for 'hset' command\r\n"),
    ("hmset h a 2 b 3", "+OK\r\n"),
    ("hincrby h a 40", ":42\r\n"),
    ("hincrby h n -1", ":-1\r\n"),
    ("hincrby h a 9223372036854775807", "-ERR increment or decrement would overflow\r\n"),
    ("hincrby h a x", "-ERR value is not an integer or out of range\r\n"),
    ("hincrbyfloat h a 0.5", "$4\r\n42.5\r\n"),
    ("hincrby h a 1", "-ERR hash value is not an integer\r\n"),
    ("hset h t text", ":1\r\n"),
    ("hincrbyfloat h t 1", "-ERR hash value is not a float\r\n"),
    ("hincrbyfloat h t x", "-ERR value is not a valid float\r\n"),
    ("hscan h 0 match t*", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nt\r\n$4\r\ntext\r\n"),
    ("hscan h 0 match t* count 100 novalues", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nt\r\n"),
    ("hscan h x", "-ERR invalid cursor\r\n"),
    ("hdel h b c n nope", ":3\r\n"),
    // Beside strings.
    ("type h", "+hash\r\n"),
    ("type none", "+none\r\n"),
    ("exists h", ":1\r\n"),
    ("get h", WRONG),
    ("getrange h 0 3", WRONG),
    ("strlen h", WRONG),
    ("append h x", WRONG),
    ("setrange h 3 x", WRONG),
    ("incr h", WRONG),
    ("incrbyfloat h 1", WRONG),
    ("getset h x", WRONG),
    ("set h x get", WRONG),
    ("getdel h", WRONG),
    ("getex h ex 100", WRONG),
    ("mget h none", "*2\r\n$-1\r\n$-1\r\n"),
    ("set s text", "+OK\r\n"),
    ("hget s a", WRONG),
    ("hset s a 1", WRONG),
    ("hgetall s", WRONG),
    ("hlen h", ":2\r\n"),
    // As any key.
    ("expire h 100", ":1\r\n"),
    ("hset h a 1", ":0\r\n"),
    ("ttl h", ":100\r\n"),
    ("scan 0 type hash", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nh\r\n"),
    ("scan 0 type string", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\ns\r\n"),
    ("copy h h2", ":1\r\n"),
    ("rename h2 h3", "+OK\r\n"),
    ("hget h3 a", "$1\r\n1\r\n"),
    ("ttl h3", ":100\r\n"),
    ("hdel h3 a t", ":2\r\n"),
    ("exists h3", ":0\r\n"),
    ("set h text", "+OK\r\n"),
    ("type h", "+string\r\n"),
    ("del h s", ":2\r\n"),
];

#[tokio::test]
async fn a_hash_answers_as_redis_does() {
    let server = Server::on_memory(RespConfig::default()).await;
    let mut client = server.client().await;
    for (line, expected) in COMMANDS {
        client.ask(line, expected).await;
    }
}

#[tokio::test]
async fn a_hash_is_a_map_in_resp_3_and_the_same_in_scripts_and_transactions() {
    let server = Server::on_memory(RespConfig::default()).await;
    let mut client = server.client().await;
    let script = "redis.call('hset', KEYS[1], 'a', 1, 'b', 2) redis.call('hincrby', KEYS[1], 'a', 4) \
                  return {redis.call('hgetall', KEYS[1]), redis.call('type', KEYS[1]), redis.call('hget', KEYS[1], 'x')}";
    client.send(command(&[b"eval", script.as_bytes(), b"1", b"h"])).await;
    let all = "*4\r\n$1\r\na\r\n$1\r\n5\r\n$1\r\nb\r\n$1\r\n2\r\n";
    client.expect(&format!("*3\r\n{all}+hash\r\n$-1\r\n"), script).await;
    let script = "return redis.pcall('incr', KEYS[1])";
    client.send(command(&[b"eval", script.as_bytes(), b"1", b"h"])).await;
    client.expect(WRONG, script).await;
    client.send("hello 3\r\n").await;
    client.expect("%7\r\n", "hello").await;
    while client.line().await != "*0" {}
    let map = "%2\r\n$1\r\na\r\n$1\r\n5\r\n$1\r\nb\r\n$1\r\n2\r\n";
    client.ask("hgetall h", map).await;
    client.ask("multi", "+OK\r\n").await;
    client.ask("hgetall h", "+QUEUED\r\n").await;
    client.ask("hdel h a b", "+QUEUED\r\n").await;
    client.ask("hget h a", "+QUEUED\r\n").await;
    client.ask("exec", &format!("*3\r\n{map}:2\r\n_\r\n")).await;
    client.ask("exists h", ":0\r\n").await;
}

#[tokio::test]
async fn no_increment_of_a_field_is_lost() {
    let server = Server::on_memory(RespConfig::default()).await;
    let clients = (0..8).map(async |_| {
        let mut client = server.client().await;
        for _ in 0..25 {
            client.send("hincrby h n 1\r\n").await;
            assert!(client.line().await.starts_with(':'));
        }
    });
    futures_util::future::join_all(clients).await;
    server.client().await.ask("hget h n", "$3\r\n200\r\n").await;
}

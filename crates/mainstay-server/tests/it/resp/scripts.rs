//! Lua scripts over a socket: what they answer, what they change, and what they cannot.

use mainstay::{Config, Storage, config::RouteConfig};
use mainstay_server::resp::RespConfig;

use super::support::{Client, Server, command};

/// EVAL with these keys and arguments.
async fn eval(client: &mut Client, script: &str, keys: &[&str], args: &[&str], expected: &str) {
    let count = keys.len().to_string();
    let mut words: Vec<&[u8]> = vec![b"eval", script.as_bytes(), count.as_bytes()];
    words.extend(keys.iter().chain(args).map(|word| word.as_bytes()));
    client.send(command(&words)).await;
    client.expect(expected, script).await;
}

/// The error of a script, without the part that names the script.
async fn error(client: &mut Client, script: &str, keys: &[&str], args: &[&str]) -> String {
    eval(client, script, keys, args, "-").await;
    let line = client.line().await;
    let end = line.find(" script: ").unwrap_or(line.len());
    line[..end].to_owned()
}

async fn on_memory() -> (Server, Client) {
    let server = Server::on_memory(RespConfig::default()).await;
    let client = server.client().await;
    (server, client)
}

/// Scripts that follow each other, and what they answer; KEYS: k, n, m.
const COMMANDS: &[(&str, &str)] = &[
    ("return redis.call('set', KEYS[1], 'v')", "+OK\r\n"),
    ("return redis.call('SET', KEYS[1], 'w', 'NX')", "$-1\r\n"),
    ("return redis.call('set', KEYS[1], 'w', 'xx', 'get')", "$1\r\nv\r\n"),
    ("return {redis.call('get', KEYS[1]), redis.call('get', KEYS[2])}", "*2\r\n$1\r\nw\r\n$-1\r\n"),
    ("return redis.call('setnx', KEYS[2], 7)", ":1\r\n"),
    ("return redis.call('mget', KEYS[2], KEYS[1], KEYS[3])", "*3\r\n$1\r\n7\r\n$1\r\nw\r\n$-1\r\n"),
    (
        "return {redis.call('incr', KEYS[2]), redis.call('decrby', KEYS[2], 3)}",
        "*2\r\n:8\r\n:5\r\n",
    ),
    ("return redis.call('incrbyfloat', KEYS[2], 0.5)", "$3\r\n5.5\r\n"),
    ("return redis.call('append', KEYS[1], 'xyz')", ":4\r\n"),
    (
        "return {redis.call('strlen', KEYS[1]), redis.call('getrange', KEYS[1], 1, -1)}",
        "*2\r\n:4\r\n$3\r\nxyz\r\n",
    ),
    ("return redis.call('setrange', KEYS[1], 1, 'AB')", ":4\r\n"),
    ("return redis.call('getset', KEYS[1], 'new')", "$4\r\nwABz\r\n"),
    (
        "return {redis.call('exists', KEYS[1], KEYS[2], KEYS[3]), redis.call('type', KEYS[1]), redis.call('type', KEYS[3])}",
        "*3\r\n:2\r\n+string\r\n+none\r\n",
    ),
    ("return redis.call('msetnx', KEYS[1], 1, KEYS[3], 1)", ":0\r\n"),
    ("return redis.call('mset', KEYS[1], 1, KEYS[3], 3)", "+OK\r\n"),
    (
        "return {redis.call('ttl', KEYS[1]), redis.call('pttl', 'none' and KEYS[2])}",
        "*2\r\n:-1\r\n:-1\r\n",
    ),
    (
        "return {redis.call('expire', KEYS[1], 100), redis.call('ttl', KEYS[1]), redis.call('persist', KEYS[1])}",
        "*3\r\n:1\r\n:100\r\n:1\r\n",
    ),
    (
        "redis.call('setex', KEYS[1], 100, 'a') return {redis.call('pexpire', KEYS[1], 5000, 'XX', 'LT'), redis.call('pttl', KEYS[1])}",
        "*2\r\n:1\r\n:5000\r\n",
    ),
    (
        "return {redis.call('getex', KEYS[1], 'PX', 9000), redis.call('pttl', KEYS[1])}",
        "*2\r\n$1\r\na\r\n:9000\r\n",
    ),
    (
        "redis.call('pexpireat', KEYS[1], 33000000000000) return redis.call('pexpiretime', KEYS[1]) > 32999999999000",
        ":1\r\n",
    ),
    ("return redis.call('getdel', KEYS[1])", "$1\r\na\r\n"),
    (
        "return {redis.call('del', KEYS[1], KEYS[2]), redis.call('unlink', KEYS[3])}",
        "*2\r\n:1\r\n:1\r\n",
    ),
    ("local time = redis.call('time') return tonumber(time[1]) > 1700000000", ":1\r\n"),
    (
        "return {redis.call('set', KEYS[1], 'a', 'px', 0) or 1}",
        "-ERR invalid expire time in 'set' command",
    ),
];

#[tokio::test]
async fn every_command_means_in_a_script_what_it_means_outside() {
    let (_server, mut client) = on_memory().await;
    for (script, expected) in COMMANDS {
        eval(&mut client, script, &["k", "n", "m"], &[], expected).await;
        if expected.starts_with('-') {
            client.line().await;
        }
    }
    client.ask("mget k n m", "*3\r\n$-1\r\n$-1\r\n$-1\r\n").await;
}

#[tokio::test]
async fn expiries_are_kept_changed_and_cleared() {
    let (_server, mut client) = on_memory().await;
    client.ask("set k 1 ex 100", "+OK\r\n").await;
    eval(&mut client, "return redis.call('incr', KEYS[1])", &["k"], &[], ":2\r\n").await;
    client.ask("ttl k", ":100\r\n").await;
    eval(&mut client, "return redis.call('expire', KEYS[1], ARGV[1])", &["k"], &["50"], ":1\r\n")
        .await;
    client.ask("ttl k", ":50\r\n").await;
    let again =
        "redis.call('del', KEYS[1]) redis.call('incr', KEYS[1]) return redis.call('ttl', KEYS[1])";
    eval(&mut client, again, &["k"], &[], ":-1\r\n").await;
    client.ask("ttl k", ":-1\r\n").await;
    let both =
        "redis.call('set', KEYS[1], 'a', 'ex', 70) return redis.call('append', KEYS[1], 'b')";
    eval(&mut client, both, &["k"], &[], ":2\r\n").await;
    client.ask("ttl k", ":70\r\n").await;
    eval(
        &mut client,
        "redis.call('expire', KEYS[1], -1) return redis.call('exists', KEYS[1])",
        &["k"],
        &[],
        ":0\r\n",
    )
    .await;
    client.ask("exists k", ":0\r\n").await;
}

/// What a script ends with, and what becomes of it.
const REFUSED: &[(&str, &str)] = &[
    ("return redis.call('incr', KEYS[1])", "ERR value is not an integer or out of range"),
    (
        "return redis.call('get', 'other')",
        "ERR Script attempted to access a non local key in a cluster node",
    ),
    (
        "return redis.call('mget', KEYS[1], 'other')",
        "ERR Script attempted to access a non local key in a cluster node",
    ),
    ("return redis.call('get')", "ERR Wrong number of args calling Redis command from script"),
    ("return redis.call('nosuch')", "ERR Unknown Redis command called from script"),
    ("return redis.call('keys', '*')", "ERR This Redis command is not allowed from script"),
    (
        "return redis.call('eval', 'return 1', 0)",
        "ERR This Redis command is not allowed from script",
    ),
    ("return redis.call('select', 0)", "ERR This Redis command is not allowed from script"),
    (
        "return redis.call('lpush', KEYS[1], 'a')",
        "ERR This Redis command is not allowed from script; LPUSH is neither for strings nor for hashes, and Mainstay keeps no others",
    ),
    ("return redis.call('set', KEYS[1], 'v', 'odd')", "ERR syntax error"),
    ("error('after')", "ERR user_script:1: after"),
];

#[tokio::test]
async fn what_a_script_may_not_do_is_refused_in_redis_words() {
    let (_server, mut client) = on_memory().await;
    client.ask("set k text", "+OK\r\n").await;
    for (script, expected) in REFUSED {
        let script = format!(
            "redis.call('set', KEYS[1], 'changed') redis.call('set', KEYS[1], 'text') {script}"
        );
        assert_eq!(error(&mut client, &script, &["k"], &[]).await, *expected, "{script}");
    }
    let after_a_write = "redis.call('set', KEYS[1], 'changed') error('after')";
    assert_eq!(error(&mut client, after_a_write, &["k"], &[]).await, "ERR user_script:1: after");
    client.ask("get k", "$4\r\ntext\r\n").await;
    eval(
        &mut client,
        "return redis.pcall('incr', KEYS[1])",
        &["k"],
        &[],
        "-ERR value is not an integer or out of range\r\n",
    )
    .await;
    eval(&mut client, "return {err = 'MY ERR'}", &[], &[], "-MY ERR\r\n").await;
    for (line, expected) in [
        ("eval 'return 1'", "-ERR wrong number of arguments for 'eval' command\r\n"),
        ("eval 'return 1' x", "-ERR value is not an integer or out of range\r\n"),
        ("eval 'return 1' -1", "-ERR Number of keys can't be negative\r\n"),
        ("eval 'return 1' 2 a", "-ERR Number of keys can't be greater than number of args\r\n"),
        ("evalsha 123 0", "-NOSCRIPT No matching script. Please use EVAL.\r\n"),
        (
            "eval 'foo bar' 0",
            "-ERR Error compiling script (new function): user_script:1: '=' expected near 'bar'\r\n",
        ),
    ] {
        client.ask(line, expected).await;
    }
    client.send(command(&[b"eval_ro", b"return redis.call('set', KEYS[1], 1)", b"1", b"k"])).await;
    let line = client.line().await;
    assert!(
        line.starts_with("-ERR Write commands are not allowed from read-only scripts. script: "),
        "{line}"
    );
    client.send(command(&[b"eval_ro", b"return redis.call('get', KEYS[1])", b"1", b"k"])).await;
    client.expect("$4\r\ntext\r\n", "eval_ro").await;
}

#[tokio::test]
async fn scripts_are_loaded_found_and_flushed() {
    let (_server, mut client) = on_memory().await;
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    client
        .ask(&format!("evalsha {sha} 0"), "-NOSCRIPT No matching script. Please use EVAL.\r\n")
        .await;
    client.ask("script load 'return 1'", &format!("$40\r\n{sha}\r\n")).await;
    client.ask(&format!("script exists {sha} nonsense"), "*2\r\n:1\r\n:0\r\n").await;
    client.ask(&format!("evalsha {} 0", sha.to_uppercase()), ":1\r\n").await;
    client.ask("script flush sync", "+OK\r\n").await;
    client.ask(&format!("script exists {sha}"), "*1\r\n:0\r\n").await;
    client.ask("eval 'return 1' 0", ":1\r\n").await;
    client.ask(&format!("evalsha_ro {sha} 0"), ":1\r\n").await;
    for (line, expected) in [
        (
            "script load 'foo bar'",
            "-ERR Error compiling script (new function): user_script:1: '=' expected near 'bar'\r\n",
        ),
        ("script load", "-ERR wrong number of arguments for 'script|load' command\r\n"),
        ("script exists", "-ERR wrong number of arguments for 'script|exists' command\r\n"),
        ("script flush odd", "-ERR SCRIPT FLUSH only support SYNC|ASYNC option\r\n"),
        ("script kill", "-NOTBUSY No scripts in execution right now.\r\n"),
        ("script odd", "-ERR unknown subcommand 'odd'. Try SCRIPT HELP.\r\n"),
        ("command getkeys eval x 2 a b c", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
    ] {
        client.ask(line, expected).await;
    }
    // What did not compile is not kept.
    client.send(command(&[b"eval", b"foo bar", b"0"])).await;
    assert!(client.line().await.starts_with("-ERR Error compiling"));
    client.ask("script exists 3773dea65156909838fa6c22825cafe090ff8030", "*1\r\n:0\r\n").await;
}

/// redis-py's release, reacquire and extend; node redlock's three.
const RELEASE: &str = "c3f8721cbb97f72bc19e972846bd7aaf91901658";
const REACQUIRE: &str = "1cac51482acf5858da00f6d685d68f886cd6b6b2";
const EXTEND: &str = "a4e8783852e6b949f9ef3a97212805108459a890";
const REDLOCK: [&str; 3] = [
    "e5a322e2634ef59a516e8ea150cb085afafee684",
    "ce46f80993d5dac20dd066eb301a4e37994bdbed",
    "0f0f23b9048b36752b5be114f357ba083449f908",
];

#[tokio::test]
async fn well_known_scripts_need_no_loading() {
    let (_server, mut client) = on_memory().await;
    client.ask("set l token px 30000", "+OK\r\n").await;
    client.ask(&format!("script exists {RELEASE}"), "*1\r\n:1\r\n").await;
    client.ask(&format!("evalsha {RELEASE} 1 l other"), ":0\r\n").await;
    client.ask(&format!("evalsha {REACQUIRE} 1 l other 60000"), ":0\r\n").await;
    client.ask(&format!("evalsha {REACQUIRE} 1 l token 60000"), ":1\r\n").await;
    client.ask("ttl l", ":60\r\n").await;
    client.ask(&format!("evalsha {EXTEND} 1 l token 60000 0"), ":1\r\n").await;
    client.ask("ttl l", ":120\r\n").await;
    client.ask(&format!("evalsha {RELEASE} 1 l token"), ":1\r\n").await;
    client.ask(&format!("evalsha {RELEASE} 1 l token"), ":0\r\n").await;
    let [acquire, extend, release] = REDLOCK;
    client.ask(&format!("evalsha {acquire} 2 a b token 30000"), ":2\r\n").await;
    client.ask(&format!("evalsha {acquire} 2 b c other 30000"), ":0\r\n").await;
    client.ask("mget a b c", "*3\r\n$5\r\ntoken\r\n$5\r\ntoken\r\n$-1\r\n").await;
    client.ask(&format!("evalsha {extend} 2 a b token 50000"), ":2\r\n").await;
    client.ask(&format!("evalsha {extend} 1 a other 90000"), ":0\r\n").await;
    client.ask("ttl b", ":50\r\n").await;
    client.ask(&format!("evalsha {release} 2 a b token"), ":2\r\n").await;
    client.ask(&format!("evalsha {acquire} 1 a token 30000"), ":1\r\n").await;
    client.ask(&format!("evalsha {release} 1 a token"), ":1\r\n").await;
    client.ask("exists a b", ":0\r\n").await;
    // Arguments that need the script itself: its own errors and effects.
    client.ask("set l token", "+OK\r\n").await;
    client.send(format!("evalsha {REACQUIRE} 1 l token soon\r\n")).await;
    assert!(
        client.line().await.starts_with("-ERR value is not an integer or out of range script: ")
    );
    client.ask(&format!("evalsha {REACQUIRE} 1 l token 0"), ":1\r\n").await;
    client.ask("exists l", ":0\r\n").await;
}

#[tokio::test]
async fn a_script_that_does_not_end_is_stopped_and_changes_nothing() {
    let (_server, mut client) = on_memory().await;
    client.ask("set k before", "+OK\r\n").await;
    let killed = "ERR Script killed by user with SCRIPT KILL...";
    let endless = "redis.call('set', KEYS[1], 'after') while true do end";
    assert_eq!(error(&mut client, endless, &["k"], &[]).await, killed);
    let growing = "redis.call('set', KEYS[1], 'after') local s = 'x' while true do s = s .. s end";
    assert_eq!(error(&mut client, growing, &["k"], &[]).await, "ERR not enough memory");
    client.ask("get k", "$6\r\nbefore\r\n").await;
    eval(&mut client, "return 1", &[], &[], ":1\r\n").await;
}

#[tokio::test]
async fn scripts_of_many_clients_are_each_one_step() {
    let server = Server::on_memory(RespConfig::default()).await;
    let script = "local a = tonumber(redis.call('get', KEYS[1]) or 0)
        redis.call('set', KEYS[1], a + 1)
        redis.call('incr', KEYS[2])
        return a + 1";
    let counting = (0..16).map(async |_| {
        let mut client = server.client().await;
        for _ in 0..10 {
            eval(&mut client, script, &["a", "b"], &[], ":").await;
            client.line().await;
        }
    });
    futures_util::future::join_all(counting).await;
    server.client().await.ask("mget a b", "*2\r\n$3\r\n160\r\n$3\r\n160\r\n").await;
}

#[tokio::test]
async fn keys_of_two_routes_are_keys_of_two_slots() {
    let route = |prefix: &str| RouteConfig {
        prefix: prefix.to_owned(),
        backends: vec![Config::MEMORY.to_owned()],
        ..RouteConfig::default()
    };
    let config = Config { routes: vec![route("a:"), route("")], ..Config::default() };
    let server = Server::start(RespConfig::default(), Storage::open(config).await.unwrap()).await;
    let mut client = server.client().await;
    let crossed = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
    eval(&mut client, "return 1", &["a:1", "b:1"], &[], crossed).await;
    client.ask(&format!("evalsha {} 2 a:1 b:1 token 1000", REDLOCK[0]), crossed).await;
    eval(&mut client, "return redis.call('incr', KEYS[2])", &["a:1", "a:2"], &[], ":1\r\n").await;
}

//! Who may do what over RESP, in Redis's words.

use std::collections::BTreeMap;

use mainstay::{
    Config, Storage,
    config::{BackendConfig, RouteConfig},
};
use mainstay_server::{
    Guard,
    access::{Access, Role, UserConfig},
    http::HttpConfig,
    resp::{RespConfig, RespServer},
    tls::TlsConfig,
};
use tokio_util::sync::CancellationToken;

use super::support::{Client, Server};
use crate::support::in_memory;

fn user(role: Role, prefixes: &[&str], password: &str) -> UserConfig {
    let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
    UserConfig {
        role,
        prefixes: (!prefixes.is_empty()).then_some(prefixes),
        password: Some(password.to_owned()),
        ..UserConfig::default()
    }
}

/// One user of each kind; the password is the name.
fn users() -> BTreeMap<String, UserConfig> {
    let all = [
        ("reader", user(Role::Read, &[], "reader")),
        ("writer", user(Role::Write, &[], "writer")),
        ("app", user(Role::Write, &["app:", "shared:"], "app")),
        ("admin", user(Role::Admin, &[], "admin")),
    ];
    all.into_iter().map(|(name, config)| (name.to_owned(), config)).collect()
}

async fn start(users: &BTreeMap<String, UserConfig>) -> (Server, Access) {
    start_on(users, RespConfig { allow_flush: true, ..RespConfig::default() }, in_memory().await)
        .await
}

async fn start_on(
    users: &BTreeMap<String, UserConfig>,
    config: RespConfig,
    storage: Storage,
) -> (Server, Access) {
    let config = RespConfig { listen: "127.0.0.1:0".to_owned(), ..config };
    let access = Access::of(users, &config, &HttpConfig::default()).unwrap();
    let guard = Guard::new(access.clone(), &TlsConfig::default()).unwrap();
    let server = RespServer::bind_with(config, storage, guard).await.unwrap();
    let (address, cancel) = (server.local_addr(), CancellationToken::new());
    let running = tokio::spawn(server.run(cancel.clone()));
    (Server { address, cancel, running }, access)
}

async fn login(server: &Server, name: &str) -> Client {
    let mut client = server.client().await;
    client.ask(&format!("auth {name} {name}"), "+OK\r\n").await;
    client
}

fn no_command(user: &str, command: &str) -> String {
    format!("-NOPERM User {user} has no permissions to run the '{command}' command\r\n")
}

const NO_KEY: &str = "-NOPERM No permissions to access a key\r\n";

#[tokio::test]
async fn whoever_has_not_said_who_it_is_does_nothing() {
    let (server, _) = start(&users()).await;
    let mut client = server.client().await;
    client.ask("get app:1", "-NOAUTH Authentication required.\r\n").await;
    client.ask("acl whoami", "-NOAUTH Authentication required.\r\n").await;
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    for line in ["auth default x", "auth x", "auth app reader", "auth nobody app", "auth App app"] {
        client.ask(line, wrong).await;
    }
    client.ask("auth app app", "+OK\r\n").await;
    client.ask("acl whoami", "$3\r\napp\r\n").await;
    // A wrong password leaves one who one is, as in Redis.
    client.ask("auth reader wrong", wrong).await;
    client.ask("acl whoami", "$3\r\napp\r\n").await;
    client.ask("reset", "+RESET\r\n").await;
    client.ask("acl whoami", "-NOAUTH Authentication required.\r\n").await;
    client.send("hello 3 auth reader reader\r\n").await;
    assert_eq!(client.line().await, "%7");
}

#[tokio::test]
async fn a_reader_changes_nothing() {
    let (server, _) = start(&users()).await;
    let mut client = login(&server, "reader").await;
    client.ask("get k", "$-1\r\n").await;
    client.ask("mget a b", "*2\r\n$-1\r\n$-1\r\n").await;
    client.ask("scan 0", "*2\r\n$1\r\n0\r\n*0\r\n").await;
    client.ask("eval_ro \"return 1\" 0", ":1\r\n").await;
    client.ask("ping", "+PONG\r\n").await;
    for (line, command) in [
        ("set k v", "set"),
        ("DEL k", "del"),
        ("getdel k", "getdel"),
        ("expire k 1", "expire"),
        ("incr k", "incr"),
        ("mset a 1 b 2", "mset"),
        ("rename a b", "rename"),
        ("eval \"return 1\" 0", "eval"),
        ("mainstay.lock l", "mainstay.lock"),
        ("mainstay.invalidate key k", "mainstay.invalidate"),
        ("flushall", "flushall"),
        ("flushdb async", "flushdb"),
        ("config get save", "config|get"),
        ("client list", "client|list"),
        ("client kill id 1", "client|kill"),
        ("script flush", "script|flush"),
        ("acl list", "acl|list"),
        ("acl getuser admin", "acl|getuser"),
        ("mainstay.breaker memory open", "mainstay.breaker"),
    ] {
        client.ask(line, &no_command("reader", command)).await;
    }
    // The number of arguments is looked at before, as in Redis.
    client.ask("set k", "-ERR wrong number of arguments for 'set' command\r\n").await;
}

#[tokio::test]
async fn a_writer_writes_and_does_not_control() {
    let (server, _) = start(&users()).await;
    let mut client = login(&server, "writer").await;
    client.ask("set k v", "+OK\r\n").await;
    client.ask("eval \"return redis.call('get', KEYS[1])\" 1 k", "$1\r\nv\r\n").await;
    client.ask("client setname me", "+OK\r\n").await;
    for (line, command) in
        [("flushall", "flushall"), ("client list", "client|list"), ("config set a b", "config|set")]
    {
        client.ask(line, &no_command("writer", command)).await;
    }
    let mut admin = login(&server, "admin").await;
    let list = admin.text("client list").await;
    assert!(list.contains(" user=writer ") && list.contains(" user=admin "), "{list}");
    admin.ask("client kill user nobody", "-ERR No such user 'nobody'\r\n").await;
    admin.ask("client kill user writer", ":1\r\n").await;
    assert_eq!(client.rest().await, "");
    admin.ask("flushall", "+OK\r\n").await;
    admin.ask("dbsize", ":0\r\n").await;
}

#[tokio::test]
async fn prefixes_bound_every_key_of_every_command() {
    let (server, _) = start(&users()).await;
    let mut admin = login(&server, "admin").await;
    admin.ask("mset app:1 a shared:1 b other:1 c app b", "+OK\r\n").await;
    let mut client = login(&server, "app").await;
    client.ask("mget app:1 shared:1", "*2\r\n$1\r\na\r\n$1\r\nb\r\n").await;
    client.ask("keys app:*", "*1\r\n$5\r\napp:1\r\n").await;
    client.ask("scan 0 match shared:*", "*2\r\n$1\r\n0\r\n*1\r\n$8\r\nshared:1\r\n").await;
    client.ask("eval \"return redis.call('get', KEYS[1])\" 1 app:1", "$1\r\na\r\n").await;
    client.ask("eval \"return 1\" 0", ":1\r\n").await;
    for line in [
        "get other:1",
        "get app",
        "get APP:1",
        "mget app:1 other:1",
        "set other:1 x",
        "mset app:2 x other:2 x",
        "msetnx other:2 x app:2 x",
        "del app:1 other:1",
        "exists app:1 other:1",
        "getex other:1 ex 1",
        "rename app:1 other:2",
        "rename other:1 app:2",
        "copy other:1 app:2",
        "copy app:1 other:2",
        "expire other:1 1 xx lt",
        "strlen other:1",
        "mainstay.meta other:1",
        "mainstay.lock other:lock",
        "mainstay.unlock other:lock 0 1",
        "mainstay.invalidate key app:1 other:1",
        "mainstay.invalidate prefix app",
        "mainstay.invalidate tag t",
        "eval \"return 1\" 2 app:1 other:1",
        "keys *",
        "keys ?pp:1",
        "keys [ao]*",
        "keys ap*",
        "scan 0",
        "scan 0 match *",
        "scan 0 match oth*",
        "randomkey",
        "dbsize",
        "mainstay.events",
    ] {
        client.ask(line, NO_KEY).await;
    }
    client.ask("flushall", &no_command("app", "flushall")).await;
    // A script touches what it has declared, and nothing else.
    client.send("eval \"return redis.call('get', 'other:1')\" 1 app:1\r\n").await;
    assert!(client.line().await.starts_with("-ERR"));
    admin
        .ask(
            "mget app:1 shared:1 other:1 app",
            "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nb\r\n",
        )
        .await;
    admin.ask("exists app:2 other:2", ":0\r\n").await;
    let info = admin.text("info stats").await;
    assert!(info.contains("acl_access_denied_key:33"), "{info}");
}

/// Another's cursor stands before keys that one may not see.
#[tokio::test]
async fn a_borrowed_cursor_shows_no_more() {
    let (server, _) = start(&users()).await;
    let mut admin = login(&server, "admin").await;
    for nth in 0..40 {
        admin.ask(&format!("set other:{nth} v"), "+OK\r\n").await;
    }
    admin.ask("set zapp:1 v", "+OK\r\n").await;
    admin.send("scan 0 count 5\r\n").await;
    assert_eq!(admin.line().await, "*2");
    admin.line().await;
    let cursor = admin.line().await;
    let mut client = login(&server, "app").await;
    client.ask(&format!("scan {cursor} count 1000"), NO_KEY).await;
    client.ask(&format!("scan {cursor} count 1000 match app:*"), "*2\r\n$1\r\n0\r\n*0\r\n").await;
}

#[tokio::test]
async fn whoever_is_changed_authenticates_anew() {
    let (server, access) = start(&users()).await;
    let (mut app, mut reader) = (login(&server, "app").await, login(&server, "reader").await);
    let mut changed = users();
    changed.insert("app".to_owned(), user(Role::Read, &["app:"], "new"));
    access.replace(&changed, &RespConfig::default(), &HttpConfig::default()).unwrap();
    reader.ask("get k", "$-1\r\n").await;
    app.ask("get app:1", "-NOAUTH Authentication required.\r\n").await;
    app.ask("auth app app", "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
        .await;
    app.ask("auth app new", "+OK\r\n").await;
    app.ask("set app:1 v", &no_command("app", "set")).await;
}

#[tokio::test]
async fn users_are_shown_without_what_proves_them() {
    let (server, _) = start(&users()).await;
    let mut admin = login(&server, "admin").await;
    admin
        .ask("acl users", "*4\r\n$5\r\nadmin\r\n$3\r\napp\r\n$6\r\nreader\r\n$6\r\nwriter\r\n")
        .await;
    admin.send("acl list\r\n").await;
    assert_eq!(admin.line().await, "*4");
    let mut lines = Vec::new();
    for _ in 0..4 {
        admin.line().await;
        lines.push(admin.line().await);
    }
    assert_eq!(lines[0], "user admin on ~* resetchannels +@all");
    assert_eq!(
        lines[1],
        "user app on ~app:* ~shared:* resetchannels -@all +@read +@write +@connection"
    );
    admin.ask("acl getuser nobody", "$-1\r\n").await;
    admin
        .ask(
            "acl setuser x",
            "-ERR users stand in the configuration: [users.NAME]; change them there\r\n",
        )
        .await;
    admin.ask("acl cat nonsense", "-ERR Unknown category 'nonsense'\r\n").await;
    admin.send("acl cat scripting\r\n").await;
    assert_eq!(admin.line().await, "*5");
}

#[tokio::test]
async fn a_default_that_may_only_read_needs_no_auth() {
    let mut users = users();
    users.insert("default".to_owned(), UserConfig::default());
    let (server, _) = start(&users).await;
    let mut client = server.client().await;
    client.ask("get k", "$-1\r\n").await;
    client.ask("set k v", &no_command("default", "set")).await;
    client.ask("auth writer writer", "+OK\r\n").await;
    client.ask("set k v", "+OK\r\n").await;
    client.ask("reset", "+RESET\r\n").await;
    client.ask("set k v", &no_command("default", "set")).await;
}

#[tokio::test]
async fn http_of_any_kind_ends_the_connection() {
    let server = Server::on_memory(RespConfig::default()).await;
    for request in [
        "GET / HTTP/1.1\r\nset k evil\r\n",
        "PUT /set HTTP/1.1\r\nset k evil\r\n",
        "OPTIONS * HTTP/1.1\r\nset k evil\r\n",
        "PRI * HTTP/2.0\r\nset k evil\r\n",
        "CONNECT a:1 HTTP/1.0\r\nset k evil\r\n",
        "post /x\r\nset k evil\r\n",
        "HOST: localhost\r\nset k evil\r\n",
    ] {
        let mut client = server.client().await;
        client.send(request).await;
        assert_eq!(client.rest().await, "", "{request}");
    }
    let mut client = server.client().await;
    client.ask("exists k", ":0\r\n").await;
    client.ask("get HTTP/1.1", "$-1\r\n").await;
}

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";

#[tokio::test]
async fn what_is_kept_back_is_looked_at_before() {
    let (server, access) = start(&users()).await;
    let mut admin = login(&server, "admin").await;
    admin.ask("mset app:1 a other:1 b", "+OK\r\n").await;
    admin.ask("hset other:h f v", ":1\r\n").await;
    let mut reader = login(&server, "reader").await;
    for (line, command) in [
        ("set k v", "set"),
        ("hset h f v", "hset"),
        ("getex app:1 ex 1", "getex"),
        ("eval \"return redis.call('set', KEYS[1], 'x')\" 1 k", "eval"),
        ("flushall", "flushall"),
        ("publish c m", "publish"),
    ] {
        reader.ask("multi", "+OK\r\n").await;
        reader.ask("get app:1", "+QUEUED\r\n").await;
        reader.ask(line, &no_command("reader", command)).await;
        reader.ask("exec", ABORTED).await;
    }
    reader.ask("multi", "+OK\r\n").await;
    reader.ask("hget other:h f", "+QUEUED\r\n").await;
    reader.ask("eval_ro \"return redis.call('set', KEYS[1], 'x')\" 1 k", "+QUEUED\r\n").await;
    reader.send("exec\r\n").await;
    reader.expect("*2\r\n$1\r\nv\r\n-ERR Write commands are not allowed from", "exec").await;
    reader.line().await;
    let mut app = login(&server, "app").await;
    for line in [
        "get other:1",
        "mset app:1 x other:1 x",
        "rename app:1 other:2",
        "copy other:1 app:2",
        "hget other:h f",
        "hset other:h f x",
        "type other:1",
        "getrange other:1 0 1",
        "eval \"return 1\" 2 app:1 other:1",
    ] {
        app.ask("multi", "+OK\r\n").await;
        app.ask(line, NO_KEY).await;
        app.ask("exec", ABORTED).await;
        app.ask(line, NO_KEY).await;
    }
    app.ask("watch app:1 other:1", NO_KEY).await;
    app.ask("watch app:1", "+OK\r\n").await;
    app.ask("multi", "+OK\r\n").await;
    app.ask("append app:1 b", "+QUEUED\r\n").await;
    app.ask("hset app:h f v", "+QUEUED\r\n").await;
    app.ask("exec", "*2\r\n:2\r\n:1\r\n").await;
    // What one user was allowed to have performed is performed for no other.
    app.ask("multi", "+OK\r\n").await;
    app.ask("set app:1 late", "+QUEUED\r\n").await;
    let mut changed = users();
    changed.insert("app".to_owned(), user(Role::Read, &["app:"], "new"));
    access.replace(&changed, &RespConfig::default(), &HttpConfig::default()).unwrap();
    app.ask("exec", "-NOAUTH Authentication required.\r\n").await;
    app.ask("auth app new", "+OK\r\n").await;
    app.ask("exec", ABORTED).await;
    app.ask("get app:1", "$2\r\nab\r\n").await;
    admin.ask("exists k h other:2", ":0\r\n").await;
}

#[tokio::test]
async fn channels_are_within_the_prefixes_too() {
    let (server, access) = start(&users()).await;
    let (mut app, mut reader) = (login(&server, "app").await, login(&server, "reader").await);
    for line in [
        "publish other m",
        "spublish other m",
        "subscribe app:c other",
        "ssubscribe other",
        "psubscribe app:* *",
        "psubscribe a?p:*",
        "pubsub channels",
        "pubsub channels *",
        "pubsub numsub app:c other",
    ] {
        app.ask(line, NO_KEY).await;
    }
    reader.ask("publish app:c m", &no_command("reader", "publish")).await;
    reader.ask("spublish app:c m", &no_command("reader", "spublish")).await;
    reader.ask("subscribe app:c", "*3\r\n$9\r\nsubscribe\r\n$5\r\napp:c\r\n:1\r\n").await;
    app.ask("publish app:c m", ":1\r\n").await;
    reader.expect("*3\r\n$7\r\nmessage\r\n$5\r\napp:c\r\n$1\r\nm\r\n", "message").await;
    app.ask("pubsub channels app:*", "*1\r\n$5\r\napp:c\r\n").await;
    app.ask("pubsub numsub app:c", "*2\r\n$5\r\napp:c\r\n:1\r\n").await;
    // Whoever is changed is told nothing more.
    let mut changed = users();
    changed.insert("reader".to_owned(), user(Role::Read, &["own:"], "reader"));
    access.replace(&changed, &RespConfig::default(), &HttpConfig::default()).unwrap();
    let mut admin = login(&server, "admin").await;
    admin.ask("publish app:c secret", ":1\r\n").await;
    reader.ask("ping", "-NOAUTH Authentication required.\r\n").await;
    admin.ask("publish app:c secret", ":0\r\n").await;
    app.ask("psubscribe app:*", "*3\r\n$10\r\npsubscribe\r\n$5\r\napp:*\r\n:1\r\n").await;
}

/// Nothing answers there: what is allowed is unavailable, what is not never comes so far.
async fn passing() -> Server {
    let redis = BackendConfig::at("redis://127.0.0.1:1");
    let route = RouteConfig {
        prefix: String::new(),
        backends: vec!["redis".to_owned()],
        ..RouteConfig::default()
    };
    let storage = Storage::open(Config {
        backends: [("redis".to_owned(), redis)].into_iter().collect(),
        routes: vec![route],
        ..Config::default()
    });
    let config = RespConfig {
        passthrough: true,
        passthrough_allow: ["config set", "cluster", "keys", "debug", "newer"]
            .map(str::to_owned)
            .to_vec(),
        ..RespConfig::default()
    };
    start_on(&users(), config, storage.await.unwrap()).await.0
}

#[tokio::test]
async fn what_is_passed_to_redis_needs_its_role() {
    let server = passing().await;
    let mut reader = login(&server, "reader").await;
    for (line, command) in [
        ("lpush l a", "lpush"),
        ("blpop l 0", "blpop"),
        ("xgroup create s g $", "xgroup"),
        ("sort l store d", "sort"),
        ("fcall f 0", "fcall"),
        ("debug jmap", "debug"),
        ("config set a b", "config|set"),
        ("json.set doc $ 1", "module"),
    ] {
        reader.ask(line, &no_command("reader", command)).await;
        reader.ask("multi", "+OK\r\n").await;
        reader.ask(line, &no_command("reader", command)).await;
        reader.ask("exec", ABORTED).await;
    }
    reader.ask("cluster reset", &no_command("reader", "cluster|reset")).await;
    reader.send("lrange l 0 -1\r\n").await;
    assert!(reader.line().await.starts_with("-UNAVAILABLE "));
}

#[tokio::test]
async fn what_is_passed_to_redis_stays_within_the_prefixes() {
    let server = passing().await;
    let mut app = login(&server, "app").await;
    for line in [
        "lpush other a",
        "llen other",
        "lmove app:1 other left right",
        "blpop app:1 other 0",
        "sort app:l store other",
        "sort app:l by nosort get other:*",
        "sort_ro app:l by other:*",
        "zunionstore app:d 2 app:a other",
        "xread streams other 0",
        "xread block 0 streams app:s other 0 0",
        "georadiusbymember app:g store 1 km store other",
        "lastsave",
        "memory stats",
        "fcall_ro f 1 app:1",
        "json.get app:1",
        "newer app:1",
        "keys app:*",
    ] {
        app.ask(line, NO_KEY).await;
        app.ask("multi", "+OK\r\n").await;
        app.ask(line, NO_KEY).await;
        app.ask("exec", ABORTED).await;
    }
    for line in ["lpush app:l a", "sort app:l by nosort get # store shared:d", "blpop app:l 0"] {
        app.send(format!("{line}\r\n")).await;
        let answer = app.line().await;
        assert!(answer.starts_with("-UNAVAILABLE "), "{line}: {answer}");
    }
}

#[tokio::test]
async fn the_audit_names_the_user() {
    let (server, _access) = start(&users()).await;
    let mut admin = login(&server, "admin").await;
    admin.ask("mainstay.breaker memory closed reason a test", "+OK\r\n").await;
    admin.send("mainstay.events 1\r\n").await;
    assert_eq!(admin.line().await, "*1");
    admin.line().await;
    let event = admin.line().await;
    assert!(event.contains("\"actor\":\"resp 127.0.0.1 admin\""), "{event}");
}

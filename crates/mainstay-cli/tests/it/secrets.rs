//! Secrets in every place that takes one, errors everywhere, and nothing of them in anything that is written.

use std::{
    fs::File,
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command},
};

use mainstay_testkit::servers::{MariaDb, Postgres, PostgresOptions, Redis, RedisOptions};

use crate::{
    process::until,
    support::{Run, Scratch},
};

/// What every secret here has in it.
const MARK: &str = "Sup3rGeheim";

fn secret(name: &str) -> String {
    format!("{MARK}-{name}")
}

/// The SHA-256 of a secret of this test, and a part of it to look for.
const HASH: &str = "5f0bdc2ad1e4a6b1fbd5f6b7f3b1d9c05c3dc7f1b1c0d7a3f4e2b9d8c7a6f5e4";

#[track_caller]
fn clean(what: &str, text: &str) {
    for secret in [MARK, &HASH[..16], "U3VwM3JHZWhlaW"] {
        let found = text.find(secret);
        let near = found.map(|at| &text[at.saturating_sub(200)..(at + 100).min(text.len())]);
        assert_eq!(near, None, "{what}");
    }
}

/// A server whose output goes to a file.
struct Watched {
    child: Child,
    log: std::path::PathBuf,
}

impl Watched {
    fn start(scratch: &Scratch, env: &[(&str, &str)], name: &str) -> Self {
        let log = scratch.path().join(name);
        let (out, error) = (File::create(&log).unwrap(), File::options().append(true).open(&log));
        let args =
            ["serve", "--resp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-format", "json"];
        let mut command = scratch.command(&args);
        command.envs(env.iter().copied()).stdout(out).stderr(error.unwrap());
        Self { child: command.spawn().unwrap(), log }
    }

    fn written(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Where a door is: `resp` or `http`.
    async fn address(&self, door: &str) -> String {
        let found = || {
            let text = self.written();
            let line = text.lines().find(|line| line.contains("\"serving\""))?.to_owned();
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            line[door].as_str().map(str::to_owned)
        };
        until("the server to serve", async || found().is_some()).await;
        found().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes back until the server closes.
fn talk(address: &str, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end, too.
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.is_empty(), "{bytes}");
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(address: &str, path: &str, token: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    talk(address, &format!("{head}Authorization: Bearer {token}\r\n\r\n"))
}

/// Every place that takes a secret; the servers refuse what they are given, or are not there.
fn config(scratch: &Scratch, postgres: &Postgres, mariadb: &MariaDb, redis: &Redis) -> String {
    scratch.write("token", &secret("admin-token"));
    scratch.write("url", &format!("redis://:{}@127.0.0.1:{}", secret("redis"), redis.port()));
    format!(
        r#"
[resp]
password = "{resp}"
[http]
token_file = "token"
[users.app]
role = "write"
prefixes = ["app:"]
password = "${{APP_PASSWORD}}"
token = "{token}"
password_hashes = ["{HASH}"]
token_hashes = ["{HASH}"]
[backends.redis]
url_file = "url"
[backends.gone]
url = "redis://u:{gone}@127.0.0.1:1"
[backends.sentinel]
url = "redis-sentinel://u:{sentinel}@127.0.0.1:1/primary?sentinel_password={sentinel}"
[backends.pg]
url = "postgres://mainstay:{pg}@127.0.0.1:{pg_port}/mainstay"
[backends.my]
url = "mysql://mainstay:{my}@127.0.0.1:{my_port}/mainstay"
[[route]]
backends = ["redis", "gone", "sentinel", "pg", "my", "memory"]
"#,
        resp = secret("resp"),
        token = secret("app-token"),
        gone = secret("gone"),
        sentinel = secret("sentinel"),
        pg = secret("pg"),
        pg_port = postgres.port(),
        my = secret("my"),
        my_port = mariadb.port(),
    )
}

#[tokio::test]
async fn nothing_that_is_written_holds_a_secret() {
    let postgres =
        Postgres::start_with(PostgresOptions { require_password: true, ..Default::default() });
    let redis =
        Redis::start_with(RedisOptions { password: Some("other".into()), ..Default::default() });
    let (postgres, mariadb, redis) = tokio::join!(postgres, MariaDb::start(), redis);
    let (postgres, mariadb, redis) = (postgres.unwrap(), mariadb.unwrap(), redis.unwrap());
    let scratch = Scratch::new();
    scratch.write("mainstay.toml", &config(&scratch, &postgres, &mariadb, &redis));
    let (password, admin) = (secret("app"), secret("admin-token"));
    // Everything that any crate has to say.
    let env = [("APP_PASSWORD", &*password), ("MAINSTAY_LOG", "trace")];
    let server = Watched::start(&scratch, &env, "log");
    let (resp, http) = (server.address("resp").await, server.address("http").await);
    let down = |text: &str| text.matches("\"health\":\"down\"").count() >= 5;
    until("every backend to be refused", async || down(&get(&http, "/v1/status", &admin))).await;

    let typed = secret("typed");
    let right = format!("AUTH {}\r\n", secret("resp"));
    for line in [
        format!("AUTH {typed}\r\n"),
        format!("AUTH app {typed}\r\n"),
        format!("HELLO 3 AUTH app {typed}\r\n"),
        format!("AUTH app {password}\r\nGET other:1\r\nACL WHOAMI\r\n"),
        format!("{right}INFO\r\nCLIENT LIST\r\nCONFIG GET *\r\nACL LIST\r\nACL GETUSER app\r\n"),
        format!("{right}MAINSTAY.STATUS\r\nMAINSTAY.EVENTS 1000\r\nGET k\r\nCLIENT INFO\r\n"),
    ] {
        clean("RESP", &talk(&resp, &format!("{line}QUIT\r\n")));
    }
    clean("a wrong token", &get(&http, "/v1/status", &typed));
    for path in [
        "/v1/status",
        "/status.txt",
        "/v1/backends",
        "/v1/events?format=json&limit=1000",
        "/v1/history",
        "/v1/config",
        "/v1/clients",
        "/v1/locks",
        "/v1/journal",
        "/metrics",
        "/",
        "/v1/kv/k?meta",
        "/api/health/storage",
    ] {
        let answer = get(&http, path, &admin);
        assert!(!answer.contains(" 401 "), "{path}: {answer}");
        clean(path, &answer);
    }
    let config = get(&http, "/v1/config", &admin);
    assert!(config.contains("***"), "{config}");
    // A configuration that has become nonsense, and what a reload says of it.
    scratch.write("mainstay.toml", &format!("[resp]\npassword = \"{typed}\nx"));
    server.signal("HUP");
    until("the signal to be answered", async || server.written().contains("SIGHUP")).await;
    server.signal("TERM");
    let stopped = async || server.written().contains("\"stopped\"");
    until("the server to stop", stopped).await;
    clean("the log", &server.written());
}

/// What is wrong with a configuration is said without what stands in it.
#[test]
fn no_error_of_a_configuration_repeats_a_secret() {
    let scratch = Scratch::new();
    let word = secret("x");
    scratch.write(
        "key.pem",
        &format!("-----BEGIN PRIVATE KEY-----\n{word}\n-----END PRIVATE KEY-----\n"),
    );
    for wrong in [
        format!("[resp]\npassword = \"{word}"),
        format!("[resp]\npasword = \"{word}\""),
        format!("[resp]\npassword = [\"{word}\"]"),
        format!("[resp]\npassword = {{ is = \"{word}\" }}"),
        format!("[resp]\npassword = \"{word}\"\npassword = \"{word}\""),
        format!("[http]\ntoken = \"{word} with blanks\""),
        format!("[http]\ntoken_file = \"/nowhere\"\ntoken = \"{word}\""),
        format!("[users.app]\ntoken = \"{word} with blanks\""),
        format!("[users.app]\npassword_hashes = [\"{word}\"]"),
        format!("[users.app]\ntoken_hashes = [\"{HASH}0\"]"),
        format!("[users.a]\ntoken = \"{word}\"\n[users.b]\ntoken = \"{word}\""),
        format!("[users.default]\n[resp]\npassword = \"{word}\""),
        format!("[users.app]\npasswort = \"{word}\""),
        format!("[backends.r]\nurl = \"redis://u:{word}@h:port\""),
        format!("[backends.r]\nurl = \"redis://u:{word}@h?nonsense={word}\""),
        format!("[backends.r]\nurl = \"rediss://h?tls_cert_file={word}\""),
        format!("[backends.r]\nurl = \"redis-sentinel://h/?sentinel_password={word}\""),
        format!("[backends.r]\nurl = \"nonsense://u:{word}@h\""),
        format!("[backends.p]\nurl = \"postgres://u:{word}@h:port/d\""),
        format!("[backends.p]\nurl = \"postgres://u:{word}@h/d?sslmode={word}\""),
        format!("[backends.p]\nurl = \"postgres://u:a?{word}=1@h/d?sslmode=maybe\""),
        format!("[backends.p]\nurl = \"postgres://u:a?{word}@h/d?nonsense=1\""),
        format!("[backends.m]\nurl = \"mysql://u:{word}@h:port/d\""),
        format!("[backends.m]\nurl = \"mysql://u:{word}@h\""),
        format!("[backends.m]\nurl = \"mysql://u:a?{word}=1@h/d\""),
        format!("[backends.m]\nurl = \"mysql://u:a/{word}@h/d\""),
        format!("[backends.m]\nurl = \"mysql://h/d?pool_min={word}\""),
        format!("[backends.r]\nurl = \"redis://u:a?{word}=1@h\""),
        format!("[backends.r]\nurl = \"redis://u:a/{word}@h\""),
        format!("[backends.r]\nurl = \"redis://u:a#{word}@h\""),
        format!("[backends.r]\nurl = \"redis://u:%{word}@h\""),
        "[tls]\ncert_file = \"key.pem\"\nkey_file = \"key.pem\"".to_owned(),
        format!("[traces]\nendpoint = \"http://u:{word}@h:1\""),
    ] {
        scratch.write("mainstay.toml", &wrong);
        let run = scratch.run(&["config", "check"]);
        assert_eq!(run.code, Some(4), "{wrong}: {run:?}");
        clean(&wrong, &format!("{}{}", run.stdout, run.stderr));
    }
}

#[test]
fn no_command_that_shows_the_configuration_shows_a_secret() {
    let scratch = Scratch::new();
    let word = secret("x");
    scratch.write("token", &word);
    scratch.write(
        "mainstay.toml",
        &format!(
            "[resp]\npassword = \"{word}\"\n[http]\ntoken_file = \"token\"\n\
             [users.app]\npassword = \"{word}\"\ntoken = \"{word}2\"\npassword_hashes = [\"{HASH}\"]\n\
             [backends.r]\nurl = \"redis://u:{word}@127.0.0.1:1?sentinel_password={word}\"\n\
             [backends.p]\nurl = \"postgres://u:{word}@127.0.0.1:1/d?password={word}\"\n\
             [backends.m]\nurl = \"mysql://u:{word}@127.0.0.1:1/d\"\n"
        ),
    );
    let all: [&[&str]; 7] = [
        &["config", "show"],
        &["config", "show", "--origin"],
        &["config", "show", "-o", "json"],
        &["config", "show", "--origin", "-o", "json"],
        &["config", "check"],
        &["config", "check", "--probe"],
        &["status"],
    ];
    for args in all {
        let Run { stdout, stderr, .. } = scratch.run(args);
        assert!(!format!("{stdout}{stderr}").is_empty(), "{args:?}");
        clean(&args.join(" "), &format!("{stdout}{stderr}"));
    }
    for flag in ["resp.password", "users.app.token", "backends.r.url", "http.token"] {
        let value = format!("{flag}={word} x");
        let Run { stdout, stderr, .. } = scratch.run(&["config", "check", "--set", &value]);
        clean(flag, &format!("{stdout}{stderr}"));
    }
}

/// A crash leaves no image of the memory behind, unless somebody wants one.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_leaves_no_core() {
    let scratch = Scratch::new();
    let limit = |process: &str| {
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        line.split_whitespace().nth(4).unwrap().to_owned()
    };
    for (wanted, expected) in [("0", "0".to_owned()), ("1", limit("self"))] {
        let server = Watched::start(&scratch, &[("MAINSTAY_CORE_DUMPS", wanted)], wanted);
        server.address("http").await;
        assert_eq!(limit(&server.child.id().to_string()), expected, "{wanted}");
    }
}

//! Users and TLS at the doors of the built binary, as redis-cli, redis-py, curl and the command line meet them.

use std::{
    path::Path,
    process::{Output, Stdio},
};

use mainstay_testkit::servers::{Certificates, Redis};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    clients::{install_python, run, script},
    process::Mainstay,
    support::{Run, Scratch, Server},
};

/// One user of each kind.
const USERS: &str = r#"
[users.reader]
password = "geheim-reader"
token = "token-of-reader"

[users.app]
role = "write"
prefixes = ["app:"]
password = "geheim-app"
token = "token-of-app"

[users.admin]
role = "admin"
password = "geheim-admin"
token = "token-of-admin"
"#;

fn tls(certificates: &Certificates, mutual: bool) -> String {
    let file = |path: std::path::PathBuf| path.display().to_string();
    let mut text = format!(
        "[tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
        file(certificates.cert("server")),
        file(certificates.key("server"))
    );
    if mutual {
        text.push_str(&format!("client_ca_file = \"{}\"\n", file(certificates.ca())));
    }
    text
}

async fn output(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (status.success(), text)
}

/// A user, a password, and what is asked.
const ASKED: [&str; 17] = [
    "nobody wrong get k",
    "reader wrong get k",
    "reader geheim-reader set k v",
    "reader geheim-reader del k",
    "reader geheim-reader incr k",
    "reader geheim-reader flushall",
    "reader geheim-reader config get save",
    "reader geheim-reader client list",
    "reader geheim-reader acl list",
    "reader geheim-reader set k",
    "reader geheim-reader acl whoami",
    "reader geheim-reader get k",
    "app geheim-app set app:1 v",
    "app geheim-app set other:1 v",
    "app geheim-app mget app:1 other:1",
    "app geheim-app rename app:1 other:1",
    "app geheim-app client kill id 1",
];

/// What a server on this port answers to each, from redis-cli.
async fn answers(port: u16) -> Vec<(&'static str, String)> {
    let mut answers = Vec::new();
    for line in ASKED {
        let words: Vec<&str> = line.split(' ').collect();
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = cli.spawn().unwrap();
        let input = format!("auth {} {}\n{}\n", words[0], words[1], words[2..].join(" "));
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        answers.push((line, String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    answers
}

/// Before 7.2 Redis names neither the user nor the rule; we follow the version that INFO names.
fn as_of_7_2((line, answer): (&'static str, String)) -> (&'static str, String) {
    let user = line.split(' ').next().unwrap_or_default();
    let named = answer.replace("NOPERM this user has", &format!("NOPERM User {user} has"));
    let keys =
        format!("User {user} has no permissions to access one of the keys used as arguments");
    (line, named.replace(&keys, "No permissions to access a key"))
}

/// What a real Redis says to a user that it has, and Mainstay to the same one.
#[tokio::test]
async fn refusals_are_worded_as_redis_words_them() {
    let redis = Redis::start().await.unwrap();
    for rules in [
        ["reader", ">geheim-reader", "~*", "+@read", "+@connection", "-@dangerous", "+acl|whoami"],
        ["app", ">geheim-app", "~app:*", "+@all", "-@dangerous", "-@admin", "-@scripting"],
    ] {
        redis
            .redis_cli(&[&["acl", "setuser"], &rules[..1], &["on"], &rules[1..]].concat())
            .await
            .unwrap();
    }
    redis.redis_cli(&["acl", "setuser", "default", "off"]).await.unwrap();
    let mainstay = Mainstay::start_with(USERS, &[]).await;
    let (theirs, ours) = (answers(redis.port()).await, answers(mainstay.resp().port()).await);
    let theirs: Vec<_> = theirs.into_iter().map(as_of_7_2).collect();
    assert_eq!(ours, theirs);
    assert!(ours[0].1.contains("WRONGPASS") && ours[0].1.contains("NOAUTH"), "{ours:?}");
    mainstay.terminate().await;
}

#[tokio::test]
async fn redis_py_authenticates_over_mutual_tls() {
    let certificates = Certificates::new().await.unwrap();
    certificates.issue_for("client", "DNS:client").await.unwrap();
    let config = format!("{USERS}{}", tls(&certificates, true));
    let mainstay = Mainstay::start_with(&config, &[]).await;
    let packages = install_python("access-redis-py", &["redis"]).await;
    run(Command::new("python3")
        .env("PYTHONPATH", &packages)
        .arg(script("access.py"))
        .arg(mainstay.resp().port().to_string())
        .args([certificates.ca(), certificates.cert("client"), certificates.key("client")]))
    .await;
    mainstay.terminate().await;
}

fn curl(certificates: &Certificates, args: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args(["-s", "-S", "--max-time", "20", "--cacert"]).arg(certificates.ca()).args(args);
    command
}

#[tokio::test]
async fn curl_meets_tls_certificates_tokens_and_roles() {
    let certificates = Certificates::new().await.unwrap();
    certificates.issue_for("client", "DNS:client").await.unwrap();
    let stranger = Certificates::new().await.unwrap();
    stranger.issue_for("client", "DNS:client").await.unwrap();
    let config = format!("{USERS}{}", tls(&certificates, true));
    let mainstay = Mainstay::start_with(&config, &[]).await;
    let url = |path: &str| format!("https://localhost:{}{path}", mainstay.http_address().port());
    let with = |issuer: &Certificates, token: &str, args: &[&str]| {
        let mut command = curl(&certificates, args);
        command.arg("--cert").arg(issuer.cert("client")).arg("--key").arg(issuer.key("client"));
        command.args(["-w", "\n%{http_code}", "-H", &format!("Authorization: Bearer {token}")]);
        command
    };
    let status = url("/v1/status");
    for (token, args, code) in [
        ("token-of-reader", vec![status.as_str()], "200"),
        ("token-of-nobody", vec![&status], "401"),
        ("token-of-reader", vec!["-X", "PUT", "-d", "v", &url("/v1/kv/app:1")], "403"),
        ("token-of-app", vec!["-X", "PUT", "-d", "v", &url("/v1/kv/app:1")], "204"),
        ("token-of-app", vec!["-X", "PUT", "-d", "v", &url("/v1/kv/other:1")], "403"),
        ("token-of-app", vec![&url("/v1/config")], "403"),
        ("token-of-admin", vec![&url("/v1/config")], "200"),
        ("token-of-admin", vec!["--tls-max", "1.2", &status], "200"),
    ] {
        let (ok, text) = output(&mut with(&certificates, token, &args)).await;
        assert!(ok && text.ends_with(code), "{token} {args:?}: {text}");
    }
    // No certificate, another's, an old TLS, and no TLS at all.
    let (ok, text) = output(&mut curl(&certificates, &[&status])).await;
    assert!(!ok, "{text}");
    let (ok, text) = output(&mut with(&stranger, "token-of-admin", &[&status])).await;
    assert!(!ok, "{text}");
    let old = ["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", &status];
    let (ok, text) = output(&mut with(&certificates, "token-of-admin", &old)).await;
    assert!(!ok, "{text}");
    let plain = status.replace("https:", "http:");
    let (ok, text) = output(&mut curl(&certificates, &[&plain])).await;
    assert!(!ok, "{text}");
    mainstay.terminate().await;
}

/// The commands of the same configuration find their way by themselves; others say whom they trust.
#[tokio::test]
async fn the_command_line_speaks_tls() {
    let certificates = Certificates::new().await.unwrap();
    let scratch = Scratch::new();
    scratch.write("mainstay.toml", &format!("{USERS}{}", tls(&certificates, false)));
    let server = Server::start(&scratch);
    let port = server.http.rsplit(':').next().unwrap().to_owned();
    let listen = format!("http.listen=127.0.0.1:{port}");
    let own = scratch.run(&["health", "--set", &listen]);
    assert!(own.stdout.starts_with("up") || own.stdout.starts_with("degraded"), "{own:?}");
    let url = format!("https://localhost:{port}");
    let elsewhere = |args: &[&str]| {
        let mut command = scratch.command(&["status", "--url", &url]);
        command.args(args).env("MAINSTAY_TOKEN", "token-of-reader");
        Run::of(&mut command)
    };
    let unknown = elsewhere(&[]).failed(1);
    assert!(
        unknown.contains("no TLS with the server") && unknown.contains("--ca-file"),
        "{unknown}"
    );
    let ca = certificates.ca().display().to_string();
    elsewhere(&["--ca-file", &ca]).ok();
    let mut set = scratch.command(&["set", "k", "v", "--url", &url, "--ca-file", &ca]);
    let refused = Run::of(set.env("MAINSTAY_TOKEN", "token-of-reader")).failed(1);
    assert!(refused.contains("role `read`; this needs `write`"), "{refused}");
    assert_eq!(server.stop(), Some(0));
}

/// A certificate that the server does not use yet, or never will, is no reason to restart it.
#[tokio::test]
async fn health_survives_an_exchange_of_certificates() {
    let certificates = Certificates::new().await.unwrap();
    certificates.issue("another").await.unwrap();
    let scratch = Scratch::new();
    scratch.write("mainstay.toml", &format!("{USERS}{}", tls(&certificates, false)));
    let server = Server::start(&scratch);
    let listen = format!("http.listen=127.0.0.1:{}", server.http.rsplit(':').next().unwrap());
    let another = std::fs::read(certificates.cert("another")).unwrap();
    for (file, why) in [(&b"half"[..], "holds no certificate"), (&another, "no TLS with")] {
        std::fs::write(certificates.cert("server"), file).unwrap();
        let health = scratch.run(&["health", "--set", &listen]).ok();
        assert!(health.starts_with("ready  it can serve") && health.contains(why), "{health}");
        assert_ne!(scratch.run(&["health", "--strict", "--set", &listen]).code, Some(0));
        assert_ne!(scratch.run(&["status", "--set", &listen]).code, Some(0));
    }
    assert_eq!(server.stop(), Some(0));
    scratch.run(&["health", "--set", &listen]).failed(1);
}

/// Files that make no sense are the configuration's fault, wherever they are read.
#[test]
fn certificates_that_are_no_use_are_named_with_exit_code_4() {
    let scratch = Scratch::new();
    scratch.write("not.pem", "nonsense");
    let missing = Path::new("missing.pem");
    for (cert, problem) in [
        ("not.pem", "tls.cert_file: holds no certificate in PEM"),
        (missing.to_str().unwrap(), "tls.cert_file: missing.pem: No such file"),
    ] {
        let config = format!("[tls]\ncert_file = \"{cert}\"\nkey_file = \"not.pem\"\n");
        scratch.write("mainstay.toml", &config);
        for command in [&["config", "check"][..], &["serve"]] {
            let stderr = scratch.run(command).failed(4);
            assert!(stderr.contains(problem), "{stderr}");
        }
    }
}

#[test]
fn doors_that_nothing_guards_stay_closed_to_the_world() {
    let scratch = Scratch::new();
    let check = |config: &str| {
        scratch.write("mainstay.toml", config);
        scratch.run(&["config", "check"])
    };
    let open = "[resp]\nlisten = \"0.0.0.0:0\"\n";
    let refused = check(open).failed(4);
    assert!(refused.contains("resp.listen: 0.0.0.0:0 is reachable from elsewhere"), "{refused}");
    check(&format!("{open}{USERS}")).ok();
    let anyone = check(&format!("{open}{USERS}[users.default]\n")).failed(4);
    assert!(anyone.contains("resp.listen"), "{anyone}");
    let http = check("[http]\nlisten = \"0.0.0.0:0\"\n").failed(4);
    assert!(http.contains("http.listen"), "{http}");
    check(&format!("[http]\nlisten = \"0.0.0.0:0\"\n{USERS}")).ok();
}

//! get, set, del against a server.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
};

use crate::support::{PATIENCE, Run, Scratch, Server};

#[test]
fn values_are_written_read_and_deleted() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    let get = || server.run(&["get", "user:1"]);

    let missing = get().failed(1);
    assert_eq!(missing, "error: there is no key `user:1`\n");
    assert_eq!(server.run(&["set", "user:1", "ada", "--ttl", "60s"]).ok(), "OK\n");
    assert_eq!(get().ok(), "ada");
    assert_eq!(server.run(&["get", "user:1", "-o", "quiet"]).ok(), "");
    let meta = server.json(&["get", "user:1"]);
    assert_eq!((&meta["key"], &meta["value"]), (&"user:1".into(), &"ada".into()));
    assert!(meta["ttl"].as_f64().is_some_and(|ttl| ttl > 0.0 && ttl <= 60.0), "{meta}");

    assert_eq!(server.run(&["del", "user:1", "user:2"]).ok(), "OK\n");
    get().failed(1);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_list_of_keys_is_read_once_from_a_file_or_from_standard_input() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    server.run(&["set", "user:1", "ada"]).ok();
    server.run(&["set", "user:2", "bob"]).ok();
    std::fs::write(scratch.path().join("keys"), "user:1\n\nuser:2\nuser:3\n").unwrap();
    assert_eq!(server.run(&["warm", "keys"]).ok(), "2 found, 1 not there, 0 failed\n");
    let tally = server.json(&["warm", "keys", "--prefix", "no:", "--concurrency", "2"]);
    assert_eq!(tally, serde_json::json!({ "found": 0, "missing": 3, "failed": 0 }));
    let mut command = server.command(&["warm", "-", "--prefix", "user:"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"1\n2").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "2 found, 0 not there, 0 failed\n");
    server.run(&["warm", "no such file"]).failed(2);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn keys_and_values_are_any_bytes() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    let key = "a/b?c=d e%20ü/../.";
    let value: Vec<u8> = (0..=255).collect();
    std::fs::write(scratch.path().join("value"), &value).unwrap();
    server.run(&["set", key, "--file", "value"]).ok();
    let read = server.command(&["get", key]).output().unwrap();
    assert_eq!(read.stdout, value);

    let mut piped = server
        .command(&["set", key, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(b"from a pipe").unwrap();
    assert!(piped.wait().unwrap().success());
    assert_eq!(server.run(&["get", key]).ok(), "from a pipe");
    server.run(&["set", key, "--", "-v"]).ok();
    assert_eq!(server.run(&["get", key]).ok(), "-v");
}

#[test]
fn conditions_hold_or_fail_with_1() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    let first = server.json(&["set", "k", "1", "--create"]);
    let version = first["version"].as_str().unwrap().to_owned();
    assert!(server.run(&["set", "k", "2", "--create"]).failed(1).starts_with("error: "));
    server.run(&["set", "k", "2", "--if-version", &version]).ok();
    server.run(&["set", "k", "3", "--if-version", &version]).failed(1);
    server.run(&["del", "k", "--if-version", &version]).failed(1);
    assert_eq!(server.run(&["get", "k"]).ok(), "2");
}

#[test]
fn what_one_door_takes_the_other_gives() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    let mut redis = TcpStream::connect(&server.resp).unwrap();
    redis.set_read_timeout(Some(PATIENCE)).unwrap();
    redis.write_all(b"SET user:1 ada EX 60\r\n").unwrap();
    let mut answer = [0; 5];
    redis.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n");
    assert_eq!(server.run(&["get", "user:1"]).ok(), "ada");
}

#[test]
fn without_a_server_the_address_is_named() {
    let scratch = Scratch::new();
    for command in [&["get", "k"][..], &["set", "k", "v"], &["health"], &["status"], &["events"]] {
        let mut command = scratch.command(command);
        // Port 1 is not listened on.
        let run = Run::of(command.env("MAINSTAY__HTTP__LISTEN", "127.0.0.1:1"));
        let stderr = run.failed(1);
        assert!(stderr.contains("cannot reach the server at 127.0.0.1:1"), "{stderr}");
        assert!(stderr.contains("\nhint: is `mainstay serve` running?"), "{stderr}");
    }
}

#[test]
fn a_token_is_sent_where_it_belongs() {
    let scratch = Scratch::new();
    scratch.write("token", "correct-horse-battery\n");
    scratch.write("m.toml", "[http]\ntoken_file = \"token\"\n");
    let server = Server::start_with(&scratch, &[("MAINSTAY_CONFIG", "m.toml")]);
    let refused = server.run(&["get", "k"]).failed(1);
    assert!(refused.contains("hint: give the token"), "{refused}");
    server.run(&["set", "k", "v", "--token-file", "token"]).ok();
    // The same configuration as the server's: address and token come from there.
    let listen = format!("http.listen={}", server.http);
    let args = ["-c", "m.toml", "--set", &listen, "get", "k"];
    assert_eq!(scratch.run(&args).ok(), "v");
}

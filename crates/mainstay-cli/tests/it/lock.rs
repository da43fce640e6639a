//! lock and locks against a server: a command runs under a lock, and ends when the lock is lost.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{Run, Scratch, Server};

/// Waits until the command under the lock says that it runs.
fn wait_for_line(child: &mut Child) {
    let mut line = [0; 8];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"started\n");
}

#[test]
fn a_command_runs_under_a_lock_with_its_token_and_gives_its_exit_code() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    let script = "echo $MAINSTAY_LOCK_NAME $MAINSTAY_LOCK_TOKEN $MAINSTAY_LOCK_GUARANTEE";
    assert_eq!(server.run(&["lock", "job", "--", "sh", "-c", script]).ok(), "job 1 host\n");
    assert_eq!(server.run(&["lock", "job", "--", "sh", "-c", script]).ok(), "job 2 host\n");
    server.run(&["lock", "job", "--", "sh", "-c", "exit 7"]).failed(7);
    server.run(&["lock", "job", "--", "sh", "-c", "kill -9 $$"]).failed(137);
    server.run(&["lock", "job", "--", "/no/such/program"]).failed(1);
    server.run(&["lock", "job", "--require", "fenced", "--", "true"]).failed(1);
    let locks = server.json(&["locks"]);
    assert_eq!(
        (&locks["locks"][0]["name"], &locks["locks"][0]["held"]),
        (&"job".into(), &false.into())
    );
    assert!(server.run(&["locks"]).ok().contains("job  token 5  free"));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_second_one_is_refused_while_the_first_holds_it_and_waits_when_told_to() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    let mut first = server.command(&[
        "lock",
        "job",
        "--ttl",
        "5s",
        "--",
        "sh",
        "-c",
        "echo started; read line",
    ]);
    let mut first = first.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for_line(&mut first);
    // Longer than the lease: it is renewed.
    let refused = server.run(&["lock", "job", "--wait", "7s", "--", "true"]).failed(1);
    assert!(refused.contains("held by \"mainstay lock, process"), "{refused}");
    drop(first.stdin.take());
    server.run(&["lock", "job", "--wait", "10s", "--", "true"]).ok();
    assert_eq!(first.wait().unwrap().code(), Some(1), "read met the end of its input");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_command_is_ended_when_its_lock_can_not_be_renewed() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    let ended = scratch.path().join("ended");
    let script = format!(
        "trap 'touch {}; exit 0' TERM; echo started; while true; do sleep 0.1; done",
        ended.display()
    );
    let mut holder = server.command(&["lock", "job", "--ttl", "3s", "--", "sh", "-c", &script]);
    let mut holder = holder.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_line(&mut holder);
    assert_eq!(server.stop(), Some(0));
    let output = holder.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("the lock `job` was lost"), "{text}");
    assert!(ended.exists(), "it was asked to end");
}

/// Stopped with all that it runs, as a terminal or a frozen container does it.
#[test]
fn a_command_that_is_stopped_past_its_lease_is_ended_when_it_goes_on() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    let script = "echo started; read line";
    let mut holder = server.command(&["lock", "job", "--ttl", "3s", "--", "sh", "-c", script]);
    holder.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    wait_for_line(&mut holder);
    let group = format!("-{}", holder.id());
    let signal = |name| Command::new("kill").args(["-s", name, "--", &group]).status().unwrap();
    assert!(signal("STOP").success());
    server.run(&["lock", "job", "--wait", "30s", "--", "true"]).ok();
    assert!(signal("CONT").success());
    // Nobody ends what it reads before it has ended.
    let _input = holder.stdin.take();
    let output = holder.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("the lock `job` was lost"), "{text}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a server that answers late")]
fn a_command_does_not_begin_when_the_lease_had_ended_before_the_answer_came() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let grant = r#"{"holder":"1","token":1,"guarantee":"fenced","ttl_ms":100}"#;
        let answers = [("201 Created", grant), ("412 Precondition Failed", "{}")];
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let read = stream.read(&mut [0; 4096]).unwrap();
            assert!(read > 0);
            std::thread::sleep(Duration::from_millis(150));
            let length = body.len();
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        }
    });
    let mut command = scratch.command(&["lock", "job", "--ttl", "100ms", "--", "touch", "begun"]);
    let refused = Run::of(command.env("MAINSTAY_URL", url)).failed(1);
    assert!(refused.contains("its lease had ended when the answer came"), "{refused}");
    assert!(!scratch.path().join("begun").exists());
    server.join().unwrap();
}

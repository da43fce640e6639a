//! How the server starts and ends.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use crate::support::{Scratch, Server};

#[test]
fn with_nothing_configured_it_serves_and_keeps_what_it_took() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    server.run(&["set", "k", "v"]).ok();
    assert_eq!(server.stop(), Some(0));
    assert!(scratch.path().join("mainstay-data/mainstay.db").exists());

    let again = Server::start(&scratch);
    assert_eq!(again.run(&["get", "k"]).ok(), "v");
    again.signal("INT");
    assert_eq!(again.logged("stopped")["clean"], true);
    assert_eq!(again.ended(), Some(0));
}

#[test]
fn a_hangup_reads_the_configuration_anew_and_says_so() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    server.signal("HUP");
    server.logged("configuration reloaded, 0 applied: nothing differs (by SIGHUP)");
    server.run(&["set", "k", "v"]).ok();
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_second_signal_forces_the_end() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    // A request whose body never comes keeps the server from being done.
    let mut stuck = TcpStream::connect(&server.http).unwrap();
    let head = "PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    stuck.write_all(head.as_bytes()).unwrap();
    let mut begun = [0; 12];
    stuck.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 100");
    server.signal("TERM");
    server.logged("stopping; a second signal forces it");
    server.signal("TERM");
    assert_eq!(server.logged("stopped")["clean"], false);
    assert_eq!(server.ended(), Some(3));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (mine, other, key) in
        [("--resp", "--http", "resp.listen"), ("--http", "--resp", "http.listen")]
    {
        let stderr = scratch
            .run(&["serve", mine, &address, other, "127.0.0.1:0", "--log-level", "off"])
            .failed(1);
        let lines: Vec<&str> = stderr.lines().collect();
        assert!(lines[0].starts_with(&format!("error: {key}: ")), "{stderr}");
        assert!(lines[0].contains(&address) && lines[0].contains("in use"), "{stderr}");
        assert!(lines[1].starts_with("hint: is another mainstay running?"), "{stderr}");
    }
}

#[test]
fn a_bad_configuration_never_starts() {
    let scratch = Scratch::new();
    scratch.write("mainstay.toml", "[limits]\ndeadline = 5\n");
    let stderr = scratch.run(&["serve"]).failed(4);
    assert!(
        stderr.starts_with("error: mainstay.toml:2:12: limits.deadline: 5 has no unit"),
        "{stderr}"
    );
    let missing = scratch.run(&["serve", "--config", "nowhere.toml"]).failed(4);
    assert!(missing.starts_with("error: nowhere.toml: cannot be read"), "{missing}");
    let open =
        scratch.run(&["serve", "--set", "limits.deadline=5s", "--http", "0.0.0.0:0"]).failed(4);
    assert!(open.starts_with("error: flag --http: http.listen: "), "{open}");
}

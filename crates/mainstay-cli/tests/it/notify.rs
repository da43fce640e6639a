//! What a service manager is told, from the start to the end.

use std::os::unix::net::UnixDatagram;

use crate::support::{PATIENCE, Scratch, Server};

/// The next message, and none but signs of life before it.
#[track_caller]
fn next(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    loop {
        let length = manager.recv(&mut buffer).expect("a message");
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        if !text.starts_with("WATCHDOG=1") {
            return text;
        }
    }
}

#[test]
fn a_service_manager_is_told_of_each_turn_and_that_the_server_lives() {
    let scratch = Scratch::new();
    let place = scratch.path().join("notify.sock");
    let manager = UnixDatagram::bind(&place).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let variables = [("NOTIFY_SOCKET", place.to_str().unwrap()), ("WATCHDOG_USEC", "300000")];
    let server = Server::start_with(&scratch, &variables);
    assert_eq!(next(&manager), "READY=1");
    // Told ready, both doors are open.
    server.run(&["set", "k", "v"]).ok();

    let mut buffer = [0; 4096];
    let mut sentence = String::new();
    for _ in 0..3 {
        let length = manager.recv(&mut buffer).expect("a sign of life");
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        assert!(text.starts_with("WATCHDOG=1"), "{text}");
        sentence.push_str(text.split_once("STATUS=").map_or("", |(_, sentence)| sentence));
    }
    assert!(!sentence.is_empty(), "the state stands beside the first sign of life");

    server.signal("HUP");
    assert!(next(&manager).starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(next(&manager), "READY=1");

    server.signal("TERM");
    assert_eq!(next(&manager), "STOPPING=1\nSTATUS=Stopping: SIGTERM");
    assert_eq!(server.ended(), Some(0));
}

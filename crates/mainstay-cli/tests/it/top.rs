//! `mainstay top` in a pseudo terminal, against a real server.

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

use crate::support::{PATIENCE, Scratch, Server};

/// Runs it in a terminal of 80 x 24, says how it ended, and whether the terminal is as it was.
const SHELL: &str = "stty rows 24 cols 80; before=$(stty -g); \
    sh -c 'echo $$ > pid; exec \"$MAINSTAY\" top'; code=$?; \
    test \"$before\" = \"$(stty -g)\" && echo \"the end: $code\"";

/// What switches to the screen of full-screen programs, and back.
const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

/// `script` of util-linux, which has a pseudo terminal for a command.
struct Terminal {
    child: Child,
    pieces: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    fn start(scratch: &Scratch, url: &str) -> Self {
        let mut command = Command::new("script");
        command.args(["-qec", SHELL, "/dev/null"]).current_dir(scratch.path());
        command.env("MAINSTAY", env!("CARGO_BIN_EXE_mainstay")).env("MAINSTAY_URL", url);
        command.env("TERM", "xterm").env("SHELL", "/bin/sh");
        command.env_remove("MAINSTAY_CONFIG").env_remove("MAINSTAY_OUTPUT");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("util-linux");
        let pieces = read(&mut child);
        Self { child, pieces, shown: String::new() }
    }

    /// Waits until this has been written.
    #[track_caller]
    fn until(&mut self, text: &str) {
        while !self.shown.contains(text) {
            let piece = self.pieces.recv_timeout(PATIENCE);
            let piece = piece.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// It ended well, and the terminal is as it was.
    #[track_caller]
    fn ended(mut self) {
        self.until("the end: ");
        self.until("the end: 0");
        let (screen, after) = self.shown.split_once(ENTER).unwrap().1.split_once(LEAVE).unwrap();
        assert!(!screen.contains("the end") && after.contains("the end"), "{:?}", self.shown);
        assert!(after.contains("\u{1b}[?25h") || screen.contains("\u{1b}[?25h"), "no cursor");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test reads a pipe beside its own work")]
fn read(child: &mut Child) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    let mut stdout = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stdout.read(&mut buffer) {
            // The test may have ended before the terminal.
            let _ = sender.send(buffer[..length].to_vec());
        }
    });
    receiver
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_is_watched_until_a_key_ends_it() {
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch, &[("DATABASE_URL", "sqlite:./own.db")]);
    let mut terminal = Terminal::start(&scratch, &format!("http://{}", server.http));
    terminal.until("HEALTHY");
    terminal.until("sqlite");
    server.run(&["drain", "db", "--for", "5m", "--reason", "a test"]).ok();
    terminal.until("drained");
    server.run(&["undrain", "db"]).ok();
    terminal.press("?");
    terminal.until("Shift-Tab");
    terminal.press("q");
    terminal.ended();
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_that_is_lost_is_waited_for_and_a_signal_ends_it() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch);
    let mut terminal = Terminal::start(&scratch, &format!("http://{}", server.http));
    terminal.until("memory");
    assert_eq!(server.stop(), Some(0));
    terminal.until("stale since");
    let pid = std::fs::read_to_string(scratch.path().join("pid")).unwrap();
    assert!(Command::new("kill").args(["-s", "TERM", pid.trim()]).status().unwrap().success());
    terminal.ended();
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let scratch = Scratch::new();
    let said = scratch.run(&["top"]).failed(2);
    assert!(said.contains("needs a terminal") && said.contains("mainstay status"), "{said}");
    let said = scratch.run(&["top", "-o", "json"]).failed(2);
    assert!(said.contains("mainstay status -o json"), "{said}");
    let said = scratch.run(&["top", "--interval", "10ms"]).failed(2);
    assert!(said.contains("at least 100ms"), "{said}");
}

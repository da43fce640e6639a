//! A drill that is told to stop, or is killed, leaves nothing running and nothing on the disk.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use mainstay::{Clock, Instant};

use crate::support::{PATIENCE, Scratch};

/// A drill in the middle of its fault, and everything that it started.
struct Drilling {
    child: Child,
    below: BTreeSet<u32>,
}

impl Drilling {
    fn start(scratch: &Scratch) -> Self {
        let mut command = scratch.command(&["drill", "redis-hang", "--for", "5m"]);
        command.env("MAINSTAY_TESTKIT_DIR", scratch.path().join("servers"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let fault = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("fault")));
        assert!(fault.is_some(), "the drill came to its fault");
        // The pipe stays open as long as the child, or writing to it would be an error.
        std::mem::forget(lines);
        let below = below(child.id());
        assert!(below.len() > 3, "a redis-server, a postgres and its children: {below:?}");
        Self { child, below }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits until it and all that it started are gone; its exit code.
    fn gone(mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        until(|| self.below.iter().all(|pid| !runs(*pid)));
        code
    }
}

#[expect(clippy::disallowed_methods, reason = "a test without a runtime looks again and again")]
fn until(mut condition: impl FnMut() -> bool) {
    let clock = Clock::system();
    let late: Instant = clock.now() + PATIENCE;
    while !condition() {
        assert!(clock.now() < late, "it never came to that");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// State and parent.
fn stat(pid: u32) -> Option<(String, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// A zombie that nobody reaps does not run.
fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z")
}

fn below(root: u32) -> BTreeSet<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids: Vec<u32> =
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let mut found = BTreeSet::new();
    let mut grown = true;
    while grown {
        let child = |pid: &&u32| {
            stat(**pid).is_some_and(|(_, parent)| parent == root || found.contains(&parent))
        };
        let new: Vec<u32> = pids.iter().filter(child).copied().collect();
        let before = found.len();
        found.extend(new);
        grown = found.len() > before;
    }
    found
}

fn left_on_disk(scratch: &Scratch) -> Vec<String> {
    let run = scratch.path().join("servers/run");
    let entries = Path::new(&run).read_dir().unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn ctrl_c_heals_and_ends_everything() {
    let scratch = Scratch::new();
    let drilling = Drilling::start(&scratch);
    drilling.signal("INT");
    assert_eq!(drilling.gone(), Some(98));
    assert_eq!(left_on_disk(&scratch), Vec::<String>::new());
}

#[test]
fn sigkill_leaves_nothing_running_and_the_next_drill_tidies_up() {
    let scratch = Scratch::new();
    let drilling = Drilling::start(&scratch);
    drilling.signal("KILL");
    assert_eq!(drilling.gone(), None);
    assert!(!left_on_disk(&scratch).is_empty(), "nobody was left to remove it");
    let args = [
        "drill",
        "loop",
        "--count",
        "40",
        "--stand-ins",
        "--database",
        "sqlite",
        "--output",
        "quiet",
    ];
    let mut next = scratch.command(&args);
    next.env("MAINSTAY_TESTKIT_DIR", scratch.path().join("servers"));
    assert!(next.status().unwrap().success());
    assert_eq!(left_on_disk(&scratch), Vec::<String>::new());
}

#[test]
fn a_server_that_ends_by_itself_ends_the_drill() {
    let scratch = Scratch::new();
    let drilling = Drilling::start(&scratch);
    let postgres = drilling.below.iter().find(|pid| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        stat(**pid).is_some_and(|(_, parent)| parent == drilling.child.id())
            && command.contains("postgres")
    });
    let pid = postgres.unwrap().to_string();
    assert!(Command::new("kill").args(["-s", "KILL", &pid]).status().unwrap().success());
    assert_eq!(drilling.gone(), Some(98));
}

//! A contender that is a process of its own, and tells what it did line by line.
//! It must not know what it does.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{
    PATIENCE, clocks,
    judge::{Grant, Section},
};

/// The process; killed when dropped.
pub(super) struct Guest {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Guest {
    pub(super) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, lines }
    }

    /// What it says next; `None`: it has ended.
    pub(super) async fn line(&mut self) -> Option<String> {
        self.lines.next_line().await.unwrap()
    }

    /// What it says behind this word, once it does.
    pub(super) async fn says(&mut self, word: &str) -> String {
        let said = async {
            loop {
                let line = self.line().await.unwrap_or_else(|| panic!("it ended without {word}"));
                if let Some(rest) = line.strip_prefix(word).and_then(|rest| rest.strip_prefix(' '))
                {
                    return rest.to_owned();
                }
            }
        };
        tokio::time::timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("it says {word}"))
    }

    /// Ends what it reads, which asks it to end.
    pub(super) fn end_input(&mut self) {
        self.input = None;
    }

    /// STOP, CONT.
    pub(super) async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
        assert!(sent.unwrap().success());
    }

    pub(super) async fn ended_well(mut self) {
        self.end_input();
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        assert!(ended.expect("it ends").unwrap().success());
    }
}

/// What stands behind `section`: the number of the lock, the token, when it was entered and left by the kernel's clock.
pub(super) fn section(text: &str, holder: &str) -> Section {
    let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().unwrap()).collect();
    let [name, token, enter, leave] = numbers[..] else { panic!("four numbers: {text}") };
    let grant = Grant { name: name.try_into().unwrap(), token, holder: holder.to_owned() };
    Section { grant, enter: clocks::instant(enter), leave: clocks::instant(leave) }
}

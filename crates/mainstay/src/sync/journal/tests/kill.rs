//! A process that is killed without warning: what it said was on the disk is there.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::*;

const FOLDER: &str = "MAINSTAY_TEST_JOURNAL";

/// Only as the process that is to be killed: it appends, applies, and says so, until it is.
#[tokio::test]
#[ignore = "the parent starts it"]
async fn child() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let journal = open(Path::new(&dir)).await;
    loop {
        let writes = (0..8).map(|number| append(&journal, set(&format!("k{number}"), "value")));
        for result in futures_util::future::join_all(writes).await {
            println!("\nacknowledged {}", result.unwrap());
        }
        let first = seqs(&journal)[0];
        println!("\napplying {first}");
        journal.applied(first, soon()).await.unwrap();
    }
}

/// Runs the child until it has said enough, kills it, and returns what it had acknowledged, and begun to apply.
fn run_and_kill(folder: &Folder, enough: usize) -> (Vec<u64>, Vec<u64>) {
    let name = "sync::journal::tests::kill::child";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut acknowledged, mut applying) = (Vec::new(), Vec::new());
    for line in lines.map_while(std::io::Result::ok) {
        let number =
            |word: &str| line.strip_prefix(word).and_then(|number| number.parse::<u64>().ok());
        acknowledged.extend(number("acknowledged "));
        applying.extend(number("applying "));
        // SIGKILL; what is in the pipe by then is read to its end.
        if acknowledged.len() == enough {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success());
    assert!(acknowledged.len() >= enough, "the child ended early");
    (acknowledged, applying)
}

#[tokio::test]
async fn what_was_acknowledged_survives_sigkill() {
    let folder = Folder::new("kill");
    let (mut waits, mut done) = (std::collections::BTreeSet::new(), Vec::new());
    for enough in [1, 40, 100] {
        let (acknowledged, applying) = run_and_kill(&folder, enough);
        assert!(acknowledged.iter().all(|seq| !waits.contains(seq)), "a number was given twice");
        waits.extend(acknowledged);
        done.extend(applying);
        let journal = open(folder.path()).await;
        let pending = seqs(&journal);
        let missing = waits.iter().find(|seq| !pending.contains(seq) && !done.contains(seq));
        assert_eq!(missing, None);
        assert_eq!(journal.report().corrupt, []);
        journal.close().await;
    }
}

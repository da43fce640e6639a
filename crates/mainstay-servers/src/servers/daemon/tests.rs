use super::*;
use crate::servers::workdir::WorkDir;

fn shell(dir: &WorkDir, script: &str) -> Daemon {
    Daemon::new(Launch {
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        dir: dir.path().to_owned(),
        user: None,
    })
}

fn state(pid: u32) -> String {
    stat(pid).map_or_else(|| "gone".to_owned(), |(state, _)| state)
}

async fn eventually(mut condition: impl FnMut() -> bool) {
    let done = async {
        while !condition() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), done).await.expect("the condition never held");
}

#[tokio::test]
async fn signals_reach_children_in_other_sessions() {
    let dir = WorkDir::new("unit").unwrap();
    let mut daemon = shell(&dir, "setsid sleep 1000 & wait");
    daemon.start(async || true).await.unwrap();
    let pid = daemon.pid().unwrap();
    eventually(|| descendants(pid).len() == 1).await;
    let child = descendants(pid)[0];
    daemon.stop();
    eventually(|| state(pid) == "T" && state(child) == "T").await;
    daemon.cont();
    eventually(|| state(pid) != "T" && state(child) != "T").await;
    daemon.stop();
    drop(daemon);
    assert_eq!(state(pid), "gone");
    eventually(|| matches!(state(child).as_str(), "gone" | "Z")).await;
}

#[tokio::test]
async fn a_process_that_ends_is_reported_with_its_log() {
    let dir = WorkDir::new("unit").unwrap();
    let mut daemon = shell(&dir, "echo no such configuration >&2; exit 1");
    let error = daemon.start(async || false).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("exited") && text.contains("no such configuration"), "{text}");
    assert!(!daemon.running());
}

#[tokio::test]
async fn what_runs_in_an_abandoned_directory_is_killed() {
    let dir = WorkDir::new("unit").unwrap();
    let mut daemon = shell(&dir, "exec sleep 1000");
    daemon.start(async || true).await.unwrap();
    eventually(|| {
        fs::read_link(format!("/proc/{}/cwd", daemon.pid().unwrap()))
            .is_ok_and(|cwd| cwd == dir.path())
    })
    .await;
    kill_inside(dir.path());
    assert!(daemon.ended(Duration::from_secs(20)).await);
}

#[tokio::test]
async fn where_the_system_does_not_a_shell_ends_what_we_leave_behind() {
    let mut command = Command::new("sleep");
    command.arg("1000").process_group(0);
    let mut left = spawn(command).unwrap();
    let mut watch = watch(left.id()).unwrap();
    // What happens to the pipe when this process is killed.
    drop(watch.stdin.take());
    eventually(|| state(left.id()) == "Z").await;
    left.wait().unwrap();
    watch.wait().unwrap();
}

//! One server process and its descendants: launched, stopped, continued and killed as a whole.
//! Knows nothing of what the process serves.

use super::error::io_error;
use super::user::User;
use super::{ServerError, binary};
use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

/// How long a server may take to be ready, on a machine with much else to do.
const READY: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(10);
const LOG_TAIL: usize = 2_000;

/// How a server is started; the same again at each restart.
#[derive(Debug, Clone)]
pub struct Launch {
    /// A name to be found, or a path.
    pub program: Cow<'static, str>,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where it runs, and where its log is kept.
    pub dir: PathBuf,
    /// Whom it runs as, where that is not this process's user.
    pub user: Option<User>,
}

/// A server process, or the place where one was.
#[derive(Debug)]
pub struct Daemon {
    launch: Launch,
    /// What its environment has besides.
    variables: Vec<(String, String)>,
    child: Option<Child>,
    watch: Option<Child>,
}

impl Daemon {
    /// Nothing runs yet.
    pub fn new(launch: Launch) -> Self {
        Self { launch, variables: Vec::new(), child: None, watch: None }
    }

    /// What the environment has besides from the next start on.
    pub(crate) fn set_variables(&mut self, variables: &[(String, String)]) {
        self.variables = variables.to_vec();
    }

    /// Starts the process and waits until `ready` says yes.
    ///
    /// # Errors
    /// When it ends before, or is not ready in time.
    pub async fn start<F: Future<Output = bool>>(
        &mut self,
        ready: impl FnMut() -> F,
    ) -> Result<(), ServerError> {
        self.kill();
        let (child, watch) = launch(&self.launch, &self.variables)?;
        (self.child, self.watch) = (Some(child), watch);
        self.wait(ready).await
    }

    /// Waits until `ready` says yes; fails as soon as the process has ended.
    pub async fn wait<F: Future<Output = bool>>(
        &mut self,
        mut ready: impl FnMut() -> F,
    ) -> Result<(), ServerError> {
        let deadline = tokio::time::Instant::now() + READY;
        while tokio::time::Instant::now() < deadline {
            if !self.running() {
                return Err(self.not_ready("exited".to_owned()));
            }
            if ready().await {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(self.not_ready(format!("did not answer within {READY:?}")))
    }

    /// Waits until the process has ended by itself; false if it has not within `limit`.
    pub async fn ended(&mut self, limit: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + limit;
        while self.running() {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        true
    }

    /// Whether the process is there.
    pub fn running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The process, unless it has been killed.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL to the process and its descendants; returns when all are gone.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if matches!(child.try_wait(), Ok(None)) {
            // Stopped first, so that it cannot have a child that the list lacks.
            let descendants = stop_all(child.id());
            signal("KILL", &descendants);
            let _already_dead = child.kill();
            let _status = child.wait();
            await_end(&descendants);
        }
        if let Some(mut watch) = self.watch.take() {
            let _already_dead = watch.kill();
            let _status = watch.wait();
        }
    }

    /// SIGSTOP: connected clients get no answer, new ones are accepted by the kernel.
    pub fn stop(&self) {
        self.pid().inspect(|pid| drop(stop_all(*pid)));
    }

    /// SIGCONT, the reverse of [`Daemon::stop`].
    pub fn cont(&self) {
        let Some(pid) = self.pid() else { return };
        signal("CONT", &descendants(pid));
        signal("CONT", &[pid]);
    }

    fn not_ready(&self, why: String) -> ServerError {
        let log = fs::read_to_string(log_path(&self.launch.dir)).unwrap_or_default();
        let tail = log.char_indices().rev().nth(LOG_TAIL).map_or(0, |(start, _)| start);
        ServerError::NotReady {
            server: self.launch.program.clone().into_owned(),
            why,
            log: log[tail..].to_owned(),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// The process; and who watches over it, where the system does not.
fn launch(
    launch: &Launch,
    variables: &[(String, String)],
) -> Result<(Child, Option<Child>), ServerError> {
    let program = binary::find(&launch.program)?;
    let setpriv = binary::find("setpriv");
    let follows = setpriv.is_ok();
    let mut command = match setpriv {
        Ok(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        Err(_) => Command::new(program),
    };
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log_path(&launch.dir))
        .map_err(io_error("open a log"))?;
    let errors = log.try_clone().map_err(io_error("open a log"))?;
    command.args(&launch.args).current_dir(&launch.dir).process_group(0);
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    if let Some(user) = launch.user {
        command.uid(user.uid).gid(user.gid);
    }
    let child = spawn(command).map_err(io_error(format!("start {}", launch.program)))?;
    let watch = if follows { None } else { watch(child.id()) };
    Ok((child, watch))
}

/// A shell that reads from a pipe of ours: when we are gone it kills the group of this process.
fn watch(group: u32) -> Option<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", "read -r _; kill -s KILL -- \"-$0\"", &group.to_string()]);
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().ok()
}

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Spawns from a thread that lives as long as the process: the parent-death signal follows the thread, not the process.
fn spawn(command: Command) -> std::io::Result<Child> {
    static LAUNCHER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let launcher = LAUNCHER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in orders {
                let _asker_gone = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, answer) = mpsc::channel();
    let gone = || std::io::Error::other("the launcher thread is gone");
    launcher.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// Sends a signal through the shell's own `kill`: no program to install, no unsafe code.
fn signal(name: &str, pids: &[u32]) {
    if pids.is_empty() {
        return;
    }
    let pids = pids.iter().map(u32::to_string);
    let _some_are_gone = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$@\" 2>/dev/null", name])
        .args(pids)
        .status();
}

/// Stops a process, then all below it, and returns those; all have stopped when this returns.
fn stop_all(root: u32) -> Vec<u32> {
    stop_each(&[root]);
    let below = descendants(root);
    stop_each(&below);
    below
}

fn stop_each(pids: &[u32]) {
    signal("STOP", pids);
    await_states(pids, &["T", "t", "Z"]);
}

/// All processes below `root`. PostgreSQL puts each of its children into a session of its own, so a signal to the
/// process group would miss them.
fn descendants(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = pids().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
        next += 1;
    }
    found.split_off(1)
}

/// Kills every process whose working directory lies inside an abandoned directory of ours.
pub(super) fn kill_inside(dir: &Path) {
    let inside =
        |pid: &u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
    let left: Vec<u32> = pids().filter(inside).collect();
    signal("KILL", &left);
    await_end(&left);
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.1.parse().ok()
}

/// State and parent: the two fields behind the name, which may itself hold spaces and brackets.
fn stat(pid: u32) -> Option<(String, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
}

/// Waits until killed processes that are not our own children are gone (or are zombies that nobody reaps).
fn await_end(pids: &[u32]) {
    await_states(pids, &["Z"]);
}

/// Waits until each process is in one of these states, or gone: a signal takes effect a moment after it was sent.
fn await_states(pids: &[u32], states: &[&str]) {
    for _ in 0..500 {
        if pids
            .iter()
            .all(|pid| stat(*pid).is_none_or(|(state, _)| states.contains(&state.as_str())))
        {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests;

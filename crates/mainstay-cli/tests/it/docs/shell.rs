//! A shell in a folder of the page's own, with this binary on its PATH; everything that it started ends with it.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use crate::support::Scratch;

const MARK: &str = "---end-of-command---";
/// The longest that one command of a page may take.
const PATIENCE: Duration = Duration::from_secs(180);

pub(super) struct Shell {
    child: Child,
    lines: Receiver<String>,
    /// In the environment of all that it starts, and of nobody else.
    token: String,
    /// Where all of that runs, and nobody else.
    folder: PathBuf,
}

impl Shell {
    pub(super) fn start(scratch: &Scratch, variables: &[(String, String)]) -> Self {
        let token = format!("{}-{}", std::process::id(), scratch.path().display());
        let binary = Path::new(env!("CARGO_BIN_EXE_mainstay")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc"]).current_dir(scratch.path());
        let ours = |name: &str| name.starts_with("MAINSTAY") || name.ends_with("_URL");
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        command.env("PATH", path).env("NO_COLOR", "1").env("HOME", scratch.path());
        command.env("MAINSTAY_PAGE", &token).envs(variables.iter().cloned());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = follow(&mut child);
        let folder = scratch.path().canonicalize().unwrap();
        let mut shell = Self { child, lines, token, folder };
        shell.say("exec 2>&1");
        shell
    }

    /// Runs one command; what it printed, and its exit code.
    pub(super) fn run(&mut self, command: &str) -> (Vec<String>, i32) {
        self.say(&format!("{{ {command}\n}} </dev/null; printf '\\n{MARK} %d\\n' $?"));
        let mut printed = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{command}: does not end\n{printed:#?}"));
            if let Some(code) = line.strip_prefix(MARK) {
                // The line end before the mark, and the command's own.
                while printed.last().is_some_and(String::is_empty) {
                    printed.pop();
                }
                return (printed, code.trim().parse().unwrap());
            }
            printed.push(line.trim_end().to_owned());
        }
    }

    fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // A server may have left the shell's group: each is known by its environment, or, where it writes its title over that
        // (Redis does), by its folder.
        let mark = format!("MAINSTAY_PAGE={}\0", self.token);
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let is_ours = environment.windows(mark.len()).any(|part| part == mark.as_bytes())
                || entry
                    .path()
                    .join("cwd")
                    .read_link()
                    .is_ok_and(|cwd| cwd.starts_with(&self.folder));
            if let Some(pid) = entry.file_name().to_str().filter(|_| is_ours) {
                let _ = Command::new("kill").args(["-KILL", pid]).stderr(Stdio::null()).status();
            }
        }
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test reads a pipe beside its own work")]
fn follow(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in stdout.split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Whether somebody listens there.
pub(super) fn is_open(address: SocketAddr) -> bool {
    std::net::TcpStream::connect(address).is_ok()
}

mod tests {
    use mainstay_testkit::servers::port::PortLease;

    use super::*;
    use crate::process::until;

    #[tokio::test]
    async fn a_server_in_the_background_ends_with_the_shell() {
        let (scratch, lease) = (Scratch::new(), PortLease::take().unwrap());
        let port = lease.get();
        let mut shell = Shell::start(&scratch, &[]);
        shell.run(&format!("redis-server --port {port} --save '' --daemonize yes"));
        shell.run(&format!("until redis-cli -p {port} ping; do sleep 0.05; done 2>/dev/null"));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        assert!(is_open(address));
        drop(shell);
        until("the server to be gone", async || !is_open(address)).await;
    }
}

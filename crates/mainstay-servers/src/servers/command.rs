//! Runs client programs and waits for them, within a bound.
//! Knows nothing of the servers they talk to.

use super::error::io_error;
use super::{ServerError, binary};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Longer than any client needs, shorter than a test's limit.
const LIMIT: Duration = Duration::from_secs(20);

/// One run of a client program.
pub(super) struct Run<'a> {
    program: &'a str,
    command: Command,
    input: Option<String>,
}

impl<'a> Run<'a> {
    pub(super) fn new(program: &'a str) -> Result<Self, ServerError> {
        let mut command = Command::new(binary::find(program)?);
        command.kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self { program, command, input: None })
    }

    pub(super) fn args<S: AsRef<std::ffi::OsStr>>(
        mut self,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        self.command.args(args);
        self
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(super) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(super) fn user(mut self, user: Option<super::user::User>) -> Self {
        if let Some(user) = user {
            self.command.uid(user.uid).gid(user.gid);
        }
        self
    }

    pub(super) fn input(mut self, text: &str) -> Self {
        self.input = Some(text.to_owned());
        self
    }

    /// Standard output without the last newline; standard error as the error when the program fails.
    pub(super) async fn output(mut self) -> Result<String, ServerError> {
        self.command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let program = self.program;
        let failed =
            |message: String| ServerError::Command { command: program.to_owned(), message };
        let finished = tokio::time::timeout(LIMIT, self.finish()).await;
        let output = finished
            .map_err(|_| failed(format!("no end within {LIMIT:?}")))?
            .map_err(io_error(program))?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
        if output.status.success() {
            return Ok(text);
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint = complaint.trim();
        Err(failed(if complaint.is_empty() { text } else { complaint.to_owned() }))
    }

    async fn finish(&mut self) -> std::io::Result<std::process::Output> {
        let mut child = self.command.spawn()?;
        if let (Some(text), Some(mut pipe)) = (self.input.take(), child.stdin.take()) {
            pipe.write_all(text.as_bytes()).await?;
        }
        child.wait_with_output().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_input_and_failure() {
        let echoed = Run::new("cat").unwrap().input("a\nb\n").output().await.unwrap();
        assert_eq!(echoed, "a\nb");
        let failed = Run::new("sh").unwrap().args(["-c", "echo broken >&2; exit 3"]).output().await;
        assert_eq!(failed.unwrap_err().to_string(), "sh: broken");
    }
}

//! One step of a longer command: announced, timed, and stopped at when it fails.
//! It must not know what the steps are.

use std::path::Path;
use std::process::{Command, ExitCode};

/// A program with its arguments and environment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Step {
    /// The command line, words separated by single spaces; `cargo` is the cargo that runs this.
    pub(crate) command: &'static str,
    /// Variables for it alone.
    pub(crate) environment: &'static [(&'static str, &'static str)],
}

impl Step {
    pub(crate) const fn new(command: &'static str) -> Self {
        Self { command, environment: &[] }
    }

    /// Runs it; the error is its exit code.
    pub(crate) fn run(&self, root: &Path) -> Result<(), ExitCode> {
        self.run_with(root, &[])
    }

    /// Runs it with more arguments; the error is its exit code.
    pub(crate) fn run_with(&self, root: &Path, more: &[String]) -> Result<(), ExitCode> {
        timed(self.command, || {
            let mut words = self.command.split(' ');
            let program = words.next().unwrap_or_default();
            let mut command = if program == "cargo" { cargo() } else { Command::new(program) };
            command.args(words).args(more).envs(self.environment.iter().copied());
            finish(&mut command, root)
        })
    }
}

/// Announces a step, runs it, and prints how long it took; the error is the exit code to end with.
#[expect(clippy::disallowed_methods, reason = "a build step takes real time")]
pub(crate) fn timed(name: &str, step: impl FnOnce() -> Result<(), u8>) -> Result<(), ExitCode> {
    println!("\n==> {name}");
    let begun = std::time::Instant::now();
    let outcome = step();
    let took = format!("{:.1} s", begun.elapsed().as_secs_f64());
    match outcome {
        Ok(()) => println!("    ok, {took}"),
        Err(code) => println!("    FAILED with {code}, {took}: {name}"),
    }
    outcome.map_err(ExitCode::from)
}

/// Runs a program in `root`; the error is its exit code, or 127 when there is none.
pub(crate) fn finish(command: &mut Command, root: &Path) -> Result<(), u8> {
    match command.current_dir(root).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            println!("{}: {error}", command.get_program().display());
            Err(127)
        }
    }
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Reads `90s`, `10m`, `1h`; more than none.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|seconds| *seconds > 0)
}

/// Whether a program can be found on the PATH or in a folder for servers.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    on_path
        || ["/usr/sbin", "/usr/local/sbin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_passes_its_exit_code_and_environment_on() {
        let root = Path::new("/");
        assert!(Step::new("true").run(root).is_ok());
        assert_eq!(
            format!("{:?}", Step::new("false").run(root)),
            format!("{:?}", Err::<(), _>(ExitCode::from(1)))
        );
        let missing = Step::new("no-such-program-at-all").run(root);
        assert_eq!(format!("{missing:?}"), format!("{:?}", Err::<(), _>(ExitCode::from(127))));
        let step = Step { command: "printenv STEP_TEST", environment: &[("STEP_TEST", "1")] };
        assert!(step.run(root).is_ok());
    }

    #[test]
    fn a_time_has_its_unit() {
        let read = ["90s", "10m", "1h", "0s", "10", "m", "", "1d", "99999999999999999h", "1é"];
        let times = read.map(seconds);
        let none = [None; 7];
        assert_eq!(times[..3], [Some(90), Some(600), Some(3600)]);
        assert_eq!(times[3..], none);
    }

    #[test]
    fn programs_are_found() {
        assert!(has("sh") && !has("no-such-program-at-all"));
    }
}

//! Schemathesis over the OpenAPI document against a running binary.
//! It must not know the document.

use crate::step::{Step, timed};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// The version that was passed.
const VERSION: &str = "schemathesis==4.32.5";

/// Where the binary and Schemathesis run.
const FOLDER: &str = "target/tmp/schemathesis";

/// The binary, stopped at the end.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the run has shown.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Installs Schemathesis under `target/`, starts the binary in a folder of its own, and runs; more arguments go to it.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let outcome = program(root).and_then(|program| {
        Step::new("cargo build --package mainstay-cli").run(root)?;
        let folder = root.join(FOLDER);
        // What an earlier run left.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).map_err(|error| failed(&error))?;
        let address = free().map_err(|error| failed(&error))?;
        let server = Command::new(root.join("target/debug/mainstay"))
            .args(["serve", "--resp", "127.0.0.1:0", "--http", &address])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed(&error))?;
        let _server = Server(server);
        timed("schemathesis", || test(root, &program, &address, arguments))
    });
    outcome.map_or_else(|code| code, |()| ExitCode::SUCCESS)
}

fn failed(error: &std::io::Error) -> ExitCode {
    println!("{error}");
    ExitCode::FAILURE
}

fn free() -> std::io::Result<String> {
    TcpListener::bind("127.0.0.1:0")?.local_addr().map(|address| address.to_string())
}

fn program(root: &Path) -> Result<PathBuf, ExitCode> {
    let folder = root.join("target/schemathesis");
    let program = folder.join("bin/schemathesis");
    if !program.is_file() {
        let folder = folder.display().to_string();
        Step::new("python3 -m venv").run_with(root, &[folder])?;
        let pip = root.join("target/schemathesis/bin/pip");
        timed("pip install", || status(Command::new(pip).args(["install", "-q", VERSION])))?;
    }
    Ok(program)
}

fn test(root: &Path, program: &Path, address: &str, arguments: &[String]) -> Result<(), u8> {
    let mut command = Command::new(program);
    // What it remembers of a run stays below `target/`.
    command.current_dir(root.join(FOLDER));
    command.arg("--config-file").arg(root.join("xtask/schemathesis.toml"));
    command.arg("run").arg(root.join("docs/reference/openapi.json"));
    command.args(["--url", &format!("http://{address}"), "--wait-for-schema", "20"]);
    status(command.args(arguments))
}

fn status(command: &mut Command) -> Result<(), u8> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            println!("{error}");
            Err(127)
        }
    }
}

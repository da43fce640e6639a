//! The Debian package: the binary with its units, configuration, manual pages and completions, built by dpkg-deb.
//! It must not know what is in the files of `packaging/`.

mod control;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::step::{Step, timed};

/// The command: `[--binary FILE] [--out FOLDER] [--quick]`.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let mut options = Options { binary: None, out: root.join("target/package"), quick: false };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => options.quick = true,
            "--binary" => options.binary = words.next().map(|file| root.join(file)),
            "--out" => options.out = words.next().map_or(options.out, |folder| root.join(folder)),
            _ => return crate::usage(&format!("package: unknown arguments {arguments:?}")),
        }
    }
    options.run(root).err().unwrap_or(ExitCode::SUCCESS)
}

struct Options {
    /// Packed as it is; otherwise one is built.
    binary: Option<PathBuf>,
    out: PathBuf,
    /// Compressed little: for tests.
    quick: bool,
}

impl Options {
    fn run(self, root: &Path) -> Result<(), ExitCode> {
        let binary = match self.binary {
            Some(binary) => binary,
            None => {
                Step::new("cargo build --locked --profile dist --package mainstay-cli")
                    .run(root)?;
                root.join("target/dist/mainstay")
            }
        };
        timed("the Debian package", || {
            deb(root, &binary, &self.out, self.quick).map_err(|problem| {
                println!("    {problem}");
                1
            })
        })
    }
}

fn deb(root: &Path, binary: &Path, out: &Path, quick: bool) -> Result<(), String> {
    let staged = out.join("deb");
    if staged.exists() {
        fs::remove_dir_all(&staged).map_err(|error| format!("{}: {error}", staged.display()))?;
    }
    let files = tree::Tree { root, staged: &staged };
    files.lay_out(binary)?;
    let about = control::About::of(root, &staged, binary)?;
    files.control(&about)?;
    let name = out.join(format!("mainstay_{}_{}.deb", about.version, about.architecture));
    let compression = if quick { ["-Zgzip", "-z1"] } else { ["-Zxz", "-z6"] };
    let mut build = Command::new("dpkg-deb");
    build.args(compression).args(["--root-owner-group", "--build"]).arg(&staged).arg(&name);
    output(&mut build)?;
    println!("    {}", name.display());
    Ok(())
}

/// What a program printed; its standard error is the problem when it fails.
fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{program} printed no text"))
}

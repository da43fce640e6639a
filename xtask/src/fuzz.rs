//! The fuzz targets of `fuzz/`: which there are, and how long each runs.
//! It must not know what a target does.

use crate::step::{self, has, timed};
use std::path::Path;
use std::process::{Command, ExitCode};

/// The targets; each has seeds and a dictionary under `fuzz/`.
const TARGETS: [&str; 6] = ["resp", "http", "config", "journal", "blobs", "quantities"];

/// Runs the named targets, or all of them, one after the other.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let (seconds, targets) = match read(arguments) {
        Ok(read) => read,
        Err(problem) => return crate::usage(&problem),
    };
    if !has_fuzzer() {
        println!("this needs cargo-fuzz and a nightly compiler:");
        println!("    rustup toolchain install nightly && cargo install cargo-fuzz --locked");
        return ExitCode::from(2);
    }
    for target in targets {
        if let Err(code) =
            timed(&format!("fuzz {target}, {seconds} s"), || one(root, target, seconds))
        {
            println!("    what was found is in fuzz/artifacts/{target}");
            return code;
        }
    }
    ExitCode::SUCCESS
}

fn read(arguments: &[String]) -> Result<(u64, Vec<&'static str>), String> {
    let (mut seconds, mut targets) = (60, Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--for" {
            let time = rest.next().map_or("", String::as_str);
            seconds = step::seconds(time)
                .ok_or_else(|| format!("--for takes 60s, 10m or 1h, not `{time}`"))?;
        } else if let Some(target) = TARGETS.iter().find(|target| *target == argument) {
            targets.push(*target);
        } else {
            return Err(format!("no target `{argument}`; there are {}", TARGETS.join(", ")));
        }
    }
    if targets.is_empty() {
        targets.extend(TARGETS);
    }
    Ok((seconds, targets))
}

fn has_fuzzer() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    has("cargo-fuzz") || home.is_some_and(|home| home.join("bin/cargo-fuzz").is_file())
}

/// There is no unsafe code here, so no sanitizer: it would cost half of the runs.
fn one(root: &Path, target: &str, seconds: u64) -> Result<(), u8> {
    let folder = root.join("fuzz");
    let corpus = folder.join("corpus").join(target);
    if let Err(error) = std::fs::create_dir_all(&corpus) {
        println!("{}: {error}", corpus.display());
        return Err(1);
    }
    // The toolchain of the workspace is not the one that fuzzes.
    let mut command = Command::new("cargo");
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command.args(["+nightly", "fuzz", "run", "--sanitizer", "none", "--fuzz-dir", ".", target]);
    command.arg(&corpus).arg(folder.join("seeds").join(target)).arg("--");
    command.arg(format!("-dict={}", folder.join("dict").join(format!("{target}.dict")).display()));
    command.arg(format!("-max_total_time={seconds}"));
    command.args(["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    step::finish(&mut command, &folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_targets_are_read() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(read(&[]), Ok((60, TARGETS.to_vec())));
        assert_eq!(read(&words("--for 10m resp blobs")), Ok((600, vec!["resp", "blobs"])));
        for bad in ["--for 10", "--for", "--for 0s", "nothing"] {
            assert!(read(&words(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_target_has_its_program_its_seeds_and_its_words() {
        let folder = crate::root().join("fuzz");
        for target in TARGETS {
            for path in [format!("fuzz_targets/{target}.rs"), format!("dict/{target}.dict")] {
                assert!(folder.join(&path).is_file(), "{path}");
            }
            let seeds = std::fs::read_dir(folder.join("seeds").join(target)).unwrap();
            assert!(seeds.count() > 0, "{target}");
        }
    }
}

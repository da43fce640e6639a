//! Functions that take any bytes and must neither panic nor break what they promise.
//! The suite runs `targets` over the seeds as well: `crates/mainstay-cli/tests/it/corpus.rs`.

pub mod targets;

// The binary's own modules, which no library has.
#[allow(dead_code, unused_imports, unreachable_pub)]
#[path = "../../crates/mainstay-cli/src/config/mod.rs"]
mod config;
#[allow(dead_code)]
#[path = "../../crates/mainstay-cli/src/exit.rs"]
mod exit;
#[allow(dead_code)]
#[path = "../../crates/mainstay-cli/src/client/target.rs"]
mod target;
mod client {
    pub(crate) use crate::target;
}

use std::path::PathBuf;

/// A configuration file: read, or refused in words.
///
/// # Panics
/// When that is not so.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // What would be read from elsewhere is not what is looked at.
    if text.contains("_file") {
        return;
    }
    let path = file();
    std::fs::write(&path, text).expect("shared memory");
    let env = config::Environment::from([("SET".to_owned(), "127.0.0.1:7000".to_owned())]);
    let sources = config::Sources { file: Some(&path), flags: &[], env: &env, searched: &[] };
    match config::load(&sources) {
        Ok(loaded) => {
            let shown = toml::to_string(&loaded.settings).expect("what was read can be written");
            assert!(!shown.is_empty());
            loaded.effective().expect("each value has an origin");
        }
        Err(problems) => {
            let shown = problems.to_string();
            assert!(!shown.is_empty());
            let place = format!("{}:", path.display());
            assert!(shown.lines().all(|line| line.starts_with(&place)), "no place: {shown}");
        }
    }
}

fn file() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("mainstay-fuzz-{}.toml", std::process::id()))
}

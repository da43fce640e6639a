//! One script: its text, its SHA-1, and what its first line says about it.
//! It must not know what it does.

use bytes::Bytes;

use super::known::{self, Native};

/// A longer text is refused.
pub(crate) const TEXT_MAX: usize = 1 << 20;

/// One script. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Program {
    /// In lower case, as Redis names it.
    pub(crate) sha: String,
    /// The Lua text, without a first line that is no Lua.
    pub(crate) text: Bytes,
    /// Whether it declares that it does not write.
    pub(crate) no_writes: bool,
    /// What it means, when it is one that can be done without running it.
    pub(crate) native: Option<Native>,
}

impl Program {
    /// Reads a script.
    ///
    /// # Errors
    /// Redis's words for a first line that it does not understand; a text that is too long.
    pub(crate) fn new(text: Bytes) -> Result<Self, String> {
        if text.len() > TEXT_MAX {
            return Err(format!("ERR a script is at most {TEXT_MAX} bytes long"));
        }
        let sha = sha1_hex(&text);
        let native = known::find(&sha).and_then(|known| known.native);
        let (text, no_writes) = match text.strip_prefix(b"#!") {
            None => (text, false),
            Some(rest) => {
                let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                // The line end stays: lines keep their numbers.
                (text.slice(end + 2..), shebang(&rest[..end])?)
            }
        };
        Ok(Self { sha, text, no_writes, native })
    }

    /// The well-known script of this SHA-1.
    pub(crate) fn well_known(sha: &str) -> Option<Self> {
        let known = known::find(sha)?;
        Some(Self {
            sha: sha.to_owned(),
            text: Bytes::from_static(known.text.as_bytes()),
            no_writes: false,
            native: known.native,
        })
    }
}

/// Reads `lua flags=no-writes`; whether it declares that it does not write.
fn shebang(line: &[u8]) -> Result<bool, String> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    let engine = words.next().unwrap_or_default();
    if engine != "lua" {
        return Err(format!("ERR Unexpected engine in script shebang: {engine}"));
    }
    let mut no_writes = false;
    for word in words {
        let Some(flags) = word.strip_prefix("flags=") else {
            return Err(format!("ERR Unknown lua shebang option: {word}"));
        };
        for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
            match flag {
                "no-writes" => no_writes = true,
                "allow-oom" | "allow-stale" | "no-cluster" | "allow-cross-slot-keys" => {}
                other => return Err(format!("ERR Unexpected flag in script shebang: {other}")),
            }
        }
    }
    Ok(no_writes)
}

/// SHA-1 in lower-case hexadecimal digits.
pub(super) fn sha1_hex(bytes: &[u8]) -> String {
    sha1_smol::Sha1::from(bytes).digest().to_string()
}

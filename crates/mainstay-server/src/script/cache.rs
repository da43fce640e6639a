//! The scripts that were sent, by their SHA-1: bounded in count and bytes, the longest unused goes first.
//! It must not know what they do.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::program::Program;

/// Scripts at most.
const COUNT_MAX: usize = 1_000;

/// Bytes of their texts at most.
const BYTES_MAX: usize = 16 << 20;

/// The scripts that one server knows.
#[derive(Debug, Default)]
pub(crate) struct Scripts(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    programs: HashMap<String, (u64, Program)>,
    bytes: usize,
    /// Rises with each use.
    uses: u64,
}

impl Scripts {
    /// The script of this SHA-1, in any case: one that was sent, or a well-known one.
    pub(crate) fn get(&self, sha: &[u8]) -> Option<Program> {
        let sha = std::str::from_utf8(sha).ok().filter(|sha| sha.len() == 40)?.to_ascii_lowercase();
        let mut kept = self.lock();
        kept.uses += 1;
        let now = kept.uses;
        match kept.programs.get_mut(&sha) {
            Some((used, program)) => {
                *used = now;
                Some(program.clone())
            }
            None => Program::well_known(&sha),
        }
    }

    /// Keeps a script. Its memory is its own: it was a part of a large request.
    pub(crate) fn put(&self, program: &Program) {
        let mut kept = self.lock();
        kept.uses += 1;
        let now = kept.uses;
        if let Some((used, _)) = kept.programs.get_mut(&program.sha) {
            *used = now;
            return;
        }
        while !kept.programs.is_empty()
            && (kept.programs.len() >= COUNT_MAX || kept.bytes + program.text.len() > BYTES_MAX)
        {
            kept.drop_oldest();
        }
        kept.bytes += program.text.len();
        let own = bytes::Bytes::copy_from_slice(&program.text);
        let program = Program { text: own, ..program.clone() };
        kept.programs.insert(program.sha.clone(), (now, program));
    }

    /// Forgets one that turned out not to be Lua.
    pub(crate) fn forget(&self, sha: &str) {
        self.lock().remove(sha);
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        *self.lock() = Kept::default();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, sha: &str) {
        if let Some((_, program)) = self.programs.remove(sha) {
            self.bytes -= program.text.len();
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = self.programs.iter().min_by_key(|(_, (used, _))| *used);
        if let Some(sha) = oldest.map(|(sha, _)| sha.clone()) {
            self.remove(&sha);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn program(text: String) -> Program {
        Program::new(Bytes::from(text)).unwrap()
    }

    #[test]
    fn the_longest_unused_goes_first_and_both_bounds_hold() {
        let scripts = Scripts::default();
        let first = program("return 0".to_owned());
        scripts.put(&first);
        for number in 1..COUNT_MAX {
            scripts.put(&program(format!("return {number}")));
        }
        assert!(scripts.get(first.sha.to_uppercase().as_bytes()).is_some());
        scripts.put(&program("return 'one more'".to_owned()));
        assert_eq!(scripts.lock().programs.len(), COUNT_MAX);
        assert!(scripts.get(first.sha.as_bytes()).is_some(), "it was used since");
        assert!(scripts.get(program("return 1".to_owned()).sha.as_bytes()).is_none());
        for number in 0..20 {
            scripts.put(&program(format!(
                "return '{}'",
                number.to_string().repeat(999_990 / number.to_string().len())
            )));
        }
        assert!(scripts.lock().bytes <= BYTES_MAX);
        assert!(scripts.lock().programs.len() <= 17);
        scripts.clear();
        assert_eq!(scripts.lock().bytes, 0);
        assert_eq!(scripts.lock().programs.len(), 0);
    }
}

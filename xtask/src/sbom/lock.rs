//! The sums of Cargo.lock.
//! It must not know what is linked in.

use std::collections::BTreeMap;

/// SHA-256 of what the registry gave, by name and version; ours have none.
pub(super) type Sums = BTreeMap<(String, String), String>;

/// Reads the entries of a lock file.
pub(super) fn sums(lock: &str) -> Sums {
    let entries = lock.split("[[package]]").skip(1);
    let field = |entry: &str, name: &str| {
        let line = entry.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let entry = |entry| {
        Some(((field(entry, "name")?, field(entry, "version")?), field(entry, "checksum")?))
    };
    entries.filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_of_a_registry_have_a_sum() {
        let lock = "version = 4\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"00\"\n";
        let sums = sums(lock);
        assert_eq!(sums.len(), 1);
        assert_eq!(sums[&("a".to_owned(), "1.0.0".to_owned())], "00");
    }
}

//! What `cargo tree` says is linked into the binary: each package once, with what it needs.
//! It must not know the document.

use std::collections::{BTreeMap, BTreeSet};

/// Depth, package and license of each line; what only builds or tests need is left out.
pub(super) const COMMAND: &[&str] = &[
    "tree",
    "--locked",
    "--offline",
    "--package",
    "mainstay-cli",
    "--edges",
    "normal",
    "--prefix",
    "depth",
    "--format",
    "{p}\t{l}",
];

/// A package and the ids of those that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    /// Where it comes from, as package URLs name it.
    pub(super) registry: &'static str,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: String,
    pub(super) needs: BTreeSet<String>,
}

impl Package {
    /// The package URL, which is the same for all who speak of it.
    pub(super) fn id(&self) -> String {
        format!("pkg:{}/{}@{}", self.registry, self.name, self.version)
    }
}

/// The root first, the rest in the order of their ids.
pub(super) fn packages(tree: &str) -> Result<Vec<Package>, String> {
    let mut found: BTreeMap<String, Package> = BTreeMap::new();
    let mut above: Vec<String> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (depth, package) = parse(line).ok_or_else(|| format!("cargo tree says {line:?}"))?;
        let id = package.id();
        above.truncate(depth);
        if let Some(parent) = above.last().and_then(|parent| found.get_mut(parent)) {
            parent.needs.insert(id.clone());
        }
        above.push(id.clone());
        found.entry(id).or_insert(package);
    }
    let root =
        above.first().and_then(|root| found.remove(root)).ok_or("cargo tree says nothing")?;
    Ok(std::iter::once(root).chain(found.into_values()).collect())
}

/// `2bytes v1.11.0 (proc-macro)<tab>MIT (*)`.
fn parse(line: &str) -> Option<(usize, Package)> {
    let digits = line.find(|c: char| !c.is_ascii_digit())?;
    let depth = line[..digits].parse().ok()?;
    let (package, license) = line[digits..].split_once('\t')?;
    let mut words = package.split(' ');
    let name = words.next()?.to_owned();
    let version = words.next()?.strip_prefix('v')?.to_owned();
    let license = license.trim_end_matches("(*)").trim().to_owned();
    Some((depth, Package { registry: "cargo", name, version, license, needs: BTreeSet::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read() {
        let tree = "0a v1.0.0 (/src)\tMIT\n1c v2.0.0\tMIT\n2b v1.0.0 (proc-macro)\tMIT AND ISC\n1b v1.0.0\tMIT AND ISC (*)\n";
        let read = packages(tree).unwrap();
        let names: Vec<&str> = read.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let needs: Vec<&str> = read[0].needs.iter().map(String::as_str).collect();
        assert_eq!(needs, ["pkg:cargo/b@1.0.0", "pkg:cargo/c@2.0.0"]);
        assert_eq!(read[1].license, "MIT AND ISC");
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        assert!(packages("no tree").is_err() && packages("").is_err());
    }
}

//! One source file, and which of its lines are code.
//! It must not know the rules.

use std::fs;
use std::io;
use std::path::Path;

/// A Rust file of the workspace.
#[derive(Debug)]
pub(super) struct Source {
    /// From the root of the workspace, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// The folder below `crates/`, or `xtask`.
    pub(super) fn crate_name(&self) -> &str {
        let path = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        path.split('/').next().unwrap_or_default()
    }

    /// The path below the crate's `src/`; `None` for integration tests, benches and examples.
    pub(super) fn in_src(&self) -> Option<&str> {
        let path = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        path.split_once('/')?.1.strip_prefix("src/")
    }

    /// A file of nothing but tests.
    pub(super) fn is_test(&self) -> bool {
        self.in_src().is_none_or(|path| path.ends_with("tests.rs") || path.contains("/tests/"))
    }

    /// Numbered lines outside unit-test modules, comments included.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut inside = false;
        self.text.lines().enumerate().filter_map(move |(number, line)| {
            let opens = line == "#[cfg(test)]"
                && lines.get(number + 1).is_some_and(|next| opens_module(next));
            let closes = inside && line == "}";
            let shown = !inside && !opens;
            inside = (inside || opens) && !closes;
            shown.then_some((number + 1, line))
        })
    }

    /// The same without comments.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn opens_module(line: &str) -> bool {
    line.starts_with("mod ") && line.ends_with('{')
}

/// All Rust files of the workspace, sorted by path.
pub(super) fn load(root: &Path) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for folder in ["bench", "crates", "xtask"] {
        collect(root, &root.join(folder), &mut sources)?;
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            let skipped =
                path.file_name().is_some_and(|name| name == "target" || name == "node_modules");
            if !skipped {
                collect(root, &path, sources)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative =
                path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            sources.push(Source { path: relative, text: fs::read_to_string(&path)? });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) fn fake(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_tests_and_comments_are_not_code() {
        let text = "//! doc\nuse a;\n#[cfg(test)]\nmod tests {\n    fn x() {}\n}\nfn after() {}\n";
        let source = fake("crates/mainstay/src/a.rs", text);
        assert_eq!(source.code().collect::<Vec<_>>(), [(2, "use a;"), (7, "fn after() {}")]);
        assert_eq!(source.lines().count(), 3);
    }

    #[test]
    fn a_path_tells_the_crate_and_the_module() {
        let source = fake("crates/mainstay/src/backend/redis/mod.rs", "");
        assert_eq!(
            (source.crate_name(), source.in_src()),
            ("mainstay", Some("backend/redis/mod.rs"))
        );
        let source = fake("crates/mainstay/tests/it/main.rs", "");
        assert_eq!((source.in_src(), source.is_test()), (None, true));
        assert_eq!(fake("xtask/src/main.rs", "").crate_name(), "xtask");
        assert!(fake("xtask/src/a/tests.rs", "").is_test());
    }
}

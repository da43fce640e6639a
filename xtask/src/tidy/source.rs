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
    /// Its module is declared under `#[cfg(test)]`.
    pub(super) only_in_tests: bool,
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
        self.only_in_tests
            || self
                .in_src()
                .is_none_or(|path| path.ends_with("tests.rs") || path.contains("/tests/"))
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
    mark_tests(&mut sources);
    Ok(sources)
}

fn mark_tests(sources: &mut [Source]) {
    let under_test = |source: &Source| {
        let Some((parents, name)) = declared_by(&source.path) else { return false };
        let declares = |parent: &&Source| parents.contains(&parent.path);
        sources.iter().filter(declares).any(|parent| declares_under_test(&parent.text, &name))
    };
    let marks: Vec<bool> = sources.iter().map(under_test).collect();
    sources.iter_mut().zip(marks).for_each(|(source, mark)| source.only_in_tests = mark);
}

fn declares_under_test(text: &str, name: &str) -> bool {
    let declaration = format!("mod {name};");
    let pairs = text.lines().zip(text.lines().skip(1));
    pairs
        .into_iter()
        .any(|(first, second)| first == "#[cfg(test)]" && second.ends_with(&declaration))
}

/// The files that may declare this one, and the name under which; `None` for the root of a target.
pub(super) fn declared_by(path: &str) -> Option<(Vec<String>, String)> {
    let (folder, file) = path.rsplit_once('/')?;
    let name = file.strip_suffix(".rs")?;
    let is_root = matches!(name, "lib" | "main" | "build")
        || ["/src/bin", "/examples", "/benches"].iter().any(|targets| folder.ends_with(targets));
    if is_root {
        return None;
    }
    // `a/b/mod.rs` is module `b` of `a`; `a/b/c.rs` is module `c` of `a/b`.
    let (folder, name) = if name == "mod" { folder.rsplit_once('/')? } else { (folder, name) };
    let roots = ["mod", "lib", "main"].map(|root| format!("{folder}/{root}.rs"));
    Some(([format!("{folder}.rs")].into_iter().chain(roots).collect(), name.to_owned()))
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
            sources.push(Source {
                path: relative,
                text: fs::read_to_string(&path)?,
                only_in_tests: false,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) fn fake(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned(), only_in_tests: false }
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
    fn a_module_under_cfg_test_is_a_test() {
        let mut sources = [
            fake("crates/a/src/lib.rs", "mod b;\n#[cfg(test)]\npub(crate) mod fake;\n"),
            fake("crates/a/src/b.rs", ""),
            fake("crates/a/src/fake.rs", ""),
        ];
        mark_tests(&mut sources);
        assert_eq!(sources.each_ref().map(Source::is_test), [false, false, true]);
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

//! The fenced blocks of a page, and what stands in a comment before each.

use std::path::{Path, PathBuf};

/// The folder of the documentation and what belongs to it.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every page of the book and the README, from the root. Decisions tell of a time and are not run.
pub(super) fn pages() -> Vec<String> {
    let mut found = vec!["README.md".to_owned()];
    collect(&root().join("docs"), &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// A page: its text and its blocks.
pub(super) struct Page {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) blocks: Vec<Block>,
}

/// One block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Of its first line in the page, from 1.
    pub(super) line: usize,
    /// What stands behind the fence, up to a comma; empty: nothing does.
    pub(super) language: String,
    /// `ignore`, `file`, `scenario`, with what stands behind the colon.
    pub(super) directive: Option<(String, String)>,
    pub(super) text: String,
}

impl Page {
    pub(super) fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        Self { name: name.to_owned(), blocks: blocks(&text), text }
    }

    /// What `<!-- with: redis postgres -->` and its like ask for, anywhere in the page.
    pub(super) fn wants(&self, what: &str) -> Vec<String> {
        let lines = self.text.lines().filter_map(comment).filter(|(name, _)| name == what);
        lines.flat_map(|(_, of)| of.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

impl Block {
    /// Why it is not run.
    pub(super) fn ignored(&self) -> Option<&str> {
        self.directive.as_ref().filter(|(name, _)| name == "ignore").map(|(_, why)| why.as_str())
    }

    /// The file of the page's folder that it becomes.
    pub(super) fn file(&self) -> Option<&str> {
        self.directive.as_ref().filter(|(name, _)| name == "file").map(|(_, name)| name.as_str())
    }
}

fn comment(line: &str) -> Option<(String, String)> {
    let text = line.trim().strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    let (name, of) = text.split_once(':').unwrap_or((text, ""));
    Some((name.trim().to_owned(), of.trim().to_owned()))
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<(String, Block)> = None;
    let mut before = None;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        match &mut open {
            Some((indent, block)) => {
                if trimmed.trim_end() == "```" {
                    blocks.extend(open.take().map(|(_, block)| block));
                } else {
                    block.text.push_str(line.strip_prefix(indent.as_str()).unwrap_or(line));
                    block.text.push('\n');
                }
            }
            None if trimmed.starts_with("```") => {
                let indent = line[..line.len() - trimmed.len()].to_owned();
                let info = trimmed.trim_start_matches('`');
                let language = info.split([',', ' ']).next().unwrap_or_default().to_owned();
                let block = Block {
                    line: number + 2,
                    language,
                    directive: before.take(),
                    ..Block::default()
                };
                open = Some((indent, block));
            }
            None if trimmed.is_empty() => {}
            None => before = comment(line),
        }
    }
    assert!(open.is_none(), "a block that never ends");
    blocks
}

#[test]
fn blocks_are_found_with_what_stands_before_them() {
    let page = "text\n\n<!-- file: a.toml -->\n```toml\nx = 1\n```\n- item\n\n  ```console,x\n  $ y\n  ```\n<!-- ignore: it is long -->\n\n```\nz\n```\n";
    let found = blocks(page);
    let summary: Vec<_> = found
        .iter()
        .map(|block| (block.line, &*block.language, &*block.text, block.file(), block.ignored()))
        .collect();
    assert_eq!(
        summary,
        [
            (5, "toml", "x = 1\n", Some("a.toml"), None),
            (10, "console", "$ y\n", None, None),
            (15, "", "z\n", None, Some("it is long")),
        ]
    );
}

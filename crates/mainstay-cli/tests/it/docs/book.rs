//! The book as a whole: every page is in its table of contents, every link and every heading that one names exists.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use super::block::{pages, root};

/// Where the files of this repository are read by others.
const REPOSITORY: &str = "https://github.com/mainstay-rs/mainstay/blob/main/";

/// The targets of the links of a page, code left out.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        if in_block {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect();
        let mut rest = prose.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let end = rest.find(')').unwrap_or(rest.len());
            links.push(rest[..end].split(' ').next().unwrap_or_default().to_owned());
        }
    }
    links
}

/// As GitHub and mdBook name a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_block = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        in_block ^= line.trim_start().starts_with("```");
        if !in_block && line.starts_with('#') {
            found.insert(anchor(line));
        }
    }
    found
}

/// Without `.` and `..`, as far as they can be taken out.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
        plain
    })
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for name in pages() {
        let text = std::fs::read_to_string(root().join(&name)).unwrap();
        for link in links(&text) {
            let (target, heading) = link.split_once('#').unwrap_or((&link, ""));
            let path = match target.strip_prefix(REPOSITORY) {
                Some(inside) => PathBuf::from(inside),
                None if target.contains("://") || target.starts_with("mailto:") => continue,
                None if target.is_empty() => PathBuf::from(&name),
                None => plain(&Path::new(&name).parent().unwrap().join(target)),
            };
            let whole = root().join(&path);
            let is_page = path.extension().is_some_and(|end| end == "md");
            let found = whole.exists()
                && (heading.is_empty()
                    || !is_page
                    || anchors(&std::fs::read_to_string(&whole).unwrap()).contains(heading));
            // The book has the pages of `docs` alone.
            let stays =
                !name.starts_with("docs/") || path.starts_with("docs") || target.contains("://");
            if !found || !stays {
                broken
                    .push(format!("{name}: {link}{}", if stays { "" } else { " leaves the book" }));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_table_of_contents_has_every_page_once() {
    let contents = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let mut listed: Vec<String> =
        links(&contents).iter().map(|link| format!("docs/{link}")).collect();
    listed.sort();
    let twice: Vec<_> = listed.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let there: Vec<String> = pages()
        .into_iter()
        .filter(|page| page.starts_with("docs/") && page != "docs/SUMMARY.md")
        .collect();
    let missing: Vec<_> = there.iter().filter(|page| !listed.contains(page)).collect();
    let gone: Vec<_> = listed.iter().filter(|page| !there.contains(page)).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "missing in SUMMARY.md: {missing:?}\nno page: {gone:?}"
    );
}

#[test]
fn links_and_headings_are_read_as_they_are_shown() {
    assert_eq!(
        links("[a](b.md#c) `[no](no)` and [d](e \"title\")\n```\n[x](y)\n```\n"),
        ["b.md#c", "e"]
    );
    assert_eq!(anchor("## What `GET` does, and why?"), "what-get-does-and-why");
}

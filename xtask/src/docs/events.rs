//! The table of events, from the declaration of `EventKind`: its comments and its members.
//! It must not know any of them by name.

use std::path::Path;

const DECLARATION: &str = "crates/mainstay/src/event/kind.rs";

/// One kind, as it is declared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kind {
    name: String,
    about: String,
    members: Vec<(String, String)>,
}

/// The page.
pub(super) fn page(root: &Path) -> Result<String, String> {
    let path = root.join(DECLARATION);
    let source = std::fs::read_to_string(&path);
    let source = source.map_err(|error| format!("{}: {error}", path.display()))?;
    let kinds = kinds(&source);
    if kinds.is_empty() {
        return Err(format!("{DECLARATION}: there is no `pub enum EventKind`"));
    }
    let mut text = String::from(
        "# Events\n\nEvery kind of event: of `GET /v1/events`, `mainstay events`, `MAINSTAY.EVENTS` and the log. What all of them have \
         (`id`, `unix_ms`, `backend`, `cause`, `actor`) stands in [Seeing it](../observing.md).\n\n\
         | kind | when | members |\n|---|---|---|\n",
    );
    for kind in kinds {
        let member = |(name, about): &(String, String)| format!("`{name}`: {about}");
        let members = kind.members.iter().map(member).collect::<Vec<_>>().join("<br>");
        let (name, about) = (snake(&kind.name), kind.about.replace('|', "\\|"));
        text.push_str(&format!("| `{name}` | {about} | {} |\n", members.replace('|', "\\|")));
    }
    Ok(text)
}

/// Reads lines: a comment belongs to the next name.
fn kinds(source: &str) -> Vec<Kind> {
    let body = source.split("pub enum EventKind {").nth(1).unwrap_or_default();
    let body = body.split("\n}").next().unwrap_or_default();
    let mut kinds: Vec<Kind> = Vec::new();
    let mut about: Vec<&str> = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            about.push(comment.trim());
        } else if let Some((name, _)) = line.split_once(':').filter(|(name, _)| is_word(name)) {
            let member = (name.to_owned(), std::mem::take(&mut about).join(" "));
            if let Some(kind) = kinds.last_mut() {
                kind.members.push(member);
            }
        } else if let Some(name) = line.split([' ', '{', ',']).next().filter(|name| is_word(name)) {
            let about = std::mem::take(&mut about).join(" ");
            kinds.push(Kind { name: name.to_owned(), about, members: Vec::new() });
        }
    }
    kinds
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `StuckReset` is `stuck_reset` to programs.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for (at, character) in name.chars().enumerate() {
        if character.is_uppercase() && at > 0 {
            text.push('_');
        }
        text.extend(character.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_is_read() {
        let source = "pub enum EventKind {\n    /// It was\n    /// reset.\n    StuckReset {\n        /// How many.\n        attempts: u64,\n    },\n    /// It ended.\n    Ended,\n}\n";
        let found = kinds(source);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].name.as_str(), found[0].about.as_str()),
            ("StuckReset", "It was reset.")
        );
        assert_eq!(found[0].members, [("attempts".to_owned(), "How many.".to_owned())]);
        assert_eq!(
            (snake("StuckReset"), found[1].name.as_str()),
            ("stuck_reset".to_owned(), "Ended")
        );
    }

    #[test]
    fn the_committed_page_is_what_the_code_says() {
        let root = crate::root();
        let committed = std::fs::read_to_string(root.join("docs/reference/events.md"));
        let fresh = committed.is_ok_and(|text| text == page(&root).unwrap());
        assert!(fresh, "docs/reference/events.md is stale; write it with: cargo xtask gen-docs");
    }
}

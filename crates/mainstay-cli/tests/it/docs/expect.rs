//! What a page shows, against what was printed: `…` stands for anything in a line, a line of `…` alone for any lines.

/// The words of a session: each command with the lines that are shown below it.
pub(super) fn commands(text: &str) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), Vec::new()));
        } else if let Some((command, shown)) = commands.last_mut() {
            match line.strip_prefix("> ").or((line == ">").then_some("")) {
                Some(more) if shown.is_empty() => {
                    command.push('\n');
                    command.push_str(more);
                }
                _ => shown.push(line.trim_end().to_owned()),
            }
        }
    }
    for (_, shown) in &mut commands {
        while shown.last().is_some_and(String::is_empty) {
            shown.pop();
        }
    }
    commands
}

/// Whether what was printed is what is shown.
pub(super) fn matches(shown: &[String], printed: &[String]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((line, rest)), _) if is_gap(line) => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        (Some((line, rest)), Some((found, others))) => {
            line_matches(line, found) && matches(rest, others)
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn is_gap(line: &str) -> bool {
    matches!(line.trim(), "…" | "...")
}

fn line_matches(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn what_is_shown_is_compared_with_room_for_what_differs() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (shown, printed, fits) in [
        ("a\nb", "a\nb", true),
        ("a", "a\nb", false),
        ("a\nb", "a", false),
        ("a\n…\nd", "a\nb\nc\nd", true),
        ("...\nd", "d", true),
        ("…\nx", "a\nb", false),
        ("took … ms, … in all", "took 5 ms, 7 in all", true),
        ("took … ms", "took 5 s", false),
        ("ab…ba", "aba", false),
    ] {
        assert_eq!(matches(&lines(shown), &lines(printed)), fits, "{shown:?} {printed:?}");
    }
}

#[test]
fn a_session_is_read() {
    let text = "$ cat > f <<'EOF'\n> a = 1\n>\n> EOF\n$ cat f\na = 1\n\n$ true\n";
    let found = commands(text);
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].0, "cat > f <<'EOF'\na = 1\n\nEOF");
    assert_eq!(found[1], ("cat f".to_owned(), vec!["a = 1".to_owned()]));
}

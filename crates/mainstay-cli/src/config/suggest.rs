//! The known name nearest to a mistyped one.
//! It must not know what the names are of.

/// `; did you mean `url`?`, or the known names when none is near.
pub(crate) fn hint<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
) -> String {
    let known = known.into_iter();
    if let Some(name) = nearest(typed, known.clone()) {
        return format!("; did you mean `{name}`?");
    }
    let names: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!("; known are {}", names.join(", ")) }
}

/// The known name that is at most a third of its length away.
pub(crate) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    known
        .map(|name| (distance(&typed, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one into the other.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=right.len()).collect();
    for i in 1..=left.len() {
        for j in 1..=right.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            let swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if swapped {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let known = ["url", "timeout", "connect_timeout", "inflight_max"];
        for (typed, expected) in [
            ("ulr", Some("url")),
            ("uri", Some("url")),
            ("time_out", Some("timeout")),
            ("INFLIGHT_MAX", Some("inflight_max")),
            ("max_inflight", None),
            ("password", None),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), expected, "{typed}");
        }
        assert_eq!(hint("ulr", known), "; did you mean `url`?");
        assert_eq!(hint("password", ["a", "b"]), "; known are `a`, `b`");
    }
}

//! A file stays small enough to be read in one sitting; its tests do not count.

use super::{Finding, Source};

const WARN: usize = 400;
const FAIL: usize = 600;

pub(super) fn findings(sources: &[Source]) -> Vec<Finding> {
    sources.iter().filter(|source| !source.is_test()).filter_map(finding).collect()
}

fn finding(source: &Source) -> Option<Finding> {
    match source.lines().count() {
        0..=WARN => None,
        length @ 0..=FAIL => {
            Some(Finding::warning(source, length, format!("{length} lines, aim for {WARN}")))
        }
        length => {
            Some(Finding::error(source, length, format!("{length} lines, the limit is {FAIL}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::fake;
    use super::*;

    #[test]
    fn long_files_are_warned_of_and_longer_ones_fail() {
        let of = |length: usize| {
            finding(&fake("crates/a/src/b.rs", &"x\n".repeat(length))).map(|found| found.fatal)
        };
        assert_eq!(
            [of(400), of(401), of(600), of(601)],
            [None, Some(false), Some(false), Some(true)]
        );
    }

    #[test]
    fn tests_do_not_count() {
        let tests = format!("x\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    x\n".repeat(1000));
        assert_eq!(
            findings(&[
                fake("crates/a/src/b.rs", &tests),
                fake("crates/a/src/b/tests.rs", &"x\n".repeat(1000))
            ]),
            []
        );
    }
}

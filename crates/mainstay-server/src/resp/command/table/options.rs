//! Options in which keys stand, read as Redis reads them: a value of one is never taken for the name of another.
//! It must not know which commands have them.

use bytes::Bytes;

use crate::resp::command::args::is;

/// What the options of XREAD and XREADGROUP say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StreamOptions<'a> {
    /// What stands behind BLOCK.
    pub(super) block: Option<&'a Bytes>,
    /// What stands behind STREAMS: keys, then as many identifiers.
    pub(super) streams: &'a [Bytes],
}

/// Reads them from a whole command.
pub(super) fn stream_options(words: &[Bytes]) -> StreamOptions<'_> {
    let mut found = StreamOptions::default();
    let mut rest = words.get(1..).unwrap_or_default();
    while let [word, after @ ..] = rest {
        let values = match word {
            word if is(word, "streams") => {
                found.streams = after;
                break;
            }
            word if is(word, "block") => {
                found.block = after.first();
                1
            }
            word if is(word, "count") || is(word, "claim") => 1,
            word if is(word, "group") => 2,
            _ => 0,
        };
        rest = after.get(values..).unwrap_or_default();
    }
    found
}

/// The keys to which SORT, GEORADIUS and GEORADIUSBYMEMBER write, from their options.
pub(super) fn stored_at(mut rest: &[Bytes]) -> Vec<&Bytes> {
    let mut targets = Vec::new();
    while let [word, after @ ..] = rest {
        let values = match word {
            word if is(word, "store") || is(word, "storedist") => {
                targets.extend(after.first());
                1
            }
            word if ["by", "get", "count"].iter().any(|option| is(word, option)) => 1,
            word if is(word, "limit") => 2,
            _ => 0,
        };
        rest = after.get(values..).unwrap_or_default();
    }
    targets
}

/// Whether SORT looks up keys of its own, by the patterns of BY and GET.
pub(super) fn follows_patterns(options: &[Bytes]) -> bool {
    let named = |word: &Bytes| is(word, "by") || is(word, "get");
    options.windows(2).any(|two| named(&two[0]) && two[1].contains(&b'*'))
}

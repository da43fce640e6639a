//! Patterns of keys by Redis's rules: `*`, `?`, `[a-z]`, `[^x]`, `\` for the next byte itself.
//! It must not know where the keys come from.

#[cfg(test)]
mod tests;

/// Whether `text` matches `pattern`. Time is at most the product of the lengths.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where to go on when what follows the last star does not match: the star may take one byte more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            if at == pattern.len() {
                return true;
            }
            retry = Some((at, read));
            continue;
        }
        let step = match (pattern.get(at), text.get(read)) {
            (None, None) => return true,
            (Some(_), Some(&byte)) => one(&pattern[at..], byte),
            (None, Some(_)) => None,
            (Some(_), None) => return false,
        };
        if let Some(used) = step {
            at += used;
            read += 1;
            continue;
        }
        let Some((star_at, star_read)) = retry else { return false };
        if star_read >= text.len() {
            return false;
        }
        retry = Some((star_at, star_read + 1));
        (at, read) = (star_at, star_read + 1);
    }
}

/// How many bytes of the pattern match this one byte; `None`: it does not match.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', ..] => class(pattern, byte),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

/// `[...]`; one that does not end, ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = if negated { 2 } else { 1 };
    let mut found = false;
    loop {
        match &pattern[at..] {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [low, b'-', high, ..] => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

/// The bytes that every match begins with.
pub fn literal_prefix(pattern: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::new();
    let mut rest = pattern;
    loop {
        rest = match rest {
            [] | [b'*' | b'?' | b'[', ..] => return prefix,
            [b'\\', escaped, tail @ ..] => {
                prefix.push(*escaped);
                tail
            }
            [literal, tail @ ..] => {
                prefix.push(*literal);
                tail
            }
        };
    }
}

/// Whether the pattern is a literal prefix and one star: then the prefix alone decides.
pub fn is_prefix_only(pattern: &[u8]) -> bool {
    match pattern {
        [prefix @ .., b'*'] => {
            !prefix.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
        }
        _ => false,
    }
}

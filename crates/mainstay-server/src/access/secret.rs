//! Secrets as digests, compared in constant time: the one place where both doors do it.
//! It must not keep a secret itself, nor know whose it is.

use std::fmt;

use sha2::Digest as _;
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 of a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// Of this secret.
    pub(crate) fn of(secret: &[u8]) -> Self {
        Self(sha2::Sha256::digest(secret).into())
    }

    /// 64 hexadecimal digits, with or without the `#` that Redis writes before them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').unwrap_or(text).as_bytes();
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        Some(Self(bytes?.try_into().ok()?))
    }
}

fn byte(pair: &[u8; 2]) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()
}

/// Whether the given one is among the known. It looks at each and at every byte of it, so that the time tells nothing of
/// how far a guess was right.
pub(crate) fn matches(known: &[Digest], given: &Digest) -> bool {
    known.iter().fold(Choice::from(0), |found, each| found | each.0.ct_eq(&given.0)).into()
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_whole_or_not() {
        let known = [Digest::of(b"old"), Digest::of(b"correct-horse")];
        assert!(matches(&known, &Digest::of(b"correct-horse")));
        assert!(matches(&known, &Digest::of(b"old")));
        for wrong in [&b"correct-hors"[..], b"correct-horse1", b"", b"OLD"] {
            assert!(!matches(&known, &Digest::of(wrong)), "{wrong:?}");
        }
        assert!(!matches(&[], &Digest::of(b"")));
    }

    #[test]
    fn hashes_are_read_as_redis_writes_them() {
        // echo -n secret | sha256sum
        let digits = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let secret = Some(Digest::of(b"secret"));
        assert_eq!(Digest::parse(digits), secret);
        assert_eq!(Digest::parse(&format!("#{}", digits.to_uppercase())), secret);
        for bad in ["", "#", &digits[1..], &digits[2..], &format!("{digits}00"), &"g".repeat(64)] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
        assert_eq!(format!("{secret:?}"), "Some(Digest(***))");
    }
}

use proptest::prelude::*;

use super::*;

#[test]
fn patterns_follow_redis() {
    for (pattern, text, expected) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("*", "anything", true),
        ("h?llo", "hello", true),
        ("h?llo", "hllo", false),
        ("h*llo", "heeeello", true),
        ("h*l*o", "hello", true),
        ("h*x", "hello", false),
        ("a*b*c", "aXbXbc", true),
        ("**", "a", true),
        ("h[ae]llo", "hallo", true),
        ("h[ae]llo", "hillo", false),
        ("h[^e]llo", "hallo", true),
        ("h[^e]llo", "hello", false),
        ("h[a-c]llo", "hbllo", true),
        ("h[c-a]llo", "hbllo", true),
        ("h[a-c]llo", "hdllo", false),
        ("[\\]]", "]", true),
        ("[a", "a", true),
        ("[a-", "-", true),
        ("[]", "a", false),
        ("[^]", "a", true),
        ("\\*", "*", true),
        ("\\*", "a", false),
        ("a\\", "a\\", true),
        ("a*", "b", false),
        ("*a", "b", false),
        ("?", "", false),
        ("user:*", "user:1", true),
        ("hello", "hell", false),
    ] {
        assert_eq!(
            matches(pattern.as_bytes(), text.as_bytes()),
            expected,
            "{pattern:?} on {text:?}"
        );
    }
}

#[test]
fn many_stars_do_not_take_for_ever() {
    let pattern = "a*".repeat(60) + "b";
    assert!(!matches(pattern.as_bytes(), "a".repeat(2_000).as_bytes()));
}

#[test]
fn the_prefix_ends_at_the_first_wildcard() {
    for (pattern, prefix, only) in [
        ("user:*", "user:", true),
        ("user:*:x", "user:", false),
        ("a\\*b?", "a*b", false),
        ("plain", "plain", false),
        ("*", "", true),
        ("[x]*", "", false),
    ] {
        assert_eq!(literal_prefix(pattern.as_bytes()), prefix.as_bytes(), "{pattern:?}");
        assert_eq!(is_prefix_only(pattern.as_bytes()), only, "{pattern:?}");
    }
}

proptest! {
    #[test]
    fn every_match_begins_with_the_prefix(pattern in "[ab*?\\[\\]^\\\\-]{0,8}", text in "[ab*]{0,8}") {
        if matches(pattern.as_bytes(), text.as_bytes()) {
            prop_assert!(text.as_bytes().starts_with(&literal_prefix(pattern.as_bytes())));
        }
    }

    #[test]
    fn a_literal_matches_itself_alone(text in "[a-z]{0,8}", other in "[a-z]{0,8}") {
        prop_assert_eq!(matches(text.as_bytes(), other.as_bytes()), text == other);
    }
}

//! What of a URL may be shown.
//! It must not know which engine the URL is for.

use serde::Serializer;

/// The URL without user and password, and without the values of its query: `redis://***@host:6379/0`.
///
/// Where a malformed URL leaves open what is the password (an unescaped `/`, `?`, `#` or `@` in it), more is hidden
/// rather than less.
pub fn redact_url(url: &str) -> String {
    if url.is_empty() {
        return String::new();
    }
    let Some((scheme, rest)) = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return "***".to_owned();
    };
    let (slashes, rest) = rest.strip_prefix("//").map_or(("", rest), |authority| ("//", authority));
    let query_start = rest.find(['?', '#']);
    let user_end = rest.rfind('@');
    let (mark, shown_from) = match (user_end, query_start) {
        // The password holds a `?`, or the query an `@`: no telling which.
        (Some(at), Some(query)) if query < at => return format!("{scheme}:{slashes}***"),
        (Some(at), _) => ("***@", at + 1),
        (None, _) => ("", 0),
    };
    let shown = &rest[shown_from..query_start.unwrap_or(rest.len())];
    let query = if query_start.is_some() { "?***" } else { "" };
    format!("{scheme}:{slashes}{mark}{shown}{query}")
}

/// The name of an option of a URL, for an error. With an `@` behind the first `?` it may be a piece of a password that holds a
/// `?`, and so it is left out.
pub fn shown_option<'a>(url: &str, name: &'a str) -> &'a str {
    let may_be_secret = url.split_once('?').is_some_and(|(_, query)| query.contains('@'));
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if may_be_secret || !is_word || name.len() > 32 {
        return "what stands behind the `?` (a `?` of a password is written %3F)";
    }
    name
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

pub(in crate::config) fn redacted_url<S: Serializer>(
    url: &str,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&redact_url(url))
}

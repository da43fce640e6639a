//! Where an answer came from and how fresh it is, as headers: Age, Cache-Status (RFC 9211), X-Mainstay-Source.
//! It must not say more than the storage said.

use std::{fmt::Write, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::insert;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SOURCE: HeaderName = HeaderName::from_static("x-mainstay-source");

/// What the storage said about a read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freshness<'a> {
    /// The backend that answered.
    pub(crate) source: &'a str,
    /// How old the copy is, when a cache answered.
    pub(crate) age: Option<Duration>,
    /// Whether it is possibly older than the last acknowledged write.
    pub(crate) stale: bool,
    /// Time left to live, where known.
    pub(crate) ttl: Option<Duration>,
    /// What the answer is worth, in a word.
    pub(crate) worth: &'static str,
}

impl Freshness<'_> {
    /// Writes the headers.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        insert(headers, CACHE_STATUS, HeaderValue::try_from(self.cache_status()).ok());
        insert(headers, header::AGE, self.age.map(|age| HeaderValue::from(age.as_secs())));
        // A key may change at any time: a copy on the way has to ask again, with If-None-Match.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        name_source(headers, self.source);
    }

    /// `redis; hit; ttl=58` when a cache answered. When the record did, or the route has no cache, no cached copy could
    /// be used, for whatever reason: `mainstay; fwd=miss`, with the backend as detail.
    fn cache_status(&self) -> String {
        let hit = self.age.is_some();
        let mut status = match (hit, self.stale) {
            (true, false) => format!("{}; hit", structured(self.source)),
            (true, true) => format!("{}; hit; detail=stale", structured(self.source)),
            (false, false) => format!("mainstay; fwd=miss; detail={}", structured(self.source)),
            (false, true) => {
                format!(
                    "mainstay; fwd=miss; detail={}",
                    structured(&format!("{} stale", self.source))
                )
            }
        };
        if let Some(ttl) = self.ttl {
            // Writing to a String cannot fail.
            let _ = write!(status, "; ttl={}", ttl.as_secs());
        }
        status
    }
}

/// Names the backend that answered.
pub(crate) fn name_source(headers: &mut HeaderMap, source: &str) {
    if !source.is_empty() {
        insert(headers, SOURCE, HeaderValue::try_from(source).ok());
    }
}

/// A name as a token or string of RFC 9651.
fn structured(name: &str) -> String {
    let is_token = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c));
    if is_token {
        return name.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in name.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(source: &str, age: Option<u64>, stale: bool, ttl: Option<u64>) -> String {
        let (age, ttl) = (age.map(Duration::from_secs), ttl.map(Duration::from_secs));
        Freshness { source, age, stale, ttl, worth: "unpromised" }.cache_status()
    }

    #[test]
    fn a_hit_is_said_only_of_a_cache() {
        assert_eq!(status("memory", Some(2), false, Some(58)), "memory; hit; ttl=58");
        assert_eq!(status("redis", Some(2), true, None), "redis; hit; detail=stale");
        assert_eq!(status("db", None, false, None), "mainstay; fwd=miss; detail=db");
        assert_eq!(status("db", None, true, None), "mainstay; fwd=miss; detail=\"db stale\"");
    }

    #[test]
    fn odd_names_are_quoted() {
        assert_eq!(structured("my db\"é"), r#""my db\"?""#);
        assert_eq!(structured("1st"), "\"1st\"");
        assert_eq!(structured("redis-1"), "redis-1");
    }

    #[test]
    fn age_stands_only_where_a_copy_has_one() {
        let mut headers = HeaderMap::new();
        let fresh =
            Freshness { source: "db", age: None, stale: false, ttl: None, worth: "linearizable" };
        fresh.write(&mut headers);
        assert!(!headers.contains_key(header::AGE));
        Freshness { age: Some(Duration::from_millis(2900)), ..fresh }.write(&mut headers);
        assert_eq!(headers[header::AGE], "2");
        assert_eq!(headers["x-mainstay-source"], "db");
    }
}

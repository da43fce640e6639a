//! If-Match and If-None-Match: what they ask of a read and of a write.
//! It must not know how a version is compared; only that an ETag is one in quotes.

use axum::http::{HeaderMap, StatusCode, header};
use mainstay::{Condition, Version};

use crate::http::problem::Problem;

/// The tags of one header.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`.
    Any,
    /// Each tag's version, and whether the tag is weak; `None` for a tag that this server never gave.
    List(Vec<(Option<Version>, bool)>),
}

/// What a write is conditional on.
#[derive(Debug, PartialEq)]
pub(crate) enum WriteCondition {
    /// What the storage checks.
    Storage(Condition),
    /// A tag that no key can have.
    NeverHolds,
}

/// What If-Match and If-None-Match ask of a write.
///
/// # Errors
/// 400 for what cannot be read or cannot be checked in one step.
pub(crate) fn of_write(headers: &HeaderMap) -> Result<WriteCondition, Problem> {
    let if_match = tags(headers, &header::IF_MATCH)?;
    let if_none_match = tags(headers, &header::IF_NONE_MATCH)?;
    Ok(WriteCondition::Storage(match (if_match, if_none_match) {
        (None, None) => Condition::Always,
        (Some(Tags::Any), None) => Condition::Present,
        (None, Some(Tags::Any)) => Condition::Absent,
        (Some(Tags::List(list)), None) => match list.as_slice() {
            // If-Match compares strongly: a weak tag matches nothing.
            [(Some(version), false)] => Condition::VersionIs(*version),
            [_] => return Ok(WriteCondition::NeverHolds),
            _ => return Err(Problem::bad_request("If-Match takes one ETag here, or *")),
        },
        (None, Some(Tags::List(_))) => {
            return Err(Problem::bad_request("If-None-Match takes only * for a write")
                .hint("use If-Match with the ETag that was read"));
        }
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("If-Match and If-None-Match exclude each other"));
        }
    }))
}

/// What the headers make of a read that found a value of this version: `None`, it is sent; else 304 or 412.
///
/// # Errors
/// 400 for what cannot be read.
pub(crate) fn of_read(
    headers: &HeaderMap,
    version: Option<Version>,
) -> Result<Option<StatusCode>, Problem> {
    if let Some(tags) = tags(headers, &header::IF_MATCH)?
        && !matches(&tags, version, true)
    {
        return Ok(Some(StatusCode::PRECONDITION_FAILED));
    }
    let none_match = tags(headers, &header::IF_NONE_MATCH)?;
    let unchanged = none_match.is_some_and(|tags| matches(&tags, version, false));
    Ok(unchanged.then_some(StatusCode::NOT_MODIFIED))
}

fn matches(tags: &Tags, version: Option<Version>, strongly: bool) -> bool {
    match tags {
        Tags::Any => true,
        Tags::List(list) => {
            list.iter().any(|(tag, weak)| tag.is_some() && *tag == version && !(strongly && *weak))
        }
    }
}

fn tags(headers: &HeaderMap, name: &header::HeaderName) -> Result<Option<Tags>, Problem> {
    let mut list = Vec::new();
    let mut any = false;
    for value in headers.get_all(name) {
        for item in value.to_str().unwrap_or("?").split(',').map(str::trim) {
            match item {
                "" => {}
                "*" => any = true,
                tag => list.push(tag_of(tag).ok_or_else(|| unreadable(name))?),
            }
        }
    }
    match (any, list.is_empty()) {
        (true, true) => Ok(Some(Tags::Any)),
        (true, false) => Err(unreadable(name)),
        (false, true) if headers.contains_key(name) => Err(unreadable(name)),
        (false, true) => Ok(None),
        (false, false) => Ok(Some(Tags::List(list))),
    }
}

fn tag_of(tag: &str) -> Option<(Option<Version>, bool)> {
    let (opaque, weak) = tag.strip_prefix("W/").map_or((tag, false), |rest| (rest, true));
    let inner = opaque.strip_prefix('"')?.strip_suffix('"')?;
    let version = inner.parse::<Version>().ok().filter(|version| version.to_string() == inner);
    Some((version, weak))
}

fn unreadable(name: &header::HeaderName) -> Problem {
    Problem::bad_request(format!("{name}: an ETag stands in double quotes, as in \"1-17\"; or *"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V: Version = Version { epoch: 1, counter: 17 };

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn write(pairs: &[(header::HeaderName, &str)]) -> Option<WriteCondition> {
        of_write(&headers(pairs)).ok()
    }

    #[test]
    fn writes() {
        let storage = |condition| Some(WriteCondition::Storage(condition));
        assert_eq!(write(&[]), storage(Condition::Always));
        assert_eq!(write(&[(header::IF_MATCH, "*")]), storage(Condition::Present));
        assert_eq!(write(&[(header::IF_NONE_MATCH, "*")]), storage(Condition::Absent));
        assert_eq!(write(&[(header::IF_MATCH, "\"1-17\"")]), storage(Condition::VersionIs(V)));
        for never in ["W/\"1-17\"", "\"abc\"", "\"01-17\""] {
            assert_eq!(
                write(&[(header::IF_MATCH, never)]),
                Some(WriteCondition::NeverHolds),
                "{never}"
            );
        }
        for bad in ["1-17", "\"1-17\", \"1-18\"", "", "*, \"1-17\""] {
            assert_eq!(write(&[(header::IF_MATCH, bad)]), None, "{bad}");
        }
        assert_eq!(write(&[(header::IF_NONE_MATCH, "\"1-17\"")]), None);
        assert_eq!(write(&[(header::IF_NONE_MATCH, "*"), (header::IF_MATCH, "*")]), None);
    }

    #[test]
    fn reads() {
        let read = |name: header::HeaderName, value: &str, version| {
            of_read(&headers(&[(name, value)]), version).unwrap()
        };
        let (not_modified, failed) = (StatusCode::NOT_MODIFIED, StatusCode::PRECONDITION_FAILED);
        assert_eq!(read(header::IF_NONE_MATCH, "\"1-17\"", Some(V)), Some(not_modified));
        assert_eq!(read(header::IF_NONE_MATCH, "\"1-1\", W/\"1-17\"", Some(V)), Some(not_modified));
        assert_eq!(read(header::IF_NONE_MATCH, "*", None), Some(not_modified));
        assert_eq!(read(header::IF_NONE_MATCH, "\"1-18\"", Some(V)), None);
        assert_eq!(read(header::IF_NONE_MATCH, "\"abc\"", None), None);
        assert_eq!(read(header::IF_MATCH, "\"1-17\"", Some(V)), None);
        assert_eq!(read(header::IF_MATCH, "W/\"1-17\"", Some(V)), Some(failed));
        assert_eq!(read(header::IF_MATCH, "\"1-18\"", Some(V)), Some(failed));
        assert_eq!(of_read(&HeaderMap::new(), Some(V)).unwrap(), None);
    }
}

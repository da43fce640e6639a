//! The query of a URL as raw bytes: keys need not be UTF-8, and a misspelt parameter must not be ignored.
//! It must not know what a parameter means.

use axum::http::Uri;
use percent_encoding::percent_decode;

use super::problem::Problem;

/// The parameters of one request.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(&'static str, Vec<u8>)>);

impl Query {
    /// Reads the parameters; only these names are known, each at most once.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub(crate) fn parse(uri: &Uri, known: &[&'static str]) -> Result<Self, Problem> {
        let mut parameters: Vec<(&'static str, Vec<u8>)> = Vec::new();
        for part in uri.query().unwrap_or("").split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let Some(name) = known.iter().find(|known| **known == name) else {
                let listed = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::bad_request(format!(
                    "unknown query parameter `{name}`; this path knows: {listed}"
                )));
            };
            if parameters.iter().any(|(given, _)| given == name) {
                return Err(Problem::bad_request(format!("query parameter `{name}` stands twice")));
            }
            parameters.push((name, decode(value)));
        }
        Ok(Self(parameters))
    }

    /// The value as bytes.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_slice())
    }

    /// The value as text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        let Some(value) = self.bytes(name) else { return Ok(None) };
        let refuse = |_| Problem::bad_request(format!("query parameter `{name}` is not UTF-8"));
        std::str::from_utf8(value).map(Some).map_err(refuse)
    }

    /// `?name`, `?name=true` and `?name=1` are true.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name)? {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => {
                Err(Problem::bad_request(format!("query parameter `{name}` is true or false")))
            }
        }
    }

    /// A whole number within bounds.
    pub(crate) fn count(&self, name: &str, default: usize, max: usize) -> Result<usize, Problem> {
        let Some(value) = self.text(name)? else { return Ok(default) };
        let count = value.parse().ok().filter(|count| (1..=max).contains(count));
        count.ok_or_else(|| {
            Problem::bad_request(format!("query parameter `{name}` is between 1 and {max}"))
        })
    }
}

fn decode(value: &str) -> Vec<u8> {
    percent_decode(value.replace('+', " ").as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Query, Problem> {
        let uri = format!("/v1/kv?{query}").parse().unwrap();
        Query::parse(&uri, &["prefix", "limit", "meta"])
    }

    #[test]
    fn bytes_survive() {
        let query = parse("prefix=a%FF%2Bb+c&limit=7").unwrap();
        assert_eq!(query.bytes("prefix"), Some(b"a\xff+b c".as_slice()));
        assert_eq!(query.count("limit", 100, 1000).unwrap(), 7);
        assert!(query.text("prefix").is_err());
    }

    #[test]
    fn flags_stand_alone_or_have_a_value() {
        assert!(parse("meta").unwrap().flag("meta").unwrap());
        assert!(parse("meta=1").unwrap().flag("meta").unwrap());
        assert!(!parse("meta=false").unwrap().flag("meta").unwrap());
        assert!(!parse("").unwrap().flag("meta").unwrap());
        assert!(parse("meta=yes").unwrap().flag("meta").is_err());
    }

    #[test]
    fn what_is_unknown_doubled_or_out_of_bounds_is_refused() {
        assert!(parse("prefx=a").is_err());
        assert!(parse("limit=1&limit=2").is_err());
        for limit in ["0", "1001", "-1", "x", ""] {
            assert!(
                parse(&format!("limit={limit}")).unwrap().count("limit", 100, 1000).is_err(),
                "{limit}"
            );
        }
    }
}

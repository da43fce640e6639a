//! What is wrong with a configuration: where, which key, what to do.
//! It must not hold a value that may be a secret.

use std::{collections::BTreeMap, fmt};

use super::tree::Origin;

/// One problem: `mainstay.toml:3:1: backends.redis.ulr: is not a key; did you mean `url`?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) at: Option<Origin>,
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(at: &Origin, path: &str, message: impl Into<String>) -> Self {
        Self { at: Some(at.clone()), path: path.to_owned(), message: message.into() }
    }

    /// A problem that no single value has: it is looked up under the path, or the nearest above it that was given.
    pub(crate) fn found(
        origins: &BTreeMap<String, Origin>,
        path: &str,
        message: impl Into<String>,
    ) -> Self {
        let at = std::iter::successors(Some(path), |path| {
            path.rfind(['.', '[']).map(|end| &path[..end])
        })
        .find_map(|path| origins.get(path));
        Self { at: at.cloned(), path: path.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong, in the order of the files and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// In the order of the file, others after it.
    pub(crate) fn in_order(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| match problem.at {
            Some(Origin::File { line, column, .. }) => (line, column),
            _ => (usize::MAX, 0),
        });
        Self(problems)
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

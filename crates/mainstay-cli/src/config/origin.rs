//! Where values came from, for people: the banner's line, and `config show --origin`.
//! It must not show a value that the settings themselves do not show.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::Value as Json;

use super::{
    load::Loaded,
    tree::{self, Origin},
};

/// `mainstay.toml, REDIS_URL`, `built-in defaults, --resp`, or `built-in defaults`.
pub(crate) fn summary(file: Option<&Path>, origins: &BTreeMap<String, Origin>) -> String {
    let given: BTreeSet<&str> = origins
        .values()
        .filter_map(|origin| match origin {
            Origin::Env(name) | Origin::Flag(name) => Some(&**name),
            Origin::File { .. } | Origin::Contents { .. } => None,
        })
        .collect();
    let base = file.map_or_else(|| "built-in defaults".to_owned(), |f| f.display().to_string());
    let mut parts = vec![base];
    match given.len() {
        0 => {}
        1..=3 => parts.extend(given.iter().map(ToString::to_string)),
        more => parts.push(format!("{more} environment variables or flags")),
    }
    parts.join(", ")
}

/// One effective value.
#[derive(Debug, PartialEq)]
pub(crate) struct Effective {
    pub(crate) path: String,
    pub(crate) value: Json,
    pub(crate) origin: String,
}

impl Loaded {
    /// Every effective value, redacted, with its origin, sorted by path.
    pub(crate) fn effective(&self) -> Result<Vec<Effective>, serde_json::Error> {
        let mut leaves = Vec::new();
        flatten(String::new(), serde_json::to_value(&self.settings)?, &mut leaves);
        let with_origin = |(path, value): (String, Json)| {
            let origin =
                self.origins.get(&path).map_or_else(|| "default".to_owned(), ToString::to_string);
            Effective { path, value, origin }
        };
        Ok(leaves.into_iter().map(with_origin).collect())
    }
}

/// Values that are not tables, lists of plain values included; what is not set is left out.
fn flatten(path: String, value: Json, leaves: &mut Vec<(String, Json)>) {
    match value {
        Json::Object(map) => {
            for (key, value) in map {
                flatten(tree::join(&path, &key), value, leaves);
            }
        }
        Json::Array(items) if items.iter().any(Json::is_object) => {
            for (index, value) in items.into_iter().enumerate() {
                flatten(format!("{path}[{index}]"), value, leaves);
            }
        }
        Json::Null => {}
        leaf => leaves.push((path, leaf)),
    }
}

//! What differs between two configurations, and the one that results when a running process takes over what it can.
//! It must not show a secret, nor change anything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::{
    error::{Problem, Problems},
    live::{self, Effect},
    load::{Loaded, finish},
    tree::{Item, Table, Value},
};

mod place;

use place::Path;

/// One key that differs. `None`: it is not set, or not there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// As it is written: `limits.deadline`, `route["user:"].ttl`.
    pub(crate) key: String,
    pub(crate) old: Option<Json>,
    pub(crate) new: Option<Json>,
    pub(crate) effect: Effect,
    path: Path,
}

/// Everything that differs, in the order of the keys. Routes are the same when their prefixes are; their order means nothing.
pub(crate) fn diff(old: &Loaded, new: &Loaded) -> Result<Vec<Change>, serde_json::Error> {
    let (before, after) = (leaves(old)?, leaves(new)?);
    let wholes = (wholes(&before), wholes(&after));
    let mut changes = Vec::new();
    let all: BTreeSet<&Path> = before.keys().chain(after.keys()).collect();
    let mut whole: BTreeSet<Path> = BTreeSet::new();
    for path in all {
        // A backend, a route, a user or a source that only one of them has is one change.
        let lone = |found: &Path| wholes.0.contains(found) != wholes.1.contains(found);
        if let Some(found) = place::wholes(path).find(lone) {
            whole.insert(found);
            continue;
        }
        let (one, other) = (before.get(path), after.get(path));
        if one.map(|leaf| &leaf.raw) != other.map(|leaf| &leaf.raw) {
            changes.push(change(path, one, other, old));
        }
    }
    for path in whole {
        let shown = |leaves: &BTreeMap<Path, Leaf>| {
            place::is_in(&path, leaves.keys()).then(|| json!("configured"))
        };
        let effect = live::effect(&path, &old.settings);
        let (old, new) = (shown(&before), shown(&after));
        changes.push(Change { key: place::written(&path), old, new, effect, path });
    }
    changes.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(changes)
}

fn change(path: &Path, old: Option<&Leaf>, new: Option<&Leaf>, running: &Loaded) -> Change {
    let shown = |leaf: Option<&Leaf>| leaf.map(|leaf| leaf.shown.clone());
    let mut effect = live::effect(path, &running.settings);
    // A cap for a backend that will only be there after a restart.
    let names_backend = path.first().is_some_and(|first| first == "route")
        && path.get(2).is_some_and(|key| key == "ttl_max");
    let known = |name: &String| name == "memory" || running.settings.backends.contains_key(name);
    if names_backend && !path.get(3).is_none_or(known) {
        effect = Effect::Restart("the backend is not there before");
    }
    Change {
        key: place::written(path),
        old: shown(old),
        new: shown(new),
        effect,
        path: path.clone(),
    }
}

/// The new configuration, with everything that needs a restart as it was.
pub(crate) fn merged(old: &Loaded, new: &Loaded, changes: &[Change]) -> Result<Loaded, Problems> {
    let mut table = new.table.clone();
    for change in changes.iter().filter(|change| change.effect != Effect::Live) {
        let given = place::find(&old.table, &change.path).cloned();
        let kept = given.or_else(|| held_by_default(change, old));
        place::put(&mut table, &change.path, kept);
    }
    finish(table, new.file.clone(), new.notes.clone()).map_err(|problems| {
        let said = |problem: &Problem| Problem {
            message: format!(
                "{} (beside what stays as it is until a restart; restart to apply all of it)",
                problem.message
            ),
            ..problem.clone()
        };
        Problems(problems.0.iter().map(said).collect())
    })
}

/// What nobody has said and a restart would reckon anew: it is said from now on, so that it stays.
fn held_by_default(change: &Change, old: &Loaded) -> Option<Item> {
    let [first, backend, key] = change.path.as_slice() else { return None };
    if first != "backends" || key != CONNECTIONS {
        return None;
    }
    let at = &place::find(&old.table, &[first.clone(), backend.clone()])?.at;
    change.old.clone().map(|held| Item::from_json(held, at))
}

/// A value as it may be shown, and as it is compared. No `Debug`: the second may be a secret.
struct Leaf {
    shown: Json,
    raw: Json,
}

/// How many connections a pool has. Where nobody has said it, it follows `inflight_max`; the pool that is open does not.
const CONNECTIONS: &str = "connections";

/// Every effective value that is set, by its place.
fn leaves(loaded: &Loaded) -> Result<BTreeMap<Path, Leaf>, serde_json::Error> {
    let mut found = BTreeMap::new();
    let settings = serde_json::to_value(&loaded.settings)?;
    place::flatten(&mut Vec::new(), &settings, &mut |path, shown| {
        // What is shown otherwise than it was given is a secret, or written in another way: `1000ms`.
        let given = place::find(&loaded.table, path).filter(|_| is_hidden(shown));
        let raw = given.map_or_else(|| shown.clone(), Item::to_json);
        found.insert(path.clone(), Leaf { shown: shown.clone(), raw });
    });
    for (name, backend) in &loaded.settings.backends {
        let (path, held) = (["backends", name, CONNECTIONS], json!(backend.connections()));
        found.insert(path.map(str::to_owned).to_vec(), Leaf { shown: held.clone(), raw: held });
    }
    Ok(found)
}

fn is_hidden(shown: &Json) -> bool {
    match shown {
        Json::String(text) => text.contains("***"),
        Json::Array(items) => items.iter().any(is_hidden),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => false,
    }
}

fn wholes(leaves: &BTreeMap<Path, Leaf>) -> BTreeSet<Path> {
    leaves.keys().flat_map(place::wholes).collect()
}

impl Change {
    /// For programs.
    pub(crate) fn to_json(&self) -> Json {
        let mut document = json!({"key": self.key, "old": self.old, "new": self.new});
        match self.effect {
            Effect::Live => document["effect"] = json!("applied"),
            Effect::Restart(reason) => {
                document["effect"] = json!("needs a restart");
                document["reason"] = json!(reason);
            }
        }
        document
    }
}

impl std::fmt::Display for Change {
    /// `limits.deadline: "5s" -> "2s" (applied)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = match self.effect {
            Effect::Live => "applied".to_owned(),
            Effect::Restart(reason) => format!("needs a restart: {reason}"),
        };
        f.write_str(&line(&self.key, self.old.as_ref(), self.new.as_ref(), &said))
    }
}

/// One key that differs, in a line: `limits.deadline: "5s" -> "2s" (applied)`.
pub(crate) fn line(key: &str, old: Option<&Json>, new: Option<&Json>, said: &str) -> String {
    let shown = |value: Option<&Json>| match value {
        None | Some(Json::Null) => "not set".to_owned(),
        Some(value) => value.to_string(),
    };
    format!("{key}: {} -> {} ({said})", shown(old), shown(new))
}

/// The tables above, and nothing else of them: what `Item` and `Value` are.
type Tree = Table;

/// Whether an item is a route with this prefix.
fn is_route(item: &Item, prefix: &str) -> bool {
    let Value::Table(keys) = &item.value else { return false };
    matches!(keys.get("prefix").map(|item| &item.value), Some(Value::Text(text)) if text == prefix)
        || (prefix.is_empty() && !keys.contains_key("prefix"))
}

#[cfg(test)]
mod tests;

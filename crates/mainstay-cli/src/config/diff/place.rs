//! Places in a configuration: parts of a path, where a route is named by its prefix.
//! It must not know what stands there.

use serde_json::Value as Json;

use super::{Tree, is_route};
use crate::config::tree::{Item, Value};

/// `["route", "user:", "ttl"]`.
pub(super) type Path = Vec<String>;

/// The list whose tables are named by their prefix.
const ROUTE: &str = "route";
/// The tables whose keys are names.
const NAMED: [&str; 2] = ["backends", "users"];

/// The tables of a route that are there as a whole or not at all: each has keys that it cannot do without.
const WHOLE: [&[&str]; 2] = [&["source"], &["source", "changes"]];

/// What this is a part of and what comes and goes as one, the largest first: a backend, a route, a user, a route's source.
pub(super) fn wholes(path: &Path) -> impl Iterator<Item = Path> {
    let first = path.first().map_or("", String::as_str);
    let of_members = (first == ROUTE || NAMED.contains(&first)) && path.len() >= 2;
    let below = |table: &&&[&str]| {
        let keys = path.iter().skip(2).map(String::as_str);
        first == ROUTE
            && path.len() > 2 + table.len()
            && keys.take(table.len()).eq(table.iter().copied())
    };
    let tables = WHOLE.iter().filter(below).map(|table| path[..2 + table.len()].to_vec());
    of_members.then(|| path[..2].to_vec()).into_iter().chain(tables.collect::<Vec<_>>())
}

/// Whether one of these stands below.
pub(super) fn is_in<'a>(member: &Path, mut paths: impl Iterator<Item = &'a Path>) -> bool {
    paths.any(|path| path.starts_with(member))
}

/// `route["user:"].ttl`.
pub(super) fn written(path: &Path) -> String {
    let mut text = String::new();
    for (index, part) in path.iter().enumerate() {
        let named = index == 1 && path[0] == ROUTE;
        match index {
            _ if named => text.push_str(&format!("[{part:?}]")),
            0 => text.push_str(part),
            _ => text.push_str(&format!(".{part}")),
        }
    }
    text
}

/// Every value that is no table and not null; lists of plain values are one.
pub(super) fn flatten(path: &mut Path, value: &Json, leaf: &mut impl FnMut(&Path, &Json)) {
    let mut below = |part: String, value: &Json, leaf: &mut _| {
        path.push(part);
        flatten(path, value, leaf);
        path.pop();
    };
    match value {
        Json::Object(map) => {
            map.iter().for_each(|(key, value)| below(key.clone(), value, leaf));
        }
        Json::Array(items) if items.iter().any(Json::is_object) => {
            for (index, value) in items.iter().enumerate() {
                let prefix = value["prefix"].as_str().map(str::to_owned);
                below(prefix.unwrap_or_else(|| index.to_string()), value, leaf);
            }
        }
        // That there is no route is said by no route.
        Json::Array(items) if items.is_empty() && *path == [ROUTE] => {}
        Json::Null => {}
        value => leaf(path, value),
    }
}

/// What was given there.
pub(super) fn find<'a>(table: &'a Tree, path: &[String]) -> Option<&'a Item> {
    let (first, rest) = path.split_first()?;
    let item = table.get(first)?;
    match (&item.value, rest.split_first()) {
        (_, None) => Some(item),
        (Value::Table(table), Some(_)) => find(table, rest),
        (Value::List(items), Some((name, rest))) => {
            let found = items.iter().find(|item| is_route(item, name))?;
            match (&found.value, rest) {
                (_, []) => Some(found),
                (Value::Table(table), rest) => find(table, rest),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Puts it there, or takes away what stands there.
pub(super) fn put(table: &mut Tree, path: &[String], item: Option<Item>) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        match item {
            Some(item) => drop(table.insert(first.clone(), item)),
            None => drop(table.remove(first)),
        }
        return;
    }
    if !table.contains_key(first) {
        let Some(item) = &item else { return };
        let empty =
            if first == ROUTE { Value::List(Vec::new()) } else { Value::Table(Tree::new()) };
        table.insert(first.clone(), Item::new(empty, item.at.clone()));
    }
    match table.get_mut(first).map(|item| &mut item.value) {
        Some(Value::Table(inner)) => put(inner, rest, item),
        Some(Value::List(items)) => put_route(items, rest, item),
        _ => {}
    }
}

fn put_route(items: &mut Vec<Item>, path: &[String], item: Option<Item>) {
    let Some((prefix, rest)) = path.split_first() else { return };
    let place = items.iter().position(|item| is_route(item, prefix));
    match (place, rest, item) {
        (Some(place), [], None) => drop(items.remove(place)),
        (Some(place), [], Some(item)) => items[place] = item,
        (None, [], Some(item)) => items.push(item),
        (Some(place), rest, item) => {
            if let Value::Table(keys) = &mut items[place].value {
                put(keys, rest, item);
            }
        }
        (None, _, _) => {}
    }
}

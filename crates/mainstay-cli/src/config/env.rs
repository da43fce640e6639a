//! The environment layer: `MAINSTAY__BACKENDS__REDIS__URL`, and the two variables that everybody has.
//! It must not read the process's environment by itself; it is given one.

use mainstay::config::{BackendConfig, Engine};

use super::{
    shape::Shape,
    tree::{Item, Origin, Table, Value, merge, nested},
    variables::Environment,
};

/// Variables that begin with this are keys, their parts joined by two underscores.
const PREFIX: &str = "MAINSTAY__";

/// Short names of two keys that people change by the run.
const ALIASES: [(&str, &str); 2] =
    [("MAINSTAY_LOG", "log.level"), ("MAINSTAY_LOG_FORMAT", "log.format")];

/// Variables that define a backend by themselves: the variable, the backend's name.
const URLS: [(&str, &str); 2] = [("REDIS_URL", "redis"), ("DATABASE_URL", "db")];

/// Every key that the environment gives.
pub(crate) fn layer(env: &Environment, shape: &Shape) -> Table {
    let mut table = Table::new();
    for (alias, path) in ALIASES {
        if let Some(text) = env.get(alias).filter(|text| !text.is_empty()) {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            merge(&mut table, one(path, text, Origin::Env(alias.into()), shape));
        }
    }
    for (variable, text) in env {
        if let Some(name) = variable.strip_prefix(PREFIX) {
            let path: Vec<String> = name.split("__").map(str::to_lowercase).collect();
            merge(&mut table, one(path, text, Origin::Env(variable.as_str().into()), shape));
        }
    }
    table
}

/// One key given as text, by a variable or a flag.
pub(crate) fn one(path: Vec<String>, text: &str, at: Origin, shape: &Shape) -> Table {
    let item = read(text, shape.at(&path), &at);
    nested(&path, item)
}

/// Reads the text as what the key takes: texts as they are, the others as TOML or JSON.
fn read(text: &str, shape: Option<&Shape>, at: &Origin) -> Item {
    let structured = match shape {
        None | Some(Shape::Text | Shape::Duration | Shape::Size | Shape::Choice(_)) => None,
        Some(Shape::Integer { .. } | Shape::Number | Shape::Boolean) => read_toml(text, at),
        Some(Shape::Table(_) | Shape::Map(_) | Shape::List(_)) => read_toml(text, at)
            .or_else(|| Some(Item::from_json(serde_json::from_str(text).ok()?, at))),
    };
    structured.unwrap_or_else(|| Item::new(Value::Text(text.to_owned()), at.clone()))
}

fn read_toml(text: &str, at: &Origin) -> Option<Item> {
    let mut document: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    let value = document.remove("value").filter(|_| document.is_empty())?;
    Some(Item::from_json(serde_json::to_value(value).ok()?, at))
}

/// `REDIS_URL` and `DATABASE_URL`: each gives the backend of its name an URL, unless that one has one, or another
/// backend of the same kind is configured. Secrets have been read before.
pub(crate) fn add_urls(table: &mut Table, env: &Environment) {
    for (variable, name) in URLS {
        let Some(url) = env.get(variable).filter(|url| !url.is_empty()) else { continue };
        if !wants_url(table, name) {
            continue;
        }
        let path = ["backends", name, "url"].map(str::to_owned);
        let item = Item::new(Value::Text(url.clone()), Origin::Env(variable.into()));
        merge(table, nested(&path, item));
    }
}

fn wants_url(table: &Table, name: &str) -> bool {
    let Some(Item { value: Value::Table(backends), .. }) = table.get("backends") else {
        return !table.contains_key("backends");
    };
    match backends.get(name) {
        Some(Item { value: Value::Table(own), .. }) => !own.contains_key("url"),
        Some(_) => false,
        None => !backends.values().any(|other| is_of_kind(other, name)),
    }
}

/// Whether a configured backend is the Redis, or the database, that the variable would add.
fn is_of_kind(backend: &Item, name: &str) -> bool {
    let Value::Table(keys) = &backend.value else { return false };
    let Some(Value::Text(url)) = keys.get("url").map(|item| &item.value) else { return false };
    let engine = BackendConfig::at(url.as_str()).engine();
    engine.is_some_and(|engine| (engine == Engine::Redis) == (name == "redis"))
}

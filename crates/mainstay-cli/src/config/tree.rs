//! Configuration before it is typed: values that remember where they came from, and how layers of them merge.
//! It must not know which keys exist.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::Value as Json;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A place in a file.
    File { name: Arc<str>, line: usize, column: usize },
    /// An environment variable.
    Env(Arc<str>),
    /// A flag of the command line.
    Flag(Arc<str>),
    /// The contents of a file that another value names.
    Contents { file: Arc<str>, named_at: Box<Origin> },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Origin::Env(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
            Origin::Contents { file, named_at } => {
                write!(f, "contents of {file}, named at {named_at}")
            }
        }
    }
}

/// A value, where it stands, and where its key stands. No `Debug`: it may hold a secret.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) value: Value,
    pub(crate) at: Origin,
    pub(crate) key_at: Origin,
}

/// A value of any type that TOML and JSON share.
#[derive(Clone)]
pub(crate) enum Value {
    Table(Table),
    List(Vec<Item>),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A TOML date or time, which no key takes.
    Date,
    /// A JSON null, which no key takes.
    Null,
}

pub(crate) type Table = BTreeMap<String, Item>;

impl Value {
    /// With its article, for errors.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Table(_) => "a table",
            Value::List(_) => "a list",
            Value::Text(_) => "a text",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Date => "a date",
            Value::Null => "null",
        }
    }
}

impl Item {
    /// A value that stands where its key stands.
    pub(crate) fn new(value: Value, at: Origin) -> Self {
        Self { value, key_at: at.clone(), at }
    }

    /// As JSON, for serde.
    pub(crate) fn to_json(&self) -> Json {
        match &self.value {
            Value::Table(table) => table_to_json(table),
            Value::List(items) => Json::Array(items.iter().map(Item::to_json).collect()),
            Value::Text(text) => Json::String(text.clone()),
            Value::Integer(number) => Json::from(*number),
            Value::Float(number) => Json::from(*number),
            Value::Boolean(yes) => Json::Bool(*yes),
            Value::Date | Value::Null => Json::Null,
        }
    }

    /// From JSON that came from one place.
    pub(crate) fn from_json(json: Json, at: &Origin) -> Self {
        let value = match json {
            Json::Object(map) => Value::Table(
                map.into_iter().map(|(key, value)| (key, Self::from_json(value, at))).collect(),
            ),
            Json::Array(list) => {
                Value::List(list.into_iter().map(|value| Self::from_json(value, at)).collect())
            }
            Json::String(text) => Value::Text(text),
            Json::Bool(yes) => Value::Boolean(yes),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Value::Integer(number),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::Null => Value::Null,
        };
        Self::new(value, at.clone())
    }
}

/// As JSON, for serde.
pub(crate) fn table_to_json(table: &Table) -> Json {
    Json::Object(table.iter().map(|(key, item)| (key.clone(), item.to_json())).collect())
}

/// Lays `over` on `base`: tables merge, everything else replaces. A secret given in one way (`url`) replaces one
/// given in the other (`url_file`).
pub(crate) fn merge(base: &mut Table, over: Table) {
    for key in over.keys() {
        let twin = twin_of(key);
        if !over.contains_key(&twin) {
            base.remove(&twin);
        }
    }
    for (key, item) in over {
        match (base.get_mut(&key), item) {
            (
                Some(Item { value: Value::Table(below), .. }),
                Item { value: Value::Table(above), .. },
            ) => merge(below, above),
            (_, item) => {
                base.insert(key, item);
            }
        }
    }
}

/// `url` for `url_file` and the other way round.
fn twin_of(key: &str) -> String {
    key.strip_suffix("_file").map_or_else(|| format!("{key}_file"), str::to_owned)
}

/// A table that holds only `item` at this path.
pub(crate) fn nested(path: &[String], item: Item) -> Table {
    let Some((first, rest)) = path.split_first() else { return Table::new() };
    let item = if rest.is_empty() {
        item
    } else {
        let at = item.at.clone();
        Item::new(Value::Table(nested(rest, item)), at)
    };
    Table::from([(first.clone(), item)])
}

/// `backends.redis`, `route[2]`: how a path is written.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Every path under `table` and where its value stands.
pub(crate) fn origins(table: &Table) -> BTreeMap<String, Origin> {
    let mut found = BTreeMap::new();
    for (key, item) in table {
        collect_origins(key.clone(), item, &mut found);
    }
    found
}

fn collect_origins(path: String, item: &Item, found: &mut BTreeMap<String, Origin>) {
    match &item.value {
        Value::Table(table) => {
            for (key, item) in table {
                collect_origins(join(&path, key), item, found);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_origins(format!("{path}[{index}]"), item, found);
            }
        }
        Value::Text(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Date
        | Value::Null => {}
    }
    found.insert(path, item.at.clone());
}

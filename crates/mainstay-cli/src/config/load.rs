//! The order of the layers: defaults, file, environment, flags; then checks, secrets, types, validation.
//! It must not read the process's environment or arguments by itself; it is given them.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    check, env,
    error::{Problem, Problems},
    file, import,
    model::{Settings, schema},
    origin, secret,
    shape::Shape,
    suggest,
    tree::{self, Item, Origin, Table, Value},
    variables::Environment,
};

/// Where the file is looked for when no flag names it.
pub(crate) const SEARCHED: [&str; 2] = ["mainstay.toml", "/etc/mainstay/mainstay.toml"];

/// What there is to load from.
pub(crate) struct Sources<'a> {
    /// The file that a flag names; it has to exist.
    pub(crate) file: Option<&'a Path>,
    /// Keys given by flags.
    pub(crate) flags: &'a [Flag],
    /// The environment.
    pub(crate) env: &'a Environment,
    /// Where the file is looked for when none is named; the first that exists.
    pub(crate) searched: &'a [PathBuf],
}

/// One key given by a flag.
#[derive(Clone, Debug)]
pub(crate) struct Flag {
    pub(crate) flag: &'static str,
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A configuration that validates, and where its values came from. No `Debug`: it holds secrets.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    /// Every path that some layer gave; the others are defaults.
    pub(crate) origins: BTreeMap<String, Origin>,
    /// The file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// What the keys of a file of another format became.
    pub(crate) notes: Vec<String>,
    /// Every value that some layer gave, secrets read.
    pub(super) table: Table,
}

/// Loads it, or says everything that is wrong.
pub(crate) fn load(sources: &Sources<'_>) -> Result<Loaded, Problems> {
    let shape = Shape::of_document(&schema());
    let (file, mut table, notes) = read_file(sources)?;
    tree::merge(&mut table, env::layer(sources.env, &shape));
    for flag in sources.flags {
        let path = flag.path.split('.').map(str::to_owned).collect();
        let at = Origin::Flag(flag.flag.into());
        tree::merge(&mut table, env::one(path, &flag.text, at, &shape));
    }
    refuse(check::check(&table, &shape))?;
    refuse(secret::resolve(&mut table))?;
    env::add_urls(&mut table, sources.env);
    finish(table, file, notes)
}

/// Types it, and checks what no type says. Keys, kinds and secrets have been looked at before.
pub(super) fn finish(
    table: Table,
    file: Option<PathBuf>,
    notes: Vec<String>,
) -> Result<Loaded, Problems> {
    refuse(unknown_backends(&table))?;
    let origins = tree::origins(&table);
    let settings = typed(&table, &origins)?;
    settings.validate().map_err(|message| {
        let (path, problem) = message.split_once(": ").unwrap_or(("", &message));
        Problem::found(&origins, path, problem)
    })?;
    Ok(Loaded { settings, origins, file, notes, table })
}

impl Loaded {
    /// Whether nothing at all is configured.
    pub(crate) fn is_default(&self) -> bool {
        self.file.is_none() && self.origins.is_empty()
    }

    /// Where it came from, in a few words for the banner.
    pub(crate) fn summary(&self) -> String {
        origin::summary(self.file.as_deref(), &self.origins)
    }
}

fn refuse(problems: Vec<Problem>) -> Result<(), Problems> {
    if problems.is_empty() { Ok(()) } else { Err(Problems::in_order(problems)) }
}

/// The file, what stands in it, and what became of the keys of another format.
fn read_file(sources: &Sources<'_>) -> Result<(Option<PathBuf>, Table, Vec<String>), Problems> {
    let found = match sources.file {
        Some(named) => Some(named.to_owned()),
        None => search(sources.searched)?,
    };
    let Some(path) = found else { return Ok((None, Table::new(), Vec::new())) };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let hint = if sources.file.is_some() && error.kind() == ErrorKind::NotFound {
            format!("; write one with: mainstay config init {name}")
        } else {
            String::new()
        };
        unreadable(&name, &error, &hint)
    })?;
    if path.extension().is_some_and(|extension| extension == "json") {
        let (table, notes) = import::read(&name, &text, sources.env)?;
        return Ok((Some(path), table, notes));
    }
    let table = file::parse(&name, &text, sources.env)?;
    Ok((Some(path), table, Vec::new()))
}

/// The first that is there. One of which that cannot be said may be the one that is meant: the next is not taken for it.
fn search(places: &[PathBuf]) -> Result<Option<PathBuf>, Problem> {
    for path in places {
        let there = path.try_exists();
        if there.map_err(|error| unreadable(&path.display().to_string(), &error, ""))? {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}

fn unreadable(name: &str, error: &io::Error, hint: &str) -> Problem {
    let message = format!("{name}: cannot be read: {error}{hint}");
    Problem { at: None, path: String::new(), message }
}

/// Types have been checked; what is left is what only serde knows (an integer over its range).
fn typed(table: &Table, origins: &BTreeMap<String, Origin>) -> Result<Settings, Problem> {
    let json = tree::table_to_json(table);
    let mut track = serde_path_to_error::Track::new();
    let result = Settings::deserialize(serde_path_to_error::Deserializer::new(json, &mut track));
    result.map_err(|error| {
        let path = track.path().to_string();
        // A text in the message may be a secret; a number is not.
        let message = error.to_string();
        Problem::found(origins, &path, readable(&message))
    })
}

/// What serde says, in the words of the other problems.
fn readable(message: &str) -> String {
    let largest = |kind: &str| match kind {
        "u16" => Some(u64::from(u16::MAX)),
        "u32" => Some(u64::from(u32::MAX)),
        _ => None,
    };
    let bound = message.starts_with("invalid value: integer").then(|| message.rsplit(' ').next());
    if let Some(most) = bound.flatten().and_then(largest) {
        return format!("is at most {most}");
    }
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("has no {field}, which it needs");
    }
    if message.contains('"') { "is not what this key takes".to_owned() } else { message.to_owned() }
}

/// Names in routes and of who grants locks that no backend has, each where it stands, with the nearest.
fn unknown_backends(table: &Table) -> Vec<Problem> {
    let backends = match table.get("backends").map(|item| &item.value) {
        Some(Value::Table(backends)) => backends.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let known = backends.into_iter().chain([mainstay::Config::MEMORY]);
    let mut problems = Vec::new();
    let mut refer = |path: String, at: &Origin, name: &str| {
        if !known.clone().any(|known| known == name) {
            let hint = suggest::hint(name, known.clone().collect::<Vec<_>>());
            let message = format!("names `{name}`, which is not under [backends]{hint}");
            problems.push(Problem::new(at, &path, message));
        }
    };
    let routes = match table.get("route").map(|item| &item.value) {
        Some(Value::List(routes)) => routes.as_slice(),
        _ => &[],
    };
    let of_routes = routes.iter().enumerate().flat_map(|(index, route)| references(index, route));
    for (path, item) in of_routes.chain(grantors(table)) {
        match &item.value {
            Value::Text(name) => refer(path, &item.at, name),
            Value::Table(by_name) => by_name.iter().for_each(|(name, item)| {
                refer(tree::join(&path, name), &item.key_at, name);
            }),
            Value::List(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Date
            | Value::Null => {}
        }
    }
    problems
}

/// The backends that grant locks.
fn grantors(table: &Table) -> Vec<(String, &Item)> {
    let Some(Value::Table(locks)) = table.get("locks").map(|item| &item.value) else {
        return Vec::new();
    };
    match locks.get("backends").map(|item| &item.value) {
        Some(Value::List(items)) => {
            let named = items.iter().enumerate();
            named.map(|(index, item)| (format!("locks.backends[{index}]"), item)).collect()
        }
        _ => Vec::new(),
    }
}

/// The values of a route that name backends.
fn references(index: usize, route: &Item) -> Vec<(String, &Item)> {
    let Value::Table(keys) = &route.value else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(Value::Table(source)) = keys.get("source").map(|item| &item.value)
        && let Some(item) = source.get("backend")
    {
        found.push((format!("route[{index}].source.backend"), item));
    }
    for key in ["cache", "record", "backends", "passthrough", "ttl_max"] {
        let Some(item) = keys.get(key) else { continue };
        let path = format!("route[{index}].{key}");
        if let Value::List(items) = &item.value {
            found.extend(items.iter().enumerate().map(|(i, item)| (format!("{path}[{i}]"), item)));
        } else {
            found.push((path, item));
        }
    }
    found
}

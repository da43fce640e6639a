//! Configurations of other formats: the `config.json` with `redis.connection`, `redis.caching` and `redis.resilience`.
//! It must not guess: a key that the table does not know is a problem.

use std::collections::BTreeMap;

use mainstay::config::text::format_duration;

use super::{
    error::{Problem, Problems},
    suggest,
    tree::{self, Item, Origin, Table, Value, join},
    variables::{self, Environment},
};

mod address;
mod json;
mod table;
mod toml;

use table::{Becomes, Part, Section};

/// What was read, in our keys. No `Debug`: it may hold a secret.
pub(crate) struct Imported {
    lines: Vec<Line>,
    /// What each key became, in the order of the file.
    pub(crate) notes: Vec<String>,
    /// What nothing has to be said for.
    silent: Vec<String>,
}

/// One key of ours. No `Debug`: it may hold a secret.
struct Line {
    section: Section,
    key: String,
    value: Value,
    /// The keys that it came from, for the comment.
    from: String,
    at: Origin,
}

/// A JSON file: of another format, or ours.
pub(crate) fn read(
    name: &str,
    text: &str,
    env: &Environment,
) -> Result<(Table, Vec<String>), Problems> {
    let mut document = json::parse(name, text)?;
    if !is_foreign(&document) {
        let problems = variables::replace_in(&mut document, env);
        return if problems.is_empty() {
            Ok((document, Vec::new()))
        } else {
            Err(Problems(problems))
        };
    }
    let with_db = env.get("DATABASE_URL").is_some_and(|url| !url.is_empty());
    let imported = import(&document, with_db)?;
    Ok((imported.table(), imported.notes))
}

/// A JSON file of another format. `with_db`: a database is configured beside it, which is the record then.
pub(crate) fn convert(name: &str, text: &str, with_db: bool) -> Result<Imported, Problems> {
    let document = json::parse(name, text)?;
    if is_foreign(&document) {
        return import(&document, with_db);
    }
    let at = Origin::File { name: name.into(), line: 1, column: 1 };
    let known = "a format that can be imported has `redis.connection`, `redis.caching` or `redis.resilience`, or \
                 `circuitBreakerThreshold` and `healthCheckIntervalMs`";
    Err(Problem::new(&at, "", format!("nothing in it is known; {known}")).into())
}

fn is_foreign(document: &Table) -> bool {
    document.keys().any(|key| table::row(key).is_some() || table::is_group(key))
}

fn import(document: &Table, with_db: bool) -> Result<Imported, Problems> {
    let mut reader = Reader::default();
    reader.table("", document);
    reader.url();
    reader.one_route_without_a_prefix();
    reader.routes(with_db);
    if !reader.problems.is_empty() {
        return Err(Problems::in_order(reader.problems));
    }
    let Reader { mut lines, notes, silent, .. } = reader;
    lines.sort_by_key(|line| line.section);
    Ok(Imported { lines, notes: notes.into_values().collect(), silent })
}

#[derive(Default)]
struct Reader {
    lines: Vec<Line>,
    /// By their places in the file.
    notes: BTreeMap<(usize, usize), String>,
    silent: Vec<String>,
    problems: Vec<Problem>,
    parts: Vec<(Part, String, Value, Origin)>,
}

impl Reader {
    fn table(&mut self, path: &str, table: &Table) {
        for (key, item) in table {
            let path = join(path, key);
            match (&item.value, table::row(&path)) {
                (_, Some(becomes)) => self.key(&path, item, becomes),
                (Value::Table(inner), None) if table::is_group(&path) => self.table(&path, inner),
                (_, None) => self.unknown(&path, item),
            }
        }
    }

    fn unknown(&mut self, path: &str, item: &Item) {
        let known = table::ROWS.iter().map(|(key, _)| *key);
        let near = suggest::nearest(path, known);
        let hint = near.map_or_else(
            || {
                "leave it out, or write it in TOML with our keys: mainstay config import FILE"
                    .to_owned()
            },
            |key| format!("did you mean `{key}`?"),
        );
        let message = format!("has no counterpart that is known; {hint}");
        self.problems.push(Problem::new(&item.key_at, path, message));
    }

    fn key(&mut self, path: &str, item: &Item, becomes: Becomes) {
        if let Value::Text(text) = &item.value
            && text.contains("${")
        {
            let message = "has a `${`, and no variable is put in here: write what it stands for, or leave the connection \
                           out and set REDIS_URL";
            return self.problems.push(Problem::new(&item.at, path, message));
        }
        match becomes {
            Becomes::Url(part) => {
                let value = item.value.clone();
                self.parts.push((part, path.to_owned(), value, item.key_at.clone()));
            }
            Becomes::Millis(section, key, least) => {
                self.duration(path, item, 1, (section, key, least))
            }
            Becomes::Seconds(section, key, least) => {
                self.duration(path, item, 1000, (section, key, least));
            }
            Becomes::Count(section, key) => match item.value {
                Value::Integer(number) if number >= 0 => {
                    self.line(section, key, Value::Integer(number), path, item);
                }
                _ => self.refuse(path, item, "takes a whole number"),
            },
            Becomes::Text(section, key) => match &item.value {
                Value::Text(text) => self.line(section, key, Value::Text(text.clone()), path, item),
                _ => self.refuse(path, item, "takes a text"),
            },
            Becomes::Nothing(why) => self.nothing(&item.key_at, path, why),
        }
    }

    fn duration(
        &mut self,
        path: &str,
        item: &Item,
        factor: u64,
        (section, key, least): (Section, &'static str, Option<(&'static str, u64)>),
    ) {
        let number = match item.value {
            Value::Integer(number) => {
                u64::try_from(number).ok().and_then(|n| n.checked_mul(factor))
            }
            _ => None,
        };
        let Some(millis) = number else {
            let unit = if factor == 1 { "milliseconds" } else { "seconds" };
            return self.refuse(path, item, &format!("takes a whole number of {unit}"));
        };
        let text = |millis| Value::Text(format_duration(std::time::Duration::from_millis(millis)));
        self.line(section, key, text(millis), path, item);
        if let Some((beside, default)) = least
            && millis > default
        {
            self.line(section, beside, text(millis), path, item);
        }
    }

    fn line(&mut self, section: Section, key: &str, value: Value, path: &str, item: &Item) {
        let shown = toml::value(&value);
        self.note(
            &item.key_at,
            format!("{path} = {}: {} = {shown}", given(item), toml::full(section, key)),
        );
        let from = format!("{path} = {}", given(item));
        let twin = self.lines.iter_mut().find(|line| line.section == section && line.key == key);
        let Some(twin) = twin else {
            let (key, at) = (key.to_owned(), item.at.clone());
            return self.lines.push(Line { section, key, value, from, at });
        };
        if toml::value(&twin.value) == shown {
            twin.from = format!("{}, {from}", twin.from);
            return;
        }
        let message = format!(
            "becomes {}, as `{}` at {} does, and the two differ; leave one out",
            toml::full(section, key),
            twin.from,
            twin.at
        );
        self.problems.push(Problem::new(&item.at, path, message));
    }

    fn refuse(&mut self, path: &str, item: &Item, what: &str) {
        let message = format!("is {}; it {what}", item.value.kind());
        self.problems.push(Problem::new(&item.at, path, message));
    }

    fn note(&mut self, at: &Origin, text: String) {
        if let Origin::File { line, column, .. } = at {
            let note = self.notes.entry((*line, *column)).or_default();
            let gap = if note.is_empty() { format!("{at}: ") } else { "; ".to_owned() };
            note.push_str(&gap);
            note.push_str(&text);
        }
    }

    /// Without a prefix the keys "of the prefix" are all keys, and there is one route for them.
    fn one_route_without_a_prefix(&mut self) {
        let of = |section| move |line: &&Line| line.section == section;
        let prefixed = |line: &Line| line.key == "prefix" && toml::value(&line.value) != "\"\"";
        if self.lines.iter().filter(of(Section::Route)).any(prefixed) {
            return;
        }
        let own = self.lines.iter().filter(of(Section::Route)).find(|line| line.key == "ttl");
        let rest = self.lines.iter().filter(of(Section::Rest)).find(|line| line.key == "ttl");
        if let (Some(own), Some(rest)) = (own, rest) {
            if toml::value(&own.value) != toml::value(&rest.value) {
                let message = format!(
                    "differs from `{}` at {}, and both are of all keys, for there is no redis.caching.keyPrefix; \
                     give a prefix, or leave one out",
                    rest.from, rest.at
                );
                let problem = Problem::new(&own.at, "redis.caching.ttl", message);
                return self.problems.push(problem);
            }
            let from = format!("{}, {}", own.from, rest.from);
            self.lines.retain(|line| line.section != Section::Rest);
            if let Some(own) = self
                .lines
                .iter_mut()
                .find(|line| line.section == Section::Route && line.key == "ttl")
            {
                own.from = from;
            }
        }
        self.lines
            .iter_mut()
            .filter(|line| line.section == Section::Rest)
            .for_each(|line| line.section = Section::Route);
    }

    /// Who serves the prefixes: Redis before the database, or Redis alone.
    fn routes(&mut self, with_db: bool) {
        for section in [Section::Route, Section::Rest] {
            let own = self.lines.iter().position(|line| line.section == section);
            let Some(first) = own else { continue };
            let at = self.lines[first].at.clone();
            let names = |names: &[&str]| {
                let text = |name: &&str| Item::new(Value::Text((*name).to_owned()), at.clone());
                Value::List(names.iter().map(text).collect())
            };
            let served = match with_db {
                true => {
                    vec![("cache", names(&["redis"])), ("record", Value::Text("db".to_owned()))]
                }
                false => vec![("backends", names(&["redis"]))],
            };
            for (key, value) in served {
                let (key, from, at) = (key.to_owned(), String::new(), at.clone());
                self.lines.push(Line { section, key, value, from, at });
            }
        }
    }
}

/// As it stands in the file.
fn given(item: &Item) -> String {
    item.to_json().to_string()
}

impl Imported {
    /// As a layer of the configuration; each value stands where its key stood.
    fn table(&self) -> Table {
        let mut whole = Table::new();
        let mut routes: BTreeMap<Section, (Table, Origin)> = BTreeMap::new();
        for line in &self.lines {
            let item = Item::new(line.value.clone(), line.at.clone());
            let path: Vec<String> = line.key.split('.').map(str::to_owned).collect();
            let layer = tree::nested(&path, item);
            match line.section {
                Section::Redis => {
                    let path = ["backends", "redis"].map(str::to_owned);
                    let table = Item::new(Value::Table(layer), line.at.clone());
                    tree::merge(&mut whole, tree::nested(&path, table));
                }
                Section::Route | Section::Rest => {
                    let route = routes.entry(line.section);
                    let (table, _) = route.or_insert_with(|| (Table::new(), line.at.clone()));
                    tree::merge(table, layer);
                }
            }
        }
        if let Some((_, at)) = routes.values().next() {
            let at = at.clone();
            let items = routes.into_values().map(|(table, at)| Item::new(Value::Table(table), at));
            let list = Value::List(items.collect());
            whole.insert("route".to_owned(), Item::new(list, at));
        }
        whole
    }

    /// As a file of ours, each key with a comment that says where it came from.
    pub(crate) fn toml(&self, name: &str, with_db: bool) -> String {
        toml::write(self, name, with_db)
    }
}

#[cfg(test)]
mod tests;

//! Secrets that stand in files of their own: `url_file` beside `url`, `token_file`, `password_file`.
//! It must never put the contents into an error.

use super::{
    error::Problem,
    tree::{Item, Origin, Table, Value, join},
};

/// The structs that hold a secret, as the schema names them, and its key.
pub(crate) const DEFINITIONS: [(&str, &str); 5] = [
    ("BackendConfig", "url"),
    ("HttpConfig", "token"),
    ("RespConfig", "password"),
    ("UserConfig", "password"),
    ("UserConfig", "token"),
];

/// The secrets of each entry of a table of tables.
const ENTRIES: [(&str, &[&str]); 2] = [("backends", &["url"]), ("users", &["password", "token"])];

/// Longer files are not what was meant.
const LEN_MAX: usize = 64 * 1024;

/// Replaces each `..._file` by the contents of the file. Types have been checked before.
pub(crate) fn resolve(table: &mut Table) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (section, secrets) in ENTRIES {
        let Some(Value::Table(entries)) = table.get_mut(section).map(|item| &mut item.value) else {
            continue;
        };
        for (name, entry) in entries {
            for key in secrets {
                resolve_in(&join(section, name), entry, key, &mut problems);
            }
        }
    }
    for (name, key) in [("http", "token"), ("resp", "password")] {
        if let Some(section) = table.get_mut(name) {
            resolve_in(name, section, key, &mut problems);
        }
    }
    problems
}

fn resolve_in(path: &str, section: &mut Item, key: &str, problems: &mut Vec<Problem>) {
    let Value::Table(keys) = &mut section.value else { return };
    let file_key = format!("{key}_file");
    let Some(file) = keys.remove(&file_key) else { return };
    let path = join(path, &file_key);
    if keys.contains_key(key) {
        let message = format!("stands beside `{key}`; give one of the two");
        problems.push(Problem::new(&file.key_at, &path, message));
        return;
    }
    let Value::Text(name) = &file.value else { return };
    match read(name) {
        Ok(contents) => {
            let at = Origin::Contents { file: name.as_str().into(), named_at: Box::new(file.at) };
            keys.insert(key.to_owned(), Item::new(Value::Text(contents), at));
        }
        Err(problem) => problems.push(Problem::new(&file.at, &path, problem)),
    }
}

fn read(name: &str) -> Result<String, String> {
    let contents = std::fs::read(name).map_err(|error| format!("{name}: {error}"))?;
    if contents.len() > LEN_MAX {
        return Err(format!("{name}: is longer than 64KiB, which is no secret of ours"));
    }
    let text = String::from_utf8(contents).map_err(|_| format!("{name}: is not UTF-8"))?;
    let text = text.trim();
    if text.is_empty() { Err(format!("{name}: is empty")) } else { Ok(text.to_owned()) }
}

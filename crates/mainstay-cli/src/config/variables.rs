//! `${VAR}` in the texts of a file, TOML or JSON.
//! It must not know which keys exist.

use std::collections::BTreeMap;

use super::{
    error::Problem,
    tree::{Item, Table, Value, join},
};

/// The environment as the loader sees it.
pub(crate) type Environment = BTreeMap<String, String>;

/// Replaces them in every text of a file that is read already.
pub(super) fn replace_in(table: &mut Table, env: &Environment) -> Vec<Problem> {
    let mut problems = Vec::new();
    in_table("", table, env, &mut problems);
    problems
}

fn in_table(path: &str, table: &mut Table, env: &Environment, problems: &mut Vec<Problem>) {
    for (key, item) in table {
        in_item(&join(path, key), item, env, problems);
    }
}

fn in_item(path: &str, item: &mut Item, env: &Environment, problems: &mut Vec<Problem>) {
    match &mut item.value {
        Value::Table(table) => in_table(path, table, env, problems),
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                in_item(&format!("{path}[{index}]"), item, env, problems);
            }
        }
        Value::Text(text) => match replaced(text, env) {
            Ok(done) => *text = done,
            Err(problem) => problems.push(Problem::new(&item.at, path, problem)),
        },
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Date | Value::Null => {}
    }
}

/// Replaces `${VAR}` and `${VAR:-default}`; `$${` stands for `${`.
pub(super) fn replaced(text: &str, env: &Environment) -> Result<String, String> {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        if let Some(escaped) = before.strip_suffix('$') {
            done.push_str(escaped);
            done.push_str("${");
            rest = after;
            continue;
        }
        done.push_str(before);
        let Some(end) = after.find('}') else {
            return Err("has a `${` without `}`; write `$${` for the two characters".to_owned());
        };
        done.push_str(&variable(&after[..end], env)?);
        rest = &after[end + 1..];
    }
    done.push_str(rest);
    Ok(done)
}

fn variable(reference: &str, env: &Environment) -> Result<String, String> {
    let (name, default) = reference
        .split_once(":-")
        .map_or((reference, None), |(name, default)| (name, Some(default)));
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(
            "has a `${` that no variable's name follows; write `$${` for the two characters".into(),
        );
    }
    match (env.get(name).filter(|value| !value.is_empty()), default) {
        (Some(value), _) => Ok(value.clone()),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "needs the environment variable {name}, which is not set; set it, or write `${{{name}:-default}}`"
        )),
    }
}

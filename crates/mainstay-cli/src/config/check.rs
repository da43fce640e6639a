//! Whether every key is known and every value is of its type: all problems at once, each where it stands.
//! It must not know any key by name; ranges and references are the business of `validate`.

use std::time::Duration;

use mainstay::config::text;

use super::{
    error::Problem,
    shape::{Field, Shape},
    suggest,
    tree::{Item, Origin, Table, Value, join},
};

/// Every problem of a whole configuration.
pub(crate) fn check(table: &Table, shape: &Shape) -> Vec<Problem> {
    let mut problems = Vec::new();
    check_table("", table, shape, &mut problems);
    problems
}

fn check_table(path: &str, table: &Table, shape: &Shape, problems: &mut Vec<Problem>) {
    for (key, item) in table {
        let path = join(path, key);
        match shape {
            Shape::Table(fields) => match fields.get(key) {
                Some(field) => check_item(&path, item, &field.shape, problems),
                None => problems.push(unknown_key(&path, key, item, fields)),
            },
            Shape::Map(inner) => check_item(&path, item, inner, problems),
            Shape::List(_)
            | Shape::Text
            | Shape::Duration
            | Shape::Size
            | Shape::Choice(_)
            | Shape::Integer { .. }
            | Shape::Number
            | Shape::Boolean => {}
        }
    }
}

fn unknown_key<'a>(
    path: &str,
    key: &str,
    item: &Item,
    fields: impl IntoIterator<Item = (&'a String, &'a Field), IntoIter: Clone>,
) -> Problem {
    let known = fields.into_iter().map(|(name, _)| name.as_str());
    let variable =
        suggest::nearest(key, known.clone()).and_then(|name| corrected(&item.key_at, path, name));
    let hint = variable.map_or_else(
        || suggest::hint(key, known),
        |variable| format!("; did you mean {variable}?"),
    );
    Problem::new(&item.key_at, path, format!("is not a known key{hint}"))
}

/// The variable with the last part of `path` replaced by `name`, when that part stands in the variable's name.
fn corrected(at: &Origin, path: &str, name: &str) -> Option<String> {
    let Origin::Env(variable) = at else { return None };
    let mut parts: Vec<&str> = variable.split("__").collect();
    let name = name.to_uppercase();
    *parts.get_mut(path.split('.').count())? = &name;
    Some(parts.join("__"))
}

fn check_item(path: &str, item: &Item, shape: &Shape, problems: &mut Vec<Problem>) {
    let problem = match (shape, &item.value) {
        (Shape::Table(_) | Shape::Map(_), Value::Table(table)) => {
            check_table(path, table, shape, problems);
            return;
        }
        (Shape::List(inner), Value::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                check_item(&format!("{path}[{index}]"), item, inner, problems);
            }
            return;
        }
        (Shape::Text, Value::Text(_))
        | (Shape::Boolean, Value::Boolean(_))
        | (Shape::Number, Value::Integer(_)) => return,
        (Shape::Number, Value::Float(number)) if number.is_finite() => return,
        (Shape::Integer { least }, Value::Integer(number)) if number >= least => return,
        (Shape::Integer { least }, Value::Integer(_)) => format!("is at least {least}"),
        (Shape::Duration, value) => match quantity(value, text::parse_duration) {
            Ok(Duration { .. }) => return,
            Err(problem) => problem,
        },
        (Shape::Size, value) => match quantity(value, text::parse_size) {
            Ok(_) => return,
            Err(problem) => problem,
        },
        (Shape::Choice(words), Value::Text(word)) if words.contains(word) => return,
        (Shape::Choice(words), _) => {
            let typed = if let Value::Text(word) = &item.value { word.as_str() } else { "" };
            let hint = suggest::nearest(typed, words.iter().map(String::as_str))
                .map_or_else(String::new, |word| format!("; did you mean `{word}`?"));
            format!("is one of {}{hint}", shape.describe())
        }
        (Shape::List(inner), Value::Table(_)) if matches!(**inner, Shape::Table(_)) => {
            format!("is one table; there may be several, each under [[{path}]]")
        }
        (expected, value) => mismatch(expected, value),
    };
    problems.push(Problem::new(&item.at, path, problem));
}

/// Reads a quantity; a bare number is given to the parser as text, which refuses it with the fix.
fn quantity<T>(value: &Value, parse: fn(&str) -> Result<T, String>) -> Result<T, String> {
    match value {
        Value::Text(text) => parse(text),
        Value::Integer(number) => parse(&number.to_string()),
        other => parse("").map_err(|rule| {
            let rule = rule.strip_prefix("``: ").unwrap_or(&rule).to_owned();
            format!("is {}; {rule}", other.kind())
        }),
    }
}

fn mismatch(expected: &Shape, value: &Value) -> String {
    let kind = value.kind();
    match expected {
        Shape::Table(_) | Shape::Map(_) => format!("is {kind}; it takes a table, as in [name]"),
        Shape::List(_) => format!("is {kind}; it takes a list, as in [\"a\", \"b\"]"),
        Shape::Integer { .. } => format!("is {kind}; it takes an integer without quotes"),
        Shape::Number => format!("is {kind}; it takes a number without quotes, as in 0.5"),
        Shape::Boolean => format!("is {kind}; it takes true or false without quotes"),
        Shape::Text | Shape::Duration | Shape::Size | Shape::Choice(_) => {
            format!("is {kind}; it takes a text in quotes")
        }
    }
}

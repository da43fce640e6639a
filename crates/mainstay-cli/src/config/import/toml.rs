//! What was imported, written as our TOML with comments.
//! It must not know the table.

use std::fmt::Write;

use super::{Imported, Section};
use crate::config::tree::Value;

/// A value as TOML.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Text(text) => toml::Value::String(text.replace("${", "$${")).to_string(),
        Value::Integer(number) => number.to_string(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| self::value(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Float(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        Value::Table(_) | Value::Date | Value::Null => String::new(),
    }
}

/// `backends.redis.timeout`.
pub(super) fn full(section: Section, key: &str) -> String {
    match section {
        Section::Redis => format!("backends.redis.{key}"),
        Section::Route | Section::Rest => format!("route.{key}"),
    }
}

pub(super) fn write(imported: &Imported, name: &str, with_db: bool) -> String {
    let mut text = format!("# Made from {name} by `mainstay config import`.\n");
    let mut current = None;
    for line in &imported.lines {
        if current != Some(line.section) {
            text.push_str(match line.section {
                Section::Redis => "\n[backends.redis]\n",
                Section::Route => "\n[[route]]\n",
                Section::Rest => "\n# All other keys.\n[[route]]\n",
            });
            current = Some(line.section);
        }
        let from = if line.from.is_empty() { String::new() } else { format!("  # {}", line.from) };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} = {}{from}", line.key, value(&line.value));
    }
    text.push_str(if with_db {
        "\n# The database behind the routes.\n[backends.db]\nurl = \"${DATABASE_URL}\"\n"
    } else {
        "\n# A database as the truth behind Redis: add it, and in each route write `cache = [\"redis\"]` and\n\
         # `record = \"db\"` in the place of `backends`.\n# [backends.db]\n# url = \"${DATABASE_URL}\"\n"
    });
    if !imported.silent.is_empty() {
        text.push_str("\n# Without a counterpart, for nothing has to be set:\n");
        for line in &imported.silent {
            let _ = writeln!(text, "# {line}");
        }
    }
    text
}

//! The reference of the configuration, in Markdown, from the schema.
//! It must not know any key by name.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    live,
    model::schema,
    shape::{Field, Shape},
};

/// Every table and key.
pub(crate) fn markdown() -> String {
    let mut text = String::from(
        "# Configuration reference\n\n\
         Order: flags, then environment, then file (`--config`, `./mainstay.toml`, `/etc/mainstay/mainstay.toml`), then defaults.\n\
         Each key has an environment variable: `MAINSTAY__` and the path in capitals, parts joined by two underscores \
         (`MAINSTAY__BACKENDS__REDIS__URL`); lists and tables as TOML or JSON. `REDIS_URL` and `DATABASE_URL` define the \
         backends `redis` and `db` when no other backend of that kind is configured. \
         `MAINSTAY_LOG` and `MAINSTAY_LOG_FORMAT` stand for `log.level` and `log.format`.\n\
         Texts in the file may hold `${VAR}` and `${VAR:-default}`; `$${` stands for `${`.\n\
         Durations are written `250ms`, `5s`, `10m`, `1h`, `7d`; sizes `512KiB`, `64MiB`, `1GiB`.\n\
         The last column says what a reload of a running server (SIGHUP, `mainstay config reload`) makes of a change: `live`, in \
         force at once, or `restart`.\n",
    );
    if let Shape::Table(fields) = Shape::of_document(&schema()) {
        for (name, field) in &fields {
            section(&mut text, name, field);
        }
    }
    text
}

fn section(text: &mut String, path: &str, field: &Field) {
    let (title, fields) = match &field.shape {
        Shape::Table(fields) => (format!("[{path}]"), fields),
        Shape::Map(inner) => match &**inner {
            Shape::Table(fields) => (format!("[{path}.NAME]"), fields),
            _ => return,
        },
        Shape::List(inner) => match &**inner {
            Shape::Table(fields) => (format!("[[{path}]]"), fields),
            _ => return,
        },
        Shape::Text
        | Shape::Duration
        | Shape::Size
        | Shape::Choice(_)
        | Shape::Integer { .. }
        | Shape::Number
        | Shape::Boolean => return,
    };
    let _ = write!(text, "\n## `{title}`\n\n{}\n\n", one_line(&field.doc));
    text.push_str("| key | takes | default | | a change |\n|---|---|---|---|---|\n");
    let mut above = vec![path.to_owned()];
    if !matches!(field.shape, Shape::Table(_)) {
        above.push("*".to_owned());
    }
    rows(text, &above, "", fields);
}

/// `above`: the path of the table; `prefix`: what of it is written before each key.
fn rows(text: &mut String, above: &[String], prefix: &str, fields: &BTreeMap<String, Field>) {
    for (name, field) in fields {
        let key = format!("{prefix}{name}");
        if let Shape::Table(inner) = &field.shape {
            rows(text, &[above, std::slice::from_ref(name)].concat(), &format!("{key}."), inner);
            continue;
        }
        let default = match &field.default {
            Some(value) if value != "" => format!("`{value}`"),
            _ => String::new(),
        };
        let takes = match &field.shape {
            Shape::Map(inner) => format!("table of {}s", inner.describe()),
            shape => shape.describe(),
        };
        let doc = one_line(&field.doc).replace('|', "\\|");
        let mut path = [above, std::slice::from_ref(name)].concat();
        if matches!(field.shape, Shape::Map(_)) {
            path.push("*".to_owned());
        }
        let change = live::word(&path);
        let _ = writeln!(text, "| `{key}` | {takes} | {default} | {doc} | {change} |");
    }
}

fn one_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

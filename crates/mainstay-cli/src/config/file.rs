//! The file layer: TOML with positions, and `${VAR}` in its strings.
//! It must not know which keys exist.

use std::sync::Arc;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    error::{Problem, Problems},
    tree::{Item, Origin, Table, Value, join},
    variables::{self, Environment},
};

/// Reads the text of a file.
pub(crate) fn parse(name: &str, text: &str, env: &Environment) -> Result<Table, Problems> {
    let mut reader = Reader { name: name.into(), text, env, problems: Vec::new() };
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let at = reader.origin(error.span().map_or(0, |span| span.start));
            // Only the message: the full text of the error repeats the line, which may hold a secret.
            return Err(Problem::new(&at, "", format!("not TOML: {}", error.message())).into());
        }
    };
    let table = reader.table("", document.get_ref());
    if reader.problems.is_empty() { Ok(table) } else { Err(Problems(reader.problems)) }
}

struct Reader<'a> {
    name: Arc<str>,
    text: &'a str,
    env: &'a Environment,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Line and column, from 1, columns in characters.
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Origin::File {
            name: Arc::clone(&self.name),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn table(&mut self, path: &str, table: &DeTable<'_>) -> Table {
        let mut items = Table::new();
        for (key, value) in table {
            let mut item = self.item(&join(path, key.get_ref()), value);
            item.key_at = self.origin(key.span().start);
            if matches!(item.value, Value::Table(_)) {
                item.at = item.key_at.clone();
            }
            items.insert(key.get_ref().to_string(), item);
        }
        items
    }

    fn item(&mut self, path: &str, value: &Spanned<DeValue<'_>>) -> Item {
        let at = self.origin(value.span().start);
        let value = match value.get_ref() {
            DeValue::Table(table) => Value::Table(self.table(path, table)),
            DeValue::Array(items) => Value::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, value)| self.item(&format!("{path}[{index}]"), value))
                    .collect(),
            ),
            DeValue::String(text) => Value::Text(self.variables(path, text, &at)),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(
                    |_| {
                        self.problems.push(Problem::new(&at, path, "is too large for an integer"));
                        Value::Null
                    },
                    Value::Integer,
                ),
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(yes) => Value::Boolean(*yes),
            DeValue::Datetime(_) => Value::Date,
        };
        Item::new(value, at)
    }

    fn variables(&mut self, path: &str, text: &str, at: &Origin) -> String {
        variables::replaced(text, self.env).unwrap_or_else(|problem| {
            self.problems.push(Problem::new(at, path, problem));
            String::new()
        })
    }
}

//! JSON with positions: each value and key with its line and column.
//! It must not know which keys exist.

use std::sync::Arc;

use crate::config::{
    error::Problem,
    tree::{Item, Origin, Table, Value},
};

/// Deeper than any configuration.
const DEPTH_MAX: usize = 32;

/// Reads a document whose whole is an object.
pub(super) fn parse(name: &str, text: &str) -> Result<Table, Problem> {
    let mut reader = Reader { name: name.into(), text, at: 0 };
    reader.skip();
    let item = reader.value(0)?;
    reader.skip();
    if reader.at < text.len() {
        return Err(reader.wrong("the end of the document"));
    }
    match item.value {
        Value::Table(table) => Ok(table),
        other => {
            let message =
                format!("not a configuration: the whole is {}, not an object", other.kind());
            Err(Problem::new(&item.at, "", message))
        }
    }
}

struct Reader<'a> {
    name: Arc<str>,
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// Line and column of a place, from 1, columns in characters.
    fn origin(&self, offset: usize) -> Origin {
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Origin::File {
            name: Arc::clone(&self.name),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// Says what was expected here; what stands here is not repeated, for it may be a secret.
    fn wrong(&self, expected: &str) -> Problem {
        let end = if self.at >= self.text.len() { ", and the file ends" } else { "" };
        Problem::new(
            &self.origin(self.at),
            "",
            format!("not JSON: {expected} is expected here{end}"),
        )
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Item, Problem> {
        if depth > DEPTH_MAX {
            return Err(self.wrong("less nesting (32 levels at most)"));
        }
        let at = self.origin(self.at);
        let value = match self.rest().bytes().next() {
            Some(b'{') => Value::Table(self.object(depth)?),
            Some(b'[') => Value::List(self.array(depth)?),
            Some(b'"') => Value::Text(self.string()?),
            _ if self.take("true") => Value::Boolean(true),
            _ if self.take("false") => Value::Boolean(false),
            _ if self.take("null") => Value::Null,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.wrong("a value")),
        };
        Ok(Item::new(value, at))
    }

    fn object(&mut self, depth: usize) -> Result<Table, Problem> {
        let mut table = Table::new();
        self.at += 1;
        self.skip();
        while !self.take("}") {
            if !table.is_empty() {
                if !self.take(",") {
                    return Err(self.wrong("`,` or `}`"));
                }
                self.skip();
            }
            let key_at = self.origin(self.at);
            if !self.rest().starts_with('"') {
                return Err(self.wrong("a key in double quotes"));
            }
            let key = self.string()?;
            self.skip();
            if !self.take(":") {
                return Err(self.wrong("`:`"));
            }
            self.skip();
            let mut item = self.value(depth + 1)?;
            item.key_at = key_at.clone();
            if table.insert(key, item).is_some() {
                return Err(Problem::new(
                    &key_at,
                    "",
                    "not JSON that can be read: the key stands twice",
                ));
            }
            self.skip();
        }
        Ok(table)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Item>, Problem> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip();
        while !self.take("]") {
            if !items.is_empty() {
                if !self.take(",") {
                    return Err(self.wrong("`,` or `]`"));
                }
                self.skip();
            }
            items.push(self.value(depth + 1)?);
            self.skip();
        }
        Ok(items)
    }

    /// From quote to quote; serde reads what is between.
    fn string(&mut self) -> Result<String, Problem> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| match (escaped, c) {
            (true, _) => {
                escaped = false;
                false
            }
            (false, '\\') => {
                escaped = true;
                false
            }
            (false, c) => *c == '"',
        });
        let Some((end, _)) = end else { return Err(self.wrong("the end of a text (`\"`)")) };
        let read = serde_json::from_str(&rest[..=end]);
        let text =
            read.map_err(|_| self.wrong("a text without line breaks and unknown escapes"))?;
        self.at += end + 1;
        Ok(text)
    }

    fn number(&mut self) -> Result<Value, Problem> {
        let rest = self.rest();
        let digits = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let end = rest.find(|c| !digits(c)).unwrap_or(rest.len());
        let read: Option<serde_json::Number> = serde_json::from_str(&rest[..end]).ok();
        let number = read.ok_or_else(|| self.wrong("a number"))?;
        self.at += end;
        Ok(match number.as_i64() {
            Some(whole) => Value::Integer(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        })
    }
}

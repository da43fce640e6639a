//! Entries and dead letters as lines of JSON, for people and for other programs.
//! It must not know where they come from. Keys and values are text where they are UTF-8, else base64 under another name.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::entry::{DeadLetter, JournalEntry};
use crate::op::{Op, TtlChange};

impl JournalEntry {
    /// One object, without a line break.
    pub(crate) fn to_json(&self) -> String {
        Value::Object(entry(self)).to_string()
    }
}

impl DeadLetter {
    /// The entry's object with `reason` and `dead_since_unix_ms`.
    pub(crate) fn to_json(&self) -> String {
        let mut object = entry(&self.entry);
        object.insert("reason".into(), json!(self.reason));
        object.insert("dead_since_unix_ms".into(), json!(self.at_unix_ms));
        Value::Object(object).to_string()
    }
}

fn entry(entry: &JournalEntry) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("seq".into(), json!(entry.seq));
    object.insert("accepted_unix_ms".into(), json!(entry.accepted_unix_ms));
    object.insert("route".into(), json!(entry.route));
    object.insert("op".into(), json!(entry.write.name()));
    match &entry.write {
        Op::Set { key, value, ttl, .. } => {
            put(&mut object, "key", key.as_bytes());
            put(&mut object, "value", value);
            put_ttl(&mut object, *ttl);
        }
        Op::SetMany { entries, ttl, .. } => {
            let entries = entries.iter().map(|(key, value)| {
                let mut pair = Map::new();
                put(&mut pair, "key", key.as_bytes());
                put(&mut pair, "value", value);
                Value::Object(pair)
            });
            object.insert("entries".into(), entries.collect());
            put_ttl(&mut object, *ttl);
        }
        Op::Expire { key, ttl, .. } => {
            put(&mut object, "key", key.as_bytes());
            put_ttl(&mut object, *ttl);
        }
        Op::DeleteMany { keys } => {
            let keys = keys.iter().map(|key| {
                let mut one = Map::new();
                put(&mut one, "key", key.as_bytes());
                Value::Object(one)
            });
            object.insert("keys".into(), keys.collect());
        }
        other => other.for_each_key(|key| put(&mut object, "key", key.as_bytes())),
    }
    put_base(&mut object, entry);
    object
}

fn put_base(object: &mut Map<String, Value>, entry: &JournalEntry) {
    let base = &entry.base;
    if let Some(version) = base.version {
        object.insert("base_version".into(), json!(version.to_string()));
    }
    if let Some(at) = base.known_until_us {
        object.insert("known_until_us".into(), json!(at));
    }
    if let Some(seq) = base.after_seq {
        object.insert("after_seq".into(), json!(seq));
    }
}

fn put(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), json!(text)),
        Err(_) => object.insert(format!("{name}_base64"), json!(BASE64_STANDARD.encode(bytes))),
    };
}

/// `expires_at_unix_ms` is null for a key that will not expire, and missing when the expiry stays as it is.
fn put_ttl(object: &mut Map<String, Value>, ttl: TtlChange) {
    let at = match ttl {
        TtlChange::At(at) => json!(at),
        TtlChange::Clear => Value::Null,
        TtlChange::Keep | TtlChange::For(_) => return,
    };
    object.insert("expires_at_unix_ms".into(), at);
}

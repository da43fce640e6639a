//! The text of a transaction with the writes of many callers, which goes to the server in one packet.
//! It must not know which writes go together, nor who waits for them.

use std::time::Duration;

use super::{
    INSERT, SET_END,
    record::{hex, hex_into},
};
use crate::backend::sql::together::{Change, Mark, Write};

/// The longest that a statement of this session takes from now on, its waits for locks included. MariaDB alone has such a limit.
pub(in super::super) fn within(limit: Duration) -> String {
    format!("SET SESSION max_statement_time = {}", limit.as_secs_f64())
}

/// Begins; each statement is bounded.
pub(in super::super) fn begin(limit: Duration) -> String {
    format!(concat!("{}, @mainstay_begun = ", clock_us!(), "; START TRANSACTION"), within(limit))
}

/// Sets all of them in one statement, then gives the counter of each key. There are no deletes among them.
pub(in super::super) fn set(text: &mut String, writes: &[Write], epoch: u32) {
    let sets = writes.iter().filter_map(|write| match &write.change {
        Change::Set { value, expiry } => Some((&write.key, value, expiry)),
        Change::Delete => None,
    });
    text.push_str(INSERT);
    for (index, (key, value, expiry)) in sets.enumerate() {
        text.push_str(if index > 0 { ", (" } else { "(" });
        hex_into(text, key.as_bytes());
        text.push_str(&format!(", {epoch}, @mainstay_begun, "));
        hex_into(text, value);
        text.push_str(", 0, ");
        text.push_str(&match (expiry.at, expiry.after) {
            (Some(at), _) => at.to_string(),
            (None, Some(after)) => format!("@mainstay_begun DIV 1000 + {after}"),
            (None, None) => "NULL".to_owned(),
        });
        text.push_str(", @mainstay_begun DIV 1000)");
    }
    text.push_str(SET_END);
    text.push_str("; SELECT `key`, counter FROM mainstay_kv WHERE `key` IN (");
    for (index, write) in writes.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        hex_into(text, write.key.as_bytes());
    }
    text.push(')');
}

/// What must not be the case right before the commit: one look at all of it, where `guard::Guard` has a statement for each.
#[derive(Clone, Debug)]
pub(in super::super) struct Refusals(String);

impl Refusals {
    /// It was begun longer ago than this.
    pub(in super::super) fn late(within_us: u128) -> Self {
        let late = concat!("@mainstay_begun IS NULL OR ", clock_us!(), " > @mainstay_begun + ");
        Self(format!("{late}{within_us}"))
    }

    /// Or the epoch is another one.
    pub(in super::super) fn or_moved(self, epoch: u32) -> Self {
        let moved = "NOT EXISTS (SELECT 1 FROM mainstay_meta WHERE epoch =";
        Self(format!("{} OR {moved} {epoch})", self.0))
    }

    /// Or the cache is not active at the epoch of this mark, or the mark's time is up.
    pub(in super::super) fn or_overtaken(self, mark: &Mark) -> Self {
        let active = "(SELECT 1 FROM mainstay_cache WHERE active = 1 AND `cache` =";
        let cache = hex(mark.cache.as_bytes());
        Self(format!(
            concat!("{} OR NOT EXISTS {} {} AND epoch = {}) OR ", clock_us!(), " >= {}"),
            self.0, active, cache, mark.epoch, mark.deadline_us
        ))
    }

    /// Looks, by error 1690, and commits; statements are bounded as before.
    pub(in super::super) fn commit(&self, limit: Duration) -> String {
        format!(concat!("{}; SELECT ", most!(), " + ({}); COMMIT"), within(limit), self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::{Key, backend::sql::common::Expiry};

    fn set_of(key: &'static str, expiry: Expiry) -> Write {
        let change = Change::Set { value: Bytes::from_static(b"v'"), expiry };
        Write { key: Key::from(key), change, mark: None }
    }

    #[test]
    fn a_row_for_each_and_nothing_of_it_is_text() {
        let writes = [
            set_of("a'", Expiry::default()),
            set_of("b", Expiry { after: Some(5), at: None }),
            set_of("c", Expiry { after: None, at: Some(7) }),
        ];
        let mut text = String::new();
        set(&mut text, &writes, 3);
        assert_eq!(text.matches(", 3, @mainstay_begun, x'7627', 0, ").count(), 3, "{text}");
        for row in ["(x'6127', 3", "0, NULL, ", "0, @mainstay_begun DIV 1000 + 5, ", "0, 7, "] {
            assert_eq!(text.matches(row).count(), 1, "{row} in {text}");
        }
        assert!(text.ends_with("WHERE `key` IN (x'6127', x'62', x'63')"), "{text}");
    }

    #[test]
    fn what_refuses_it_stands_before_the_commit() {
        let mark = Mark { cache: Arc::from("r"), epoch: 4, deadline_us: 9 };
        let end =
            Refusals::late(1_000).or_moved(2).or_overtaken(&mark).commit(Duration::from_secs(10));
        let found: Vec<usize> = [
            "max_statement_time = 10; ",
            "> @mainstay_begun + 1000 OR",
            "mainstay_meta WHERE epoch = 2)",
            "`cache` = x'72' AND epoch = 4) OR",
            ">= 9); COMMIT",
        ]
        .iter()
        .map(|part| end.find(part).unwrap_or_else(|| panic!("{part} in {end}")))
        .collect();
        assert!(found.is_sorted(), "{end}");
    }
}

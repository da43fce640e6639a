//! The statements about caches, dirty keys and journals.
//! It must not know connections, nor when each is sent.

use mysql_async::Value;

use super::{bytes, repeated};
use crate::entry::Key;

/// The control row stands as it is known: cache, epoch.
macro_rules! stands {
    () => {
        "`cache` = ? AND active = 1 AND epoch = ?"
    };
}

pub(super) const CREATE_CACHE: &str = "CREATE TABLE IF NOT EXISTS mainstay_cache (
        `cache` VARBINARY(255) NOT NULL PRIMARY KEY,
        id BIGINT UNSIGNED NOT NULL,
        active TINYINT NOT NULL,
        epoch BIGINT UNSIGNED NOT NULL,
        generation BIGINT UNSIGNED NOT NULL,
        identity BLOB NOT NULL,
        beacon BIGINT UNSIGNED NOT NULL,
        raised_us BIGINT NOT NULL,
        degraded_us BIGINT NOT NULL,
        reason BLOB NOT NULL,
        lease_us BIGINT NOT NULL,
        mark_us BIGINT NOT NULL,
        statement_us BIGINT NOT NULL
    ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC";

pub(super) const CREATE_DIRTY: &str = "CREATE TABLE IF NOT EXISTS mainstay_dirty (
        `cache` VARBINARY(255) NOT NULL,
        `key` VARBINARY(2048) NOT NULL,
        `number` BIGINT NOT NULL,
        since_us BIGINT NOT NULL,
        open_until_us BIGINT NOT NULL,
        PRIMARY KEY (`cache`, `key`)
    ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC";

pub(super) const CREATE_JOURNAL: &str = "CREATE TABLE IF NOT EXISTS mainstay_journal (
        journal BINARY(16) NOT NULL PRIMARY KEY,
        seq BIGINT NOT NULL
    ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC";

pub(super) const CREATE_JOURNAL_KEY: &str = "CREATE TABLE IF NOT EXISTS mainstay_journal_key (
        journal BINARY(16) NOT NULL,
        `key` VARBINARY(2048) NOT NULL,
        epoch INT NOT NULL,
        counter BIGINT NOT NULL,
        PRIMARY KEY (journal, `key`)
    ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC";

/// Cache, dirty keys at most, cache. One statement is one snapshot; the control row is repeated with each dirty key.
pub(in super::super) const LEASE: &str = concat!(
    "SELECT c.id, c.active, c.epoch, c.generation, c.identity, c.beacon, c.raised_us, c.reason, c.lease_us, \
     c.mark_us, c.statement_us, ",
    now_us!(),
    ", d.`key` FROM mainstay_cache c LEFT JOIN (SELECT `key` FROM mainstay_dirty WHERE `cache` = ? \
     ORDER BY `key` LIMIT ?) d ON 1 = 1 WHERE c.`cache` = ?"
);

/// The server's clock.
pub(in super::super) const NOW: &str = concat!("SELECT ", now_us!());

/// Cache, id, the three terms.
pub(in super::super) const NEW_CACHE: &str = "INSERT INTO mainstay_cache (`cache`, id, active, epoch, generation, identity, beacon, raised_us, degraded_us, \
     reason, lease_us, mark_us, statement_us) VALUES (?, ?, 0, 0, 0, '', 0, 0, 0, 'never used', ?, ?, ?) \
     ON DUPLICATE KEY UPDATE id = id";

/// Reason, cache, epoch.
pub(in super::super) const DEGRADE: &str = concat!(
    "UPDATE mainstay_cache SET active = 0, epoch = epoch + 1, reason = ?, degraded_us = ",
    clock_us!(),
    " WHERE ",
    stands!()
);

/// Identity, beacon, cache, epoch. It waits for those who hold the row shared.
pub(in super::super) const READMIT: &str = concat!(
    "UPDATE mainstay_cache SET active = 1, epoch = epoch + 1, generation = generation + 1, reason = '', \
     identity = ?, beacon = ?, raised_us = ",
    clock_us!(),
    " WHERE `cache` = ? AND active = 0 AND epoch = ?"
);

/// Beacon, cache, epoch, beacon.
pub(in super::super) const RAISED: &str = concat!(
    "UPDATE mainstay_cache SET beacon = ?, raised_us = ",
    clock_us!(),
    " WHERE ",
    stands!(),
    " AND beacon < ?"
);

/// Cache, rows at most.
pub(in super::super) const CLEAN: &str =
    "DELETE FROM mainstay_dirty WHERE `cache` = ? ORDER BY `key` LIMIT ?";

/// Cache, rows at most.
pub(in super::super) const DIRTY: &str =
    "SELECT `key`, `number` FROM mainstay_dirty WHERE `cache` = ? ORDER BY `key` LIMIT ?";

/// Cache, key to begin at, rows at most.
pub(in super::super) const DIRTY_FROM: &str = "SELECT `key`, `number` FROM mainstay_dirty WHERE `cache` = ? AND `key` >= ? ORDER BY `key` LIMIT ?";

/// Cache. Waits for those who change the row.
pub(in super::super) const SHARE: &str = concat!(
    "SELECT active, degraded_us, ",
    now_us!(),
    " FROM mainstay_cache WHERE `cache` = ? LOCK IN SHARE MODE"
);

/// The degraded caches stay so until the transaction ends.
pub(in super::super) const SHARE_DEGRADED: &str =
    "SELECT `cache` FROM mainstay_cache WHERE active = 0 LOCK IN SHARE MODE";

/// Key, epoch, value, expiry or null, milliseconds to live or null, cache, its epoch, deadline, deadline. From a SELECT,
/// which locks nothing that it reads; it gives no row when the control row has moved or the time is up. The row of the
/// key may have been waited for: then the time is looked at again, by error 1690.
pub(in super::super) const SET_MARKED: &str = concat!(
    "INSERT INTO mainstay_kv (`key`, epoch, counter, value, deleted, expires_at, updated_at) \
     SELECT ?, IF(m.meta_epoch = ?, m.meta_epoch, NULL), LAST_INSERT_ID(",
    now_us!(),
    "), ?, 0, COALESCE(?, ? + ",
    now_ms!(),
    "), ",
    now_ms!(),
    " FROM (SELECT epoch AS meta_epoch FROM mainstay_meta) m CROSS JOIN \
     (SELECT id AS cache_id FROM mainstay_cache WHERE ",
    stands!(),
    ") c WHERE ",
    clock_us!(),
    " < ? ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), counter = LAST_INSERT_ID(counter + 1 + IF(",
    clock_us!(),
    " < ?, 0, ",
    most!(),
    ")), value = VALUES(value), deleted = 0, expires_at = VALUES(expires_at), \
     updated_at = VALUES(updated_at)"
);

/// Epoch, key, cache, its epoch, deadline. The row is locked before its conditions are looked at.
pub(in super::super) const DELETE_MARKED: &str = concat!(
    "UPDATE mainstay_kv SET epoch = ",
    epoch!(),
    ", counter = LAST_INSERT_ID(counter + 1), value = NULL, deleted = 1, updated_at = ",
    now_ms!(),
    ", expires_at = ",
    now_ms!(),
    " WHERE `key` = ? AND ",
    live!(),
    " AND EXISTS (SELECT 1 FROM mainstay_cache WHERE ",
    stands!(),
    ") AND ",
    clock_us!(),
    " < ?"
);

/// Seq, journal.
pub(in super::super) const JOURNAL_SEQ: &str =
    "UPDATE mainstay_journal SET seq = ? WHERE journal = ?";

/// Cache, then the key, for each row; ascending.
pub(in super::super) fn soil(rows: usize) -> String {
    let row = concat!("(?, ?, ", now_us!(), ", ", now_us!(), ", ", now_us!(), ")");
    format!(
        "INSERT INTO mainstay_dirty (`cache`, `key`, `number`, since_us, open_until_us) VALUES {} \
         ON DUPLICATE KEY UPDATE `number` = GREATEST(`number` + 1, VALUES(`number`))",
        repeated(row, rows)
    )
}

/// Cache, keys: when the youngest of these rows was made, and now.
pub(in super::super) fn youngest(keys: usize) -> String {
    format!(
        concat!(
            "SELECT MAX(since_us), ",
            now_us!(),
            " FROM mainstay_dirty WHERE `cache` = ? AND `key` IN ({})"
        ),
        repeated("?", keys)
    )
}

/// Microseconds, cache, keys.
pub(in super::super) fn hold_open(keys: usize) -> String {
    format!(
        concat!(
            "UPDATE mainstay_dirty SET open_until_us = GREATEST(open_until_us, ",
            clock_us!(),
            " + ?) WHERE `cache` = ? AND `key` IN ({})"
        ),
        repeated("?", keys)
    )
}

/// Cache, then key and number for each row.
pub(in super::super) fn drained(rows: usize) -> String {
    format!(
        concat!(
            "DELETE FROM mainstay_dirty WHERE `cache` = ? AND ({}) AND open_until_us <= ",
            now_us!()
        ),
        vec!["(`key` = ? AND `number` = ?)"; rows].join(" OR ")
    )
}

/// Journal, keys.
pub(in super::super) fn journal_keys(keys: usize) -> String {
    format!(
        "SELECT `key`, epoch, counter FROM mainstay_journal_key WHERE journal = ? AND `key` IN ({})",
        repeated("?", keys)
    )
}

/// Journal, key, epoch, counter for each row.
pub(in super::super) fn note_journal_keys(rows: usize) -> String {
    format!(
        "INSERT INTO mainstay_journal_key (journal, `key`, epoch, counter) VALUES {} \
         ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), counter = VALUES(counter)",
        repeated("(?, ?, ?, ?)", rows)
    )
}

/// These, then the keys, the last one repeated until there are `places`.
pub(in super::super) fn with_keys(first: Vec<Value>, keys: &[Key], places: usize) -> Vec<Value> {
    let last = keys.last().into_iter().cycle();
    let keys = keys.iter().chain(last).take(places).map(|key| bytes(key.as_bytes()));
    first.into_iter().chain(keys).collect()
}

/// Begins a transaction and gives the control row without locking it: whether it is active, since when it is degraded,
/// the longest statement, and now.
pub(in super::super) fn begin_around(cache: &str) -> String {
    format!(
        concat!(
            "START TRANSACTION; SELECT active, degraded_us, statement_us, ",
            now_us!(),
            " FROM mainstay_cache WHERE `cache` = {}"
        ),
        hex(cache.as_bytes())
    )
}

/// Begins a transaction, locks the row of this journal, and gives its last number (-1: none), then all caches: name,
/// whether it is active, the longest statement, and now.
pub(in super::super) fn begin_journal(journal: u128) -> String {
    let journal = hex(&journal.to_be_bytes());
    format!(
        concat!(
            "START TRANSACTION; INSERT INTO mainstay_journal (journal, seq) VALUES ({journal}, -1) \
             ON DUPLICATE KEY UPDATE seq = seq; \
             SELECT seq FROM mainstay_journal WHERE journal = {journal}; \
             SELECT `cache`, active, statement_us, ",
            now_us!(),
            " FROM mainstay_cache ORDER BY `cache`"
        ),
        journal = journal
    )
}

/// Error 1690, unless the cache is active at this epoch and the time is not up.
pub(in super::super) fn if_marked(cache: &str, epoch: u64, deadline_us: i64) -> String {
    format!(
        concat!(
            "SELECT ",
            most!(),
            " + (COUNT(*) <> 1) FROM mainstay_cache WHERE `cache` = {} AND active = 1 AND epoch = {} AND ",
            clock_us!(),
            " < {}"
        ),
        hex(cache.as_bytes()),
        epoch,
        deadline_us
    )
}

/// Error 1690 if there is such a cache.
pub(in super::super) fn if_absent(cache: &str) -> String {
    let cache = hex(cache.as_bytes());
    format!(
        concat!("SELECT ", most!(), " + COUNT(*) FROM mainstay_cache WHERE `cache` = {}"),
        cache
    )
}

/// Error 1690, unless there are so many caches.
pub(in super::super) fn if_caches(count: usize) -> String {
    format!(concat!("SELECT ", most!(), " + (COUNT(*) <> {}) FROM mainstay_cache"), count)
}

/// Error 1690 once the time is up.
pub(in super::super) fn if_before(until_us: i64) -> String {
    format!(concat!("SELECT ", most!(), " + (", clock_us!(), " >= {})"), until_us)
}

/// Bytes in the text of a statement.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 3);
    hex_into(&mut text, bytes);
    text
}

/// The same, at the end of this text.
pub(super) fn hex_into(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.push_str("x'");
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text.push('\'');
}

//! The statements and their arguments. Lists come in powers of two, so that few statements are prepared.
//! It must not know connections.

use mysql_async::Value;

/// The server's clock, Unix microseconds, whatever the time zone of the session.
macro_rules! now_us {
    () => {
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
    };
}

/// The server's clock, Unix milliseconds.
macro_rules! now_ms {
    () => {
        concat!("(", now_us!(), " DIV 1000)")
    };
}

/// Neither deleted nor expired.
macro_rules! live {
    () => {
        concat!("deleted = 0 AND (expires_at IS NULL OR expires_at > ", now_ms!(), ")")
    };
}

/// The server's clock at the moment of evaluation, after any wait for a lock, Unix microseconds. `UTC_TIMESTAMP` stands
/// at the start of the statement; `SYSDATE` goes on (unless the server runs with `sysdate-is-now`).
macro_rules! clock_us {
    () => {
        concat!("(", now_us!(), " + TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6)))")
    };
}

/// The epoch, or null, which no row takes, when it is not the one that the caller will report.
macro_rules! epoch {
    () => {
        "(SELECT epoch FROM mainstay_meta WHERE epoch = ?)"
    };
}

/// The largest `BIGINT`: one more is error 1690, whatever the `sql_mode`. That is how a statement says that what guards
/// it does not hold.
macro_rules! most {
    () => {
        "9223372036854775807"
    };
}

pub(super) mod locks;
pub(super) mod record;
pub(super) mod together;

/// Key.
pub(super) const GET: &str = concat!(
    "SELECT value, epoch, counter, expires_at - ",
    now_ms!(),
    " FROM mainstay_kv WHERE `key` = ? AND ",
    live!()
);

/// Key.
pub(super) const LENGTH: &str =
    concat!("SELECT LENGTH(value) FROM mainstay_kv WHERE `key` = ? AND ", live!());

/// Key.
pub(super) const TIME_TO_LIVE: &str =
    concat!("SELECT expires_at - ", now_ms!(), " FROM mainstay_kv WHERE `key` = ? AND ", live!());

const GET_MANY: &str = concat!(
    "SELECT `key`, value, epoch, counter, expires_at - ",
    now_ms!(),
    " FROM mainstay_kv WHERE ",
    live!(),
    " AND `key` IN "
);

const EXISTING: &str = concat!("SELECT `key` FROM mainstay_kv WHERE ", live!(), " AND `key` IN ");

/// First key, end, limit.
pub(super) const SCAN: &str = concat!(
    "SELECT `key` FROM mainstay_kv WHERE `key` >= ? AND `key` < ? AND ",
    live!(),
    " ORDER BY `key` LIMIT ?"
);

/// First key, end, key to go on after, limit.
pub(super) const SCAN_ON: &str = concat!(
    "SELECT `key` FROM mainstay_kv WHERE `key` >= ? AND `key` < ? AND `key` > ? AND ",
    live!(),
    " ORDER BY `key` LIMIT ?"
);

/// First key, end.
pub(super) const COUNT: &str =
    concat!("SELECT COUNT(*) FROM mainstay_kv WHERE `key` >= ? AND `key` < ? AND ", live!());

/// Key, epoch, value, expiry or null, milliseconds to live or null. `LAST_INSERT_ID` carries the counter back.
pub(super) const SET: &str = concat!(
    "INSERT INTO mainstay_kv (`key`, epoch, counter, value, deleted, expires_at, updated_at) \
     VALUES (?, ",
    epoch!(),
    ", LAST_INSERT_ID(",
    now_us!(),
    "), ?, 0, COALESCE(?, ? + ",
    now_ms!(),
    "), ",
    now_ms!(),
    ") ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), counter = LAST_INSERT_ID(counter + 1), \
     value = VALUES(value), deleted = 0, expires_at = VALUES(expires_at), \
     updated_at = VALUES(updated_at)"
);

const INSERT: &str = "INSERT INTO mainstay_kv (`key`, epoch, counter, value, deleted, expires_at, updated_at) VALUES ";

const SET_ROW: &str = concat!(
    "(?, ",
    epoch!(),
    ", ",
    now_us!(),
    ", ?, 0, COALESCE(?, ? + ",
    now_ms!(),
    "), ",
    now_ms!(),
    ")"
);

const SET_END: &str = " ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), counter = counter + 1, \
     value = VALUES(value), deleted = 0, expires_at = VALUES(expires_at), \
     updated_at = VALUES(updated_at)";

/// Epoch, key. A tombstone's expiry is the time of its deletion: one index serves the purge of both.
pub(super) const DELETE: &str = concat!(
    "UPDATE mainstay_kv SET epoch = ",
    epoch!(),
    ", counter = LAST_INSERT_ID(counter + 1), value = NULL, deleted = 1, updated_at = ",
    now_ms!(),
    ", expires_at = ",
    now_ms!(),
    " WHERE `key` = ? AND ",
    live!()
);

const DELETE_MANY: &str = concat!(
    "UPDATE mainstay_kv SET epoch = ",
    epoch!(),
    ", counter = counter + 1, value = NULL, deleted = 1, updated_at = ",
    now_ms!(),
    ", expires_at = ",
    now_ms!(),
    " WHERE ",
    live!(),
    " AND `key` IN "
);

/// A tombstone that nobody wrote: its `updated_at` is 0.
const LOCK_ROW: &str =
    concat!("(?, (SELECT epoch FROM mainstay_meta), ", now_us!(), ", NULL, 1, ", now_ms!(), ", 0)");

/// Changes nothing where there is a row: it is only locked.
const LOCK_END: &str = " ON DUPLICATE KEY UPDATE deleted = deleted";

const LOAD: &str = concat!(
    "SELECT `key`, epoch, counter, value, expires_at, ",
    now_ms!(),
    ", (SELECT epoch FROM mainstay_meta), updated_at FROM mainstay_kv WHERE `key` IN "
);

const STORE_ROW: &str = concat!("(?, ?, ?, ?, ?, ?, ", now_ms!(), ")");

const STORE_END: &str = " ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), counter = VALUES(counter), \
     value = VALUES(value), deleted = VALUES(deleted), expires_at = VALUES(expires_at), \
     updated_at = VALUES(updated_at)";

/// Epoch, counter, expiry or null, key.
pub(super) const EXPIRE: &str = concat!(
    "UPDATE mainstay_kv SET epoch = ?, counter = ?, expires_at = ?, updated_at = ",
    now_ms!(),
    " WHERE `key` = ?"
);

/// How long tombstones and expired values are kept, limit. Not locked: a delete by key takes its locks in the order
/// in which writers take theirs.
pub(super) const PURGEABLE: &str = concat!(
    "SELECT `key` FROM mainstay_kv WHERE expires_at < ",
    now_ms!(),
    " - ? ORDER BY expires_at LIMIT ?"
);

const PURGE: &str =
    concat!("DELETE FROM mainstay_kv WHERE expires_at < ", now_ms!(), " - ? AND `key` IN ");

/// Whether this server is the one to use; as text, since newer servers answer with words.
pub(super) const ROLE: &str = "SELECT VERSION(), CAST(@@global.read_only AS CHAR), \
     CAST(@@global.innodb_read_only AS CHAR), @@max_allowed_packet, \
     CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)";

/// Writes outside the users' keys; the stamp comes back as `LAST_INSERT_ID`.
pub(super) const PROBE_WRITE: &str = concat!(
    "INSERT INTO mainstay_probe (id, stamp) VALUES (1, LAST_INSERT_ID(",
    now_us!(),
    ")) ON DUPLICATE KEY UPDATE stamp = VALUES(stamp)"
);

/// What was written.
pub(super) const PROBE_READ: &str = "SELECT stamp FROM mainstay_probe WHERE id = 1";

/// The schema that is there.
pub(super) const META: &str = "SELECT schema_version, epoch FROM mainstay_meta";

/// Schema 2, beside what there is of schema 1; the row that says so comes last, and is raised where it says 1.
pub(super) const CREATE: [&str; 12] = [
    "CREATE TABLE IF NOT EXISTS mainstay_kv (
        `key` VARBINARY(2048) NOT NULL PRIMARY KEY,
        epoch INT NOT NULL,
        counter BIGINT NOT NULL,
        value LONGBLOB,
        deleted TINYINT NOT NULL,
        expires_at BIGINT,
        updated_at BIGINT NOT NULL,
        KEY mainstay_kv_expires_at (expires_at)
    ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
    "CREATE TABLE IF NOT EXISTS mainstay_probe (
        id TINYINT NOT NULL PRIMARY KEY,
        stamp BIGINT NOT NULL
    ) ENGINE = InnoDB",
    record::CREATE_CACHE,
    record::CREATE_DIRTY,
    record::CREATE_JOURNAL,
    record::CREATE_JOURNAL_KEY,
    locks::CREATE_LOCK,
    locks::CREATE_FENCE,
    locks::CREATE_FLEET,
    locks::FIRST_FLEET,
    "CREATE TABLE IF NOT EXISTS mainstay_meta (
        id TINYINT NOT NULL PRIMARY KEY,
        schema_version BIGINT NOT NULL,
        epoch INT NOT NULL
    ) ENGINE = InnoDB",
    "INSERT INTO mainstay_meta (id, schema_version, epoch) VALUES (1, 4, 1) \
     ON DUPLICATE KEY UPDATE schema_version = GREATEST(schema_version, VALUES(schema_version))",
];

/// Keys of one list at most.
pub(super) const KEYS_MAX: usize = 1024;

/// Rows of one statement at most.
const ROWS_MAX: usize = 256;

/// A statement over a list of keys.
#[derive(Clone, Copy, Debug)]
pub(super) enum Listed {
    GetMany,
    Existing,
    DeleteMany,
    Load,
    Purge,
}

/// The statement for at least `keys` keys, and how many it takes: the list is filled up with its last key.
pub(super) fn listed(statement: Listed, keys: usize) -> (String, usize) {
    let head = match statement {
        Listed::GetMany => GET_MANY,
        Listed::Existing => EXISTING,
        Listed::DeleteMany => DELETE_MANY,
        Listed::Load => LOAD,
        Listed::Purge => PURGE,
    };
    let places = keys.max(1).next_power_of_two();
    (format!("{head}({})", repeated("?", places)), places)
}

/// A statement over a list of rows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rows {
    /// Key, epoch, value, expiry or null, milliseconds to live or null.
    Set,
    /// Key. Locks each row; where there is none, a tombstone is put first.
    Lock,
    /// Key, epoch, counter, value or null, deleted, expiry or null.
    Store,
}

/// The statement for exactly `rows` rows.
pub(super) fn rowed(statement: Rows, rows: usize) -> String {
    let (row, end) = match statement {
        Rows::Set => (SET_ROW, SET_END),
        Rows::Lock => (LOCK_ROW, LOCK_END),
        Rows::Store => (STORE_ROW, STORE_END),
    };
    format!("{INSERT}{}{end}", repeated(row, rows))
}

fn repeated(part: &str, times: usize) -> String {
    vec![part; times].join(", ")
}

/// How many of these rows go into the next statement: a power of two, and no more bytes than `bytes_max`.
pub(super) fn next_rows(sizes: &[usize], bytes_max: usize) -> usize {
    let mut rows = 1;
    while rows * 2 <= sizes.len().min(ROWS_MAX)
        && sizes[..rows * 2].iter().sum::<usize>() <= bytes_max
    {
        rows *= 2;
    }
    rows
}

/// Bytes as an argument.
pub(super) fn bytes(value: &[u8]) -> Value {
    Value::Bytes(value.to_vec())
}

/// A number, or null.
pub(super) fn number(value: Option<i64>) -> Value {
    value.map_or(Value::NULL, Value::Int)
}

//! Opening connections: settings, a look at the health of the file, the schema.
//! It must not overwrite a file that it cannot read, nor a schema that is newer than its own.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{classify, location::Location};
use crate::{
    backend::sql::SCHEMA_VERSION,
    error::{Error, ErrorKind, Result},
};

/// How long one attempt waits for another process's lock; the writer tries again until its callers' deadlines.
const BUSY_TIMEOUT: Duration = Duration::from_millis(100);

/// How long opening waits for another process that opens, closes or recovers the same file.
const OPEN_BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Files up to this size are checked page by page when they are opened.
const CHECKED_MAX: u64 = 16 << 20;

/// Statements of ours are few; all of them stay prepared.
const STATEMENTS: usize = 64;

/// A rowid table with an index over the key, so that values stay out of the tree that is searched: with values of 4 kB
/// point reads came out two to five times as fast as WITHOUT ROWID, with values of 100 bytes about the same.
const TABLES: &str = "
CREATE TABLE mainstay_meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    probed_at INTEGER NOT NULL
) STRICT;
CREATE TABLE mainstay_kv (
    key BLOB NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    expires_at INTEGER,
    updated_at INTEGER NOT NULL,
    value BLOB
) STRICT;
CREATE INDEX mainstay_kv_expiry ON mainstay_kv (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX mainstay_kv_tombstones ON mainstay_kv (updated_at) WHERE deleted = 1;
";

/// What a record with caches before it keeps, since schema 2; `number` counts the writes around a cache.
const CONTROL_TABLES: &str = "
CREATE TABLE mainstay_cache (
    cache TEXT NOT NULL PRIMARY KEY,
    id INTEGER NOT NULL,
    active INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    identity TEXT NOT NULL,
    beacon INTEGER NOT NULL,
    raised_us INTEGER NOT NULL,
    degraded_us INTEGER NOT NULL,
    reason TEXT NOT NULL,
    lease_us INTEGER NOT NULL,
    mark_us INTEGER NOT NULL,
    statement_us INTEGER NOT NULL,
    number INTEGER NOT NULL
) STRICT;
CREATE TABLE mainstay_dirty (
    cache TEXT NOT NULL,
    key BLOB NOT NULL,
    number INTEGER NOT NULL,
    since_us INTEGER NOT NULL,
    open_until_us INTEGER NOT NULL,
    PRIMARY KEY (cache, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE mainstay_journal (
    journal BLOB NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE mainstay_journal_key (
    journal BLOB NOT NULL,
    key BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    PRIMARY KEY (journal, key)
) STRICT, WITHOUT ROWID;
";

/// Locks, since schema 3, and who waits for them, since schema 4. Times are the host's clock, Unix microseconds; `mainstay_fleet` has one row.
const LOCK_TABLES: &str = "
CREATE TABLE mainstay_lock (
    name BLOB NOT NULL PRIMARY KEY,
    holder BLOB,
    token INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    note TEXT NOT NULL,
    waiter BLOB,
    waiter_since_us INTEGER NOT NULL DEFAULT 0,
    waiter_until_us INTEGER NOT NULL DEFAULT 0,
    waiter_token INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE mainstay_fence (
    resource BLOB NOT NULL PRIMARY KEY,
    token INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE mainstay_fleet (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    backend TEXT NOT NULL,
    seat_identity TEXT NOT NULL,
    ttl_max_us INTEGER NOT NULL,
    view_us INTEGER NOT NULL,
    not_before_us INTEGER NOT NULL,
    identity TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    admitted_as TEXT NOT NULL,
    floor INTEGER NOT NULL
) STRICT;
INSERT INTO mainstay_fleet VALUES (1, 0, '', '', 0, 0, 0, '', 0, '', 0);
";

/// What schema 3 lacks.
const WAITER_COLUMNS: &str = "
ALTER TABLE mainstay_lock ADD COLUMN waiter BLOB;
ALTER TABLE mainstay_lock ADD COLUMN waiter_since_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mainstay_lock ADD COLUMN waiter_until_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mainstay_lock ADD COLUMN waiter_token INTEGER NOT NULL DEFAULT 0;
";

/// The connection that writes. Creates the file and its folder where `create` says so, and the schema.
pub(super) fn open_writer(location: &Location, create: bool) -> Result<Connection> {
    let connection = match location {
        Location::Memory => Connection::open_in_memory().map_err(classify::error)?,
        Location::File(path) => {
            if create {
                create_folder(path)?;
            }
            let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
            let connection = Connection::open_with_flags(path, flags);
            connection.map_err(|error| located(classify::error(error), path))?
        }
    };
    match location {
        Location::Memory => settle(&connection).and_then(|()| migrate(&connection))?,
        Location::File(path) => settle(&connection)
            .and_then(|()| write_ahead(&connection))
            .and_then(|()| check(&connection, path))
            .and_then(|()| migrate(&connection))
            .map_err(|error| located(error, path))?,
    }
    connection.busy_timeout(BUSY_TIMEOUT).map_err(classify::error)?;
    Ok(connection)
}

/// A connection that reads beside the writer.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags);
    let connection = connection.map_err(|error| located(classify::error(error), path))?;
    settle(&connection)?;
    Ok(connection)
}

fn create_folder(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| {
        let message = format!("cannot create the folder {}: {error}", folder.display());
        Error::new(ErrorKind::Misconfigured, message)
    })
}

fn settle(connection: &Connection) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(OPEN_BUSY_TIMEOUT).map_err(classify::error)?;
    let settings =
        "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;
        PRAGMA cache_size = -8192; PRAGMA journal_size_limit = 67108864;";
    connection.execute_batch(settings).map_err(classify::error)
}

fn write_ahead(connection: &Connection) -> Result<()> {
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(classify::error)?;
    if mode == "wal" {
        return Ok(());
    }
    let message = format!(
        "the file system cannot keep a write-ahead log (journal mode {mode}): use a local disk"
    );
    Err(Error::new(ErrorKind::Misconfigured, message))
}

fn check(connection: &Connection, path: &Path) -> Result<()> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > CHECKED_MAX) {
        return Ok(());
    }
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(classify::error)?;
    if found == "ok" {
        return Ok(());
    }
    let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(Error::new(ErrorKind::Corrupt, found))
}

/// Tables of this schema.
const OURS: [&str; 9] = [
    "mainstay_meta",
    "mainstay_kv",
    "mainstay_cache",
    "mainstay_dirty",
    "mainstay_journal",
    "mainstay_journal_key",
    "mainstay_lock",
    "mainstay_fence",
    "mainstay_fleet",
];

/// Whether none of our tables is gone: somebody may have dropped one.
fn whole(connection: &Connection) -> Result<()> {
    for table in OURS {
        if !is_there(connection, table)? {
            return Err(lost(&format!("the table {table} is gone")));
        }
    }
    Ok(())
}

fn is_there(connection: &Connection, table: &str) -> Result<bool> {
    let known = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let known = connection.query_row(known, [table], |_| Ok(())).optional();
    known.map(|known| known.is_some()).map_err(classify::error)
}

fn lost(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, what.to_owned())
}

/// Creates what is missing, and brings a schema of an older version forward.
fn migrate(connection: &Connection) -> Result<()> {
    if version(connection)? == Some(SCHEMA_VERSION) {
        return whole(connection);
    }
    connection.execute_batch("BEGIN IMMEDIATE").map_err(classify::error)?;
    let outcome = bring_forward(connection);
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.execute_batch(end).map_err(classify::error);
    outcome.and(ended)
}

fn bring_forward(connection: &Connection) -> Result<()> {
    match version(connection)? {
        Some(SCHEMA_VERSION) => Ok(()),
        Some(older @ 1..SCHEMA_VERSION) => {
            let missing: &[&str] = match older {
                1 => &[CONTROL_TABLES, LOCK_TABLES],
                2 => &[LOCK_TABLES],
                _ => &[WAITER_COLUMNS],
            };
            for tables in missing {
                connection.execute_batch(tables).map_err(classify::error)?;
            }
            let forward = "UPDATE mainstay_meta SET schema_version = ?1";
            connection.execute(forward, [SCHEMA_VERSION]).map(drop).map_err(classify::error)
        }
        Some(found) if found < 1 => Err(lost(&format!("mainstay_meta says schema {found}"))),
        Some(found) => {
            let message = format!(
                "the database has schema {found}, this version of mainstay knows {SCHEMA_VERSION}: upgrade mainstay, or use another file"
            );
            Err(Error::new(ErrorKind::Misconfigured, message))
        }
        None if is_there(connection, "mainstay_meta")? => Err(lost("mainstay_meta is empty")),
        None if is_there(connection, "mainstay_kv")? => {
            Err(lost("the table mainstay_meta is gone"))
        }
        None => {
            connection.execute_batch(TABLES).map_err(classify::error)?;
            connection.execute_batch(CONTROL_TABLES).map_err(classify::error)?;
            connection.execute_batch(LOCK_TABLES).map_err(classify::error)?;
            let first = "INSERT INTO mainstay_meta VALUES (1, ?1, 1, 0)";
            connection.execute(first, [SCHEMA_VERSION]).map_err(classify::error)?;
            Ok(())
        }
    }
}

fn version(connection: &Connection) -> Result<Option<i64>> {
    if !is_there(connection, "mainstay_meta")? {
        return Ok(None);
    }
    let found = "SELECT schema_version FROM mainstay_meta";
    connection.query_row(found, [], |row| row.get(0)).optional().map_err(classify::error)
}

/// Where it happened; of a damaged file, what is to be done. It stays as it is: only a person may give up what is in it.
fn located(error: Error, path: &Path) -> Error {
    let (kind, path) = (error.kind(), path.display());
    let message = if kind == ErrorKind::Corrupt {
        format!(
            "{path} is damaged ({}): it stays as it is, and nothing of it is served. Get what is readable with \
             `sqlite3 {path} .dump | sed 's/^ROLLBACK.*/COMMIT;/' | sqlite3 {path}.recovered`, move the damaged file \
             aside together with its -wal, and put the recovered one in its place",
            error.message()
        )
    } else {
        format!("{path}: {}", error.message())
    };
    Error::new(kind, message)
}

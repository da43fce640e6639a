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

/// Locks, since schema 3. Times are the host's clock, Unix microseconds; `mainstay_fleet` has one row.
const LOCK_TABLES: &str = "
CREATE TABLE mainstay_lock (
    name BLOB NOT NULL PRIMARY KEY,
    holder BLOB,
    token INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    note TEXT NOT NULL
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
    settle(&connection)?;
    if let Location::File(path) = location {
        write_ahead(&connection).map_err(|error| located(error, path))?;
        check(&connection, path)?;
    }
    migrate(&connection)?;
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
        .map_err(|error| located(classify::error(error), path))?;
    if found == "ok" {
        return Ok(());
    }
    let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = format!("{}: damaged ({found}); set the file aside", path.display());
    Err(Error::new(ErrorKind::Corrupt, message))
}

/// Creates what is missing, and brings a schema of an older version forward.
fn migrate(connection: &Connection) -> Result<()> {
    if version(connection)? == Some(SCHEMA_VERSION) {
        return Ok(());
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
        Some(older @ (1 | 2)) => {
            if older == 1 {
                connection.execute_batch(CONTROL_TABLES).map_err(classify::error)?;
            }
            connection.execute_batch(LOCK_TABLES).map_err(classify::error)?;
            let forward = "UPDATE mainstay_meta SET schema_version = ?1";
            connection.execute(forward, [SCHEMA_VERSION]).map(drop).map_err(classify::error)
        }
        Some(found) => {
            let message = format!(
                "the database has schema {found}, this version of mainstay knows {SCHEMA_VERSION}: upgrade mainstay, or use another file"
            );
            Err(Error::new(ErrorKind::Misconfigured, message))
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
    let known = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'mainstay_meta'";
    let known = connection.query_row(known, [], |_| Ok(())).optional().map_err(classify::error)?;
    if known.is_none() {
        return Ok(None);
    }
    let found = "SELECT schema_version FROM mainstay_meta";
    connection.query_row(found, [], |row| row.get(0)).optional().map_err(classify::error)
}

fn located(error: Error, path: &Path) -> Error {
    Error::new(error.kind(), format!("{}: {}", path.display(), error.message()))
}

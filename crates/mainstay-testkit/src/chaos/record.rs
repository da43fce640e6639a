//! The record of a run: an engine that can be killed and paused, and read directly at the end.
//! It must not know what the processes do with it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::{label, options::RecordKind};
use crate::{
    history::Version,
    servers::{MariaDb, Postgres, ServerError, workdir::WorkDir},
};

/// The record says how many keys are dirty by then, or it has to be asked again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The record.
#[derive(Debug)]
pub(super) enum Record {
    Postgres(Postgres),
    MariaDb(MariaDb),
    Sqlite(WorkDir),
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) value: Option<u64>,
    pub(super) version: Option<Version>,
}

const POSTGRES: &str = "select convert_from(key, 'UTF8') || ' ' || epoch || '-' || counter || ' ' || \
    case when deleted then '' else convert_from(value, 'UTF8') end from mainstay_kv";
const MARIADB: &str = "select concat(convert(`key` using utf8mb4), ' ', epoch, '-', counter, ' ', \
    if(deleted, '', convert(value using utf8mb4))) from mainstay_kv";
const SQLITE: &str = "select cast(key as text) || ' ' || epoch || '-' || counter || ' ' || \
    case when deleted then '' else cast(value as text) end from mainstay_kv";

const DIRTY_KEYS: &str = "select count(*) from mainstay_dirty";
const DIRTY_KEYS_OF_FILE: &str = "select cast(count(*) as text) from mainstay_dirty";
const DIRTY: &str = "select * from mainstay_dirty limit 10";
const DIRTY_OF_FILE: &str = "select cast(key as text) || ' ' || number || ' ' || open_until_us from mainstay_dirty limit 10";
const BUSY: &str = "select pid, state, wait_event, xact_start, now(), left(query, 100) \
    from pg_stat_activity where state <> 'idle'";

impl Record {
    pub(super) async fn start(kind: RecordKind) -> Result<Self, ServerError> {
        Ok(match kind {
            RecordKind::Postgres => Self::Postgres(Postgres::start().await?),
            RecordKind::MariaDb => Self::MariaDb(MariaDb::start().await?),
            RecordKind::Sqlite => Self::Sqlite(WorkDir::new("sqlite")?),
        })
    }

    /// Where it listens; a file does not.
    pub(super) fn port(&self) -> Option<u16> {
        match self {
            Self::Postgres(server) => Some(server.port()),
            Self::MariaDb(server) => Some(server.port()),
            Self::Sqlite(_) => None,
        }
    }

    /// Its URL, through a proxy that listens there.
    pub(super) fn url(&self, through: Option<SocketAddr>) -> String {
        let (url, port) = match self {
            Self::Postgres(server) => (server.url(), server.port()),
            Self::MariaDb(server) => (server.url(), server.port()),
            Self::Sqlite(dir) => return format!("sqlite:{}", file(dir.path()).display()),
        };
        let Some(proxy) = through else { return url };
        url.replacen(&format!(":{port}"), &format!(":{}", proxy.port()), 1)
    }

    pub(super) fn kill(&mut self) {
        match self {
            Self::Postgres(server) => server.kill(),
            Self::MariaDb(server) => server.kill(),
            Self::Sqlite(_) => {}
        }
    }

    pub(super) async fn restart(&mut self) -> Result<(), ServerError> {
        match self {
            Self::Postgres(server) => server.restart().await,
            Self::MariaDb(server) => server.restart().await,
            Self::Sqlite(_) => Ok(()),
        }
    }

    pub(super) fn stop(&self) {
        match self {
            Self::Postgres(server) => server.stop(),
            Self::MariaDb(server) => server.stop(),
            Self::Sqlite(_) => {}
        }
    }

    pub(super) fn cont(&self) {
        match self {
            Self::Postgres(server) => server.cont(),
            Self::MariaDb(server) => server.cont(),
            Self::Sqlite(_) => {}
        }
    }

    /// What keeps keys dirty, for people: the dirty rows, and who works on what.
    pub(super) async fn diagnosis(&self) -> String {
        let dirty = self.query(DIRTY, DIRTY, DIRTY_OF_FILE).await;
        let busy = self.query(BUSY, "show processlist", "select ''").await;
        [dirty, busy].map(|answer| answer.unwrap_or_else(|problem| problem)).join("\n")
    }

    /// How many keys are dirty now; a process says only what it saw when it looked last.
    pub(super) async fn dirty(&self) -> Result<u64, String> {
        let asked = self.query(DIRTY_KEYS, DIRTY_KEYS, DIRTY_KEYS_OF_FILE);
        let text =
            tokio::time::timeout(PATIENCE, asked).await.map_err(|late| late.to_string())??;
        text.trim().parse().map_err(|_| format!("not a count: {text}"))
    }

    /// Every row, from the engine itself: past Mainstay.
    pub(super) async fn rows(&self) -> Result<Vec<Row>, String> {
        let text = self.query(POSTGRES, MARIADB, SQLITE).await?;
        text.lines().map(|line| row(line).ok_or_else(|| format!("not a row: {line}"))).collect()
    }

    /// Asks in the engine's own words; one line for each row.
    async fn query(&self, postgres: &str, mariadb: &str, sqlite: &str) -> Result<String, String> {
        match self {
            Self::Postgres(server) => server.psql(postgres).await,
            Self::MariaDb(server) => server.sql(mariadb).await,
            Self::Sqlite(dir) => {
                return ask_file(dir.path(), sqlite).map_err(|error| error.to_string());
            }
        }
        .map_err(|error| error.to_string())
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("record.db")
}

/// `key epoch-counter value`, without the value where the key was deleted.
fn row(line: &str) -> Option<Row> {
    let (key, rest) = line.split_once(' ')?;
    let (version, value) = rest.split_once(' ').unwrap_or((rest, ""));
    let value = if value.is_empty() { None } else { Some(value.parse().ok()?) };
    Some(Row { key: key.to_owned(), value, version: Some(label::version(version)?) })
}

fn ask_file(dir: &Path, sql: &str) -> rusqlite::Result<String> {
    let file = Connection::open_with_flags(file(dir), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut statement = file.prepare(sql)?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    lines.map(|line| line.map(|line| line + "\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_the_engines_print_them() {
        let version = Some(Version::new(1, 17));
        assert_eq!(row("k 1-17 5"), Some(Row { key: "k".to_owned(), value: Some(5), version }));
        assert_eq!(row("k 1-17 "), Some(Row { key: "k".to_owned(), value: None, version }));
        assert_eq!(row("k 1-17"), Some(Row { key: "k".to_owned(), value: None, version }));
        assert_eq!(row("k"), None);
    }
}

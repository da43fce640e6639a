//! The record of a run: an engine that can be killed and paused, and read directly at the end.
//! It must not know what the processes do with it.

use std::{net::SocketAddr, path::Path};

use mainstay::{CallOptions, Config, Key, Op, Storage};

use super::{label, options::RecordKind, workload};
use crate::{
    history::Version,
    servers::{MariaDb, Postgres, ServerError, workdir::WorkDir},
};

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

const DIRTY: &str = "select * from mainstay_dirty limit 10";
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
            Self::Sqlite(dir) => return sqlite_url(dir.path()),
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
        let answers = match self {
            Self::Postgres(server) => [server.psql(DIRTY).await, server.psql(BUSY).await],
            Self::MariaDb(server) => {
                [server.sql(DIRTY).await, server.sql("show processlist").await]
            }
            Self::Sqlite(_) => return String::new(),
        };
        answers.map(|answer| answer.unwrap_or_else(|error| error.to_string())).join("\n")
    }

    /// Every row, from the engine itself: past Mainstay where the engine has a client of its own.
    pub(super) async fn rows(&self) -> Result<Vec<Row>, String> {
        let text = match self {
            Self::Postgres(server) => server.psql(POSTGRES).await,
            Self::MariaDb(server) => server.sql(MARIADB).await,
            Self::Sqlite(dir) => return rows_of_file(dir.path()).await,
        };
        let text = text.map_err(|error| error.to_string())?;
        text.lines().map(|line| row(line).ok_or_else(|| format!("not a row: {line}"))).collect()
    }
}

fn sqlite_url(dir: &Path) -> String {
    format!("sqlite:{}", dir.join("record.db").display())
}

/// `key epoch-counter value`, without the value where the key was deleted.
fn row(line: &str) -> Option<Row> {
    let (key, rest) = line.split_once(' ')?;
    let (version, value) = rest.split_once(' ').unwrap_or((rest, ""));
    let value = if value.is_empty() { None } else { Some(value.parse().ok()?) };
    Some(Row { key: key.to_owned(), value, version: Some(label::version(version)?) })
}

async fn rows_of_file(dir: &Path) -> Result<Vec<Row>, String> {
    let say = |error: mainstay::Error| error.to_string();
    let mut config = Config::default();
    let backend = mainstay::config::BackendConfig { url: sqlite_url(dir), ..Default::default() };
    config.backends.insert("db".to_owned(), backend);
    let route =
        mainstay::config::RouteConfig { record: Some("db".to_owned()), ..Default::default() };
    config.routes = vec![route];
    let storage = Storage::open(config).await.map_err(say)?;
    let mut rows = Vec::new();
    for key in workload::keys() {
        let op = Op::Get { key: Key::from(key.as_str()), with_ttl: false };
        let answer = storage.execute(&op, CallOptions::default()).await.map_err(say)?;
        let Some(found) = answer.reply.into_record().map_err(say)? else { continue };
        let value = std::str::from_utf8(&found.value).ok().and_then(|text| text.parse().ok());
        let version = found.version.map(|version| Version::new(version.epoch, version.counter));
        rows.push(Row { key, value, version });
    }
    Ok(rows)
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

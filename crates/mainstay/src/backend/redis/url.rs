//! What a Redis URL says: where the servers are, who logs in, how the connection is protected.
//! It must not open anything.

use std::path::PathBuf;

use redis::ProtocolVersion;

use crate::config::text::shown_option;
use crate::error::{Error, ErrorKind, Result};

#[cfg(test)]
mod tests;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

/// Where the servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One server.
    Tcp(Host),
    /// One server behind a socket in the file system.
    Unix(PathBuf),
    /// The master of this service, as the sentinels name it.
    Sentinel { sentinels: Vec<Host>, service: String, login: Login },
    /// The cluster that these belong to.
    Cluster(Vec<Host>),
}

/// User and password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(***)")
    }
}

/// How the connection is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tls {
    /// Whether any certificate of the server will do.
    pub(super) insecure: bool,
    /// Authorities that are trusted instead of the public ones, PEM.
    pub(super) ca_file: Option<PathBuf>,
    /// Our own certificate, PEM.
    pub(super) cert_file: Option<PathBuf>,
    /// Its key, PEM.
    pub(super) key_file: Option<PathBuf>,
}

/// Everything that the URL says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) login: Login,
    pub(super) db: i64,
    pub(super) tls: Option<Tls>,
    /// `None`: RESP3 when the server takes it.
    pub(super) protocol: Option<ProtocolVersion>,
}

/// Reads a URL.
///
/// # Errors
/// `InvalidArgument`, naming the part and the fix, never the URL itself.
pub(super) fn parse(url: &str) -> Result<Target> {
    let parts = Parts::of(url)?;
    let mut options = Options::read(url, parts.query, parts.fragment)?;
    let mut login = parts.login()?;
    login.user = login.user.or(options.user.take());
    login.password = login.password.or(options.password.take());
    let tls = options.tls(parts.scheme)?;
    let (place, db) = place(&parts, &mut options)?;
    let db = db.or(options.db).unwrap_or(0);
    if db != 0 && matches!(place, Place::Cluster(_)) {
        return Err(invalid("a Redis cluster has only database 0"));
    }
    Ok(Target { place, login, db, tls, protocol: options.protocol })
}

fn place(parts: &Parts<'_>, options: &mut Options) -> Result<(Place, Option<i64>)> {
    match parts.scheme {
        "redis+unix" | "unix" => {
            if parts.path.len() < 2 {
                return Err(invalid("a socket has a path, as in redis+unix:///run/redis.sock"));
            }
            Ok((Place::Unix(PathBuf::from(decode(parts.path)?)), None))
        }
        "redis-sentinel" | "rediss-sentinel" => {
            let mut segments = parts.path.trim_matches('/').splitn(2, '/');
            let service = decode(segments.next().unwrap_or_default())?;
            if service.is_empty() {
                let example = "redis-sentinel://host:26379/mymaster";
                return Err(invalid(&format!("the path names the master, as in {example}")));
            }
            let sentinels = hosts(parts.hosts, SENTINEL_PORT)?;
            let login = std::mem::take(&mut options.sentinel);
            let db = segments.next().map(database).transpose()?;
            Ok((Place::Sentinel { sentinels, service, login }, db))
        }
        "redis-cluster" | "rediss-cluster" => {
            Ok((Place::Cluster(hosts(parts.hosts, PORT)?), path_db(parts.path)?))
        }
        _ => match hosts(parts.hosts, PORT)?.as_slice() {
            [host] => Ok((Place::Tcp(host.clone()), path_db(parts.path)?)),
            _ => Err(invalid("several hosts need the scheme redis-cluster or redis-sentinel")),
        },
    }
}

fn path_db(path: &str) -> Result<Option<i64>> {
    let path = path.trim_matches('/');
    if path.is_empty() { Ok(None) } else { database(path).map(Some) }
}

fn database(text: &str) -> Result<i64> {
    let number = text.trim_end_matches('/').parse::<u32>();
    number.map(i64::from).map_err(|_| invalid("a database is a number, as in redis://host:6379/0"))
}

fn hosts(text: &str, port: u16) -> Result<Vec<Host>> {
    text.split(',').map(|host| self::host(host.trim(), port)).collect()
}

/// Reads `name`, `name:port`, `[::1]:port`.
fn host(text: &str, port: u16) -> Result<Host> {
    let (name, port_text) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    if name.is_empty() {
        return Err(invalid("a host is missing, as in redis://127.0.0.1:6379"));
    }
    let port = match port_text {
        None => port,
        Some(text) => text
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| invalid("a port is a number from 1 to 65535"))?,
    };
    Ok(Host { name: decode(name)?, port })
}

struct Parts<'a> {
    scheme: &'a str,
    user_info: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
    fragment: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Result<Self> {
        let (scheme, rest) = match url.split_once("://") {
            Some(split) => split,
            // `unix:/run/redis.sock` has no authority at all.
            None => url
                .split_once(':')
                .ok_or_else(|| invalid("a URL begins as in redis://127.0.0.1:6379"))?,
        };
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        Ok(Self { scheme, user_info, hosts, path, query, fragment })
    }

    fn login(&self) -> Result<Login> {
        let Some(text) = self.user_info else { return Ok(Login::default()) };
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (text, None),
        };
        let user = (!user.is_empty()).then(|| decode(user)).transpose()?;
        Ok(Login { user, password: password.map(decode).transpose()? })
    }
}

#[derive(Default)]
struct Options {
    user: Option<String>,
    password: Option<String>,
    sentinel: Login,
    db: Option<i64>,
    protocol: Option<ProtocolVersion>,
    tls: Tls,
}

impl Options {
    fn read(url: &str, query: &str, fragment: &str) -> Result<Self> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !options.set(name, decode(value)?)? {
                let shown = shown_option(url, name);
                return Err(invalid(&format!("`{shown}` is no option of a Redis URL")));
            }
        }
        match fragment {
            "" => {}
            "insecure" => options.tls.insecure = true,
            _ => return Err(invalid("after # only `insecure` is known")),
        }
        Ok(options)
    }

    /// False: there is no such option.
    fn set(&mut self, name: &str, value: String) -> Result<bool> {
        match name {
            "user" => self.user = Some(value),
            "pass" | "password" => self.password = Some(value),
            "db" => self.db = Some(database(&value)?),
            "sentinel_user" | "sentinel_username" => self.sentinel.user = Some(value),
            "sentinel_password" => self.sentinel.password = Some(value),
            "tls_insecure" => self.tls.insecure = flag(name, &value)?,
            "tls_ca_file" => self.tls.ca_file = Some(value.into()),
            "tls_cert_file" => self.tls.cert_file = Some(value.into()),
            "tls_key_file" => self.tls.key_file = Some(value.into()),
            "protocol" => self.protocol = Some(protocol(&value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn tls(&mut self, scheme: &str) -> Result<Option<Tls>> {
        let tls = std::mem::take(&mut self.tls);
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            return Err(invalid("tls_cert_file and tls_key_file belong together"));
        }
        match scheme {
            "rediss" | "valkeys" | "rediss-sentinel" | "rediss-cluster" => Ok(Some(tls)),
            _ if tls == Tls::default() => Ok(None),
            _ => Err(invalid("options of TLS need a scheme with TLS, such as rediss")),
        }
    }
}

fn flag(name: &str, value: &str) -> Result<bool> {
    match value {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(invalid(&format!("`{name}` is true or false"))),
    }
}

fn protocol(value: &str) -> Result<ProtocolVersion> {
    match value {
        "2" | "resp2" => Ok(ProtocolVersion::RESP2),
        "3" | "resp3" => Ok(ProtocolVersion::RESP3),
        _ => Err(invalid("`protocol` is 2 or 3")),
    }
}

/// Undoes percent-encoding; a plus stays a plus.
fn decode(text: &str) -> Result<String> {
    let broken = || invalid("a percent sign is written %25, and the decoded text is UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let [high, low, tail @ ..] = tail else { return Err(broken()) };
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(high), digit(low)) else { return Err(broken()) };
        bytes.push(high << 4 | low);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

fn invalid(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("the URL: {problem}"))
}

//! What the URL of a PostgreSQL asks for: the driver's configuration and how far TLS is verified.
//! It must not open anything.

use std::{path::PathBuf, time::Duration};

use tokio_postgres::config::{Host, SslMode};

use crate::{
    config::{BackendConfig, text::shown_option},
    error::{Error, ErrorKind, Result},
};

#[cfg(test)]
mod tests;

/// How far the server's certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verify {
    /// Not at all: encrypted, but not authenticated (`sslmode=prefer`, `no-verify`).
    #[default]
    Nothing,
    /// Its issuer (`verify-ca`).
    Issuer,
    /// Its issuer and its name (`require`, `verify-full`).
    Full,
}

/// What is asked for beyond what the driver itself understands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsOptions {
    pub(super) verify: Verify,
    /// PEM file of the issuers that are trusted, in the place of the system's.
    pub(super) root_cert: Option<PathBuf>,
    /// PEM files of the client's certificate and key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

/// A parsed URL.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: TlsOptions,
}

impl Target {
    /// Reads the URL and sets what every connection has: name, timeouts, keepalives.
    ///
    /// # Errors
    /// `InvalidArgument`; the text never repeats the URL.
    pub(super) fn of(backend: &BackendConfig) -> Result<Self> {
        let (url, parameters) = split(&backend.url);
        let mut tls = TlsOptions::default();
        let (mut given, mut system) = (None, false);
        let (mut cert, mut key) = (None, None);
        let mut kept = Vec::new();
        for (name, value) in parameters {
            match name {
                "sslmode" => given = Some(ssl_mode(value)?),
                "sslrootcert" => {
                    system = value == "system";
                    tls.root_cert = if system { None } else { Some(decoded(value)?.into()) };
                }
                "sslcert" => cert = Some(PathBuf::from(decoded(value)?)),
                "sslkey" => key = Some(PathBuf::from(decoded(value)?)),
                // Supabase, Prisma and others add these for their own drivers.
                "pgbouncer" | "connection_limit" | "pool_timeout" | "statement_cache_size" => {}
                _ => kept.push(format!("{name}={value}")),
            }
        }
        tls.client = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(invalid("sslcert and sslkey belong together")),
        };
        let certified = tls.root_cert.is_some() || tls.client.is_some();
        let mode;
        (mode, tls.verify) = agreed(given, system, certified)?;
        let url =
            if kept.is_empty() { url.to_owned() } else { format!("{url}?{}", kept.join("&")) };
        let config = parse(&url, &backend.url)?;
        Ok(Self { config: with_defaults(config, backend, mode), tls })
    }
}

/// `given`: as it stands in the configuration.
fn parse(url: &str, given: &str) -> Result<tokio_postgres::Config> {
    let config: tokio_postgres::Config = url.parse().map_err(|error: tokio_postgres::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let cause = match cause.strip_prefix("unknown option `") {
            Some(name) => {
                format!("unknown option `{}`", shown_option(given, name.trim_end_matches('`')))
            }
            None => cause,
        };
        invalid(&format!("not a PostgreSQL URL: {cause}"))
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(invalid("the URL names no host"));
    }
    Ok(config)
}

fn with_defaults(
    mut config: tokio_postgres::Config,
    backend: &BackendConfig,
    mode: SslMode,
) -> tokio_postgres::Config {
    let local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    config.ssl_mode(if local { SslMode::Disable } else { mode });
    if config.get_application_name().is_none() {
        config.application_name("mainstay");
    }
    // For each address; the time for the whole connection is bounded by the pool.
    config.connect_timeout(backend.connect_timeout);
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(backend.timeout().max(Duration::from_secs(5)) * 2);
    }
    config.keepalives(true).keepalives_idle(Duration::from_secs(15));
    config.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
    config
}

/// What holds in the end. Whoever names an issuer or a certificate wants TLS: what takes less is a contradiction, not a
/// connection in the clear. `system`: as libpq, everything is verified.
fn agreed(
    given: Option<(SslMode, Verify)>,
    system: bool,
    certified: bool,
) -> Result<(SslMode, Verify)> {
    match given {
        None if system || certified => Ok((SslMode::Require, Verify::Full)),
        None => Ok((SslMode::Prefer, Verify::Nothing)),
        Some((_, verify)) if system && verify != Verify::Full => {
            Err(invalid("sslrootcert=system goes with sslmode=require or verify-full"))
        }
        Some((mode, _)) if certified && mode != SslMode::Require => {
            Err(invalid("sslrootcert and sslcert want an sslmode that encrypts, as require"))
        }
        Some(given) => Ok(given),
    }
}

fn ssl_mode(value: &str) -> Result<(SslMode, Verify)> {
    Ok(match value {
        "disable" => (SslMode::Disable, Verify::Nothing),
        "allow" | "prefer" => (SslMode::Prefer, Verify::Nothing),
        // libpq's `require` verifies nothing: whoever asks for TLS here gets it verified, or says that it need not be.
        "require" => (SslMode::Require, Verify::Full),
        "no-verify" => (SslMode::Require, Verify::Nothing),
        "verify-ca" => (SslMode::Require, Verify::Issuer),
        "verify-full" => (SslMode::Require, Verify::Full),
        _ => {
            return Err(invalid(
                "sslmode is disable, allow, prefer, no-verify, require, verify-ca or verify-full",
            ));
        }
    })
}

/// The URL up to its parameters, and the parameters. As the driver reads it, a `?` before the first `@` is the password's.
fn split(url: &str) -> (&str, Vec<(&str, &str)>) {
    let from = url.find('@').unwrap_or(0);
    let mark = url[from..].find('?').map(|at| from + at);
    let (base, query) = mark.map_or((url, ""), |mark| (&url[..mark], &url[mark + 1..]));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    (base, pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect())
}

/// The driver decodes its own parameters; of ours only paths can hold anything to decode.
fn decoded(value: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        bytes.push(match byte {
            b'%' => match (hex(rest.next()), hex(rest.next())) {
                (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or_default(),
                _ => return Err(invalid("a % is followed by two hexadecimal digits")),
            },
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| invalid("a path in the URL is not UTF-8"))
}

fn invalid(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("url: {problem}"))
}

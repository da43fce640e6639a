//! What the URL of a MySQL or MariaDB asks for, as the driver's options.
//! It must not open anything.

use std::{path::PathBuf, time::Duration};

use mysql_async::{
    ClientIdentity, Opts, OptsBuilder, PoolConstraints, PoolOpts, SslOpts, UrlError,
};

use crate::{
    config::{BackendConfig, text::shown_option},
    error::{Error, ErrorKind, Result},
};

#[cfg(test)]
mod tests;

/// Statements that a connection keeps prepared: ours are few, the lists of keys come in powers of two.
const STATEMENTS: usize = 128;

/// The driver's options for this backend.
///
/// # Errors
/// `InvalidArgument`; the text never repeats the URL.
pub(super) fn options(backend: &BackendConfig) -> Result<Opts> {
    let (url, parameters) = split(&backend.url);
    let mut tls = Tls::Off;
    let (mut root, mut cert, mut key) = (None, None, None);
    let mut kept = Vec::new();
    for (name, value) in parameters {
        match name {
            "ssl-mode" | "sslmode" | "ssl_mode" => tls = Tls::of(value)?,
            "ssl-ca" | "sslrootcert" => root = Some(PathBuf::from(value)),
            "ssl-cert" | "sslcert" => cert = Some(PathBuf::from(value)),
            "ssl-key" | "sslkey" => key = Some(PathBuf::from(value)),
            _ => kept.push(format!("{name}={value}")),
        }
    }
    let client = match (cert, key) {
        (Some(cert), Some(key)) => Some(ClientIdentity::new(cert.into(), key.into())),
        (None, None) => None,
        _ => return Err(invalid("ssl-cert and ssl-key belong together")),
    };
    let url =
        url.strip_prefix("mariadb:").map_or_else(|| url.to_owned(), |rest| format!("mysql:{rest}"));
    let url = if kept.is_empty() { url } else { format!("{url}?{}", kept.join("&")) };
    let given = Opts::from_url(&url).map_err(|error| refused(&error, &backend.url))?;
    if given.db_name().is_none_or(str::is_empty) {
        return Err(invalid("the URL names no database: mysql://user:password@host/database"));
    }
    let places = backend.connections();
    let pool = PoolConstraints::new(places, places)
        .map(|places| PoolOpts::new().with_constraints(places).with_reset_connection(false))
        .ok_or_else(|| invalid("connections is above 0"))?;
    let ssl = given.ssl_opts().cloned();
    let builder = OptsBuilder::from_opts(given)
        .pool_opts(pool)
        .prefer_socket(false)
        .tcp_keepalive(Some(Duration::from_secs(15)))
        .tcp_nodelay(true)
        .client_found_rows(false)
        .stmt_cache_size(STATEMENTS)
        .setup(session(backend.timeout()))
        .ssl_opts(tls.options(root, client)?.or(ssl));
    Ok(builder.into())
}

/// How long a session waits for a lock, whole seconds.
pub(super) fn lock_wait(timeout: Duration) -> u128 {
    timeout.as_millis().div_ceil(1000).max(1)
}

/// What each connection is told first. One statement each; their order does not matter.
fn session(timeout: Duration) -> Vec<String> {
    // Whole seconds; a lock that is waited for longer than the caller waits only keeps others from it. MariaDB bounds each
    // statement, its waits included, to the millisecond; MySQL bounds reads so, and of a write each wait for a row.
    let seconds = lock_wait(timeout);
    let limits = format!(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, \
         time_zone = '+00:00', innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds} \
         /*M!100101 , max_statement_time = {} */ \
         /*M!100300 , idle_transaction_timeout = {seconds} */ /*!50708 , max_execution_time = {} */",
        timeout.as_secs_f64(),
        timeout.as_millis(),
    );
    vec![
        // Keys and values are bytes; nothing is converted.
        "SET NAMES binary".to_owned(),
        // No locks on gaps: a key is locked only by its row.
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
        limits,
    ]
}

/// The `ssl-mode` of MySQL's own tools, but for REQUIRED: whoever asks for TLS here gets it verified, or says that it need not
/// be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    Off,
    Encrypt,
    /// The driver recognises a wrong name by a text that rustls no longer uses, so it refuses that, too.
    VerifyIssuer,
    VerifyIdentity,
}

impl Tls {
    fn of(value: &str) -> Result<Self> {
        Ok(match value.to_ascii_lowercase().replace('-', "_").as_str() {
            "disabled" | "disable" | "preferred" | "prefer" => Tls::Off,
            "no_verify" => Tls::Encrypt,
            "verify_ca" => Tls::VerifyIssuer,
            "required" | "require" | "verify_identity" | "verify_full" => Tls::VerifyIdentity,
            _ => {
                return Err(invalid(
                    "ssl-mode is DISABLED, NO_VERIFY, REQUIRED, VERIFY_CA or VERIFY_IDENTITY",
                ));
            }
        })
    }

    fn options(
        self,
        root: Option<PathBuf>,
        client: Option<ClientIdentity>,
    ) -> Result<Option<SslOpts>> {
        if self == Tls::Off {
            return match (root, client) {
                (None, None) => Ok(None),
                _ => Err(invalid("ssl-ca and ssl-cert need ssl-mode=REQUIRED or another with TLS")),
            };
        }
        let own_roots = root.is_some();
        let roots = root.into_iter().map(Into::into).collect();
        Ok(Some(
            SslOpts::default()
                .with_client_identity(client)
                .with_root_certs(roots)
                .with_disable_built_in_roots(own_roots)
                .with_danger_accept_invalid_certs(self == Tls::Encrypt)
                .with_danger_skip_domain_validation(self != Tls::VerifyIdentity),
        ))
    }
}

/// The URL up to its parameters, and the parameters.
fn split(url: &str) -> (&str, Vec<(&str, &str)>) {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    (base, pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect())
}

fn refused(error: &UrlError, given: &str) -> Error {
    let problem = match error {
        UrlError::UnknownParameter { param } => {
            format!("`{}` is no parameter of it", shown_option(given, param))
        }
        UrlError::InvalidParamValue { param, .. } => {
            format!("the value of `{}` is not what it takes", shown_option(given, param))
        }
        other => other.to_string(),
    };
    invalid(&format!("not a MySQL URL: {problem}"))
}

fn invalid(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("url: {problem}"))
}

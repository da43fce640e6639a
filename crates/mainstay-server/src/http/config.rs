//! The HTTP front door's settings: where it listens, who may come in, how much it takes.
//! It must not know routes or handlers.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use mainstay::{Error, ErrorKind, Result, config::text};
use serde::{Deserialize, Serialize, Serializer};

use crate::{access::check_token, address};

/// The HTTP front door. `HttpConfig::default()` listens on loopback without a token.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address and port, or `localhost:PORT`; port 0 takes a free one. Default `127.0.0.1:6391`.
    pub listen: String,
    /// What a caller has to present as `Authorization: Bearer ...` (user `default`, an admin); never printed. Default: none
    /// (loopback only).
    #[serde(serialize_with = "redacted", skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A file that holds the token; white space at its ends is cut off. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Host names by which clients reach this server, without port. Loopback names are always allowed, and IP addresses
    /// when it listens elsewhere than on loopback. Default: none.
    pub allowed_hosts: Vec<String>,
    /// Connections at once. On one more a single request is answered: state and control as ever, everything else with
    /// 503. Default 1024.
    pub connections_max: usize,
    /// Connections from one address at most, a /64 of IPv6 counting as one; more are treated likewise, with 429.
    /// Default: no limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_address: Option<usize>,
    /// Connections at once over these limits, for that one request; what comes beyond is closed without an answer.
    /// Default 64.
    pub admin_connections: usize,
    /// Bytes of the bodies of requests and answers that are held at once, those of all connections together; more is
    /// answered 503.
    /// Default 256 MiB.
    #[serde(with = "text::size")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::SizeText"))]
    pub bodies_max: u64,
    /// A client that takes nothing of its answer for this long is closed. Default 60 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::DurationText"))]
    pub send_timeout: Duration,
    /// Event streams at once. Default 128.
    pub streams_max: usize,
    /// Time to receive a request's head, also for the next one on a kept connection. Default and ceiling 10 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::DurationText"))]
    pub header_timeout: Duration,
    /// The longest request head in bytes. Default 32 KiB.
    #[serde(with = "text::size")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::SizeText"))]
    pub header_max: u64,
    /// Header lines of one request. Default 100.
    pub headers_max: usize,
    /// The longest `X-Mainstay-Timeout` a request may ask for. Without one: `limits.deadline`. Default 60 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::DurationText"))]
    pub timeout_max: Duration,
    /// How long, once it has to stop, it still takes connections while `/readyz` says 503. Default 0 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::DurationText"))]
    pub drain_wait: Duration,
    /// How long it then waits for requests in flight. Default 10 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::DurationText"))]
    pub drain_max: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:6391".to_owned(),
            token: None,
            token_file: None,
            allowed_hosts: Vec::new(),
            connections_max: 1024,
            connections_per_address: None,
            admin_connections: 64,
            bodies_max: 256 << 20,
            send_timeout: Duration::from_secs(60),
            streams_max: 128,
            header_timeout: Duration::from_secs(10),
            header_max: 32 << 10,
            headers_max: 100,
            timeout_max: Duration::from_secs(60),
            drain_wait: Duration::ZERO,
            drain_max: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("listen", &self.listen)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("token_file", &self.token_file)
            .field("allowed_hosts", &self.allowed_hosts)
            .finish_non_exhaustive()
    }
}

impl HttpConfig {
    /// Checks every value, and that an address other than loopback goes with a token.
    ///
    /// # Errors
    /// `InvalidArgument`; the message begins with the path of the value (`http.listen: ...`) and names the fix.
    pub fn validate(&self) -> Result<()> {
        self.validate_with(self.token.is_some() || self.token_file.is_some())
    }

    /// The same; `guarded`: nobody comes in without a token or a certificate, whatever stands in this section.
    ///
    /// # Errors
    /// As `validate`.
    pub fn validate_with(&self, guarded: bool) -> Result<()> {
        let address = self.address()?;
        if !address.ip().is_loopback() && !guarded {
            return Err(invalid(
                "listen",
                &format!(
                    "{address} is reachable from elsewhere: set http.token_file, users with tokens, or \
                     tls.client_ca_file, or listen on 127.0.0.1"
                ),
            ));
        }
        if self.token.is_some() && self.token_file.is_some() {
            return Err(invalid("token", "and http.token_file are both set; keep one"));
        }
        if let Some(token) = &self.token {
            check_token("http.token", token)?;
        }
        if let Some(host) = self.allowed_hosts.iter().find(|host| !is_host_name(host)) {
            return Err(invalid(
                "allowed_hosts",
                &format!("`{host}` is not a host name without port"),
            ));
        }
        self.validate_limits()
    }

    fn validate_limits(&self) -> Result<()> {
        if self.header_timeout.is_zero() || self.header_timeout > Duration::from_secs(10) {
            return Err(invalid("header_timeout", "is above 0 and at most 10s"));
        }
        if self.header_max < 4 << 10 || self.header_max > 1 << 20 {
            return Err(invalid("header_max", "is between 4KiB and 1MiB"));
        }
        if self.timeout_max.is_zero() || self.timeout_max > Duration::from_secs(3600) {
            return Err(invalid("timeout_max", "is above 0 and at most 1h"));
        }
        if self.bodies_max < 1 << 20 {
            return Err(invalid("bodies_max", "is at least 1MiB"));
        }
        if self.send_timeout.is_zero() {
            return Err(invalid("send_timeout", "is above 0"));
        }
        if self.connections_per_address == Some(0) {
            return Err(invalid("connections_per_address", "is above 0, or left out"));
        }
        let counts = [
            ("connections_max", self.connections_max, 1_000_000),
            ("admin_connections", self.admin_connections, 1_000_000),
            ("streams_max", self.streams_max, 100_000),
            ("headers_max", self.headers_max, 1000),
        ];
        for (name, value, ceiling) in counts {
            if value == 0 || value > ceiling {
                return Err(invalid(name, &format!("is between 1 and {ceiling}")));
            }
        }
        Ok(())
    }

    /// `listen`, read.
    ///
    /// # Errors
    /// `InvalidArgument` when it is not `ADDRESS:PORT`.
    pub fn address(&self) -> Result<SocketAddr> {
        address::parse(&self.listen, 6391).map_err(|problem| invalid("listen", &problem))
    }

    /// The token, from here or from its file.
    ///
    /// # Errors
    /// `InvalidArgument` when the file cannot be read or holds no usable token.
    pub(crate) fn read_token(&self) -> Result<Option<String>> {
        let Some(path) = &self.token_file else { return Ok(self.token.clone()) };
        let unreadable = |error: io::Error| {
            invalid("token_file", &format!("{} cannot be read: {error}", path.display()))
        };
        let token = std::fs::read_to_string(path).map_err(unreadable)?.trim().to_owned();
        check_token("http.token_file", &token)?;
        Ok(Some(token))
    }
}

fn is_host_name(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    host.parse::<IpAddr>().is_ok() || (!host.is_empty() && host.bytes().all(allowed))
}

fn invalid(name: &str, problem: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("http.{name}: {problem}"))
}

fn redacted<S: Serializer>(
    token: &Option<String>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match token {
        Some(_) => serializer.serialize_some("***"),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: &HttpConfig) -> String {
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_valid_and_local() {
        let config = HttpConfig::default();
        config.validate().unwrap();
        assert!(config.address().unwrap().ip().is_loopback());
    }

    #[test]
    fn an_open_address_needs_a_token() {
        for listen in ["0.0.0.0:6391", "[::]:6391", "192.0.2.1:80"] {
            let mut config = HttpConfig { listen: listen.to_owned(), ..HttpConfig::default() };
            assert!(refused(&config).contains("token_file"), "{listen}");
            config.token = Some("correct-horse".to_owned());
            config.validate().unwrap();
        }
    }

    #[test]
    fn bad_values_are_named() {
        let with = |change: fn(&mut HttpConfig)| {
            let mut config = HttpConfig::default();
            change(&mut config);
            refused(&config)
        };
        assert!(with(|c| c.listen = "6391".into()).starts_with("http.listen"));
        assert!(with(|c| c.token = Some("short".into())).starts_with("http.token"));
        assert!(
            with(|c| c.header_timeout = Duration::from_secs(11)).starts_with("http.header_timeout")
        );
        assert!(with(|c| c.connections_max = 0).starts_with("http.connections_max"));
        assert!(with(|c| c.allowed_hosts = vec!["a:80".into()]).starts_with("http.allowed_hosts"));
    }

    #[test]
    fn the_token_is_never_printed() {
        let config = HttpConfig { token: Some("correct-horse".into()), ..HttpConfig::default() };
        let printed = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        assert!(!printed.contains("correct-horse"));
        assert!(printed.contains("***"));
    }
}

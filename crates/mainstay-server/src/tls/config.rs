//! The `[tls]` section: the certificates of the doors, and how long a handshake may take.
//! It must not read the files.

use std::{path::PathBuf, time::Duration};

use mainstay::{Error, ErrorKind, Result, config::text};
use serde::{Deserialize, Serialize};

use crate::access::Door;

/// TLS on the doors. Without a certificate there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The server's certificate and those that lead to its issuer, PEM. Default: none, the doors speak plain TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// The certificate's key, PEM (PKCS #8, PKCS #1 or SEC 1), not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The issuers of clients' certificates, PEM: who has none of theirs does not get in (mutual TLS). Default: none is
    /// asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
    /// Whether RESP speaks TLS, once there is a certificate. Default true.
    pub resp: bool,
    /// Whether HTTP speaks TLS, once there is a certificate. Default true.
    pub http: bool,
    /// How long a handshake may take, and wait for its turn before. Default 10 s.
    #[serde(with = "text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::DurationText"))]
    pub handshake_timeout: Duration,
    /// Handshakes at once on each door, a quarter of them from one address (of IPv6, one /64); one more waits for its turn, at
    /// most as long as one may take. Default 256.
    pub handshakes_max: usize,
    /// No warning that passwords and tokens pass in the clear, where a door without TLS listens elsewhere than on
    /// loopback: something in front of it encrypts. Default false.
    pub allow_plaintext: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            cert_file: None,
            key_file: None,
            client_ca_file: None,
            resp: true,
            http: true,
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 256,
            allow_plaintext: false,
        }
    }
}

impl TlsConfig {
    /// Checks every value; the files are read when the doors open.
    ///
    /// # Errors
    /// `InvalidArgument`; the message begins with the path of the value and names the fix.
    pub fn validate(&self) -> Result<()> {
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => return Err(invalid("key_file", "is missing beside tls.cert_file")),
            (None, Some(_)) => return Err(invalid("cert_file", "is missing beside tls.key_file")),
            (None, None) if self.client_ca_file.is_some() => {
                return Err(invalid("client_ca_file", "needs tls.cert_file and tls.key_file"));
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        if self.cert_file.is_some() && !self.resp && !self.http {
            return Err(invalid("cert_file", "is of no use with tls.resp and tls.http both false"));
        }
        if self.handshake_timeout.is_zero() || self.handshake_timeout > Duration::from_secs(60) {
            return Err(invalid("handshake_timeout", "is above 0 and at most 60s"));
        }
        if self.handshakes_max == 0 || self.handshakes_max > 100_000 {
            return Err(invalid("handshakes_max", "is between 1 and 100000"));
        }
        Ok(())
    }

    /// Whether this door speaks TLS.
    pub fn covers(&self, door: Door) -> bool {
        let wanted = match door {
            Door::Resp => self.resp,
            Door::Http => self.http,
        };
        wanted && self.cert_file.is_some()
    }

    /// Whether this door takes only clients with a certificate.
    pub fn is_mutual(&self, door: Door) -> bool {
        self.covers(door) && self.client_ca_file.is_some()
    }
}

pub(super) fn invalid(name: &str, problem: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("tls.{name}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_together_comes_together() {
        let (cert, key) = (Some(PathBuf::from("/c")), Some(PathBuf::from("/k")));
        let pair =
            TlsConfig { cert_file: cert.clone(), key_file: key.clone(), ..TlsConfig::default() };
        TlsConfig::default().validate().unwrap();
        pair.validate().unwrap();
        assert!(pair.covers(Door::Resp) && !pair.is_mutual(Door::Resp));
        assert!(!TlsConfig { resp: false, ..pair.clone() }.covers(Door::Resp));
        let mutual = TlsConfig { client_ca_file: Some("/ca".into()), ..pair.clone() };
        mutual.validate().unwrap();
        assert!(mutual.is_mutual(Door::Http));
        for (config, path) in [
            (TlsConfig { key_file: None, ..pair.clone() }, "tls.key_file"),
            (TlsConfig { cert_file: None, ..pair.clone() }, "tls.cert_file"),
            (TlsConfig { cert_file: None, key_file: None, ..mutual }, "tls.client_ca_file"),
            (TlsConfig { resp: false, http: false, ..pair.clone() }, "tls.cert_file"),
            (TlsConfig { handshakes_max: 0, ..pair.clone() }, "tls.handshakes_max"),
            (TlsConfig { handshake_timeout: Duration::ZERO, ..pair }, "tls.handshake_timeout"),
        ] {
            let message = config.validate().unwrap_err().message().to_owned();
            assert!(message.starts_with(path), "{message}");
        }
    }
}

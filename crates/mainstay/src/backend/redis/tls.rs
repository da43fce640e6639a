//! The certificates of TLS connections.
//! It must not know what is connected to.

use std::path::Path;

use redis::{ClientTlsConfig, TlsCertificates};

use super::url::Tls;
use crate::error::{Error, ErrorKind, Result};

/// Reads the files anew each time, so that renewed certificates are taken up.
pub(super) async fn certificates(tls: &Tls) -> Result<TlsCertificates> {
    // That another provider was installed before is as good.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let root_cert = match &tls.ca_file {
        Some(path) => Some(read(path).await?),
        None => None,
    };
    let client_tls = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => {
            Some(ClientTlsConfig { client_cert: read(cert).await?, client_key: read(key).await? })
        }
        _ => None,
    };
    Ok(TlsCertificates { client_tls, root_cert })
}

async fn read(path: &Path) -> Result<Vec<u8>> {
    tokio::fs::read(path).await.map_err(|error| {
        Error::new(ErrorKind::Misconfigured, format!("{}: {error}", path.display()))
    })
}

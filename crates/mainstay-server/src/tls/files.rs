//! The files of a `[tls]` section, read, and made into what a handshake needs.
//! It must not know when they are read.

use std::{path::Path, sync::Arc};

use mainstay::Result;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use sha2::{Digest, Sha256};
use x509_cert::{Certificate, der::Decode};

use super::config::{TlsConfig, invalid};

/// Longer files are not what was meant.
const LEN_MAX: u64 = 1 << 20;

/// The contents of the files, not yet understood.
pub(super) struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What a handshake needs.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) resp: Arc<ServerConfig>,
    pub(super) http: Arc<ServerConfig>,
    /// When the certificate ends, Unix seconds.
    pub(super) not_after: u64,
}

impl Files {
    /// Reads them; they are small. `None`: no certificate is configured.
    pub(super) fn read(config: &TlsConfig) -> Result<Option<Self>> {
        let (Some(cert), Some(key)) = (&config.cert_file, &config.key_file) else {
            return Ok(None);
        };
        let client_ca = config.client_ca_file.as_deref();
        Ok(Some(Self {
            cert: read("cert_file", cert)?,
            key: read("key_file", key)?,
            client_ca: client_ca.map(|file| read("client_ca_file", file)).transpose()?,
        }))
    }

    /// The same for the same contents.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()] {
            let part = part.map_or(&[][..], |part| part);
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    pub(super) fn load(&self) -> Result<Loaded> {
        let chain = certificates("cert_file", &self.cert)?;
        let not_after = not_after(&chain)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| invalid("key_file", "holds no unencrypted private key in PEM"))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| invalid("cert_file", &error.to_string()))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(issuers) => {
                let unusable = |problem: String| invalid("client_ca_file", &problem);
                let mut roots = RootCertStore::empty();
                for issuer in certificates("client_ca_file", issuers)? {
                    roots.add(issuer).map_err(|error| unusable(error.to_string()))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = verifier.build().map_err(|error| unusable(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let resp = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                invalid("key_file", "is not the key of the certificate in tls.cert_file")
            }
            other => invalid("cert_file", &other.to_string()),
        })?;
        let mut http = resp.clone();
        http.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Loaded { resp: Arc::new(resp), http: Arc::new(http), not_after })
    }
}

fn read(name: &str, path: &Path) -> Result<Vec<u8>> {
    let refuse = |problem: String| invalid(name, &format!("{}: {problem}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
    if length > LEN_MAX {
        return Err(refuse("is longer than 1MiB, which is no PEM file of ours".to_owned()));
    }
    std::fs::read(path).map_err(|error| refuse(error.to_string()))
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(invalid(name, "holds no certificate in PEM")),
    }
}

fn not_after(chain: &[CertificateDer<'_>]) -> Result<u64> {
    let parsed = chain.first().and_then(|first| Certificate::from_der(first).ok());
    let parsed = parsed.ok_or_else(|| invalid("cert_file", "holds no X.509 certificate"))?;
    Ok(parsed.tbs_certificate.validity.not_after.to_unix_duration().as_secs())
}

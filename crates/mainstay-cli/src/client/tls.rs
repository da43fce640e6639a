//! TLS of the small HTTP client: whom it trusts, and what it shows of itself.
//! It must not know what is asked for.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use crate::exit::Failure;

/// Whom to trust, and who we are.
#[derive(Debug, Default)]
pub(crate) struct Trust<'a> {
    /// The issuers that are trusted in the place of the system's.
    pub(crate) ca_file: Option<&'a Path>,
    /// The certificate of the server that this configuration describes: it may be self-signed or have any name.
    pub(crate) own_server: Option<&'a Path>,
    /// Whoever answers is believed: for one's own server on this host, which is told nothing.
    pub(crate) anyone: bool,
    /// Our certificate and its key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

/// The connector.
pub(crate) fn connector(trust: &Trust<'_>) -> Result<TlsConnector, Failure> {
    let provider = Arc::new(ring::default_provider());
    let issuers = match trust.ca_file {
        Some(file) => roots_of(file)?,
        None => system_roots(),
    };
    let known =
        WebPkiServerVerifier::builder_with_provider(Arc::new(issuers), Arc::clone(&provider));
    let known = known.build().map_err(|error| Failure::new(format!("TLS: {error}")))?;
    let own = match trust.own_server {
        Some(file) => certificates(file)?.into_iter().next(),
        None => None,
    };
    let anyone = trust.anyone;
    let verifier = Arc::new(Verifier { own, anyone, known });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(format!("TLS: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &trust.client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let read = PrivateKeyDer::from_pem_file(key);
            let read =
                read.map_err(|error| Failure::usage(format!("{}: {error}", key.display())))?;
            let config = builder.with_client_auth_cert(certificates(cert)?, read);
            config.map_err(|error| Failure::usage(format!("{}: {error}", cert.display())))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name that the server's certificate has to bear.
pub(crate) fn server_name(authority: &str) -> Result<ServerName<'static>, Failure> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::usage(format!("{host} is no name that a certificate can bear")))
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn roots_of(file: &Path) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        let added = roots.add(certificate);
        added.map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Failure::usage(format!("{}: holds no certificate in PEM", file.display()))),
        Err(error) => Err(Failure::usage(format!("{}: {error}", file.display()))),
    }
}

/// The usual rules, or exactly the certificate that the configuration names, or none.
#[derive(Debug)]
struct Verifier {
    own: Option<CertificateDer<'static>>,
    anyone: bool,
    known: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.anyone || self.own.as_ref().is_some_and(|own| own == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        self.known.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.known.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.known.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.known.supported_verify_schemes()
    }
}

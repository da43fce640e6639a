//! Certificates that are exchanged while the doors stand open.

use std::{path::Path, sync::Arc};

use mainstay::{EventKind, Storage};
use mainstay_server::{
    Guard,
    access::Access,
    http::HttpConfig,
    resp::{RespConfig, RespServer, Roster},
    tls::{Reloaded, Tls, TlsConfig},
};
use mainstay_servers::servers::Certificates;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    resp::support::Gate,
    support::{PATIENCE, in_memory},
};

pub(crate) fn config(certificates: &Certificates, mutual: bool) -> TlsConfig {
    TlsConfig {
        cert_file: Some(certificates.cert("server")),
        key_file: Some(certificates.key("server")),
        client_ca_file: mutual.then(|| certificates.ca()),
        ..TlsConfig::default()
    }
}

fn read(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

pub(crate) fn connector(ca: &Path, client: Option<(&Path, &Path)>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in read(ca) {
        roots.add(certificate).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).unwrap();
            builder.with_client_auth_cert(read(cert), key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// A door of its own.
struct Door {
    address: std::net::SocketAddr,
    tls: Tls,
    roster: Roster,
    _running: tokio_util::sync::DropGuard,
}

impl Door {
    async fn open(tls: &TlsConfig) -> Self {
        Self::of(tls, in_memory().await).await
    }

    async fn of(tls: &TlsConfig, storage: Storage) -> Self {
        let resp = RespConfig { listen: "127.0.0.1:0".to_owned(), ..RespConfig::default() };
        let access = Access::of(&Default::default(), &resp, &HttpConfig::default()).unwrap();
        let guard = Guard::new(access, tls).unwrap();
        let tls = guard.tls.clone().unwrap();
        let server = RespServer::bind_with(resp, storage, guard).await.unwrap();
        let roster = server.roster();
        let (address, cancel) = (server.local_addr(), CancellationToken::new());
        tokio::spawn(server.run(cancel.clone()));
        Self { address, tls, roster, _running: cancel.drop_guard() }
    }

    /// A connection that answers PING; what went wrong otherwise.
    async fn ping(&self, connector: &TlsConnector) -> Result<TlsStream<TcpStream>, String> {
        let talk = async {
            let stream = TcpStream::connect(self.address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = connector.connect(name, stream).await?;
            ask(&mut stream).await?;
            Ok(stream)
        };
        let ended = timeout(PATIENCE, talk).await.expect("an end");
        ended.map_err(|error: std::io::Error| error.to_string())
    }
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"+PONG\r\n");
    Ok(())
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_connections_go_on() {
    let certificates = Certificates::new().await.unwrap();
    let door = Door::open(&config(&certificates, false)).await;
    let connector = connector(&certificates.ca(), None);
    let mut old = door.ping(&connector).await.unwrap();
    assert_eq!(door.tls.reload().unwrap(), Reloaded::Unchanged);
    certificates.issue("server").await.unwrap();
    assert_eq!(door.tls.reload().unwrap(), Reloaded::Changed);
    let new = door.ping(&connector).await.unwrap();
    let shown =
        |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert_ne!(shown(&old), shown(&new));
    ask(&mut old).await.unwrap();
    assert_eq!(door.tls.status().reloads, 1);
}

#[tokio::test]
async fn broken_files_leave_the_certificate_in_use_and_are_told() {
    let certificates = Certificates::new().await.unwrap();
    let door = Door::open(&config(&certificates, false)).await;
    let connector = connector(&certificates.ca(), None);
    let storage = in_memory().await;
    let good = std::fs::read(certificates.cert("server")).unwrap();
    certificates.issue("another").await.unwrap();
    for (broken, problem) in [
        (&b"no certificate"[..], "tls.cert_file: holds no certificate"),
        (b"", "tls.cert_file: holds no certificate"),
        (&std::fs::read(certificates.cert("another")).unwrap(), "tls.key_file: is not the key"),
    ] {
        std::fs::write(certificates.cert("server"), broken).unwrap();
        let error = door.tls.reload_told(&storage).unwrap_err();
        assert!(error.message().starts_with(problem), "{error}");
        door.ping(&connector).await.unwrap();
        assert!(door.tls.status().problem.unwrap().starts_with(problem));
    }
    std::fs::remove_file(certificates.cert("server")).unwrap();
    door.tls.reload_told(&storage).unwrap_err();
    // The same problem is told once.
    door.tls.reload_told(&storage).unwrap_err();
    std::fs::write(certificates.cert("server"), good).unwrap();
    door.tls.reload_told(&storage).unwrap();
    assert_eq!(door.tls.status().problem, None);
    door.ping(&connector).await.unwrap();
    let told: Vec<&str> = storage
        .events()
        .since(0)
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Certificate { state } => Some(state),
            _ => None,
        })
        .collect();
    // Two of the three broken files have the same problem.
    assert_eq!(told, ["refused", "refused", "refused", "loaded"]);
}

#[tokio::test]
async fn only_clients_of_the_right_issuer_get_in() {
    let (ours, theirs) = (Certificates::new().await.unwrap(), Certificates::new().await.unwrap());
    for certificates in [&ours, &theirs] {
        certificates.issue_for("client", "DNS:client").await.unwrap();
    }
    let door = Door::open(&config(&ours, true)).await;
    let (cert, key) = (ours.cert("client"), ours.key("client"));
    door.ping(&connector(&ours.ca(), Some((&cert, &key)))).await.unwrap();
    door.ping(&connector(&ours.ca(), None)).await.unwrap_err();
    let (cert, key) = (theirs.cert("client"), theirs.key("client"));
    door.ping(&connector(&ours.ca(), Some((&cert, &key)))).await.unwrap_err();
    assert_eq!(door.tls.status().handshakes_failed, 2);
    assert!(door.tls.status().mutual);
}

#[tokio::test]
async fn whoever_speaks_plainly_or_says_nothing_is_closed() {
    let certificates = Certificates::new().await.unwrap();
    let quick = std::time::Duration::from_millis(50);
    let tls = TlsConfig { handshake_timeout: quick, ..config(&certificates, false) };
    let door = Door::open(&tls).await;
    let mut plain = TcpStream::connect(door.address).await.unwrap();
    plain.write_all(b"PING\r\n").await.unwrap();
    let mut silent = TcpStream::connect(door.address).await.unwrap();
    for stream in [&mut plain, &mut silent] {
        let mut rest = Vec::new();
        // What comes is at most an alert; a reset is a close, too.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("a close");
        assert!(!rest.starts_with(b"+"), "{rest:?}");
    }
    assert_eq!(door.tls.status().handshakes_failed, 2);
}

#[tokio::test]
async fn one_handshake_too_many_waits_for_its_turn() {
    let certificates = Certificates::new().await.unwrap();
    let tls = TlsConfig {
        handshakes_max: 1,
        handshake_timeout: PATIENCE * 2,
        ..config(&certificates, false)
    };
    let door = Door::open(&tls).await;
    let connector = connector(&certificates.ca(), None);
    let silent = TcpStream::connect(door.address).await.unwrap();
    let leave = async {
        while door.roster.connected() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        drop(silent);
    };
    let (answered, ()) = tokio::join!(door.ping(&connector), leave);
    answered.unwrap();
}

#[tokio::test]
async fn a_client_that_closes_without_saying_so_loses_nothing_in_flight() {
    let certificates = Certificates::new().await.unwrap();
    let gate = Gate::closed();
    let door = Door::of(&config(&certificates, false), gate.storage().await).await;
    let mut stream = door.ping(&connector(&certificates.ca(), None)).await.unwrap();
    stream.write_all(b"SET k v\r\n").await.unwrap();
    gate.until_begun(1).await;
    // The end of TCP, without the end of TLS before it.
    stream.get_mut().0.shutdown().await.unwrap();
    let mut answer = [0; 5];
    let read = async {
        // Long enough for the end to be there; where it is not, the test sees less, and never fails for it.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        gate.let_pass(1);
        stream.read_exact(&mut answer).await
    };
    timeout(PATIENCE, read).await.expect("an end").unwrap();
    assert_eq!(&answer, b"+OK\r\n");
}

#[tokio::test]
async fn users_that_come_later_do_not_open_a_door_to_the_world() {
    let resp = RespConfig {
        listen: "0.0.0.0:0".to_owned(),
        password: Some("geheim".to_owned()),
        ..RespConfig::default()
    };
    let (none, http) = (Default::default(), HttpConfig::default());
    let guard = Guard::plain(&resp, &http).unwrap();
    let access = guard.access.clone();
    let _server = RespServer::bind_with(resp, in_memory().await, guard).await.unwrap();
    let open = RespConfig::default();
    let refused = access.replace(&none, &open, &http).unwrap_err();
    assert!(refused.message().starts_with("resp.listen"), "{refused}");
    assert!(access.guards(mainstay_server::access::Door::Resp));
}

#[tokio::test]
async fn certificates_guard_an_open_address() {
    let certificates = Certificates::new().await.unwrap();
    let resp = RespConfig { listen: "0.0.0.0:0".to_owned(), ..RespConfig::default() };
    let access = || Access::of(&Default::default(), &resp, &HttpConfig::default()).unwrap();
    let one_sided = Guard::new(access(), &config(&certificates, false)).unwrap();
    let refused = RespServer::bind_with(resp.clone(), in_memory().await, one_sided).await;
    assert!(refused.unwrap_err().message().contains("tls.client_ca_file"));
    let mutual = Guard::new(access(), &config(&certificates, true)).unwrap();
    RespServer::bind_with(resp.clone(), in_memory().await, mutual).await.unwrap();
}

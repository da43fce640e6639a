//! Who has yet to say who it is holds little, and not for long, whatever it sends and however it is encrypted.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use mainstay_server::{
    Guard,
    access::{Access, UserConfig},
    http::{HttpConfig, HttpServer, Sections},
    resp::{RespConfig, RespServer},
    tls::TlsConfig,
};
use mainstay_servers::servers::Certificates;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    resp::support::Client,
    support::{PATIENCE, in_memory},
    tls::{config, connector},
};

const TOO_LATE: &str = "-ERR the request did not arrive in time (resp.request_timeout)\r\n";

const TOKEN: &str = "a-token-of-the-tests";

/// Both doors, with one user and no `default`.
struct Doors {
    resp: SocketAddr,
    http: SocketAddr,
    access: Access,
    of_user: RespConfig,
    _running: DropGuard,
}

fn users(password: &str) -> BTreeMap<String, UserConfig> {
    let user = UserConfig {
        password: Some(password.to_owned()),
        token: Some(TOKEN.to_owned()),
        ..UserConfig::default()
    };
    BTreeMap::from([("app".to_owned(), user)])
}

impl Doors {
    async fn open(resp: RespConfig, http: HttpConfig, tls: &TlsConfig) -> Self {
        let listen = || "127.0.0.1:0".to_owned();
        let (resp, http) =
            (RespConfig { listen: listen(), ..resp }, HttpConfig { listen: listen(), ..http });
        let access = Access::of(&users("geheim"), &resp, &http).unwrap();
        let guard = Guard::new(access.clone(), tls).unwrap();
        let (storage, of_user) = (in_memory().await, resp.clone());
        let resp = RespServer::bind_with(resp, storage.clone(), guard.clone()).await.unwrap();
        let http = HttpServer::bind_with(http, storage, Sections::new(), guard).await.unwrap();
        http.api().show_clients(resp.roster());
        let (at, cancel) = ((resp.local_addr(), http.local_addr()), CancellationToken::new());
        tokio::spawn(resp.run(cancel.clone()));
        tokio::spawn(http.run(cancel.clone()));
        Self { resp: at.0, http: at.1, access, of_user, _running: cancel.drop_guard() }
    }

    async fn client(&self) -> Client {
        Client { stream: TcpStream::connect(self.resp).await.unwrap() }
    }

    async fn refused(&self, limit: &str) -> u64 {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let scrape = request(&mut stream, "/metrics").await;
        let name = format!("mainstay_limit_refused_total{{limit=\"{limit}\"}} ");
        scrape.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    }
}

async fn encrypted(connector: &TlsConnector, address: SocketAddr) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    timeout(PATIENCE, connector.connect(name, stream)).await.unwrap().unwrap()
}

async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut told = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut told)).await.expect("an end").unwrap();
    String::from_utf8_lossy(&told).into_owned()
}

async fn request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> String {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    rest(stream).await
}

/// Sends what is refused, as much as it can, and takes nothing.
async fn flood(stream: &mut (impl AsyncWrite + Unpin)) {
    let lines = b"get k\r\n".repeat(10_000);
    let flood = async { while stream.write_all(&lines).await.is_ok() {} };
    timeout(PATIENCE, flood).await.expect("the end of the connection");
}

fn soon() -> RespConfig {
    RespConfig { request_timeout: Duration::from_millis(300), ..RespConfig::default() }
}

#[tokio::test]
async fn a_user_has_so_long_to_authenticate_with_tls_as_without() {
    let certificates = Certificates::new().await.unwrap();
    let tls = TlsConfig { http: false, ..config(&certificates, false) };
    let doors = Doors::open(soon(), HttpConfig::default(), &tls).await;
    let connector = connector(&certificates.ca(), None);
    let mut known = encrypted(&connector, doors.resp).await;
    known.write_all(b"AUTH app geheim\r\n").await.unwrap();
    known.read_exact(&mut [0; 5]).await.unwrap();
    let mut silent = encrypted(&connector, doors.resp).await;
    // An encryption that ends in order, so that these words are the last ones.
    assert_eq!(rest(&mut silent).await, TOO_LATE);
    assert_eq!(doors.refused("resp.request_timeout").await, 1);
    known.write_all(b"PING\r\n").await.unwrap();
    known.read_exact(&mut [0; 7]).await.unwrap();
}

#[tokio::test]
async fn asking_again_and_again_gains_no_time() {
    let doors = Doors::open(soon(), HttpConfig::default(), &TlsConfig::default()).await;
    let mut client = doors.client().await;
    // Always a request that has only begun, and always a new one.
    let ask = async { while client.stream.write_all(b"ET k\r\nG").await.is_ok() {} };
    timeout(PATIENCE, ask).await.expect("the end of the connection");
    assert_eq!(doors.refused("resp.request_timeout").await, 1);
}

#[tokio::test]
async fn who_takes_no_refusals_makes_few_of_them_wait() {
    let resp = RespConfig {
        send_timeout: Duration::from_millis(200),
        // As much as may wait of a user's before nothing more is begun.
        output_max: 1 << 20,
        ..RespConfig::default()
    };
    let certificates = Certificates::new().await.unwrap();
    let tls = TlsConfig { http: false, ..config(&certificates, false) };
    let plain = Doors::open(resp.clone(), HttpConfig::default(), &TlsConfig::default()).await;
    flood(&mut plain.client().await.stream).await;
    assert_eq!(plain.refused("resp.output_max").await, 0);
    assert_eq!(plain.refused("resp.send_timeout").await, 1);
    let doors = Doors::open(resp, HttpConfig::default(), &tls).await;
    let connector = connector(&certificates.ca(), None);
    flood(&mut encrypted(&connector, doors.resp).await).await;
    assert_eq!(doors.refused("resp.output_max").await, 0);
    assert_eq!(doors.refused("resp.send_timeout").await, 1);
}

#[tokio::test]
async fn who_is_changed_has_the_whole_time_to_authenticate_anew() {
    let resp = RespConfig { request_timeout: Duration::from_secs(1), ..RespConfig::default() };
    let doors = Doors::open(resp, HttpConfig::default(), &TlsConfig::default()).await;
    let (mut client, opened) = (doors.client().await, Instant::now());
    client.ask("auth app geheim", "+OK\r\n").await;
    while opened.elapsed() < Duration::from_millis(1100) {
        client.ask("ping", "+PONG\r\n").await;
    }
    doors.access.replace(&users("neu"), &doors.of_user, &HttpConfig::default()).unwrap();
    client.ask("ping", "-NOAUTH Authentication required.\r\n").await;
    client.ask("auth app neu", "+OK\r\n").await;
    client.ask("ping", "+PONG\r\n").await;
}

#[tokio::test]
async fn state_is_answered_over_the_limit_with_tls_too() {
    let certificates = Certificates::new().await.unwrap();
    let tls = TlsConfig { resp: false, ..config(&certificates, false) };
    let http = HttpConfig { connections_max: 1, ..HttpConfig::default() };
    let doors = Doors::open(RespConfig::default(), http, &tls).await;
    let connector = connector(&certificates.ca(), None);
    let held = encrypted(&connector, doors.http).await;
    let answer = request(&mut encrypted(&connector, doors.http).await, "/livez").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = request(&mut encrypted(&connector, doors.http).await, "/v1/kv/k").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    drop(held);
}

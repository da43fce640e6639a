//! The conformance suite in every topology.
//! Knows nothing of faults.

use super::*;
use mainstay_testkit::conformance;
use mainstay_testkit::servers::{Redis as Server, RedisCluster, RedisOptions, Sentinel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn one_server() {
    let server = Server::start().await.unwrap();
    conformance::run_all(backend(server.url())).await;
}

#[tokio::test]
async fn one_server_in_resp2_over_several_connections() {
    let server = Server::start().await.unwrap();
    let url = format!("{}/3?protocol=2", server.url());
    let config = BackendConfig { connections: Some(4), ..BackendConfig::at(url) };
    conformance::run_all(with(config)).await;
}

#[tokio::test]
async fn a_unix_socket() {
    let options = RedisOptions { unix_socket: true, ..Default::default() };
    let server = Server::start_with(options).await.unwrap();
    conformance::run_all(backend(server.unix_url())).await;
}

#[tokio::test]
async fn tls_and_a_password() {
    let options =
        RedisOptions { tls: true, password: Some("p@ss/word".to_owned()), ..Default::default() };
    let server = Server::start_with(options).await.unwrap();
    let base = format!("rediss://:p%40ss%2Fword@127.0.0.1:{}", server.port());
    let url = format!("{base}?tls_ca_file={}", server.ca_path().display());
    conformance::run_all(backend(url)).await;
    let insecure = connected(format!("{base}?tls_insecure=true")).await;
    set(&insecure, "k", "v").await.unwrap();
    let strict = backend(base).connect(within(FOREVER)).await.unwrap_err();
    assert_eq!(strict.kind(), mainstay::ErrorKind::Forbidden, "{strict:?}");
}

#[tokio::test]
async fn behind_a_sentinel() {
    let sentinel = Sentinel::start_with(steady()).await.unwrap();
    conformance::run_all(backend(sentinel.url())).await;
}

#[tokio::test]
async fn a_cluster() {
    let cluster = RedisCluster::start().await.unwrap();
    conformance::run_all(backend(cluster.url())).await;
}

/// A server that calls itself 6.2 and does not know HELLO: the adapter uses none of what came with 7.0, and RESP2.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a proxy that lies, in a task of its own")]
async fn a_server_before_7() {
    let server = Server::start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = server.port();
    let proxy = tokio::spawn(async move {
        while let Ok((ours, _)) = listener.accept().await {
            let theirs = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            tokio::spawn(lie(ours, theirs));
        }
    });
    conformance::run_all(backend(format!("redis://127.0.0.1:{port}"))).await;
    proxy.abort();
}

/// Passes everything on, the version made older on its way; what is newer must not come.
async fn lie(ours: TcpStream, theirs: TcpStream) {
    let (mut from_client, mut to_client) = ours.into_split();
    let (mut from_server, mut to_server) = theirs.into_split();
    let up = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            // SET … NX GET, and four words of PEXPIRE or PEXPIREAT.
            for newer in [
                &b"$2\r\nNX\r\n$3\r\nGET\r\n"[..],
                b"*4\r\n$7\r\nPEXPIRE\r\n",
                b"*4\r\n$9\r\nPEXPIREAT\r\n",
            ] {
                assert_eq!(position(&buffer[..length], newer), None, "sent to an old server");
            }
            if let Some(at) = position(&buffer[..length], b"\r\nHELLO\r\n") {
                buffer[at + 2] = b'J';
            }
            if to_server.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            const TRUE: &[u8] = b"redis_version:7.0.15";
            const FALSE: &[u8] = b"redis_version:6.2.14";
            if let Some(at) = position(&buffer[..length], TRUE) {
                buffer[at..at + TRUE.len()].copy_from_slice(FALSE);
            }
            if to_client.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! { () = up => {} () = down => {} }
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

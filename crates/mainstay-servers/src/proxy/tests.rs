use super::*;
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// Long enough that only a failure reaches it.
const FOREVER: Duration = Duration::from_secs(20);
/// What "nothing arrives" is tested with.
const A_WHILE: Duration = Duration::from_millis(60);

struct Echo {
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo() -> Echo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut all = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            all.spawn(async move {
                let (mut from, mut to) = stream.split();
                let _client_gone = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    Echo { port, task }
}

async fn connected(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut stream, b"hello").await.unwrap(), b"hello");
    stream
}

async fn ask(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    timeout(FOREVER, stream.read_exact(&mut answer)).await.expect("no answer")?;
    Ok(answer)
}

async fn silent(stream: &mut TcpStream) -> bool {
    timeout(A_WHILE, stream.read_u8()).await.is_err()
}

async fn end(stream: &mut TcpStream) -> io::ErrorKind {
    timeout(FOREVER, stream.read_u8()).await.expect("still open").unwrap_err().kind()
}

#[tokio::test]
async fn bytes_pass_and_connections_are_counted() {
    let echo = echo().await;
    let proxy = Proxy::start(echo.port).await.unwrap();
    let first = connected(&proxy).await;
    let mut second = connected(&proxy).await;
    let large: Vec<u8> = (0..1_000_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let (mut from, mut to) = second.split();
    let mut answer = vec![0; large.len()];
    let (sent, _) = tokio::try_join!(to.write_all(&large), from.read_exact(&mut answer)).unwrap();
    assert_eq!((sent, answer == large), ((), true));
    assert_eq!((proxy.accepted(), proxy.open()), (2, 2));
    drop(first);
    second.shutdown().await.unwrap();
    assert_eq!(end(&mut second).await, io::ErrorKind::UnexpectedEof, "FIN is passed on as FIN");
}

#[tokio::test]
async fn latency_delays_each_direction() {
    let echo = echo().await;
    let proxy = Proxy::start(echo.port).await.unwrap();
    let mut stream = connected(&proxy).await;
    proxy.set(Toxics::slow(Duration::from_millis(40), Duration::from_millis(10))).await;
    let begun = Instant::now();
    ask(&mut stream, b"slow").await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(80), "there and back: {:?}", begun.elapsed());
}

#[tokio::test]
async fn refusing_closes_the_port_and_keeps_connections() {
    let echo = echo().await;
    let proxy = Proxy::start(echo.port).await.unwrap();
    let mut stream = connected(&proxy).await;
    proxy.set(Toxics::refuse()).await;
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    ask(&mut stream, b"still here").await.unwrap();
    proxy.heal().await;
    connected(&proxy).await;
}

#[tokio::test]
async fn cutting_resets_what_is_open_and_welcomes_what_is_new() {
    let echo = echo().await;
    let proxy = Proxy::start(echo.port).await.unwrap();
    let mut stream = connected(&proxy).await;
    proxy.cut().await;
    assert_eq!(end(&mut stream).await, io::ErrorKind::ConnectionReset);
    connected(&proxy).await;
}

#[tokio::test]
async fn reset_takes_old_and_new_connections() {
    let echo = echo().await;
    let proxy = Proxy::start(echo.port).await.unwrap();
    let mut old = connected(&proxy).await;
    proxy.set(Toxics::reset()).await;
    assert_eq!(end(&mut old).await, io::ErrorKind::ConnectionReset);
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(end(&mut new).await, io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_black_hole_swallows_and_never_tears_a_stream() {
    let echo = echo().await;
    let proxy = Proxy::start(echo.port).await.unwrap();
    let mut old = connected(&proxy).await;
    proxy.set(Toxics::black_hole()).await;
    old.write_all(b"lost").await.unwrap();
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    new.write_all(b"lost").await.unwrap();
    assert!(silent(&mut old).await && silent(&mut new).await);
    proxy.heal().await;
    old.write_all(b"after").await.unwrap();
    assert_eq!(end(&mut old).await, io::ErrorKind::ConnectionReset);
    assert_eq!(end(&mut new).await, io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn half_open_loses_replies_only() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(server.local_addr().unwrap().port()).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut served, _) = server.accept().await.unwrap();
    proxy.set(Toxics::half_open(Direction::ToClient)).await;
    client.write_all(b"?").await.unwrap();
    assert_eq!(
        timeout(FOREVER, served.read_u8()).await.unwrap().unwrap(),
        b'?',
        "the request arrives"
    );
    served.write_all(b"!").await.unwrap();
    assert!(silent(&mut client).await, "the reply does not");
}

#[tokio::test]
async fn a_partition_holds_and_delivers_later() {
    let echo = echo().await;
    let proxy = Proxy::start(echo.port).await.unwrap();
    let mut stream = connected(&proxy).await;
    proxy.set(Toxics::partition()).await;
    stream.write_all(b"k").await.unwrap();
    assert!(silent(&mut stream).await);
    proxy.heal().await;
    assert_eq!(timeout(FOREVER, stream.read_u8()).await.unwrap().unwrap(), b'k');
}

#[tokio::test]
async fn a_trickle_takes_its_time() {
    let echo = echo().await;
    let proxy = Proxy::start(echo.port).await.unwrap();
    let mut stream = connected(&proxy).await;
    proxy.set(Toxics::trickle(NonZeroU32::new(1_000).unwrap())).await;
    let begun = Instant::now();
    ask(&mut stream, &[7; 100]).await.unwrap();
    assert!(
        begun.elapsed() >= Duration::from_millis(100),
        "100 bytes at 1000 a second: {:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_target_that_is_down_resets() {
    let free = PortLease::take().unwrap();
    let proxy = Proxy::start(free.get()).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(end(&mut stream).await, io::ErrorKind::ConnectionReset);
}

//! A server on a free port over memory or over a backend under the test's hand, and a client that sends bytes.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mainstay::{
    Config, Deadline, Op, Reply, Result, Storage,
    backend::{Backend, Capabilities, Durability, ProbeDepth, ProbeReport, Scope, memory::Memory},
    config::{BackendConfig, LimitsConfig, RouteConfig},
};
use mainstay_server::resp::{RespConfig, RespServer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, in_memory};

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) cancel: CancellationToken,
    pub(crate) running: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(config: RespConfig, storage: Storage) -> Self {
        let config = RespConfig { listen: "127.0.0.1:0".to_owned(), ..config };
        let server = RespServer::bind(config, storage).await.unwrap();
        let (address, cancel) = (server.local_addr(), CancellationToken::new());
        let running = tokio::spawn(server.run(cancel.clone()));
        Self { address, cancel, running }
    }

    pub(crate) async fn on_memory(config: RespConfig) -> Self {
        Self::start(config, in_memory().await).await
    }

    pub(crate) async fn client(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends an inline command and expects exactly this answer.
    pub(crate) async fn ask(&mut self, line: &str, expected: &str) {
        self.send(format!("{line}\r\n")).await;
        self.expect(expected, line).await;
    }

    /// Expects exactly these bytes next.
    pub(crate) async fn expect(&mut self, expected: &str, about: &str) {
        let mut got = Vec::new();
        while got.len() < expected.len() {
            let mut chunk = vec![0; expected.len() - got.len()];
            let count = timeout(PATIENCE, self.stream.read(&mut chunk)).await;
            let text = String::from_utf8_lossy(&got);
            let count = count.unwrap_or_else(|_| panic!("{about}: {text:?}, want {expected:?}"));
            let count = count.unwrap_or(0);
            got.extend_from_slice(&chunk[..count]);
            if count == 0 || !expected.as_bytes().starts_with(&got) {
                break;
            }
        }
        assert_eq!(String::from_utf8_lossy(&got), expected, "{about}");
    }

    /// Sends a command and returns the text of the bulk or verbatim string that comes back.
    pub(crate) async fn text(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        let head = self.line().await;
        assert!(head.starts_with('$') || head.starts_with('='), "{line}: {head}");
        let length: usize = head[1..].parse().unwrap();
        let mut body = vec![0; length + 2];
        timeout(PATIENCE, self.stream.read_exact(&mut body)).await.unwrap().unwrap();
        String::from_utf8_lossy(&body[..length]).into_owned()
    }

    /// The next line, without its end.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let byte = timeout(PATIENCE, self.stream.read_u8()).await;
            line.push(byte.unwrap_or_else(|_| panic!("no line, only {line:?}")).unwrap());
        }
        String::from_utf8_lossy(&line[..line.len() - 2]).into_owned()
    }

    /// Everything until the server closes.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset after the last reply is a close too.
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("not closed");
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// Multibulk, so that arguments may hold anything.
pub(crate) fn command(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Memory whose operations wait for a permit each, and which notes the order in which they begin.
#[derive(Clone)]
pub(crate) struct Gate(Arc<GateInner>);

struct GateInner {
    memory: Memory,
    permits: Semaphore,
    begun: Mutex<Vec<String>>,
    inside: AtomicUsize,
}

impl Gate {
    pub(crate) async fn storage(self: &Gate) -> Storage {
        let route = RouteConfig { backends: vec!["gate".to_owned()], ..RouteConfig::default() };
        let limits = LimitsConfig { deadline: PATIENCE * 2, ..LimitsConfig::default() };
        let backend = BackendConfig { timeout: Some(PATIENCE * 2), ..BackendConfig::at("memory:") };
        Storage::builder(Config { routes: vec![route], limits, ..Config::default() })
            .backend("gate", Arc::new(self.clone()), backend)
            .open()
            .await
            .unwrap()
    }

    pub(crate) fn closed() -> Self {
        let config = mainstay::config::MemoryConfig::default();
        Self(Arc::new(GateInner {
            memory: Memory::new(&config, 1 << 20, mainstay::Clock::system()),
            permits: Semaphore::new(0),
            begun: Mutex::default(),
            inside: AtomicUsize::new(0),
        }))
    }

    /// Lets so many operations pass.
    pub(crate) fn let_pass(&self, count: usize) {
        self.0.permits.add_permits(count);
    }

    /// The operations that have begun.
    pub(crate) fn begun(&self) -> Vec<String> {
        self.0.begun.lock().unwrap().clone()
    }

    /// Waits until so many operations have begun.
    pub(crate) async fn until_begun(&self, count: usize) {
        let waited = timeout(PATIENCE, async {
            while self.begun().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("want {count}, got {:?}", self.begun()));
    }

    /// Operations that wait at the gate.
    pub(crate) fn inside(&self) -> usize {
        self.0.inside.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Future<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

impl Backend for Gate {
    fn engine(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            scope: Scope::Shared,
            durability: Durability::Volatile,
            versions: true,
            atomic_many: true,
            copies: false,
            control: false,
            locks: false,
            value_max: 1 << 20,
        }
    }

    fn connect(&self, deadline: Deadline) -> Future<'_, Result<()>> {
        self.0.memory.connect(deadline)
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> Future<'a, Result<Reply>> {
        Box::pin(async move {
            let mut name = op.name().to_owned();
            op.for_each_key(|key| {
                name.push(' ');
                name.push_str(&String::from_utf8_lossy(key.as_bytes()));
            });
            self.0.begun.lock().unwrap().push(name);
            self.0.inside.fetch_add(1, Ordering::SeqCst);
            let _inside = Inside(&self.0.inside);
            self.0.permits.acquire().await.unwrap().forget();
            self.0.memory.execute(op, deadline).await
        })
    }

    fn probe(&self, _: ProbeDepth, _: Deadline) -> Future<'_, Result<ProbeReport>> {
        Box::pin(async { Ok(ProbeReport::default()) })
    }

    fn close(&self) -> Future<'_, ()> {
        Box::pin(async {})
    }
}

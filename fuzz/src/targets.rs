//! What each target does with its bytes. Panics are findings.
//! It must not keep anything between two runs but what is costly to make.

use std::{cell::OnceCell, time::Duration};

use bytes::{Bytes, BytesMut};
use mainstay::{
    Config, Key, Storage, Version,
    backend::semantics::copies,
    config::{RouteConfig, text},
    op::CopyValue,
};
use mainstay_server::{
    http::{Api, HttpConfig, Sections},
    resp::{
        RespConfig,
        parse::{Limits, Parser, decimal},
        reply::{Output, Protocol},
    },
};

const LIMITS: Limits =
    Limits { args_max: 64, bulk_max: 4096, frame_max: 16 << 10, unauthenticated: false };

/// Requests: the same commands however the bytes come in; replies: one line stays one line.
pub fn resp(data: &[u8]) {
    let whole = commands(data, data.len().max(1));
    let step = usize::from(data.first().copied().unwrap_or(0) % 7) + 1;
    assert_eq!(whole, commands(data, step), "the same in steps of {step}");
    for command in &whole.0 {
        assert!(!command.is_empty() && command.len() <= LIMITS.args_max);
        assert!(command.iter().map(Bytes::len).sum::<usize>() <= LIMITS.frame_max);
    }
    if let Some(number) = decimal(data) {
        assert_eq!(number.to_string().as_bytes(), data, "a decimal has one way to be written");
    }
    replies(data);
}

type Commands = (Vec<Vec<Bytes>>, Option<String>);

/// Every command, and how it ended.
fn commands(data: &[u8], step: usize) -> Commands {
    let (mut parser, mut buffer, mut args) = (Parser::new(), BytesMut::new(), Vec::new());
    let mut found = Vec::new();
    for part in data.chunks(step) {
        buffer.extend_from_slice(part);
        loop {
            match parser.take(&mut buffer, &LIMITS, &mut args) {
                Ok(true) => found.push(args.clone()),
                Ok(false) => break,
                Err(error) => return (found, Some(error.to_string())),
            }
        }
    }
    (found, None)
}

fn replies(data: &[u8]) {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut out = Output::new();
        out.set_protocol(protocol);
        let text = String::from_utf8_lossy(data);
        out.error(&text);
        out.simple(&text);
        let mut written = BytesMut::new();
        bytes::BufMut::put(&mut written, &mut out);
        let lines = written.windows(2).filter(|pair| *pair == b"\r\n").count();
        assert_eq!(lines, 2, "{written:?}");
        out.bulk_shared(Bytes::copy_from_slice(data));
        let mut written = BytesMut::new();
        bytes::BufMut::put(&mut written, &mut out);
        let expected = [format!("${}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat();
        assert_eq!(written, expected);
    }
}

/// What an HTTP connection reads: answered in HTTP, and never with 500.
pub fn http(data: &[u8]) {
    thread_local!(static WORLD: OnceCell<World> = const { OnceCell::new() });
    WORLD.with(|world| {
        let world = world.get_or_init(World::open);
        let answer = world.runtime.block_on(world.talk(data));
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1."), "{text}");
    });
}

struct World {
    runtime: tokio::runtime::Runtime,
    api: Api,
}

impl World {
    fn open() -> Self {
        // Time passes where everybody waits.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let memory = vec![Config::MEMORY.to_owned()];
        let route = RouteConfig { backends: memory, ..RouteConfig::default() };
        let config = Config { routes: vec![route], ..Config::default() };
        let storage = runtime.block_on(Storage::open(config)).expect("memory opens");
        let api = Api::new(HttpConfig::default(), storage, Sections::new()).expect("defaults");
        Self { runtime, api }
    }

    /// Sends all, reads what comes within a second, and goes.
    async fn talk(&self, data: &[u8]) -> Vec<u8> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let honest = axum::middleware::map_response(async |response: axum::response::Response| {
            assert_ne!(response.status(), axum::http::StatusCode::INTERNAL_SERVER_ERROR);
            response
        });
        let router = self.api.router().layer(honest);
        let service = hyper_util::service::TowerToHyperService::new(router);
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(hyper_util::rt::TokioTimer::new())
            .header_read_timeout(Duration::from_millis(500))
            .max_headers(100);
        let serving = builder.serve_connection(hyper_util::rt::TokioIo::new(far), service);
        let mut answer = Vec::new();
        let client = async {
            // The server may close before it has read all.
            let _ = near.write_all(data).await;
            let _ = near.shutdown().await;
            let _ = near.read_to_end(&mut answer).await;
        };
        let both = async { tokio::join!(serving, client) };
        // A stream of events does not end by itself.
        let _ = tokio::time::timeout(Duration::from_secs(1), both).await;
        answer
    }
}

/// What stands in a journal's files.
pub fn journal(data: &[u8]) {
    mainstay::__fuzz::journal(data);
}

/// What stands in a cache under keys of ours, and rows that a query gave.
pub fn blobs(data: &[u8]) {
    mainstay::__fuzz::loaded(data);
    let (now, current) = (1_000_000, Some(Bytes::copy_from_slice(data)));
    let life = Duration::from_secs(5);
    let version = Version { epoch: 1, counter: 1 };
    let copy = CopyValue { version, value: Bytes::from_static(b"v"), ttl: None, life };
    let _ = copies::read(Bytes::copy_from_slice(data));
    let _ = copies::mark(current.clone(), now + 5000, 7, life, now);
    let _ = copies::unmark(current.clone(), 7, true, now);
    let _ = copies::publish(current.clone(), 7, &copy, now);
    let _ = copies::token(current.clone(), 7, life, now);
    let _ = copies::fill(current.clone(), 7, &copy, now);
    let _ = copies::drain(current, now);
    let _ = Key::from(data).is_reserved();
}

/// Durations, sizes and addresses: what is read is written so that it is read again.
pub fn quantities(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text::parse_duration(text) {
        Ok(read) => assert_eq!(text::parse_duration(&text::format_duration(read)), Ok(read)),
        Err(words) => assert!(!words.is_empty() && words.len() < 300, "{words}"),
    }
    match text::parse_size(text) {
        Ok(read) => assert_eq!(text::parse_size(&text::format_size(read)), Ok(read)),
        Err(words) => assert!(!words.is_empty() && words.len() < 300, "{words}"),
    }
    let config = RespConfig { listen: text.to_owned(), ..RespConfig::default() };
    if let Err(error) = config.address() {
        assert!(error.message().starts_with("resp.listen: "), "{error}");
    }
    let _ = text::redact_url(text);
}

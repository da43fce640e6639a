//! The Redis backend against real servers: the conformance suite in every topology, and what it does when they fail.
//! Knows nothing of routes and guards.

mod copies;
mod crowd;
mod faults;
mod feed;
mod locks;
mod topologies;

use mainstay::backend::{Backend, redis::Redis};
use mainstay::config::BackendConfig;
use mainstay::{
    Clock, Condition, Deadline, Effect, Error, ErrorKind, Key, Op, OpClass, Reply, TtlChange,
};
use mainstay_testkit::servers::SentinelOptions;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

const VALUE_MAX: usize = 2 << 20;

/// Long enough that only a failure reaches it.
const FOREVER: Duration = Duration::from_secs(30);

fn backend(url: impl Into<String>) -> Arc<Redis> {
    with(BackendConfig { connect_timeout: Duration::from_secs(5), ..BackendConfig::at(url) })
}

fn with(config: BackendConfig) -> Arc<Redis> {
    Arc::new(Redis::new(&config, VALUE_MAX).expect("a good configuration"))
}

async fn connected(url: impl Into<String>) -> Arc<Redis> {
    let backend = backend(url);
    backend.connect(within(FOREVER)).await.expect("a server that is up");
    backend
}

fn within(time: Duration) -> Deadline {
    Clock::system().deadline_in(time)
}

async fn get(backend: &Redis, key: &str) -> Result<Option<bytes::Bytes>, Error> {
    let op = Op::Get { key: Key::from(key), with_ttl: false };
    let reply = backend.execute(&op, within(FOREVER)).await?;
    Ok(reply.into_record()?.map(|record| record.value))
}

fn set_op(key: &str, value: &'static str) -> Op {
    Op::Set {
        key: Key::from(key),
        value: value.into(),
        ttl: TtlChange::Clear,
        condition: Condition::Always,
        want_previous: false,
    }
}

async fn set(backend: &Redis, key: &str, value: &'static str) -> Result<Reply, Error> {
    backend.execute(&set_op(key, value), within(FOREVER)).await
}

/// One sentinel that does not take a stall of the machine for the end of the primary.
fn steady() -> SentinelOptions {
    SentinelOptions { sentinels: 1, down_after: Duration::from_secs(60) }
}

/// As the guard does it: a call whose time is over is dropped, and what it was says what it may have done.
async fn timely(backend: &Redis, op: &Op, time: Duration) -> Result<Reply, Error> {
    let deadline = within(time);
    let answer = tokio::time::timeout_at(deadline.instant(), backend.execute(op, deadline)).await;
    answer.unwrap_or_else(|_| {
        let effect = if op.class() == OpClass::Read { Effect::None } else { Effect::Unknown };
        Err(Error::new(ErrorKind::Timeout, "no answer in time").with_effect(effect))
    })
}

/// Asks again and again until the answer is yes.
async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let waited = tokio::time::timeout(FOREVER, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("it never came true");
}

/// Leads every other connection to another server, as a name with two addresses does.
struct TwoFaced {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl TwoFaced {
    #[expect(clippy::disallowed_methods, reason = "a proxy that lies, in a task of its own")]
    async fn start(left: u16, right: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut targets = [left, right].into_iter().cycle();
            while let Ok((mut ours, _)) = listener.accept().await {
                let target = targets.next().unwrap();
                tokio::spawn(async move {
                    let theirs = tokio::net::TcpStream::connect(("127.0.0.1", target)).await;
                    let mut theirs = theirs.unwrap();
                    // Ends with either side.
                    drop(tokio::io::copy_bidirectional(&mut ours, &mut theirs).await);
                });
            }
        });
        Self { port, task }
    }
}

impl Drop for TwoFaced {
    fn drop(&mut self) {
        self.task.abort();
    }
}

//! The backend under test, seen through one check: keys of its own and short verbs.
//! Knows nothing of what is asserted.

use bytes::Bytes;
use mainstay::backend::{Backend, Capabilities};
use mainstay::{
    Condition, Deadline, Effect, ErrorKind, Key, Op, Outcome, Page, Record, Reply, Ttl, TtlChange,
    Version, Written,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Long enough for a machine with much else to do.
const LIMIT: Duration = Duration::from_secs(30);
/// `Conflict` means "nothing was applied, try again".
const TRIES: u32 = 200;
/// More pages than any scan here needs: a cursor that runs in circles ends here.
const PAGES_MAX: usize = 20_000;

/// The backend under test and a prefix for the keys of one check.
#[derive(Debug, Clone)]
pub struct Subject {
    backend: Arc<dyn Backend>,
    prefix: Bytes,
}

impl Subject {
    pub(super) fn new(backend: Arc<dyn Backend>, check: &str) -> Self {
        let random: u64 = rand::random();
        Self { backend, prefix: Bytes::from(format!("{check}/{random:016x}/")) }
    }

    pub(super) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    /// What all keys of this check begin with.
    pub(super) fn prefix(&self) -> Bytes {
        self.prefix.clone()
    }

    /// A key of this check.
    pub(super) fn key(&self, name: impl AsRef<[u8]>) -> Key {
        Key::new([&self.prefix, name.as_ref()].concat())
    }

    /// Executes with a generous deadline; a conflict is tried again.
    pub(super) async fn execute(&self, op: &Op) -> mainstay::Result<Reply> {
        for attempt in 0..TRIES {
            match self.backend.execute(op, deadline()).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    assert_eq!(error.effect(), Effect::None, "a conflict has no effect: {error}");
                    tokio::time::sleep(Duration::from_millis(u64::from(attempt % 10) + 1)).await;
                }
                other => return other,
            }
        }
        self.backend.execute(op, deadline()).await
    }

    /// Executes what has to succeed.
    pub(super) async fn done(&self, op: Op) -> Reply {
        match self.execute(&op).await {
            Ok(reply) => reply,
            Err(error) => fail(&op, &format!("{error:?}")),
        }
    }

    /// Executes what the backend has to refuse, without effect; the kind of the refusal.
    pub(super) async fn refused(&self, op: Op) -> ErrorKind {
        match self.execute(&op).await {
            Ok(reply) => fail(&op, &format!("{}, where it is to be refused", short(&reply))),
            Err(error) => {
                let effect = error.effect();
                assert_eq!(effect, Effect::None, "{} is refused, not applied: {error}", short(&op));
                error.kind()
            }
        }
    }

    pub(super) async fn written(&self, op: Op) -> Written {
        self.done(op).await.into_written().expect("a write answers Written")
    }

    /// Executes a relative write; the number that it computed.
    pub(super) async fn computed(&self, op: Op) -> i64 {
        match self.written(op.clone()).await.outcome {
            Outcome::Integer(number) => number,
            other @ (Outcome::None | Outcome::Text(_)) => {
                fail(&op, &format!("{other:?}, where a number is due"))
            }
        }
    }

    pub(super) async fn integer(&self, op: Op) -> i64 {
        self.done(op).await.into_integer().expect("a count answers Integer")
    }

    pub(super) async fn get(&self, key: &Key) -> Option<Record> {
        let reply = self.done(Op::Get { key: key.clone(), with_ttl: true }).await;
        reply.into_record().expect("Get answers Record")
    }

    pub(super) async fn value(&self, key: &Key) -> Option<Bytes> {
        self.get(key).await.map(|record| record.value)
    }

    pub(super) async fn version(&self, key: &Key) -> Option<Version> {
        self.get(key).await.and_then(|record| record.version)
    }

    pub(super) async fn ttl(&self, key: &Key) -> Ttl {
        self.done(Op::TimeToLive { key: key.clone() })
            .await
            .into_ttl()
            .expect("TimeToLive answers Ttl")
    }

    /// Sets without an expiry.
    pub(super) async fn set(&self, key: &Key, value: impl Into<Bytes>) -> Written {
        self.set_for(key, value, TtlChange::Clear).await
    }

    pub(super) async fn set_for(
        &self,
        key: &Key,
        value: impl Into<Bytes>,
        ttl: TtlChange,
    ) -> Written {
        let written = self.written(set(key, value, ttl, Condition::Always)).await;
        assert!(written.applied, "an unconditional set is applied");
        written
    }

    pub(super) async fn delete(&self, key: &Key) -> bool {
        let condition = Condition::Always;
        self.written(Op::Delete { key: key.clone(), condition, want_previous: false }).await.applied
    }

    async fn page(&self, prefix: &Bytes, cursor: Option<Bytes>, limit: usize) -> Page {
        let op = Op::Scan { prefix: prefix.clone(), cursor, limit };
        self.done(op).await.into_page().expect("Scan answers Page")
    }

    /// All pages of a scan, each aiming for so many keys.
    pub(super) async fn scan(&self, prefix: &Bytes, limit: usize) -> BTreeSet<Key> {
        let (mut found, mut cursor) = (BTreeSet::new(), None);
        for _ in 0..PAGES_MAX {
            let page = self.page(prefix, cursor, limit).await;
            found.extend(page.keys);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return found,
            }
        }
        assert_eq!(cursor, None, "the scan never ended");
        found
    }

    pub(super) async fn count(&self, prefix: &Bytes) -> i64 {
        self.integer(Op::Count { prefix: prefix.clone() }).await
    }

    /// Waits until a key is gone; it must have expired well within the limit.
    pub(super) async fn until_gone(&self, key: &Key) {
        let started = Instant::now();
        while self.get(key).await.is_some() {
            assert!(started.elapsed() < LIMIT, "the key never expired");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// A set without `want_previous`.
pub(super) fn set(key: &Key, value: impl Into<Bytes>, ttl: TtlChange, condition: Condition) -> Op {
    Op::Set { key: key.clone(), value: value.into(), ttl, condition, want_previous: false }
}

pub(super) fn deadline() -> Deadline {
    Deadline::at(Instant::now() + LIMIT)
}

/// For a message: short, however long the value.
fn short(what: &impl std::fmt::Debug) -> String {
    format!("{what:?}").chars().take(200).collect()
}

#[expect(clippy::panic, reason = "a check reports by panicking")]
pub(super) fn fail(op: &Op, answer: &str) -> ! {
    panic!("{} answered {answer}", short(op))
}

//! The suite passes on the reference, and finds what is wrong with backends that are nearly right.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use mainstay::backend::{Backend, Capabilities, Durability, ProbeDepth, ProbeReport, Scope};
use mainstay::{Condition, Deadline, Key, Op, Reply, Result, TtlChange, Version};
use mainstay_testkit::conformance;
use mainstay_testkit::model::ModelBackend;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn the_reference_passes() {
    conformance::run_all(Arc::new(ModelBackend::default())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_reference_passes_without_versions_and_on_many_threads() {
    let capabilities = Capabilities {
        scope: Scope::Process,
        durability: Durability::Volatile,
        versions: false,
        atomic_many: false,
        copies: false,
        control: false,
        locks: false,
        value_max: 2 << 20,
    };
    conformance::run_all(Arc::new(ModelBackend::new(capabilities))).await;
}

/// A right backend with one thing wrong.
#[derive(Debug)]
struct Flawed {
    model: ModelBackend,
    flaw: Flaw,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Flaw {
    KeepsNoTtl,
    FoldsCase,
    ComparesThenSets,
    OneVersion,
    OnePage,
    CutsValues,
    OverwritesOne,
    WholeSeconds,
}

impl Flawed {
    async fn run(&self, op: &Op, deadline: Deadline) -> Result<Reply> {
        match (self.flaw, op) {
            (
                Flaw::ComparesThenSets,
                Op::Set { key, value, ttl, condition: Condition::ValueIs(old), .. },
            ) => {
                let held = self
                    .model
                    .execute(&Op::Get { key: key.clone(), with_ttl: false }, deadline)
                    .await?;
                let holds = held.into_record()?.is_some_and(|record| record.value == *old);
                tokio::task::yield_now().await;
                let condition = if holds { Condition::Always } else { Condition::Absent };
                let (key, value, ttl) = (key.clone(), value.clone(), *ttl);
                let set = Op::Set { key, value, ttl, condition, want_previous: false };
                self.model.execute(&set, deadline).await
            }
            _ => {
                let reply = self.model.execute(&self.bend(op.clone()), deadline).await?;
                Ok(self.bend_reply(reply))
            }
        }
    }

    fn bend(&self, mut op: Op) -> Op {
        match (self.flaw, &mut op) {
            (Flaw::KeepsNoTtl, Op::Set { ttl, .. }) if *ttl == TtlChange::Keep => {
                *ttl = TtlChange::Clear
            }
            (Flaw::WholeSeconds, Op::Set { ttl: TtlChange::For(ttl), .. }) => {
                *ttl = Duration::from_secs(ttl.as_secs());
            }
            (Flaw::FoldsCase, Op::Set { key, .. } | Op::Get { key, .. }) => {
                *key = Key::new(key.as_bytes().to_ascii_lowercase());
            }
            (Flaw::CutsValues, Op::Set { value, .. }) => {
                *value = Bytes::from(value.split(|b| *b == 0).next().unwrap_or_default().to_vec())
            }
            (Flaw::OverwritesOne, Op::SetMany { all_absent, .. }) => *all_absent = false,
            _ => {}
        }
        op
    }

    fn bend_reply(&self, reply: Reply) -> Reply {
        match (self.flaw, reply) {
            (Flaw::OneVersion, Reply::Written(mut written)) => {
                written.version = written.version.map(|_| Version { epoch: 1, counter: 1 });
                Reply::Written(written)
            }
            (Flaw::OnePage, Reply::Page(mut page)) => {
                page.next = None;
                Reply::Page(page)
            }
            (_, reply) => reply,
        }
    }
}

impl Backend for Flawed {
    fn engine(&self) -> &'static str {
        "flawed"
    }

    fn capabilities(&self) -> Capabilities {
        self.model.capabilities()
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        self.model.connect(deadline)
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(self.run(op, deadline))
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        self.model.probe(depth, deadline)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.model.close()
    }
}

/// Whether a check of this topic finds the flaw.
async fn found(flaw: Flaw, topic: &str) -> bool {
    let backend: Arc<dyn Backend> = Arc::new(Flawed { model: ModelBackend::default(), flaw });
    let deadline = mainstay::Clock::system().deadline_in(Duration::from_secs(60));
    backend.connect(deadline).await.expect("the model connects");
    for check in conformance::checks(&backend.capabilities()) {
        if check.name.starts_with(topic) && check.run(&backend).await.is_err() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn flaws_are_found() {
    assert!(found(Flaw::KeepsNoTtl, "expiry").await);
    assert!(found(Flaw::WholeSeconds, "expiry: TTLs to the").await);
    assert!(found(Flaw::FoldsCase, "bytes: keys").await);
    assert!(found(Flaw::CutsValues, "bytes: values").await);
    assert!(found(Flaw::ComparesThenSets, "concurrency: compare-and-set by value").await);
    assert!(found(Flaw::OneVersion, "versions").await);
    assert!(found(Flaw::OnePage, "scan: pages").await);
    assert!(found(Flaw::OverwritesOne, "many: set all or none").await);
}

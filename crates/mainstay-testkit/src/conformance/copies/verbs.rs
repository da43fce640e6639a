//! The verbs of a cache, as short as the checks on copies need them.
//! Knows nothing of what is asserted.

use super::super::Subject;
use super::super::subject::fail;
use super::{LONG, NOW};
use bytes::Bytes;
use mainstay::backend::semantics::copies::{self, Seen};
use mainstay::op::{Beacon, CopyOp, CopyValue};
use mainstay::{Key, Op, Reply, Version};
use std::time::Duration;

impl Subject {
    pub(super) async fn copy_done(&self, op: CopyOp) {
        assert_eq!(self.done(Op::Copy(op)).await, Reply::Done);
    }

    pub(super) async fn copy_flags(&self, op: CopyOp) -> Vec<bool> {
        self.done(Op::Copy(op)).await.into_flags().expect("it answers Flags")
    }

    pub(super) async fn copy_flag(&self, op: CopyOp) -> bool {
        let flags = self.copy_flags(op).await;
        assert_eq!(flags.len(), 1, "one key");
        flags[0]
    }

    pub(super) async fn mark(&self, key: &Key, nonce: u128, life: Duration) {
        self.copy_done(CopyOp::Mark { keys: vec![key.clone()], nonce, life }).await;
    }

    pub(super) async fn unmark(&self, key: &Key, nonce: u128) {
        self.copy_done(CopyOp::Unmark { keys: vec![key.clone()], nonce, clean: false }).await;
    }

    pub(super) async fn publish(&self, key: &Key, nonce: u128, copy: CopyValue) -> bool {
        self.copy_flag(CopyOp::Publish { key: key.clone(), nonce, copy }).await
    }

    pub(super) async fn token(&self, key: &Key, token: u128) -> bool {
        self.copy_flag(CopyOp::Token { keys: vec![key.clone()], token, life: LONG }).await
    }

    pub(super) async fn fill(&self, key: &Key, token: u128, copy: CopyValue) -> bool {
        self.copy_flag(CopyOp::Fill { entries: vec![(key.clone(), copy)], token }).await
    }

    pub(super) async fn drain(&self, key: &Key) {
        self.copy_done(CopyOp::Drain { keys: vec![key.clone()] }).await;
    }

    pub(super) async fn beacon(&self, key: &Key, raise: Option<u64>) -> Beacon {
        let reply = self.done(Op::Copy(CopyOp::Beacon { key: key.clone(), raise })).await;
        reply.into_beacon().expect("it answers Beacon")
    }

    pub(super) async fn seen(&self, key: &Key) -> Option<Seen> {
        self.value(key).await.map(copies::read)
    }

    /// A value that has to be there, its version, when it expires, and when it was taken.
    pub(super) async fn seen_value(&self, key: &Key) -> (Bytes, Version, Option<i64>, i64) {
        match self.seen(key).await {
            Some(Seen::Value { value, version, expires_at, taken_at }) => {
                (value, version, expires_at, taken_at)
            }
            other => {
                let get = Op::Get { key: key.clone(), with_ttl: false };
                fail(&get, &format!("{other:?}, where a value is due"))
            }
        }
    }

    /// `V` and its counter, or the other kinds.
    pub(super) async fn shows(&self, key: &Key) -> String {
        match self.seen(key).await {
            None => "-".to_owned(),
            Some(Seen::Value { version, value, .. }) => {
                assert_eq!(value, version.counter.to_string(), "the value of another version");
                format!("V{}", version.counter)
            }
            Some(Seen::Marked) => "M".to_owned(),
            Some(Seen::Filling(_)) => "L".to_owned(),
            Some(Seen::Unreadable) => "?".to_owned(),
        }
    }

    /// Waits until the backend's clock has gone on for longer than this.
    pub(super) async fn passed(&self, key: &Key, time: Duration) {
        let from = self.beacon(key, None).await.now_ms;
        let millis = i64::try_from(time.as_millis()).expect("short");
        for _ in 0..10_000 {
            if self.beacon(key, None).await.now_ms > from + millis + 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(time, NOW, "the backend's clock stands still");
    }
}

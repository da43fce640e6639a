//! stub
#![allow(missing_docs, unused)]
use crate::{clock::*, error::*, node::Node, op::Op, reply::Reply};
pub mod backoff {
    pub fn full_jitter(
        base: std::time::Duration,
        max: std::time::Duration,
        tries: u32,
        unit: f64,
    ) -> std::time::Duration {
        base
    }
}
pub mod classify {
    use crate::{error::*, op::*};
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum NextStep {
        Return,
        RetrySame,
        NextBackend,
        Stop,
    }
    pub fn next_step(k: ErrorKind, e: Effect, c: OpClass) -> NextStep {
        NextStep::Stop
    }
}
pub async fn call(node: &Node, op: &Op, deadline: Deadline) -> Result<Reply> {
    node.backend.execute(op, deadline).await
}
pub async fn call_unguarded(node: &Node, op: &Op, deadline: Deadline) -> Result<Reply> {
    node.backend.execute(op, deadline).await
}

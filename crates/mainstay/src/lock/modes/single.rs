//! One granter: a row of a database, a key of a Redis, a file or memory of this host.
//! It must not know which of them it is, but for what it may promise.

use std::time::Duration;

use super::{Attempt, Parts, Renewal, Request};
use crate::{
    backend::{Durability, Scope},
    clock::Deadline,
    error::Result,
    lock::{Claim, Guarantee, LockMode},
    node::Node,
    op::{Counting, Ground, LockOp},
    reply::Locked,
};

/// One granter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Single {
    node: usize,
    scope: Scope,
    durable: bool,
}

impl Single {
    pub(crate) fn of(node: &Node) -> Self {
        let capabilities = node.capabilities();
        let durable = capabilities.durability >= Durability::Crash;
        Self { node: node.id(), scope: capabilities.scope, durable }
    }

    pub(crate) fn node(&self) -> usize {
        self.node
    }

    pub(crate) fn word(&self) -> LockMode {
        match (self.scope, self.durable) {
            (Scope::Shared, true) => LockMode::Record,
            (Scope::Shared, false) => LockMode::Redis,
            (Scope::Host | Scope::Process, _) => LockMode::Local,
        }
    }

    pub(crate) fn guarantee(&self) -> Guarantee {
        match (self.scope, self.durable) {
            (Scope::Shared, true) => Guarantee::Fenced,
            (Scope::Shared, false) => Guarantee::BestEffort,
            (Scope::Host, _) => Guarantee::Host,
            (Scope::Process, _) => Guarantee::Process,
        }
    }

    pub(crate) async fn attempt(
        &self,
        parts: &Parts,
        request: &Request,
        deadline: Deadline,
    ) -> Result<Attempt> {
        let op = LockOp::Acquire {
            name: request.name.clone(),
            holder: request.holder,
            ttl: request.ttl,
            counting: Counting::Here,
            note: request.note.clone(),
            ground: Ground::Free,
            waiter: request.waiter,
        };
        Ok(match parts.ask(self.node, op, deadline).await? {
            (Locked::Granted { token, .. }, sent) => {
                Attempt::Granted(token, parts.lease(self.node, sent, request.ttl))
            }
            (Locked::Held { left, note, .. }, _) => Attempt::Held { left, note },
            (Locked::Gone | Locked::Fenced(_) | Locked::Refused, _) => {
                Attempt::Held { left: Duration::ZERO, note: String::new() }
            }
        })
    }

    pub(crate) async fn renew(
        &self,
        parts: &Parts,
        claim: &Claim,
        ttl: Duration,
        deadline: Deadline,
    ) -> Result<Renewal> {
        let (name, holder) = (claim.name.clone(), claim.holder);
        let op = LockOp::Renew { name, holder, ttl, ground: Ground::Free };
        Ok(match parts.ask(self.node, op, deadline).await? {
            (Locked::Granted { .. }, sent) => Renewal::Renewed(parts.lease(self.node, sent, ttl)),
            _ => Renewal::Gone,
        })
    }

    pub(crate) async fn release(
        &self,
        parts: &Parts,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<bool> {
        let op = LockOp::Release { name: claim.name.clone(), holder: claim.holder };
        let (locked, _) = parts.ask(self.node, op, deadline).await?;
        Ok(matches!(locked, Locked::Granted { .. }))
    }
}

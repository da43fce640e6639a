//! Mode `failover`: not yet.
//! It must not grant anything.

use std::{sync::Arc, time::Duration};

use super::{Attempt, Parts, Renewal, Request};
use crate::{
    clock::Deadline,
    error::{Error, ErrorKind, Result},
    lock::{Claim, Core},
};

#[derive(Debug)]
pub(crate) struct Failover([usize; 2]);

impl Failover {
    pub(crate) fn new(fast: usize, arbiter: usize) -> Self {
        Self([fast, arbiter])
    }
    pub(crate) fn nodes(&self) -> [usize; 2] {
        self.0
    }
    pub(crate) fn shown_by(&self, _: &Parts) -> usize {
        self.0[1]
    }
    pub(crate) fn authority(&self, _: &Parts) -> Option<(Arc<str>, u64)> {
        None
    }
    pub(crate) fn start(&self, _core: &Arc<Core>) {}
    pub(crate) async fn attempt(&self, _: &Parts, _: &Request, _: Deadline) -> Result<Attempt> {
        Err(refused())
    }
    pub(crate) async fn renew(
        &self,
        _: &Parts,
        _: &Claim,
        _: Duration,
        _: Deadline,
    ) -> Result<Renewal> {
        Err(refused())
    }
    pub(crate) async fn release(&self, _: &Parts, _: &Claim, _: Deadline) -> Result<bool> {
        Err(refused())
    }
}

fn refused() -> Error {
    Error::new(ErrorKind::Unsupported, "the lock mode `failover` is not built yet")
}

//! stub
#![allow(missing_docs, unused)]
use crate::{
    backend::*, clock::*, config::*, entropy::Entropy, error::*, event::Events, status::*,
    task::Tasks,
};
use futures_util::future::BoxFuture;
use std::{sync::Arc, time::Duration};
pub type Readmit = Arc<dyn Fn() -> BoxFuture<'static, Result<u64>> + Send + Sync>;
#[derive(Debug)]
pub struct Node {
    pub id: usize,
    pub name: Arc<str>,
    pub backend: Arc<dyn Backend>,
    pub capabilities: Capabilities,
    config: BackendConfig,
}
impl Node {
    pub fn new(
        id: usize,
        name: Arc<str>,
        backend: Arc<dyn Backend>,
        config: &BackendConfig,
        clock: Clock,
        entropy: Entropy,
        events: Events,
    ) -> Self {
        let capabilities = backend.capabilities();
        Self { id, name, backend, capabilities, config: config.clone() }
    }
    pub fn start(self: &Arc<Self>, tasks: &Tasks) {}
    pub fn on_readmit(&self, hook: Readmit) {}
    pub async fn first_attempt(&self) {
        drop(
            self.backend
                .connect(Deadline::at(crate::clock::Clock::system().now() + Duration::from_secs(1)))
                .await,
        );
    }
    pub fn view(&self, now: Instant) -> NodeView {
        NodeView { availability: Availability::Ready, health: Health::Up }
    }
    pub fn is_ready(&self, now: Instant) -> bool {
        true
    }
    pub fn refusal(&self, now: Instant) -> Error {
        Error::new(ErrorKind::BreakerOpen, "x")
    }
    pub fn hedge_after(&self) -> Duration {
        Duration::from_millis(5)
    }
    pub fn try_spend_budget(&self, now: Instant) -> bool {
        true
    }
    pub fn retry(&self) -> &RetryConfig {
        &self.config.retry
    }
    pub fn hedge(&self) -> &HedgeConfig {
        &self.config.hedge
    }
    pub fn timeout(&self) -> Duration {
        self.config.timeout()
    }
    pub fn status(&self, now: Instant) -> BackendStatus {
        todo!()
    }
    pub fn force(&self, c: BreakerCommand, reason: &str) {}
    pub fn drain(&self, d: bool, reason: &str) {}
}

//! The library's memory backend, on the conformance suite.

use mainstay::Clock;
use mainstay::backend::memory::Memory;
use mainstay::config::MemoryConfig;
use mainstay_testkit::conformance;
use std::sync::Arc;

const VALUE_MAX: usize = 16 << 20;

#[tokio::test]
async fn conforms_on_one_thread() {
    conformance::run_all(Arc::new(Memory::new(
        &MemoryConfig::default(),
        VALUE_MAX,
        Clock::system(),
    )))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_on_many_threads() {
    conformance::run_all(Arc::new(Memory::new(
        &MemoryConfig::default(),
        VALUE_MAX,
        Clock::system(),
    )))
    .await;
}

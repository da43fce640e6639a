//! One suite for every backend, chosen by what it declares: a backend is done when it passes.
//! Knows nothing of any engine: it sees a `Backend` and the documentation of `Op`.
//!
//! ```no_run
//! # async fn example(backend: std::sync::Arc<dyn mainstay::backend::Backend>) {
//! mainstay_testkit::conformance::run_all(backend).await;
//! # }
//! ```
//!
//! `MAINSTAY_CHECK=scan` runs only the checks whose name contains `scan`.
#![expect(clippy::disallowed_methods, reason = "the suite waits for real engines in real time")]

mod bytes;
mod concurrency;
mod conditions;
mod control;
mod copies;
mod expiry;
mod lifecycle;
mod locks;
mod many;
mod moving;
mod numbers;
mod scan;
mod subject;
mod transact;
mod versions;

pub use subject::Subject;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mainstay::backend::{Backend, Capabilities};
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// One named check.
#[derive(Clone, Copy)]
pub struct Check {
    /// What it asserts, in words; the part before the colon is its topic.
    pub name: &'static str,
    needs: fn(&Capabilities) -> bool,
    run: fn(Subject) -> BoxFuture<'static, ()>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

impl Check {
    const fn new(name: &'static str, run: fn(Subject) -> BoxFuture<'static, ()>) -> Self {
        Self { name, needs: |_| true, run }
    }

    const fn when(self, needs: fn(&Capabilities) -> bool) -> Self {
        Self { needs, ..self }
    }

    /// Runs it against a connected backend, on keys of its own.
    ///
    /// # Errors
    /// What was found wrong, in words.
    pub async fn run(&self, backend: &Arc<dyn Backend>) -> Result<(), String> {
        let subject = Subject::new(Arc::clone(backend), self.name);
        let outcome = AssertUnwindSafe((self.run)(subject)).catch_unwind().await;
        outcome.map_err(|panic| words(panic.as_ref()))
    }
}

/// All checks that a backend with these capabilities has to pass, in the order in which they run.
pub fn checks(capabilities: &Capabilities) -> Vec<Check> {
    let topics = [
        lifecycle::CHECKS,
        conditions::CHECKS,
        bytes::CHECKS,
        expiry::CHECKS,
        numbers::CHECKS,
        many::CHECKS,
        moving::CHECKS,
        transact::CHECKS,
        scan::CHECKS,
        versions::CHECKS,
        copies::CHECKS,
        concurrency::CHECKS,
        control::CHECKS,
        control::writes::CHECKS,
        control::around::CHECKS,
        control::races::CHECKS,
        control::journal::CHECKS,
        locks::CHECKS,
        locks::waits::CHECKS,
    ];
    let all = topics.into_iter().flatten().copied();
    all.filter(|check| (check.needs)(capabilities)).collect()
}

/// Takes a backend that has not been connected yet through its whole life: connects it, runs every check that fits its
/// capabilities, and closes it. It needs the backend's data for itself; what it finds there stays.
///
/// # Panics
/// After all checks have run, when some have failed: with the name and the finding of each.
pub async fn run_all(backend: Arc<dyn Backend>) {
    let mut failures = Vec::new();
    let mut note = |name: &str, outcome: Result<(), String>| {
        if let Err(finding) = outcome {
            failures.push(format!("  {name}\n      {}", finding.replace('\n', "\n      ")));
        }
    };
    note(lifecycle::UNCONNECTED.name, lifecycle::UNCONNECTED.run(&backend).await);
    lifecycle::connect(&backend).await;
    let wanted = std::env::var("MAINSTAY_CHECK").unwrap_or_default();
    let checks = checks(&backend.capabilities());
    for check in checks.iter().filter(|check| check.name.contains(&wanted)) {
        note(check.name, check.run(&backend).await);
    }
    note(lifecycle::CLOSED.name, lifecycle::CLOSED.run(&backend).await);
    assert!(
        failures.is_empty(),
        "{} of {} checks failed on {}:\n{}",
        failures.len(),
        checks.len() + 2,
        backend.engine(),
        failures.join("\n")
    );
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
        .to_owned()
}

//! Every background task of a storage: started here, ended here.
//! It must not know what the tasks do.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of one storage. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    /// The same, for who looks with each call: the token takes a lock.
    closing: Arc<AtomicBool>,
    around: Option<Around>,
}

/// What stands around every task.
#[derive(Clone)]
struct Around(Arc<Wrap>);

type Wrap = dyn Fn(BoxFuture<'static, ()>) -> BoxFuture<'static, ()> + Send + Sync;

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, each inside what `wrap` makes of it: a simulation stops a process by it.
    #[must_use]
    pub fn within(
        wrap: impl Fn(BoxFuture<'static, ()>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self { around: Some(Around(Arc::new(wrap))), ..Self::default() }
    }

    /// Starts a loop that ends at `close`: the future is dropped at its next await.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.spawn_to_end(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Starts work that `close` waits for instead of dropping (an invalidation that must not be lost).
    #[expect(clippy::disallowed_methods, reason = "the one place where tasks are spawned")]
    pub fn spawn_to_end(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(match &self.around {
            None => tokio::spawn(self.tracker.track_future(task)),
            Some(Around(wrap)) => tokio::spawn(self.tracker.track_future(wrap(Box::pin(task)))),
        });
    }

    /// Ends the loops and waits for all tasks, at most `limit`. False: some were still running.
    pub async fn close(&self, limit: Duration) -> bool {
        self.closing.store(true, Ordering::Release);
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }

    /// Whether `close` has begun.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Ends when `close` begins.
    pub async fn closing(&self) {
        self.stop.cancelled().await;
    }
}

impl fmt::Debug for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Around")
    }
}

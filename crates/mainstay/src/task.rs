//! Every background task of a storage: started here, ended here.
//! It must not know what the tasks do.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of one storage. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a loop that ends at `close`: the future is dropped at its next await.
    #[expect(clippy::disallowed_methods, reason = "the one place where tasks are spawned")]
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        let tracked = self.tracker.track_future(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
        drop(tokio::spawn(tracked));
    }

    /// Starts work that `close` waits for instead of dropping (an invalidation that must not be lost).
    #[expect(clippy::disallowed_methods, reason = "the one place where tasks are spawned")]
    pub fn spawn_to_end(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(self.tracker.track_future(task)));
    }

    /// Ends the loops and waits for all tasks, at most `limit`. False: some were still running.
    pub async fn close(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }

    /// Whether `close` has begun.
    pub fn is_closing(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends when `close` begins.
    pub async fn closing(&self) {
        self.stop.cancelled().await;
    }
}

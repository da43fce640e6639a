//! One module per engine.

mod cluster;
mod mariadb;
mod pgbouncer;
mod postgres;
mod redis;
mod sentinel;

use std::time::Duration;

/// What "does not answer" is tested with.
const A_WHILE: Duration = Duration::from_millis(150);

/// Runs `call` for a while: true if it has not ended.
async fn hangs<T>(call: impl Future<Output = T>) -> bool {
    tokio::time::timeout(A_WHILE, call).await.is_err()
}

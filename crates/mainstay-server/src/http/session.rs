//! What one connection has seen: its requests never read behind that.
//! It must not know requests.
//!
//! The handlers of a connection run inside its task, one after the other, so that the task carries the session.

use mainstay::Session;

tokio::task_local! {
    static SEEN: Session;
}

/// Runs a connection with a session of its own.
pub(crate) async fn with_own<T>(connection: impl Future<Output = T>) -> T {
    SEEN.scope(Session::new(), connection).await
}

/// The session of the connection that this runs for; `None` outside one.
pub(crate) fn current() -> Option<Session> {
    SEEN.try_with(Clone::clone).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_has_one_session_and_nobody_else_has_it() {
        assert!(current().is_none());
        let same = with_own(async { current().is_some() && current().is_some() }).await;
        assert!(same && current().is_none());
    }
}

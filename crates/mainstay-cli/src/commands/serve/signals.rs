//! The signals that end the server, and the one that has it read its configuration anew.
//! It must not know how the server ends.

use futures_util::future::BoxFuture;
use mainstay::Actor;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{notify::Notify, reload::Reloader};
use crate::exit::Failure;

/// The signals, caught from now on.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(format!("cannot catch signals: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT, also while a reload reads what hangs. SIGHUP reloads the configuration; what came of it
    /// stands in the log and the events.
    pub(super) async fn stop(&mut self, notify: &Notify, reloader: &Reloader) -> &'static str {
        let mut reload: Option<BoxFuture<'_, ()>> = None;
        loop {
            let idle = reload.is_none();
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                () = async { if let Some(under_way) = &mut reload { under_way.await } }, if !idle => {
                    reload = None;
                }
                // One that comes in the meantime is heard when that one is over.
                _ = self.hangup.recv(), if idle => {
                    reload = Some(Box::pin(reload_once(notify, reloader)));
                }
            }
        }
    }

    /// Waits for SIGTERM or SIGINT once it is stopping; there is nothing to be reloaded any more.
    pub(super) async fn force(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

async fn reload_once(notify: &Notify, reloader: &Reloader) {
    notify.reloading().await;
    // Both ends have been told of.
    drop(reloader.reload_by(false, None, Actor::new("SIGHUP")).await);
    notify.ready().await;
}

//! How calls tell a node's supervisor that it should look.
//! It must not know what the supervisor does about it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::core::Wants;

/// Wishes that have not been read yet, and a bell.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    wants: Mutex<Wants>,
    bell: Notify,
}

impl Wake {
    /// Adds wishes.
    pub(crate) fn want(&self, more: Wants) {
        if more == Wants::default() {
            return;
        }
        {
            let mut wants = self.wants.lock().unwrap_or_else(PoisonError::into_inner);
            wants.probe |= more.probe;
            wants.reconnect |= more.reconnect;
            wants.retry |= more.retry;
        }
        self.bell.notify_one();
    }

    /// Takes the wishes, waiting for one.
    pub(crate) async fn wanted(&self) -> Wants {
        loop {
            let wants = self.take();
            if wants != Wants::default() {
                return wants;
            }
            self.bell.notified().await;
        }
    }

    /// Takes the wishes there are.
    pub(crate) fn take(&self) -> Wants {
        std::mem::take(&mut *self.wants.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

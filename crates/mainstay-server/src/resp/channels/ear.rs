//! What one client is to be told and has not taken yet: in order, bounded. Who falls too far behind is disconnected.
//! It must not know who tells.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::{Kind, Name};
use crate::resp::{
    reply::Output,
    wake::{KILL, Wake},
};

/// Bytes that a message takes besides its own.
const EACH: usize = 64;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::resp) struct Message {
    kind: Kind,
    /// For a pattern: the pattern.
    pattern: Option<Bytes>,
    channel: Bytes,
    payload: Bytes,
}

impl Message {
    pub(super) fn new(name: &Name, channel: &Bytes, payload: &Bytes) -> Self {
        let pattern = (name.0 == Kind::Pattern).then(|| name.1.clone());
        Self { kind: name.0, pattern, channel: channel.clone(), payload: payload.clone() }
    }

    fn len(&self) -> usize {
        let pattern = self.pattern.as_ref().map_or(0, Bytes::len);
        EACH + pattern + self.channel.len() + self.payload.len()
    }

    /// Writes it.
    pub(in crate::resp) fn encode(self, out: &mut Output) {
        out.push(if self.pattern.is_some() { 4 } else { 3 });
        out.bulk(self.kind.words()[2].as_bytes());
        if let Some(pattern) = self.pattern {
            out.bulk_shared(pattern);
        }
        out.bulk_shared(self.channel);
        out.bulk_shared(self.payload);
    }
}

/// The queue of one client.
#[derive(Debug)]
pub(in crate::resp) struct Ear {
    id: u64,
    wake: Arc<Wake>,
    max: usize,
    waiting: Mutex<(VecDeque<Message>, usize)>,
}

impl Ear {
    /// For the client of this number. `max`: bytes that may wait.
    pub(in crate::resp) fn new(id: u64, wake: Arc<Wake>, max: usize) -> Self {
        Self { id, wake, max, waiting: Mutex::default() }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Never waits.
    pub(super) fn tell(&self, message: Message) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.1 += message.len();
        if waiting.1 > self.max {
            *waiting = (VecDeque::new(), usize::MAX / 2);
            drop(waiting);
            tracing::warn!(
                client = self.id,
                "RESP: a subscriber does not take its messages and is disconnected"
            );
            self.wake.signal(KILL);
            return;
        }
        waiting.0.push_back(message);
        drop(waiting);
        self.wake.rouse();
    }

    /// What has waited longest.
    pub(in crate::resp) fn pop(&self) -> Option<Message> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let message = waiting.0.pop_front()?;
        waiting.1 = waiting.1.saturating_sub(message.len());
        Some(message)
    }
}

//! What a feed has been told and nobody has taken yet: in order, bounded.
//! It must not know who tells, nor what the keys mean.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::Told;
use crate::error::{Error, ErrorKind, Result};

#[cfg(test)]
mod tests;

/// Keys that may wait to be taken. Whoever falls further behind has to forget everything anyway.
const KEYS_MAX: usize = 10_000;

/// News that wait.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    /// Something has come.
    pub(super) arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    told: VecDeque<Told>,
    keys: usize,
    /// Why nothing more is told, once what waits has been taken.
    end: Option<Error>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, told: Told) {
        self.lock().add(told);
        self.arrived.notify_one();
    }

    /// Nothing more is told.
    pub(super) fn end(&self, kind: ErrorKind, message: &str) {
        self.lock().end.get_or_insert_with(|| Error::new(kind, message));
        self.arrived.notify_one();
    }

    /// What has waited longest; at last, for ever, the end.
    pub(super) fn pop(&self) -> Option<Result<Told>> {
        let mut waiting = self.lock();
        match waiting.told.pop_front() {
            Some(told) => {
                if let Told::Changed(keys) = &told {
                    waiting.keys -= keys.len();
                }
                Some(Ok(told))
            }
            None => waiting.end.clone().map(Err),
        }
    }
}

impl Waiting {
    fn add(&mut self, told: Told) {
        if self.end.is_some() {
            return;
        }
        match (told, self.told.back_mut()) {
            (Told::Changed(keys), _) if self.keys + keys.len() > KEYS_MAX => {
                let message = format!("more than {KEYS_MAX} changes wait to be taken");
                *self = Self {
                    end: Some(Error::new(ErrorKind::Overloaded, message)),
                    ..Self::default()
                };
            }
            (Told::Changed(keys), Some(Told::Changed(before))) => {
                self.keys += keys.len();
                before.extend(keys);
            }
            (told @ Told::UpTo(_), Some(before @ Told::UpTo(_))) => *before = told,
            // What waits is part of it, and is no news after it.
            (Told::All, _) => {
                (self.told, self.keys) = (VecDeque::from([Told::All]), 0);
            }
            (told, _) => {
                if let Told::Changed(keys) = &told {
                    self.keys += keys.len();
                }
                self.told.push_back(told);
            }
        }
    }
}

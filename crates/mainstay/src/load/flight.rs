//! One load per key and process: who leads, who joins, and how it ends for all of them.
//! It must not know what is loaded, nor how.
//!
//! A flight leaves the map when it lands, however that is: the right to lead is a value whose drop ends the flight.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::watch;

use super::call::Arrived;
use crate::{
    clock::Instant,
    entry::Key,
    error::{Error, ErrorKind, Result},
};

/// Flights that may be joined at once; further loads are not shared.
const FLIGHTS_MAX: usize = 10_000;

type Ended = Option<Result<Arrived>>;

/// What is being loaded now.
#[derive(Debug, Default)]
pub(super) struct Flights {
    flights: Mutex<BTreeMap<Key, Flight>>,
    numbers: AtomicU64,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    /// When its truth was asked; `None`: not yet.
    asked: Option<Instant>,
    /// The right under which it was asked.
    right: Option<u128>,
    ended: watch::Receiver<Ended>,
}

/// A place in a flight.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) outcome: Outcome,
    /// Whether its truth had been asked before the caller came.
    pub(super) late: bool,
    /// For who has to fly it.
    pub(super) lead: Option<Lead>,
}

/// How a flight ends.
#[derive(Clone, Debug)]
pub(super) struct Outcome(watch::Receiver<Ended>);

/// The right to lead. Dropped before it has landed: everybody who waits is told so.
#[derive(Debug)]
pub(super) struct Lead {
    flights: Arc<Flights>,
    key: Key,
    number: u64,
    ended: watch::Sender<Ended>,
}

impl Flights {
    /// Joins the flight of a key, or begins one. `begun`: when the caller came; `ended`: whether the cache has just
    /// shown it that a flight under this right has it no more. Then one that had asked before the caller came may have been
    /// overtaken by an invalidation, and another one is begun.
    pub(super) fn board(
        self: &Arc<Self>,
        key: &Key,
        begun: Instant,
        ended: impl FnOnce(Option<u128>) -> bool,
    ) -> Ticket {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(key) {
            let late = flight.asked.is_some_and(|asked| asked < begun);
            if !(late && ended(flight.right)) {
                return Ticket { outcome: Outcome(flight.ended.clone()), late, lead: None };
            }
        }
        let number = self.numbers.fetch_add(1, Relaxed);
        let (sender, outcome) = watch::channel(None);
        if flights.len() < FLIGHTS_MAX || flights.contains_key(key) {
            let flight = Flight { number, asked: None, right: None, ended: outcome.clone() };
            flights.insert(key.clone(), flight);
        }
        let lead = Lead { flights: Arc::clone(self), key: key.clone(), number, ended: sender };
        Ticket { outcome: Outcome(outcome), late: false, lead: Some(lead) }
    }

    /// Nobody joins these any more: what they load may have been asked for before an invalidation.
    pub(super) fn leave(&self, these: impl Fn(&Key) -> bool) {
        self.lock().retain(|key, _| !these(key));
    }

    /// Whether a key is being loaded.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outcome {
    /// Waits for the end. Cancel safe.
    pub(super) async fn ended(mut self) -> Result<Arrived> {
        match self.0.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or_else(|| Err(lost())),
            Err(_) => Err(lost()),
        }
    }
}

impl Lead {
    /// The truth is about to be asked, under this right.
    pub(super) fn asks(&self, now: Instant, right: Option<u128>) {
        if let Some(flight) = self.flights.lock().get_mut(&self.key)
            && flight.number == self.number
        {
            (flight.asked, flight.right) = (Some(now), right);
        }
    }

    /// It has ended so. Who comes from now on looks for itself.
    pub(super) fn land(self, outcome: Result<Arrived>) {
        self.leave();
        self.ended.send_replace(Some(outcome));
    }

    fn leave(&self) {
        let mut flights = self.flights.lock();
        if flights.get(&self.key).is_some_and(|flight| flight.number == self.number) {
            flights.remove(&self.key);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.leave();
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal, "the load ended without an outcome: the process is stopping")
}

#[cfg(test)]
mod tests;

//! A load over RESP that knows what every read must answer: open or closed loop, one writer for each key.
//! It must not know what stands behind the address.

mod client;
mod keys;
pub(crate) mod register;
mod tally;
mod verify;

pub use tally::{Errors, Slice, Tally};
pub use verify::ReadBack;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mainstay::{Clock, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{machine::Phase, scenario};
use keys::Keys;
use register::Register;
use tally::Taken;

/// A client that has no answer for so long gives the connection up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A load under way.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

/// What the clients share.
#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    options: scenario::Load,
    clock: Clock,
    began: Instant,
    stop: CancellationToken,
    /// The next place in the schedule of an open loop.
    next: AtomicU64,
    keys: Keys,
    registers: Vec<Mutex<Register>>,
    tally: Mutex<Tally>,
}

impl Load {
    /// Starts the clients. The same seed asks for the same keys.
    pub fn start(address: SocketAddr, options: &scenario::Load, clock: &Clock, seed: u64) -> Self {
        let count = options.keys as usize;
        let shared = Arc::new(Shared {
            address,
            options: options.clone(),
            clock: clock.clone(),
            began: clock.now(),
            stop: CancellationToken::new(),
            next: AtomicU64::new(0),
            keys: Keys::new(count, options.spread),
            registers: (0..count).map(|_| Mutex::default()).collect(),
            tally: Mutex::default(),
        });
        let mut clients = JoinSet::new();
        for id in 0..options.clients {
            let seed = seed.wrapping_add(u64::from(id));
            clients.spawn(client::run(Arc::clone(&shared), id as usize, seed));
        }
        Self { shared, clients }
    }

    /// When it began.
    pub fn began(&self) -> Instant {
        self.shared.began
    }

    /// Requests that are due from now on belong to this phase.
    pub fn phase(&self, phase: Phase) {
        let at = self.shared.clock.now().duration_since(self.shared.began);
        self.shared.tally().begin(phase, at);
    }

    /// Requests so far, and those that failed.
    pub fn totals(&self) -> (u64, u64) {
        self.shared.tally().totals()
    }

    /// Ends the clients; what is in flight is waited for, within a bound.
    pub async fn stop(mut self) -> Finished {
        self.shared.stop.cancel();
        let ended = async { while self.clients.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            self.clients.abort_all();
        }
        let tally = self.shared.tally().clone();
        Finished { tally, shared: self.shared }
    }
}

/// A load that has ended, and what it knows of every key.
#[derive(Debug)]
pub struct Finished {
    /// What the requests came to.
    pub tally: Tally,
    shared: Arc<Shared>,
}

impl Finished {
    /// Reads back every key of which anything was acknowledged.
    pub async fn read_back(&self) -> ReadBack {
        verify::read_back(&self.shared).await
    }
}

impl Shared {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, key: usize) -> std::sync::MutexGuard<'_, Register> {
        self.registers[key].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, key: usize) -> String {
        format!("{}{key}", self.options.prefix)
    }

    /// When the next request is due: at its place in the schedule, or now.
    fn due(&self) -> Instant {
        if !self.options.is_open() {
            return self.clock.now();
        }
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        let rate = u64::from(self.options.rate);
        let (seconds, part) = (place / rate, place % rate);
        self.began
            + Duration::from_secs(seconds)
            + Duration::from_secs(1) * small(part) / small(rate)
    }

    fn take(&self, taken: &Taken) {
        self.tally().take(taken);
    }
}

/// At most the highest rate, which fits.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

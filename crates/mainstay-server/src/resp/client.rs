//! The connected clients, as CLIENT LIST shows them and CLIENT KILL finds them.
//! It must not know what they send.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use mainstay::{Clock, Instant};

use super::{reply::Protocol, wake::Wake};
use crate::access::{DEFAULT, User};

/// Fields that clients expect to find (redis-py reads each as a number).
const NOT_COUNTED: &str =
    "qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0";

/// One connected client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) wake: Arc<Wake>,
    connected: Instant,
    /// Milliseconds from `connected` to the last request.
    active_ms: AtomicU64,
    commands: AtomicU64,
    facts: Mutex<Facts>,
}

/// What a client has said about itself, and what it did last.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) library: String,
    pub(super) library_version: String,
    pub(super) protocol: Protocol,
    pub(super) command: &'static str,
    /// Who it authenticated as.
    pub(super) user: Option<Arc<User>>,
}

impl Facts {
    /// The user's name; before AUTH that of nobody in particular.
    pub(super) fn user_name(&self) -> &str {
        self.user.as_ref().map_or(DEFAULT, |user| user.name())
    }
}

impl Client {
    /// Changes the facts.
    pub(super) fn update(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The facts.
    pub(super) fn facts(&self) -> Facts {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that so many commands came in.
    pub(super) fn touch(&self, now: Instant, commands: u64) {
        self.active_ms.store(self.age_ms(now), Ordering::Relaxed);
        self.commands.fetch_add(commands, Ordering::Relaxed);
    }

    /// Commands since it connected.
    pub(super) fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Milliseconds since its last request.
    pub(super) fn idle_ms(&self, now: Instant) -> u64 {
        self.age_ms(now).saturating_sub(self.active_ms.load(Ordering::Relaxed))
    }

    /// Milliseconds since it connected.
    pub(super) fn age_ms(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.connected);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    /// Seconds since it connected.
    pub(super) fn age_seconds(&self, now: Instant) -> u64 {
        self.age_ms(now) / 1000
    }

    /// The line of CLIENT LIST.
    pub(super) fn describe(&self, now: Instant) -> String {
        let facts = self.facts();
        let age = self.age_ms(now);
        let idle = self.idle_ms(now);
        let protocol = if facts.protocol == Protocol::Resp3 { 3 } else { 2 };
        let mut line = String::new();
        let user = facts.user_name().to_owned();
        let Facts { name, library, library_version, command, .. } = facts;
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "id={} addr={} laddr={} fd=-1 name={name} age={} idle={} flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 \
             watch=0 {NOT_COUNTED} events=r cmd={command} user={user} redir=-1 resp={protocol} \
             lib-name={library} lib-ver={library_version}",
            self.id,
            self.peer,
            self.local,
            age / 1000,
            idle / 1000,
        );
        line
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Clients {
    connected: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    last_id: u64,
    clients: BTreeMap<u64, Arc<Client>>,
}

impl Clients {
    /// Enters a client; it leaves when what is returned is dropped.
    pub(super) fn enter(
        self: &Arc<Self>,
        peer: SocketAddr,
        local: SocketAddr,
        clock: &Clock,
    ) -> Entered {
        let mut registry = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        registry.last_id += 1;
        let client = Arc::new(Client {
            id: registry.last_id,
            peer,
            local,
            wake: Arc::default(),
            connected: clock.now(),
            active_ms: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            facts: Mutex::default(),
        });
        registry.clients.insert(client.id, Arc::clone(&client));
        Entered { client, clients: Arc::clone(self) }
    }

    /// Everyone, by id.
    pub(super) fn all(&self) -> Vec<Arc<Client>> {
        let registry = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        registry.clients.values().cloned().collect()
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner).clients.len()
    }

    /// How many there have been.
    pub(super) fn total(&self) -> u64 {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner).last_id
    }
}

/// A client's place in the list.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) client: Arc<Client>,
    clients: Arc<Clients>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut registry = self.clients.connected.lock().unwrap_or_else(PoisonError::into_inner);
        registry.clients.remove(&self.client.id);
    }
}

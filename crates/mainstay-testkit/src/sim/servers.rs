//! The two servers, as `Memory` plays them: restarted, promoted, rolled back, split.
//! It must not know who talks to them.

use std::sync::Arc;

use mainstay::{
    Clock, Key, Op, Reply, Result,
    backend::{Backend, memory::Memory},
    config::MemoryConfig,
    op::{Beacon, Control, CopyOp, RecordOp, Terms},
};

/// How the record calls the cache.
pub(super) const CACHE: &str = "cache";

/// A connection leads to one run of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    server: usize,
    run: u64,
}

/// One server.
#[derive(Debug)]
struct Server {
    memory: Arc<Memory>,
    /// Rises when it is restarted.
    run: u64,
    alive: bool,
    /// A proxy moves its connections to its successor.
    proxied: bool,
}

/// All servers that ever play one role.
#[derive(Debug)]
pub(super) struct Role {
    servers: Vec<Server>,
    current: usize,
    /// This process is led to that one.
    split: Option<(usize, usize)>,
    /// Faults that keep it away.
    pub(super) away: u32,
    clock: Clock,
    evicts: bool,
}

impl Role {
    pub(super) fn new(clock: Clock, evicts: bool) -> Self {
        let mut role =
            Self { servers: Vec::new(), current: 0, split: None, away: 0, clock, evicts };
        role.succeed(false);
        role
    }

    /// Another server takes over, empty; everybody is led to it.
    pub(super) fn succeed(&mut self, proxied: bool) -> Arc<Memory> {
        let memory = Arc::new(Memory::new(&MemoryConfig::default(), 1 << 20, self.clock.clone()));
        at_once(memory.connect(self.clock.deadline_in(std::time::Duration::ZERO)));
        memory.set_identity(format!("run-{}", self.servers.len()));
        memory.set_evicts(self.evicts);
        if let Some(before) = self.servers.get_mut(self.current) {
            (before.alive, before.proxied) = (false, proxied);
        }
        self.current = self.servers.len();
        let server = Server { memory: Arc::clone(&memory), run: 0, alive: true, proxied: false };
        self.servers.push(server);
        memory
    }

    /// The one before goes on for this process.
    pub(super) fn split(&mut self, process: usize) {
        let Some(before) = self.current.checked_sub(1) else { return };
        self.servers[before].alive = true;
        self.split = Some((process, before));
    }

    /// It ends.
    pub(super) fn unite(&mut self) {
        if let Some((_, old)) = self.split.take() {
            self.servers[old].alive = false;
        }
    }

    /// The same server with its data: connections break.
    pub(super) fn restart(&mut self) {
        self.servers[self.current].run += 1;
    }

    /// Whom everybody means.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.servers[self.current].memory
    }

    /// A new connection.
    pub(super) fn connect(&self, process: usize) -> Option<Connection> {
        let server = match self.split {
            Some((pinned, old)) if pinned == process => old,
            _ => self.current,
        };
        (self.away == 0).then(|| Connection { server, run: self.servers[server].run })
    }

    /// Where a connection leads now; `None`: it is broken.
    pub(super) fn follow(&self, process: usize, connection: Connection) -> Option<Connection> {
        let meant = self.connect(process)?;
        let server = &self.servers[connection.server];
        let moved = server.proxied && connection.run == server.run;
        (meant == connection || moved).then_some(meant)
    }

    /// The server at its end, if it still runs.
    pub(super) fn at(&self, connection: Connection) -> Option<&Arc<Memory>> {
        let server = &self.servers[connection.server];
        let stands = server.alive && server.run == connection.run && self.away == 0;
        stands.then_some(&server.memory)
    }
}

/// The control row, which some process has made already, and the dirty keys.
pub(super) fn control_of(record: &Memory) -> Option<(Control, Vec<Key>)> {
    let length = std::time::Duration::from_secs(1);
    let terms = Terms { lease: length, mark: length, statement: length };
    let lease = RecordOp::Lease { cache: CACHE.into(), terms, id: 0, dirty_max: usize::MAX };
    let row = perform(record, &Op::Record(lease)).ok()?.into_lease().ok()?;
    Some((row.control, row.dirty))
}

/// What a Redis says of itself.
pub(super) fn beacon_of(redis: &Memory, control: &Control) -> Beacon {
    let key = Key::from(format!("mainstay:{:x}:beacon", control.id));
    let asked = perform(redis, &Op::Copy(CopyOp::Beacon { key, raise: None }));
    asked.and_then(Reply::into_beacon).unwrap_or_default()
}

/// Performs one operation, as a server does: at one moment.
pub(super) fn perform(server: &Memory, op: &Op) -> Result<Reply> {
    let deadline = Clock::starting_at(0).deadline_in(std::time::Duration::ZERO);
    at_once(server.execute(op, deadline)).unwrap_or_else(|| {
        Err(mainstay::Error::new(mainstay::ErrorKind::Internal, "memory has waited"))
    })
}

fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    futures_util::FutureExt::now_or_never(work)
}

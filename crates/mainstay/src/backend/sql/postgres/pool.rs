//! The connections: a pool for writes and long reads, a few shared ones on which short reads are pipelined.
//! It must not know what is asked; it knows only whether a connection may be used again after the answer.

use std::{
    future::Future,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use deadpool_postgres::{
    ClientWrapper, Manager, ManagerConfig, Object, Pool, PoolError, QueueMode, RecyclingMethod,
    Runtime, TimeoutType,
};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit},
    time::timeout_at,
};

use super::{
    super::{
        common::{Intent, closed, timed_out},
        places::{Places, REFUSALS_MAX, RELEASE},
        together::Together,
    },
    classify,
    hosts::InTurn,
    session::Session,
    tls,
    url::Target,
};
use crate::{
    clock::Deadline,
    error::{Effect, Error, ErrorKind, Result},
};

/// Connections that short reads share, where there are enough connections to set some apart.
const READERS_MAX: usize = 4;

/// How many connections there may be, and how long each may take to open.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolOptions {
    pub(super) connections: usize,
    pub(super) connect_timeout: Duration,
    /// The limit that the server is told for one statement.
    pub(super) statement_timeout: Duration,
    /// Whether limits are part of the session; a pooler may refuse that, then each transaction brings its own.
    pub(super) in_session: bool,
}

impl PoolOptions {
    /// What the server is told; 0 would mean no limit.
    pub(super) fn limit_ms(&self) -> u128 {
        self.statement_timeout.as_millis().max(1)
    }
}

/// One generation of connections to one server.
pub(super) struct Connections {
    idle: Idle,
    places: Places,
    turn: AtomicUsize,
    begin: String,
    in_session: bool,
    together: OnceLock<Together>,
}

/// The connections that wait for work.
#[derive(Clone)]
struct Idle {
    pool: Pool,
    readers: Arc<[Reader]>,
    /// Whether sessions are ours alone: then statements are prepared.
    are_ours: Arc<AtomicBool>,
}

#[derive(Default)]
struct Reader {
    current: ArcSwapOption<ClientWrapper>,
    opening: Mutex<()>,
}

impl Connections {
    /// Opens nothing yet. With limits in the session comes a mark, by which it is known again: a pooler that gives a
    /// session to several clients either drops both or begins it with those of one client, and no other has this mark.
    ///
    /// # Errors
    /// `Misconfigured` for certificate files that cannot be used.
    pub(super) fn new(target: &Target, options: PoolOptions, mark: &str) -> Result<Self> {
        let limit = options.limit_ms();
        let mut config = target.config.clone();
        if options.in_session {
            let given = config.get_options().unwrap_or_default();
            let limits = format!(
                "{given} -c statement_timeout={limit} -c lock_timeout={limit} -c idle_in_transaction_session_timeout={limit} -c mainstay.session={mark}"
            );
            config.options(limits.trim());
        }
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let connect = InTurn::new(tls::connector(&target.tls)?, &config, options.connect_timeout);
        let manager = Manager::from_connect(config, connect, recycling);
        let readers = (options.connections / 4).min(READERS_MAX);
        let pooled = options.connections.saturating_sub(readers).max(1);
        let pool = Pool::builder(manager)
            // A reader is opened through the pool before it is set apart.
            .max_size(pooled)
            .queue_mode(QueueMode::Lifo)
            .create_timeout(Some(options.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED".to_owned();
        let begin = if options.in_session {
            begin
        } else {
            format!(
                "{begin}; SET LOCAL statement_timeout = {limit}; SET LOCAL lock_timeout = {limit}; SET LOCAL idle_in_transaction_session_timeout = {limit}"
            )
        };
        Ok(Self {
            idle: Idle {
                pool,
                readers: (0..readers).map(|_| Reader::default()).collect(),
                are_ours: Arc::default(),
            },
            places: Places::new(pooled),
            turn: AtomicUsize::new(0),
            begin,
            in_session: options.in_session,
            together: OnceLock::new(),
        })
    }

    /// From now on single writes that come while others are under way are sent together.
    pub(super) fn send_together(self: &Arc<Self>) {
        self.together.get_or_init(|| Together::start(self));
    }

    /// The server has given the mark back: its sessions are ours alone.
    pub(super) fn set_ours(&self) {
        self.idle.are_ours.store(true, Ordering::Relaxed);
    }

    /// How single writes are sent together, if they are.
    pub(super) fn together(&self) -> Option<&Together> {
        self.together.get()
    }

    /// The statements that begin a transaction with its limits.
    pub(super) fn begin(&self) -> &str {
        &self.begin
    }

    /// Whether the server ends a statement by itself that takes too long, also outside of a transaction.
    pub(super) fn bound_every_statement(&self) -> bool {
        self.in_session
    }

    /// A connection for one caller alone. Where the server grants no more, one of those that there are.
    ///
    /// # Errors
    /// `Overloaded`, `OutOfUse`, and those of opening a connection; none has an effect.
    pub(super) async fn lease(&self, deadline: Deadline) -> Result<Lease> {
        let (mut refused, mut refusals): (Option<Error>, u32) = (None, 0);
        loop {
            let place = match (self.places.take(deadline).await, refused) {
                (Err(error), Some(refused)) if error.kind() == ErrorKind::Overloaded => {
                    return Err(refused);
                }
                (place, _) => place?,
            };
            let error = match timeout_at(deadline.instant(), self.idle.pool.get()).await {
                Ok(Ok(object)) => {
                    let idle = self.idle.clone();
                    return Ok(Lease { object: Some(object), idle, _place: place });
                }
                Ok(Err(error)) => open_error(&error),
                Err(_elapsed) => timed_out("connecting", Effect::None),
            };
            if error.kind() != ErrorKind::Overloaded {
                return Err(error);
            }
            if !self.places.refused(place) {
                refusals += u32::from(!self.idle.give_up_reader());
                if refusals > REFUSALS_MAX {
                    return Err(error);
                }
                tokio::time::sleep(RELEASE).await;
            }
            refused = Some(error);
        }
    }

    /// Whether no connection stands.
    pub(super) fn are_lost(&self) -> bool {
        self.places.are_empty() && self.idle.readers.iter().all(|reader| reader.usable().is_none())
    }

    /// A connection that others use at the same time, if any is set apart for that.
    ///
    /// # Errors
    /// As `lease`.
    pub(super) async fn shared(&self, deadline: Deadline) -> Result<Option<Shared<'_>>> {
        let readers = &self.idle.readers;
        if readers.is_empty() {
            return Ok(None);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let reader = &readers[turn % readers.len()];
        if let Some(client) = reader.usable() {
            return Ok(Some(Shared { client, reader, idle: &self.idle }));
        }
        if self.places.are_scarce() {
            return Ok(None);
        }
        let Ok(_opening) = timeout_at(deadline.instant(), reader.opening.lock()).await else {
            return Err(timed_out("connecting", Effect::None));
        };
        if let Some(client) = reader.usable() {
            return Ok(Some(Shared { client, reader, idle: &self.idle }));
        }
        let client = Arc::new(self.lease(deadline).await?.detach());
        reader.current.store(Some(Arc::clone(&client)));
        Ok(Some(Shared { client, reader, idle: &self.idle }))
    }

    /// Ends every connection that is not in use, and refuses new ones.
    pub(super) fn close(&self) {
        self.places.close();
        self.idle.pool.close();
        self.idle.readers.iter().for_each(|reader| reader.current.store(None));
    }
}

impl Idle {
    /// A connection broke, and with it most likely all others to the same server: the next calls open new ones,
    /// instead of each learning it again.
    fn forget(&self) {
        drop(self.pool.retain(|_, _| false));
        self.readers.iter().for_each(|reader| reader.current.store(None));
    }

    /// The server grants no more connections: one that is set apart for reads is ended. False: there is none.
    fn give_up_reader(&self) -> bool {
        self.readers
            .iter()
            .any(|reader| reader.current.swap(None).is_some_and(|client| !client.is_closed()))
    }
}

impl Reader {
    fn usable(&self) -> Option<Arc<ClientWrapper>> {
        self.current.load_full().filter(|client| !client.is_closed())
    }
}

fn open_error(error: &PoolError) -> Error {
    match error {
        PoolError::Backend(error) => classify::error_of(error, Intent::Read),
        PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle | TimeoutType::Wait) => {
            timed_out("connecting", Effect::None)
        }
        PoolError::Closed => closed(),
        PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            Error::new(ErrorKind::Internal, error.to_string())
        }
    }
}

/// Why a call on a connection gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    Driver(tokio_postgres::Error),
    Elapsed,
}

impl Failure {
    pub(super) fn into_error(self, intent: Intent) -> Error {
        match self {
            Failure::Driver(error) => classify::error_of(&error, intent),
            Failure::Elapsed => timed_out("the statement", intent.lost()),
        }
    }

    /// Whether the connection that it came from can be used again.
    fn in_step(&self) -> bool {
        match self {
            Failure::Driver(error) => classify::in_step(error),
            Failure::Elapsed => false,
        }
    }

    /// Whether the connection that it came from is gone; one that is only slow says nothing about the others.
    fn is_loss(&self) -> bool {
        matches!(self, Failure::Driver(error) if !classify::in_step(error))
    }
}

/// Waits for an answer until the deadline.
pub(super) async fn bounded<T>(
    deadline: Deadline,
    call: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
) -> std::result::Result<T, Failure> {
    match timeout_at(deadline.instant(), call).await {
        Ok(outcome) => outcome.map_err(Failure::Driver),
        Err(_elapsed) => Err(Failure::Elapsed),
    }
}

/// A connection in use by one caller. Dropped before it is settled, it is closed: a statement may be under way on it.
pub(super) struct Lease {
    object: Option<Object>,
    idle: Idle,
    /// Given up after the connection, so that the pool has room by then.
    _place: OwnedSemaphorePermit,
}

impl Lease {
    /// The driver's client.
    pub(super) fn client(&self) -> &tokio_postgres::Client {
        self.session().client()
    }

    /// The connection as statements see it.
    pub(super) fn session(&self) -> Session<'_> {
        let client =
            self.object.as_ref().expect("a lease holds its connection until it is settled");
        Session::new(client, &self.idle.are_ours)
    }

    /// Gives the connection back if the answer shows it to be in step, and closes it if not.
    pub(super) fn settle<T>(
        self,
        outcome: std::result::Result<T, Failure>,
        intent: Intent,
    ) -> Result<T> {
        match outcome {
            Ok(answer) => {
                self.give_back();
                Ok(answer)
            }
            Err(failure) => {
                if failure.in_step() {
                    self.give_back();
                } else if failure.is_loss() {
                    self.idle.forget();
                }
                Err(failure.into_error(intent))
            }
        }
    }

    /// Ends the transaction without effect and gives the connection back; closes it when that fails.
    pub(super) async fn roll_back(self, deadline: Deadline) {
        let outcome = bounded(deadline, self.client().batch_execute("ROLLBACK")).await;
        if outcome.is_ok() {
            self.give_back();
        }
    }

    /// The error of a transaction that came to nothing; rolls it back if the connection is in step.
    pub(super) async fn undo(self, failure: Failure, intent: Intent, deadline: Deadline) -> Error {
        if failure.in_step() {
            self.roll_back(deadline).await;
        } else if failure.is_loss() {
            self.idle.forget();
        }
        failure.into_error(intent)
    }

    /// Gives the connection back as it is: nothing is under way on it.
    pub(super) fn give_back(mut self) {
        drop(self.object.take());
    }

    fn detach(mut self) -> ClientWrapper {
        Object::take(self.object.take().expect("a lease holds its connection until it is settled"))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            // Out of the pool: the driver's task is ended and the socket closed.
            drop(Object::take(object));
        }
    }
}

/// A connection that others use at the same time. Dropping a call on it leaves it in step; a timeout retires it.
pub(super) struct Shared<'a> {
    client: Arc<ClientWrapper>,
    reader: &'a Reader,
    idle: &'a Idle,
}

impl Shared<'_> {
    /// The connection as statements see it.
    pub(super) fn session(&self) -> Session<'_> {
        Session::new(&self.client, &self.idle.are_ours)
    }

    /// Takes the connection out of use for new calls unless the answer shows it to be in step.
    pub(super) fn settle<T>(&self, outcome: std::result::Result<T, Failure>) -> Result<T> {
        outcome.map_err(|failure| {
            if !failure.in_step() {
                self.reader.current.compare_and_swap(&self.client, None);
            }
            if failure.is_loss() {
                self.idle.forget();
            }
            failure.into_error(Intent::Read)
        })
    }
}

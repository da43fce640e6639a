//! The connections: each in use by one caller, given back only when its last answer has come.
//! It must not know what is asked.

use std::{
    future::Future,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use mysql_async::{Conn, Opts, Pool, prelude::Queryable};
use tokio::{sync::OwnedSemaphorePermit, time::timeout_at};

use super::{
    super::{
        common::{Intent, timed_out},
        places::{Places, REFUSALS_MAX, RELEASE},
        together::Together,
    },
    classify,
    guard::Guard,
};
use crate::{
    clock::Deadline,
    error::{Effect, Error, ErrorKind, Result},
};

/// Room in a packet beside the value and the key: the rest of the statement.
const PACKET_SLACK: usize = 4096;

/// One generation of connections to one server.
pub(super) struct Connections {
    pool: Pool,
    places: Places,
    connect_timeout: Duration,
    /// The limit that the server is told for one statement.
    statement_timeout: Duration,
    together: OnceLock<Together>,
    /// The epoch as last read; statements check it and refuse to write another.
    epoch: AtomicU32,
    packet_max: AtomicUsize,
}

impl Connections {
    /// Opens nothing yet.
    pub(super) fn new(
        options: &Opts,
        connect_timeout: Duration,
        statement_timeout: Duration,
    ) -> Self {
        if options.ssl_opts().is_some() && rustls::crypto::CryptoProvider::get_default().is_none() {
            // The driver takes the provider of the process; where there is none and two are compiled in, it would
            // panic. Losing the race to another installer is as good.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        Self {
            pool: Pool::new(options.clone()),
            places: Places::new(options.pool_opts().constraints().max()),
            connect_timeout,
            statement_timeout,
            together: OnceLock::new(),
            epoch: AtomicU32::new(0),
            packet_max: AtomicUsize::new(usize::MAX),
        }
    }

    /// From now on single writes that come while others are under way are sent together.
    pub(super) fn send_together(self: &Arc<Self>) {
        self.together.get_or_init(|| Together::start(self));
    }

    /// How single writes are sent together, if they are.
    pub(super) fn together(&self) -> Option<&Together> {
        self.together.get()
    }

    /// The longest that one statement takes.
    pub(super) fn statement_timeout(&self) -> Duration {
        self.statement_timeout
    }

    /// How much time is left until then.
    pub(super) fn left(&self, deadline: Deadline) -> Duration {
        deadline.left(self.places.now())
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    pub(super) fn set_epoch(&self, epoch: u32) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    pub(super) fn set_packet_max(&self, bytes: usize) {
        self.packet_max.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of keys and values that one statement may carry.
    pub(super) fn payload_max(&self) -> usize {
        self.packet_max.load(Ordering::Relaxed).saturating_sub(PACKET_SLACK)
    }

    /// Refuses what the server would answer by breaking the connection.
    ///
    /// # Errors
    /// `TooLarge`.
    pub(super) fn check_packet(&self, bytes: usize) -> Result<()> {
        if bytes > self.payload_max() {
            let message = format!(
                "{bytes} bytes do not fit into the server's max_allowed_packet of {} bytes: raise it, or limits.value_max is too high",
                self.packet_max.load(Ordering::Relaxed)
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(())
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
            // Handshake included: a stopped server accepts and says nothing.
            let opening = tokio::time::timeout(self.connect_timeout, self.pool.get_conn());
            let error = match timeout_at(deadline.instant(), opening).await {
                Ok(Ok(Ok(conn))) => return Ok(Lease { conn: Some(conn), _place: place }),
                Ok(Ok(Err(error))) => classify::error_of(&error, Intent::Read),
                Ok(Err(_)) | Err(_) => timed_out("connecting", Effect::None),
            };
            if error.kind() != ErrorKind::Overloaded {
                return Err(error);
            }
            if !self.places.refused(place) {
                refusals += 1;
                if refusals > REFUSALS_MAX {
                    return Err(error);
                }
                tokio::time::sleep(RELEASE).await;
            }
            refused = Some(error);
        }
    }

    /// Whether no connection is in use: after a lease that failed to open one, that none stands.
    pub(super) fn are_lost(&self) -> bool {
        self.places.are_empty()
    }

    /// Refuses new calls; the connections end with the last call that uses one.
    pub(super) fn retire(&self) {
        self.places.close();
    }

    /// Refuses new calls and ends the connections, those in use as they come back; waits a second at most.
    pub(super) async fn close(&self) {
        self.places.close();
        let ending = self.pool.clone().disconnect();
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(1), ending).await {
            tracing::debug!(%error, "ending the connections to MySQL");
        }
    }
}

/// Why a call on a connection gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    Driver(mysql_async::Error),
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
    pub(super) fn in_step(&self) -> bool {
        match self {
            Failure::Driver(error) => classify::in_step(error),
            Failure::Elapsed => false,
        }
    }

    /// Whether the statement refused to write because the epoch has moved.
    pub(super) fn is_epoch_moved(&self) -> bool {
        matches!(self, Failure::Driver(error) if classify::is(error, classify::EPOCH_MOVED))
    }

    /// Whether what guards the statement does not hold any more.
    pub(super) fn is_overtaken(&self) -> bool {
        matches!(self, Failure::Driver(error) if classify::is(error, classify::OVERTAKEN))
    }
}

/// Why a transaction will not be committed.
#[derive(Debug)]
pub(super) enum Stop {
    /// A statement failed.
    Failed(Failure),
    /// The write is refused, for the caller's reasons.
    Refused(Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failed(failure)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Refused(error)
    }
}

impl Stop {
    /// Whether a statement refused to write because the epoch has moved.
    pub(super) fn is_epoch_moved(&self) -> bool {
        matches!(self, Stop::Failed(failure) if failure.is_epoch_moved())
    }
}

/// Waits for an answer until the deadline.
pub(super) async fn bounded<T>(
    deadline: Deadline,
    call: impl Future<Output = mysql_async::Result<T>>,
) -> std::result::Result<T, Failure> {
    match timeout_at(deadline.instant(), call).await {
        Ok(outcome) => outcome.map_err(Failure::Driver),
        Err(_elapsed) => Err(Failure::Elapsed),
    }
}

/// A connection in use by one caller. Dropped before it is settled, it is closed: a statement may be under way on it.
pub(super) struct Lease {
    conn: Option<Conn>,
    /// Given up after the connection, so that the pool has room by then.
    _place: OwnedSemaphorePermit,
}

impl Lease {
    /// The driver's connection.
    pub(super) fn conn(&mut self) -> &mut Conn {
        self.conn.as_mut().expect("a lease holds its connection until it is settled")
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
                }
                Err(failure.into_error(intent))
            }
        }
    }

    /// Ends the transaction without effect and gives the connection back; closes it when that fails.
    pub(super) async fn roll_back(mut self, deadline: Deadline) {
        if bounded(deadline, self.conn().query_drop("ROLLBACK")).await.is_ok() {
            self.give_back();
        }
    }

    /// The error of a transaction that will not be committed; rolls it back if the connection is in step.
    pub(super) async fn undo(self, failure: Failure, deadline: Deadline) -> Error {
        if failure.in_step() {
            self.roll_back(deadline).await;
        }
        failure.into_error(Intent::Read)
    }

    /// The error of a transaction that was stopped; rolls it back if the connection is in step.
    pub(super) async fn stop(self, stop: Stop, deadline: Deadline) -> Error {
        match stop {
            Stop::Failed(failure) => self.undo(failure, deadline).await,
            Stop::Refused(error) => {
                self.roll_back(deadline).await;
                error
            }
        }
    }

    /// Commits the transaction. An error leaves it in doubt, but for a conflict, which is a rollback.
    pub(super) async fn commit(self, deadline: Deadline) -> Result<()> {
        self.commit_if(&Guard::default(), deadline).await.map(drop)
    }

    /// Commits the transaction if what guards it holds, or rolls it back; whether it is committed. Errors as of `commit`.
    pub(super) async fn commit_if(mut self, guard: &Guard, deadline: Deadline) -> Result<bool> {
        match bounded(deadline, self.conn().query_drop(guard.commit())).await {
            Ok(()) => {
                self.give_back();
                Ok(true)
            }
            Err(failure) if failure.is_overtaken() => {
                self.roll_back(deadline).await;
                Ok(false)
            }
            Err(failure) => {
                let error = failure.into_error(Intent::Write);
                match error.kind() {
                    ErrorKind::Conflict => Err(error),
                    _ => Err(error.with_effect(Effect::Unknown)),
                }
            }
        }
    }

    /// Gives the connection back as it is: nothing is under way on it.
    pub(super) fn give_back(mut self) {
        drop(self.conn.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            // Polled once: that marks the connection as ended, so that the pool drops it, and says goodbye if it can
            // without waiting.
            drop(conn.disconnect().now_or_never());
        }
    }
}

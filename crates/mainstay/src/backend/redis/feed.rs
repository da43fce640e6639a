//! A feed of changes over a connection of its own: CLIENT TRACKING in broadcast mode, and a PING of its own.
//! It must not know what the keys mean, nor who else is connected.
//!
//! Why a PING shows how far the feed has come: the server tells of the changes of one round of its loop before it reads
//! again, and of all earlier rounds before it answers a PING; the client library hands pushes on before it resolves a
//! later reply. Only one PING is on its way at a time: with two, the second could be read in the round in which
//! the first was noticed, behind a change that is told after it.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use redis::{PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::sync::Notify;

use super::{
    classify,
    client::Client,
    connect::Connector,
    info::{self, Info},
    reply,
};
use crate::{
    backend::{Feed, Told},
    clock::{Clock, Instant},
    entry::Key,
    error::{Error, ErrorKind, Result},
};

#[cfg(test)]
mod tests;

/// Keys that may wait to be taken. Whoever falls further behind has to forget everything anyway.
const KEYS_MAX: usize = 10_000;

/// A sign of life is asked for this often.
const PERIOD: Duration = Duration::from_millis(200);

/// Without an answer for this time the connection counts as broken.
const PATIENCE: Duration = Duration::from_secs(1);

/// Follows the keys under a prefix on the server of this client.
///
/// # Errors
/// `Unsupported` on a cluster, before Redis 6, and in RESP2; `WrongNode` when another server answers by now.
pub(super) async fn open(
    connector: &Connector,
    client: &Client,
    prefix: &[u8],
    clock: &Clock,
) -> Result<Tracking> {
    let node = match (client.slots(), client.nodes().first()) {
        (None, Some(node)) => node,
        _ => return Err(unsupported("no single connection to a cluster is told of all changes")),
    };
    if node.facts.version < (6, 0) && node.facts.version != (0, 0) {
        return Err(unsupported("only Redis 6 and later tells of changes"));
    }
    let inbox = Arc::new(Inbox::default());
    let pushed = Arc::clone(&inbox);
    let mut connection =
        connector.line(&node.host, Arc::new(move |push| pushed.take_in(push))).await?;
    let mut questions = info::questions();
    questions.cmd("CLIENT").arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(prefix);
    let answer = connection.send_packed_commands(&questions, 0, questions.len()).await;
    let mut replies = answer.map_err(classify::failure)?.into_iter();
    let info = Info::read(&mut replies)?.writable()?;
    if info.facts().run_id != node.facts.run_id {
        let message = "another server answers than the one that serves reads";
        return Err(Error::new(ErrorKind::WrongNode, message));
    }
    classify::reply(replies.next().unwrap_or_default())?;
    let next_ping = clock.now();
    Ok(Tracking { connection, inbox, clock: clock.clone(), ping: None, next_ping })
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

/// What has been told and not been taken yet. Filled by the reader of the connection.
#[derive(Debug, Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
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

    /// Takes in a message that the server sent unasked.
    fn take_in(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Disconnection => self.end(ErrorKind::Disconnected, "the feed has broken"),
            PushKind::Invalidate => self.tell(told(&push.data)),
            _ => {}
        }
    }

    fn tell(&self, told: Told) {
        self.lock().add(told);
        self.arrived.notify_one();
    }

    fn end(&self, kind: ErrorKind, message: &str) {
        self.lock().end.get_or_insert_with(|| Error::new(kind, message));
        self.arrived.notify_one();
    }

    fn pop(&self) -> Option<Result<Told>> {
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

/// What an invalidation says: these keys, or (nil) all of them. What cannot be read may mean any key.
fn told(data: &[Value]) -> Told {
    let [Value::Array(keys)] = data else { return Told::All };
    let keys: Result<Vec<Key>> =
        keys.iter().map(|key| reply::bytes(key.clone()).map(Key::from)).collect();
    keys.map_or(Told::All, Told::Changed)
}

/// A PING on its way, and when it was sent.
type Ping = (Instant, BoxFuture<'static, Result<()>>);

/// The feed.
pub(super) struct Tracking {
    connection: MultiplexedConnection,
    inbox: Arc<Inbox>,
    clock: Clock,
    ping: Option<Ping>,
    next_ping: Instant,
}

impl fmt::Debug for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracking").field("inbox", &self.inbox).finish_non_exhaustive()
    }
}

impl Tracking {
    /// All that is awaited stands in `self`: dropping this future loses nothing.
    async fn told(&mut self) -> Result<Told> {
        loop {
            self.attend_to_ping();
            if let Some(told) = self.inbox.pop() {
                return told;
            }
            let wake = match &self.ping {
                Some((sent, _)) => *sent + PATIENCE,
                None => self.next_ping,
            };
            tokio::select! {
                biased;
                answer = answered(&mut self.ping) => self.note(answer),
                () = self.inbox.arrived.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Before anything is handed out: where changes never cease, the sign of life would else never come.
    fn attend_to_ping(&mut self) {
        let now = self.clock.now();
        if self.ping.is_none() && now >= self.next_ping {
            self.ping = Some((now, Box::pin(ping(self.connection.clone()))));
            self.next_ping = now + PERIOD;
        }
        if let Some(answer) = answered(&mut self.ping).now_or_never() {
            self.note(answer);
        } else if self.ping.as_ref().is_some_and(|(sent, _)| now >= *sent + PATIENCE) {
            self.inbox.end(ErrorKind::Timeout, "no answer to the feed's PING");
        }
    }

    fn note(&mut self, answer: Result<()>) {
        match (answer, self.ping.take()) {
            (Ok(()), Some((sent, _))) => self.inbox.tell(Told::UpTo(sent)),
            (Ok(()), None) => {}
            (Err(error), _) => self.inbox.end(ErrorKind::Disconnected, error.message()),
        }
    }
}

/// The answer to a PING that is on its way.
async fn answered(ping: &mut Option<Ping>) -> Result<()> {
    match ping {
        Some((_, reply)) => reply.await,
        None => std::future::pending().await,
    }
}

async fn ping(mut connection: MultiplexedConnection) -> Result<()> {
    let ping = redis::cmd("PING");
    let reply = connection.send_packed_command(&ping).await.map_err(classify::failure)?;
    classify::reply(reply).map(drop)
}

impl Feed for Tracking {
    fn next(&mut self) -> BoxFuture<'_, Result<Told>> {
        Box::pin(self.told())
    }
}

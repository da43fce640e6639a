//! A feed of changes, or of a channel, over a connection of its own: CLIENT TRACKING in broadcast mode or SUBSCRIBE, and a
//! PING of its own.
//! It must not know what the keys mean, nor who else is connected.
//!
//! Why a PING shows how far the feed has come: the server tells of the changes of one round of its loop before it reads
//! again, and of all earlier rounds before it answers a PING; the client library hands pushes on before it resolves a
//! later reply. Only one PING is on its way at a time: with two, the second could be read in the round in which
//! the first was noticed, behind a change that is told after it.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use redis::{PushInfo, PushKind, Value, aio::MultiplexedConnection};

use super::{
    classify,
    client::Client,
    connect::Connector,
    info::{self, Info},
    reply,
};
use crate::{
    backend::{Feed, Told, inbox::Inbox},
    clock::{Clock, Instant},
    entry::Key,
    error::{Error, ErrorKind, Result},
};

#[cfg(test)]
mod tests;

/// A sign of life is asked for this often.
const PERIOD: Duration = Duration::from_millis(200);

/// Without an answer for this time the connection counts as broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// What had come when this process went on after a stall is read within this time.
const GRACE: Duration = Duration::from_millis(20);

/// Follows the keys under a prefix on the server of this client.
///
/// # Errors
/// `Unsupported` on a cluster, before Redis 6, and in RESP2; `WrongNode` when another server answers by now.
pub(super) async fn open(
    connector: &Connector,
    client: &Client,
    prefix: &[u8],
    clock: &Clock,
    patience: Duration,
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
        connector.line(&node.host, Arc::new(move |push| take_in(&pushed, push))).await?;
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
    Ok(Tracking { connection, inbox, clock: clock.clone(), patience, ping: None, next_ping })
}

/// Listens to a channel: on a cluster any server tells what is said on any.
///
/// # Errors
/// `Unsupported` in RESP2; those of the server and the connection.
pub(super) async fn listen(
    connector: &Connector,
    client: &Client,
    channel: &str,
    clock: &Clock,
    patience: Duration,
) -> Result<Tracking> {
    let Some(node) = client.nodes().first() else {
        return Err(Error::new(ErrorKind::Disconnected, "there is no connection"));
    };
    let inbox = Arc::new(Inbox::default());
    let pushed = Arc::clone(&inbox);
    let mut connection =
        connector.line(&node.host, Arc::new(move |push| take_in(&pushed, push))).await?;
    let subscribe = redis::cmd("SUBSCRIBE").arg(channel).take();
    let answer = connection.send_packed_command(&subscribe).await.map_err(classify::failure)?;
    classify::reply(answer)?;
    let next_ping = clock.now();
    Ok(Tracking { connection, inbox, clock: clock.clone(), patience, ping: None, next_ping })
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

/// Takes in a message that the server sent unasked.
fn take_in(inbox: &Inbox, push: &PushInfo) {
    match push.kind {
        PushKind::Disconnection => inbox.end(ErrorKind::Disconnected, "the feed has broken"),
        PushKind::Invalidate => inbox.tell(told(&push.data)),
        PushKind::Message => inbox.tell(said(&push.data)),
        _ => {}
    }
}

/// What an invalidation says: these keys, or (nil) all of them. What cannot be read may mean any key.
fn told(data: &[Value]) -> Told {
    let [Value::Array(keys)] = data else { return Told::All };
    let keys: Result<Vec<Key>> =
        keys.iter().map(|key| reply::bytes(key.clone()).map(Key::from)).collect();
    keys.map_or(Told::All, Told::Changed)
}

/// What a message on a channel says: a key, or (empty) all of them.
fn said(data: &[Value]) -> Told {
    match data {
        [_, text] => match reply::bytes(text.clone()) {
            Ok(text) if !text.is_empty() => Told::Changed(vec![Key::from(text)]),
            _ => Told::All,
        },
        _ => Told::All,
    }
}

/// A PING on its way, and when it was sent.
type Ping = (Instant, BoxFuture<'static, Result<()>>);

/// The feed.
pub(super) struct Tracking {
    connection: MultiplexedConnection,
    inbox: Arc<Inbox>,
    clock: Clock,
    patience: Duration,
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
            if self.is_overdue() {
                // A stall of this process is not the server's silence: what has come meanwhile is heard first.
                match tokio::time::timeout(GRACE, answered(&mut self.ping)).await {
                    Ok(answer) => self.note(answer),
                    Err(_) => self.inbox.end(ErrorKind::Timeout, "no answer to the feed's PING"),
                }
                continue;
            }
            let wake = match &self.ping {
                Some((sent, _)) => *sent + self.patience,
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
        }
    }

    /// Whether a PING has been on its way for longer than patience lasts.
    fn is_overdue(&self) -> bool {
        let sent = self.ping.as_ref().map(|(sent, _)| *sent);
        sent.is_some_and(|sent| self.clock.now() >= sent + self.patience)
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

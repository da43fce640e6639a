//! What the application says over NOTIFY, on a connection of its own. Not behind a transaction pooler, which drops LISTEN.
//! It must not know what a payload means.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::timeout_at;
use tokio_postgres::{AsyncMessage, Client};

use super::{
    super::common::{Intent, timed_out},
    classify, tls,
    url::Target,
};
use crate::{
    backend::{Feed, Told, inbox::Inbox},
    clock::{Clock, Deadline, Instant},
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
};

/// Between two questions whether the server is still there.
const PERIOD: Duration = Duration::from_secs(1);
/// How long it may take to answer one.
const PATIENCE: Duration = Duration::from_secs(3);

type Messages = Box<
    dyn FnMut(
            &mut Context<'_>,
        ) -> Poll<Option<std::result::Result<AsyncMessage, tokio_postgres::Error>>>
        + Send,
>;

/// A question on its way, and when it was sent.
type Ping = (Instant, BoxFuture<'static, Result<()>>);

/// The feed of one channel.
pub(super) struct Listener {
    client: Arc<Client>,
    messages: Messages,
    inbox: Inbox,
    clock: Clock,
    ping: Option<Ping>,
    next_ping: Instant,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("inbox", &self.inbox).finish_non_exhaustive()
    }
}

/// Connects and listens: what is notified after this is told.
///
/// # Errors
/// Those of opening a connection; `Timeout`.
pub(super) async fn listen(
    target: &Target,
    channel: &str,
    clock: &Clock,
    deadline: Deadline,
) -> Result<Listener> {
    let opening = target.config.connect(tls::connector(&target.tls)?);
    let opened = timeout_at(deadline.instant(), opening).await;
    let opened = opened.map_err(|_elapsed| timed_out("connecting", Effect::None))?;
    let (client, mut connection) =
        opened.map_err(|error| classify::error_of(&error, Intent::Read))?;
    let mut listener = Listener {
        client: Arc::new(client),
        messages: Box::new(move |context| connection.poll_message(context)),
        inbox: Inbox::default(),
        next_ping: clock.now(),
        clock: clock.clone(),
        ping: None,
    };
    let statement = format!("LISTEN \"{}\"", channel.replace('"', "\"\""));
    listener.ping = Some((clock.now(), ask(&listener.client, statement)));
    match timeout_at(deadline.instant(), listener.begun()).await {
        Ok(begun) => begun.map(|()| listener),
        Err(_elapsed) => Err(timed_out("LISTEN", Effect::None)),
    }
}

fn ask(client: &Arc<Client>, statement: String) -> BoxFuture<'static, Result<()>> {
    let client = Arc::clone(client);
    Box::pin(async move {
        let outcome = client.batch_execute(&statement).await;
        outcome.map_err(|error| classify::error_of(&error, Intent::Read))
    })
}

impl Listener {
    /// Waits for the answer to LISTEN.
    async fn begun(&mut self) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                answer = answered(&mut self.ping) => return answer.1,
                message = std::future::poll_fn(&mut self.messages) => take_in(&self.inbox, message),
            }
        }
    }

    /// All that is awaited stands in `self`: dropping this future loses nothing.
    async fn told(&mut self) -> Result<Told> {
        loop {
            if let Some(told) = self.inbox.pop() {
                return told;
            }
            let now = self.clock.now();
            if self.ping.is_none() && now >= self.next_ping {
                self.ping = Some((now, ask(&self.client, String::new())));
                self.next_ping = now + PERIOD;
            }
            let wake = match &self.ping {
                Some((sent, _)) => *sent + PATIENCE,
                None => self.next_ping,
            };
            tokio::select! {
                biased;
                message = std::future::poll_fn(&mut self.messages) => take_in(&self.inbox, message),
                (sent, answer) = answered(&mut self.ping) => match answer {
                    Ok(()) => self.inbox.tell(Told::UpTo(sent)),
                    Err(error) => self.inbox.end(error.kind(), error.message()),
                },
                () = tokio::time::sleep_until(wake) => {
                    if self.ping.is_some() {
                        self.inbox.end(ErrorKind::Timeout, "the server is silent");
                    }
                }
            }
        }
    }
}

impl Feed for Listener {
    fn next(&mut self) -> BoxFuture<'_, Result<Told>> {
        self.told().boxed()
    }
}

/// The end of a question on its way; never, while there is none.
async fn answered(ping: &mut Option<Ping>) -> (Instant, Result<()>) {
    let Some((sent, answer)) = ping else { return std::future::pending().await };
    let (sent, answer) = (*sent, answer.await);
    *ping = None;
    (sent, answer)
}

fn take_in(
    inbox: &Inbox,
    message: Option<std::result::Result<AsyncMessage, tokio_postgres::Error>>,
) {
    match message {
        Some(Ok(AsyncMessage::Notification(news))) if news.payload().is_empty() => {
            inbox.tell(Told::All);
        }
        Some(Ok(AsyncMessage::Notification(news))) => {
            inbox.tell(Told::Changed(vec![Key::from(news.payload().as_bytes())]));
        }
        Some(Ok(_)) => {}
        Some(Err(error)) => {
            let error: Error = classify::error_of(&error, Intent::Read);
            inbox.end(error.kind(), error.message());
        }
        None => inbox.end(ErrorKind::Disconnected, "the server has closed the connection"),
    }
}

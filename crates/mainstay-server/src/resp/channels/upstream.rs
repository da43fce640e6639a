//! The one connection to Redis over which this process listens: subscribes to what is wanted, again after each outage.
//! It must not know who wants it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use mainstay::{Error, ErrorKind, RawValue, Result, backend::Line};
use tokio::{sync::Notify, time::timeout};

use super::{Hub, Kind, Name};

#[cfg(test)]
mod tests;

/// Time to connect, and for one exchange.
const STEP: Duration = Duration::from_secs(2);

/// Without news for this long the connection is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(1);

/// How long a client waits for Redis to confirm what it subscribes to.
const CONFIRM: Duration = Duration::from_secs(1);

/// Pauses between attempts.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Names that are subscribed to in one exchange.
const BATCH: usize = 500;

/// What is wanted, and what Redis tells.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    state: Mutex<State>,
    /// What is wanted has changed.
    changed: Notify,
    /// What is told has changed, or Redis has gone.
    settled: Notify,
    begun: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    wanted: BTreeMap<Name, usize>,
    live: BTreeSet<Name>,
    /// Redis was asked for these, and has not answered yet.
    pending: BTreeSet<Name>,
    /// Redis does not know the command: nothing will be told.
    refused: BTreeSet<Name>,
    /// The last attempt has failed.
    away: bool,
}

impl Upstream {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the caller is to keep the connection: once.
    pub(super) fn begins(&self) -> bool {
        !self.begun.swap(true, Relaxed)
    }

    pub(super) fn want(&self, name: &Name) {
        *self.lock().wanted.entry(name.clone()).or_default() += 1;
        self.changed.notify_one();
    }

    pub(super) fn let_go(&self, name: &Name) {
        let mut state = self.lock();
        if let Some(count) = state.wanted.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                state.wanted.remove(name);
                state.refused.remove(name);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Whether Redis tells of this.
    pub(super) fn is_live(&self, name: &Name) -> bool {
        self.lock().live.contains(name)
    }

    /// Which of these a message reached through Redis, which says that it told so many. When it told nobody, or fewer than
    /// were told of it here, what is believed of it here is older than its answer.
    pub(super) fn through<'a>(
        &self,
        names: impl Iterator<Item = &'a Name> + Clone,
        told: i64,
    ) -> Vec<bool> {
        let state = self.lock();
        let live = names.clone().filter(|name| state.live.contains(*name)).count();
        let live = i64::try_from(live).unwrap_or(i64::MAX);
        let through = |name: &Name| {
            told > 0 && state.live.contains(name) || told > live && state.pending.contains(name)
        };
        names.map(through).collect()
    }

    /// Ends when Redis tells of these, or is away.
    pub(super) async fn confirmed<'a>(&self, names: impl Iterator<Item = &'a Name>) {
        let names: Vec<&Name> = names.collect();
        let settled = || {
            let state = self.lock();
            let told = |name: &&Name| state.live.contains(*name) || state.refused.contains(*name);
            state.away || names.iter().all(told)
        };
        let wait = async {
            loop {
                let mut notified = std::pin::pin!(self.settled.notified());
                notified.as_mut().enable();
                if settled() {
                    return;
                }
                notified.await;
            }
        };
        // Late: the client is served by this process until Redis confirms.
        let _ = timeout(CONFIRM, wait).await;
    }

    fn is_wanted(&self) -> bool {
        !self.lock().wanted.is_empty()
    }

    /// What has to be said so that exactly what is wanted is told.
    fn difference(&self) -> (Vec<Name>, Vec<Name>) {
        let state = self.lock();
        let known = |name: &Name| state.live.contains(name) || state.refused.contains(name);
        let more = state.wanted.keys().filter(|name| !known(name)).take(BATCH).cloned().collect();
        let less = state.live.iter().filter(|name| !state.wanted.contains_key(*name));
        (more, less.take(BATCH).cloned().collect())
    }

    /// Whether nothing is wanted, nor told.
    fn is_done(&self) -> bool {
        let state = self.lock();
        state.wanted.is_empty() && state.live.is_empty()
    }

    /// What is wanted is told. Whether it was not before.
    fn found(&self) -> bool {
        let news = std::mem::take(&mut self.lock().away);
        self.settled.notify_waiters();
        news
    }

    /// Nothing is told any more. Whether it was before.
    fn lost(&self) -> bool {
        let mut state = self.lock();
        state.live.clear();
        state.pending.clear();
        state.refused.clear();
        let news = !state.away;
        state.away = true;
        drop(state);
        self.settled.notify_waiters();
        news
    }
}

/// Keeps the connection while anything is wanted. Never ends.
pub(super) async fn keep(hub: &Hub, backend: &str) {
    let upstream = &hub.upstream;
    let mut pause = PAUSE_MIN;
    loop {
        while !upstream.is_wanted() {
            upstream.changed.notified().await;
        }
        let deadline = hub.storage.clock().deadline_in(STEP);
        let error = match hub.storage.line(backend, true, deadline).await {
            Ok(mut line) => {
                pause = PAUSE_MIN;
                match listen(hub, backend, &mut *line).await {
                    Ok(()) => continue,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        if upstream.lost() {
            tracing::warn!(backend, %error, "RESP: channels reach the clients of this process alone");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Listens until nothing is wanted any more.
async fn listen(hub: &Hub, backend: &str, line: &mut dyn Line) -> Result<()> {
    let upstream = &hub.upstream;
    loop {
        while settle(upstream, line).await? {}
        if upstream.is_done() {
            return Ok(());
        }
        if upstream.found() {
            tracing::info!(backend, "RESP: channels go through Redis again");
        }
        tokio::select! {
            told = line.pushed() => take_in(hub, told?),
            () = upstream.changed.notified() => {}
            () = tokio::time::sleep(QUIET) => {
                exchange(line, vec![vec![Bytes::from_static(b"PING")]]).await?;
            }
        }
    }
}

/// Subscribes to what is wanted and not told, and the other way round. False: there was nothing to do.
async fn settle(upstream: &Upstream, line: &mut dyn Line) -> Result<bool> {
    let (more, less) = upstream.difference();
    let say = |name: &Name, word: usize| {
        vec![Bytes::from_static(name.0.words()[word].as_bytes()), name.1.clone()]
    };
    let begin = more.iter().map(|name| say(name, 0));
    let commands: Vec<_> = begin.chain(less.iter().map(|name| say(name, 1))).collect();
    if commands.is_empty() {
        return Ok(false);
    }
    // What Redis tells from here on may be of these already.
    upstream.lock().pending.extend(more.iter().cloned());
    let answers = exchange(line, commands).await?;
    let mut state = upstream.lock();
    for (name, answer) in more.into_iter().zip(answers) {
        state.pending.remove(&name);
        match answer {
            RawValue::Error(_) if !state.wanted.contains_key(&name) => {}
            RawValue::Error(_) => drop(state.refused.insert(name)),
            _ => drop(state.live.insert(name)),
        }
    }
    for name in less {
        state.live.remove(&name);
    }
    Ok(true)
}

async fn exchange(line: &mut dyn Line, commands: Vec<Vec<Bytes>>) -> Result<Vec<RawValue>> {
    let late = |_| Error::new(ErrorKind::Timeout, "no answer in time");
    timeout(STEP, line.send(commands)).await.map_err(late)?
}

/// Hands a message on.
fn take_in(hub: &Hub, told: Vec<RawValue>) {
    let mut words = told.into_iter().map(|word| match word {
        RawValue::Bulk(bytes) | RawValue::Status(bytes) => bytes,
        _ => Bytes::new(),
    });
    let mut next = || words.next().unwrap_or_default();
    let kind = next();
    match &kind[..] {
        b"message" => {
            let (channel, payload) = (next(), next());
            hub.tell(&(Kind::Channel, channel.clone()), &channel, &payload);
        }
        b"smessage" => {
            let (channel, payload) = (next(), next());
            hub.tell(&(Kind::Shard, channel.clone()), &channel, &payload);
        }
        b"pmessage" => {
            let (pattern, channel, payload) = (next(), next(), next());
            hub.tell(&(Kind::Pattern, pattern), &channel, &payload);
        }
        _ => {}
    }
}

//! Channels: who of this process listens to what, and what is told to whom, through Redis while it is there.
//! It must not know how a client is told (`Ear` is its queue), nor the commands.
//!
//! One connection to Redis subscribes to all that clients here want (`upstream`). A name that it has not subscribed to, because
//! Redis is away or there is none, is served among the clients of this process alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use mainstay::{CallOptions, Effect, Op, RawOp, RawValue, Storage, Tasks};

use super::{error::Failure, glob};

mod ear;
mod subscribed;
mod upstream;

pub(super) use ear::{Ear, Message};
pub(super) use subscribed::{Held, NAMES_MAX, Subscribed};
use upstream::Upstream;

/// What is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Channel,
    Pattern,
    /// SSUBSCRIBE: names of their own, apart from those of channels.
    Shard,
}

impl Kind {
    /// The words for beginning, ending, and what is told.
    pub(super) fn words(self) -> [&'static str; 3] {
        match self {
            Self::Channel => ["subscribe", "unsubscribe", "message"],
            Self::Pattern => ["psubscribe", "punsubscribe", "pmessage"],
            Self::Shard => ["ssubscribe", "sunsubscribe", "smessage"],
        }
    }
}

/// A channel, or a pattern of channels.
pub(super) type Name = (Kind, Bytes);

type Ears = BTreeMap<u64, Arc<Ear>>;

/// All of it.
#[derive(Debug)]
pub(super) struct Hub {
    storage: Storage,
    backend: Option<Arc<str>>,
    listening: Mutex<BTreeMap<Name, Ears>>,
    upstream: Arc<Upstream>,
    tasks: Tasks,
}

impl Hub {
    /// Nobody listens yet. `backend`: the Redis through which it goes.
    pub(super) fn new(storage: Storage, backend: Option<Arc<str>>) -> Self {
        let (upstream, tasks) = (Arc::default(), Tasks::new());
        Self { storage, backend, listening: Mutex::default(), upstream, tasks }
    }

    fn listening(&self) -> MutexGuard<'_, BTreeMap<Name, Ears>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that these names are told of here; ends when Redis has confirmed them, or is away.
    pub(super) async fn hold(self: &Arc<Self>, kind: Kind, names: Vec<Bytes>) -> Vec<Held> {
        if let Some(backend) = &self.backend
            && self.upstream.begins()
        {
            let (hub, backend) = (Arc::clone(self), Arc::clone(backend));
            self.tasks.spawn(async move { upstream::keep(&hub, &backend).await });
        }
        // In memory of their own: they are kept for long, and what came is a slice of the connection's buffer.
        let names = names.iter().map(|name| Bytes::copy_from_slice(name));
        let held: Vec<Held> = names.map(|name| Held::new(&self.upstream, (kind, name))).collect();
        if self.backend.is_some() {
            self.upstream.confirmed(held.iter().map(Held::name)).await;
        }
        held
    }

    fn enter(&self, name: &Name, ear: &Arc<Ear>) {
        let mut listening = self.listening();
        listening.entry(name.clone()).or_default().insert(ear.id(), Arc::clone(ear));
    }

    fn leave(&self, name: &Name, id: u64) {
        let mut listening = self.listening();
        if let Some(ears) = listening.get_mut(name) {
            ears.remove(&id);
            if ears.is_empty() {
                listening.remove(name);
            }
        }
    }

    /// Tells those who listen to this name. How many.
    fn tell(&self, name: &Name, channel: &Bytes, payload: &Bytes) -> i64 {
        let listening = self.listening();
        // The name as it is kept here, not as it came with the message: who waits for many shares it.
        let Some((name, ears)) = listening.get_key_value(name) else { return 0 };
        for ear in ears.values() {
            ear.tell(Message::new(name, channel, payload));
        }
        i64::try_from(ears.len()).unwrap_or(i64::MAX)
    }

    /// The names under which somebody here would be told of this.
    fn names_for(&self, kind: Kind, channel: &Bytes) -> Vec<(Name, usize)> {
        let listening = self.listening();
        let exact = listening.get_key_value(&(kind, channel.clone()));
        let patterns = listening.range((Kind::Pattern, Bytes::new())..(Kind::Shard, Bytes::new()));
        let matching = patterns
            .filter(|((_, pattern), _)| kind == Kind::Channel && glob::matches(pattern, channel));
        let found = exact.into_iter().chain(matching);
        found.map(|(name, ears)| (name.clone(), ears.len())).collect()
    }

    /// Tells everybody, here and elsewhere. How many receive it, as far as that is known.
    ///
    /// # Errors
    /// It is not known whether Redis has told anybody.
    pub(super) async fn publish(
        &self,
        kind: Kind,
        channel: Bytes,
        payload: Bytes,
    ) -> Result<i64, Failure> {
        let word = if kind == Kind::Shard { "SPUBLISH" } else { "PUBLISH" };
        let elsewhere = self.ask(word, vec![channel.clone(), payload.clone()]).await?;
        let mut total = match elsewhere {
            Some(RawValue::Integer(count)) => count,
            Some(RawValue::Error(text)) => return Err(Failure::new(text)),
            _ => 0,
        };
        let names = self.names_for(kind, &channel);
        let through = self.upstream.through(names.iter().map(|(name, _)| name), total);
        let mut own = None;
        for ((name, ears), through) in names.into_iter().zip(through) {
            if through {
                // It comes back through Redis, which has counted the one connection.
                total += i64::try_from(ears).unwrap_or(i64::MAX) - 1;
            } else {
                // In memory of their own: they may wait, and what came is a slice of the publisher's buffer.
                let [channel, payload] = own.get_or_insert_with(|| {
                    [&channel, &payload].map(|bytes| Bytes::copy_from_slice(bytes))
                });
                total += self.tell(&name, channel, payload);
            }
        }
        Ok(total)
    }

    /// Asks Redis; `None`: it is not there, and has certainly done nothing.
    async fn ask(&self, word: &'static str, args: Vec<Bytes>) -> Result<Option<RawValue>, Failure> {
        let Some(backend) = &self.backend else { return Ok(None) };
        let first = word.split(' ').map(|word| Bytes::from_static(word.as_bytes()));
        let op = Op::Raw(RawOp {
            backend: Arc::clone(backend),
            words: first.chain(args).collect(),
            keys: Vec::new(),
            resp3: true,
            reads: word.starts_with("PUBSUB"),
        });
        match self.storage.execute(&op, CallOptions::default()).await {
            Ok(answer) => Ok(Some(*answer.reply.into_raw()?)),
            Err(error) if error.effect() == Effect::None => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Names that somebody listens to, here or elsewhere.
    pub(super) async fn channels(
        &self,
        kind: Kind,
        pattern: Option<Bytes>,
    ) -> Result<Vec<Bytes>, Failure> {
        let word = if kind == Kind::Shard { "PUBSUB SHARDCHANNELS" } else { "PUBSUB CHANNELS" };
        let elsewhere = self.ask(word, pattern.iter().cloned().collect()).await?;
        let mut all = BTreeSet::new();
        if let Some(RawValue::Array(names)) = elsewhere {
            all.extend(names.into_iter().filter_map(|name| match name {
                RawValue::Bulk(name) => Some(name),
                _ => None,
            }));
        }
        let wanted =
            |name: &Bytes| pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, name));
        let here = self.listening();
        let names = here.keys().filter(|name| name.0 == kind && wanted(&name.1));
        all.extend(names.map(|name| name.1.clone()));
        Ok(all.into_iter().collect())
    }

    /// How many listen to each of these names, here and elsewhere.
    pub(super) async fn listeners(
        &self,
        kind: Kind,
        names: Vec<Bytes>,
    ) -> Result<Vec<(Bytes, i64)>, Failure> {
        let word = if kind == Kind::Shard { "PUBSUB SHARDNUMSUB" } else { "PUBSUB NUMSUB" };
        let elsewhere = match self.ask(word, names.clone()).await? {
            Some(RawValue::Array(values)) => values,
            _ => Vec::new(),
        };
        let count = |(nth, channel): (usize, Bytes)| {
            let name = (kind, channel);
            let here = self.listening().get(&name).map_or(0, BTreeMap::len);
            let here = i64::try_from(here).unwrap_or(i64::MAX);
            let there = match elsewhere.get(nth * 2 + 1) {
                Some(RawValue::Integer(there)) => *there - i64::from(self.upstream.is_live(&name)),
                _ => 0,
            };
            (name.1, here + there.max(0))
        };
        Ok(names.into_iter().enumerate().map(count).collect())
    }

    /// How many patterns are listened to, here or elsewhere.
    pub(super) async fn patterns(&self) -> Result<i64, Failure> {
        let here = self.listening().keys().filter(|name| name.0 == Kind::Pattern).count();
        let here = i64::try_from(here).unwrap_or(i64::MAX);
        Ok(match self.ask("PUBSUB NUMPAT", Vec::new()).await? {
            Some(RawValue::Integer(there)) => there.max(here),
            _ => here,
        })
    }

    /// Ends the connection to Redis.
    pub(super) async fn close(&self) {
        self.tasks.close(std::time::Duration::from_secs(1)).await;
    }
}

//! Learns which rows of a source the application has changed behind Mainstay, and invalidates what was loaded from them.
//! It must not know how an invalidation reaches the copies.
//!
//! What happened while nobody listened is unknown: then everything under the prefix is invalidated once. Somebody
//! listened all the time if another process says so *after* this one has begun to listen ([`Watch`]).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;

use super::invalidate;
use crate::{
    backend::{Feed, Told},
    clock::{Deadline, Instant},
    config::ChangesConfig,
    entry::Key,
    error::Result,
    exec::Road,
    guard::{self, backoff},
    op::{Condition, Op, Query, Rows, Statement, TtlChange},
    route::{NodeId, Route},
};

mod marks;

use marks::{Changed, Mark, News, Passed};

/// Time for one step.
const STEP: Duration = Duration::from_secs(2);
/// How long it stands that somebody listens, and how long a new one waits for it: feeds give a sign of life each second.
const SAID_FOR: Duration = Duration::from_secs(3);
/// Between two looks whether somebody has said so.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Pauses after a gap.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Between two questions, where the configuration does not say.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Learns for ever.
pub(crate) async fn keep(road: Arc<Road>, route: Arc<Route>) {
    let source = route.source.as_ref();
    let Some(changes) = source.and_then(|source| source.changes.as_ref()) else { return };
    let watch = Watch::new(&road, &route);
    let mut failures = 0_u32;
    loop {
        let mut useful = false;
        let ended = match (&changes.listen, &changes.query) {
            (Some(channel), _) => listen(&road, &route, &watch, channel, &mut useful).await,
            (None, Some(query)) => poll(&road, &route, &watch, changes, query, &mut useful).await,
            (None, None) => return,
        };
        if let Err(error) = ended {
            let prefix = &*route.label;
            tracing::warn!(prefix, %error, "changes of the source are not learnt for now");
        }
        failures = if useful { 0 } else { failures.saturating_add(1).min(10) };
        let pause = (PAUSE_MIN * 2_u32.pow(failures)).min(PAUSE_MAX);
        tokio::time::sleep(backoff::spread(pause, 0.2, road.entropy.unit())).await;
    }
}

/// Follows a channel until there is a gap.
async fn listen(
    road: &Arc<Road>,
    route: &Route,
    watch: &Watch<'_>,
    channel: &str,
    useful: &mut bool,
) -> Result<()> {
    let backend = road.nodes[route.authority()].backend();
    let mut feed: Box<dyn Feed> = backend.listen(channel, road.clock.deadline_in(STEP)).await?;
    watch.begin().await?;
    *useful = true;
    loop {
        match feed.next().await? {
            Told::Changed(keys) => {
                for key in keys {
                    watch.changed(key.as_bytes()).await?;
                }
            }
            Told::All => watch.all_changed().await?,
            Told::UpTo(_) => watch.say().await,
        }
    }
}

/// Repeats a question until it fails.
async fn poll(
    road: &Arc<Road>,
    route: &Route,
    watch: &Watch<'_>,
    changes: &ChangesConfig,
    query: &str,
    useful: &mut bool,
) -> Result<()> {
    let asked = Asked { road, node: route.authority() };
    let first = asked.first(changes.from.as_deref().unwrap_or("0")).await?;
    watch.begin().await?;
    let statement = Arc::new(Statement { sql: query.to_owned(), rows: Rows::Many });
    let every = changes.every.unwrap_or(ASK_EVERY);
    let mut passed = Passed::new(first);
    loop {
        let now = road.clock.now();
        let mark = passed.mark().argument().to_owned();
        let rows = asked.rows(&statement, vec![mark]).await?;
        let found = Changed::read(&rows)?;
        let full = !found.is_empty();
        let mut news = 0;
        for changed in &found {
            let heard = passed.hears(changed, now);
            if heard != News::Old {
                watch.changed(changed.key.as_bytes()).await?;
            }
            news += usize::from(heard == News::New);
        }
        *useful = true;
        watch.say().await;
        // A question with a LIMIT may have more to tell.
        if !(full && news > 0) {
            tokio::time::sleep(backoff::spread(every, 0.1, road.entropy.unit())).await;
        }
    }
}

/// Questions to the database of a source.
struct Asked<'a> {
    road: &'a Arc<Road>,
    node: NodeId,
}

impl Asked<'_> {
    async fn rows(&self, statement: &Arc<Statement>, arguments: Vec<String>) -> Result<Bytes> {
        let op = Op::Query(Query { statement: Arc::clone(statement), arguments });
        let deadline = self.road.clock.deadline_in(STEP);
        let rows = guard::call(&self.road.nodes[self.node], &op, deadline).await?.into_rows()?;
        Ok(rows.unwrap_or_else(|| Bytes::from_static(b"[]")))
    }

    /// The mark to begin with: as it stands in the configuration, or what a query there says.
    async fn first(&self, from: &str) -> Result<Mark> {
        if !from.trim_start().to_ascii_lowercase().starts_with("select") {
            return Ok(Mark::of_text(from));
        }
        let statement = Arc::new(Statement { sql: from.to_owned(), rows: Rows::Many });
        Mark::read(&self.rows(&statement, Vec::new()).await?)
    }
}

/// Who listens to the changes of one route.
struct Watch<'a> {
    road: &'a Arc<Road>,
    route: &'a Route,
    /// Where listeners tell each other that they listen; none where each process keeps its own.
    cache: Option<NodeId>,
    /// Under which key.
    key: Key,
    /// Whether a change was learnt that could not be passed on: that others listen does not make up for it.
    owes: AtomicBool,
}

impl<'a> Watch<'a> {
    fn new(road: &'a Arc<Road>, route: &'a Route) -> Self {
        let cache = road.domain(route).map(|domain| domain.cache);
        let key = Key::new([Key::RESERVED, b"listens:", &*route.prefix].concat());
        Self { road, route, cache, key, owes: AtomicBool::new(false) }
    }

    /// This process listens from now on. Unless another one did before and still does, nobody knows what was changed.
    async fn begin(&self) -> Result<()> {
        if !self.owes.load(Relaxed) && self.others_listen().await {
            return Ok(());
        }
        self.all_changed().await
    }

    /// Whether somebody says so while this process waits.
    async fn others_listen(&self) -> bool {
        let Some(node) = self.cache else { return false };
        // What was said before this process listened proves nothing.
        let forget = Op::DeleteMany { keys: vec![self.key.clone()] };
        if guard::call(&self.road.nodes[node], &forget, self.soon()).await.is_err() {
            return false;
        }
        let until: Instant = self.road.clock.now() + SAID_FOR;
        let read = Op::Get { key: self.key.clone(), with_ttl: false };
        while self.road.clock.now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            let said = guard::call(&self.road.nodes[node], &read, self.soon()).await;
            if matches!(said.and_then(crate::Reply::into_record), Ok(Some(_))) {
                return true;
            }
        }
        false
    }

    /// Says that this process listens.
    async fn say(&self) {
        let Some(node) = self.cache else { return };
        let set = Op::Set {
            key: self.key.clone(),
            value: Bytes::from_static(b"1"),
            ttl: TtlChange::For(SAID_FOR),
            condition: Condition::Always,
            want_previous: false,
        };
        // Not said: a process that begins meanwhile takes it for a gap, which costs loads and harms nothing.
        drop(guard::call(&self.road.nodes[node], &set, self.soon()).await);
    }

    /// The row of this key was changed; `rest` is what stands after the prefix.
    async fn changed(&self, rest: &[u8]) -> Result<()> {
        let key = Key::new([&*self.route.prefix, rest].concat());
        let told = invalidate::key(self.road, &key, self.soon()).await;
        self.owes.fetch_or(told.is_err(), Relaxed);
        told
    }

    async fn all_changed(&self) -> Result<()> {
        let told = invalidate::prefix(self.road, &self.route.prefix, self.soon()).await;
        self.owes.store(told.is_err(), Relaxed);
        told
    }

    fn soon(&self) -> Deadline {
        self.road.clock.deadline_in(STEP)
    }
}

//! Learns which rows of a source the application has changed behind Mainstay, and invalidates what was loaded from them.
//! It must not know how an invalidation reaches the copies.
//!
//! What happened while nobody listened is unknown: then everything under the prefix is invalidated once, unless another
//! process listened all the time and vouches for it ([`Watch`]).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    backend::{Feed, Told},
    config::ChangesConfig,
    error::Result,
    exec::Road,
    guard::{self, backoff},
    op::{Op, Query, Rows, Statement},
    route::{NodeId, Route},
};

#[cfg(feature = "testing")]
pub(crate) mod fuzz;
mod marks;
mod watch;

use marks::{Changed, Mark, News, Passed};
use watch::Watch;

/// Time for one step.
const STEP: Duration = Duration::from_secs(2);
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
            Told::UpTo(_) => watch.sign_of_life().await,
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
        watch.sign_of_life().await;
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

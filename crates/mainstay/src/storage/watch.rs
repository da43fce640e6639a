//! Watching one storage: its events and counters are shown to the observer, and its history is kept in a file.
//! It must not judge what it shows.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::Storage;
use crate::{
    config::Config,
    error::{Error, ErrorKind, Result},
    event::{EventKind, Events},
    exec::Road,
    node::Node,
    observe::{self, HistoryEntry, HistoryFile, Observer, QUEUE_MAX, Standing, Totals},
    status::Status,
    task::Tasks,
};

/// Time between two samples of the counters.
const TICK: Duration = Duration::from_secs(1);

/// Time for opening the history's file.
const OPEN_WAIT: Duration = Duration::from_secs(2);

/// Where the history is kept, if anywhere: `embedded` is the folder of the database that is there when nothing else is.
pub(super) fn folder(config: &Config, journal: bool, embedded: Option<PathBuf>) -> Option<PathBuf> {
    let of_journal = || journal.then(|| config.journal.dir.clone());
    config.observe.dir.clone().or_else(of_journal).or(embedded)
}

/// Follows the events from now on.
pub(super) async fn open(
    observer: &Observer,
    events: &Events,
    tasks: &Tasks,
    folder: Option<PathBuf>,
) {
    let damaged = match folder {
        None => None,
        Some(folder) => open_file(observer, events, tasks, folder).await,
    };
    let shown = observer.clone();
    events.set_tap(move |event| shown.on_event(event));
    match damaged {
        None | Some(Ok(0)) => {}
        Some(Ok(lines)) => {
            let reason = format!("{lines} lines cannot be read and were left out");
            events.publish(None, EventKind::History { state: "damaged" }, reason);
        }
        Some(Err(problem)) => {
            observer.set_memory_alone(problem.clone());
            events.publish(None, EventKind::History { state: "memory" }, problem);
        }
    }
}

/// How many lines could not be read, or why there is no file.
async fn open_file(
    observer: &Observer,
    events: &Events,
    tasks: &Tasks,
    folder: PathBuf,
) -> Option<std::result::Result<u64, String>> {
    let (rings, shown) = (observer.rings(), folder.display().to_string());
    let opening = tokio::task::spawn_blocking(move || HistoryFile::open(&folder, rings));
    let opened = match tokio::time::timeout(OPEN_WAIT, opening).await {
        Ok(Ok(Ok(opened))) => opened,
        Ok(Ok(Err(error))) => return Some(Err(format!("{shown}: {error}"))),
        Ok(Err(_)) => return Some(Err(format!("{shown}: opening it ended early"))),
        Err(_) => return Some(Err(format!("{shown}: the disk does not answer"))),
    };
    let (file, damaged) = opened;
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    observer.set_file(file.path(), file.rings(), damaged, sender);
    let (observer, events) = (observer.clone(), events.clone());
    // Ends by itself when the storage closes, once all is written.
    tasks.spawn_to_end(observe::write(observer, events, tasks.clone(), queue, file));
    Some(Ok(damaged))
}

/// Samples the counters, and publishes what follows from them. Never ends.
pub(super) async fn keep(road: Arc<Road>, observer: Observer) {
    loop {
        tokio::time::sleep(TICK).await;
        let now = road.clock.now();
        for (id, kind) in observer.tick(now, road.clock.unix_ms(), totals(&road)) {
            road.nodes[id].publish(kind, "");
        }
    }
}

/// Fills in what the observer knows.
pub(super) fn fill(road: &Road, observer: &Observer, status: &mut Status) {
    let standing = Standing {
        connected: count(&road.nodes, |node| node.vitals().lifecycle.is_connected()),
        all: count(&road.nodes, |_| true),
    };
    observer.fill(status, road.clock.now(), totals(road), standing);
}

/// Everything that is counted.
pub(super) fn totals(road: &Road) -> Totals {
    let mut totals = road.counts.totals(&road.table);
    for node in road.nodes.iter().filter(|node| !node.is_local()) {
        let reconnect = node.vitals().lifecycle.status();
        totals.connects += reconnect.connects_total;
        totals.failures += reconnect.failures_total;
    }
    totals
}

fn count(nodes: &[Arc<Node>], holds: impl Fn(&Node) -> bool) -> u64 {
    nodes.iter().filter(|node| !node.is_local() && holds(node)).count() as u64
}

impl Storage {
    /// The last `limit` entries of the connection history, oldest first; of one backend: those about it and about the
    /// storage's starts and ends.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown backend.
    pub fn history(&self, backend: Option<&str>, limit: usize) -> Result<Vec<HistoryEntry>> {
        if let Some(name) = backend {
            self.node(name)
                .map_err(|error| Error::new(ErrorKind::InvalidArgument, error.message()))?;
        }
        Ok(self.0.observer.history(backend, limit))
    }
}

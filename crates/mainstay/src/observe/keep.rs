//! Who writes the history's file: in the background, from a bounded queue.
//! It must not make anybody wait; a disk that fails ends it, and nothing else.

use std::{io, time::Duration};

use tokio::sync::mpsc::Receiver;

use super::{Observer, file::HistoryFile, history::HistoryEntry};
use crate::{
    event::{EventKind, Events},
    task::Tasks,
};

/// Entries that may wait for the disk.
pub(crate) const QUEUE_MAX: usize = 1024;

/// Entries that are written together.
const BATCH_MAX: usize = 256;

/// Time for the last entries while the storage closes.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Writes what comes; ends when the disk fails, or when the storage closes and all is written.
pub(crate) async fn write(
    observer: Observer,
    events: Events,
    tasks: Tasks,
    mut queue: Receiver<HistoryEntry>,
    file: HistoryFile,
) {
    let mut file = file;
    loop {
        let batch = tokio::select! {
            biased;
            batch = next(&mut queue) => batch,
            // The last events are those of the closing itself: what has come by now is written, nothing comes after it.
            () = tasks.closing() => {
                queue.close();
                next(&mut queue).await
            }
        };
        if batch.is_empty() {
            return;
        }
        match append(&tasks, file, batch).await {
            Ok(same) => file = same,
            Err(error) => {
                observer.set_memory_alone(format!("the file cannot be written: {error}"));
                let kind = EventKind::History { state: "memory" };
                return events.publish(None, kind, error.to_string());
            }
        }
    }
}

/// What waits, at least one entry; nothing when the queue has ended.
async fn next(queue: &mut Receiver<HistoryEntry>) -> Vec<HistoryEntry> {
    let mut batch = Vec::new();
    queue.recv_many(&mut batch, BATCH_MAX).await;
    batch
}

/// A disk that does not answer must not keep the storage from closing.
async fn append(
    tasks: &Tasks,
    mut file: HistoryFile,
    batch: Vec<HistoryEntry>,
) -> io::Result<HistoryFile> {
    let written = tokio::task::spawn_blocking(move || file.append(batch).map(|()| file));
    let late = async {
        tasks.closing().await;
        tokio::time::sleep(LAST_WAIT).await;
    };
    tokio::select! {
        biased;
        written = written => {
            written.unwrap_or_else(|_| Err(io::Error::other("the writer ended early")))
        }
        () = late => Err(io::Error::new(io::ErrorKind::TimedOut, "the disk is too slow")),
    }
}

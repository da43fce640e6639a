//! One opened database: the lane of the writer and the lane of the readers.
//! It must not know how it is opened anew, nor by whom.

use std::sync::Arc;

use tokio::time::timeout_at;

use super::{
    group,
    lane::{Job, Lane, Worker},
    location::{FileIdentity, Location},
    schema,
    work::{Rules, Work, perform},
};
use crate::{
    clock::Deadline,
    error::{Effect, Error, ErrorKind, Result},
    live::LiveSize,
    reply::Reply,
};

/// How a database is opened.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) location: Location,
    pub(super) readers: usize,
    pub(super) queue_max: Arc<LiveSize>,
    pub(super) rules: Rules,
}

/// One opened database.
#[derive(Debug)]
pub(super) struct Client {
    write: Arc<Lane>,
    /// None in memory, where only one connection sees the data.
    read: Option<Arc<Lane>>,
    rules: Rules,
}

impl Client {
    /// Blocks. A missing file is created where `create` says so.
    pub(super) fn open(plan: Plan, create: bool) -> Result<Self> {
        let Plan { location, readers, queue_max, mut rules } = plan;
        let writer = schema::open_writer(&location, create)?;
        let write = Arc::new(Lane::new(vec![writer], Arc::clone(&queue_max)));
        let Location::File(path) = location else { return Ok(Self { write, read: None, rules }) };
        let readers = (0..readers).map(|_| schema::open_reader(&path)).collect::<Result<_>>()?;
        rules.file = Some(FileIdentity::of(&path)?);
        Ok(Self { write, read: Some(Arc::new(Lane::new(readers, queue_max))), rules })
    }

    /// Has it done by a worker.
    pub(super) async fn run(self: &Arc<Self>, work: Work, deadline: Deadline) -> Result<Reply> {
        let writes = work.writes();
        let (job, stage, answer) = Job::new(work, deadline);
        match &self.read {
            Some(lane) if !writes => {
                self.start(lane.push(job)?, read_all);
            }
            _ => self.start(self.write.push(job)?, group::serve),
        }
        let effect = |begun| if begun && writes { Effect::Unknown } else { Effect::None };
        match timeout_at(deadline.instant(), answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_dropped)) => {
                let error = Error::new(ErrorKind::Internal, "the worker ended without an answer");
                Err(error.with_effect(effect(!stage.give_up())))
            }
            Err(_elapsed) => {
                let begun = !stage.give_up();
                let what = if begun {
                    "SQLite did not end in time"
                } else {
                    "SQLite was busy for too long"
                };
                Err(Error::new(ErrorKind::Timeout, what).with_effect(effect(begun)))
            }
        }
    }

    /// Refuses what waits, waits for what is under way, closes the connections.
    pub(super) async fn shut(&self) {
        if let Some(read) = &self.read {
            read.shut().await;
        }
        self.write.shut().await;
    }

    fn start(self: &Arc<Self>, worker: Option<Worker>, serve: fn(Worker, &Rules)) {
        if let Some(worker) = worker {
            let client = Arc::clone(self);
            drop(tokio::task::spawn_blocking(move || serve(worker, &client.rules)));
        }
    }
}

fn read_all(mut worker: Worker, rules: &Rules) {
    while let Some((connection, jobs)) = worker.next(1, usize::MAX) {
        for job in jobs.into_iter().filter(Job::begin) {
            let result = perform(connection, &job, rules);
            job.answer(result);
        }
    }
}

#[cfg(test)]
impl Client {
    /// Does something to the writer's connection.
    pub(super) fn with_writer(&self, each: impl FnOnce(&rusqlite::Connection)) {
        self.write.with_idle(each);
    }
}

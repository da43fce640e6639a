//! The writer: all writes that wait go into one transaction, and are answered when it is on the disk.
//! It must not know what the writes are.

use rusqlite::Connection;

use super::{
    classify,
    lane::{Job, Worker},
    work::{Rules, perform},
};
use crate::error::{Error, ErrorKind, Result};

/// Jobs of one transaction at most.
const JOBS_MAX: usize = 256;

/// Bytes after which a transaction takes no more jobs.
const BYTES_MAX: usize = 4 << 20;

/// Serves until no job waits.
pub(super) fn serve(mut worker: Worker, rules: &Rules) {
    while let Some((connection, jobs)) = worker.next(JOBS_MAX, BYTES_MAX) {
        let jobs = begin(connection, jobs, rules);
        if !jobs.is_empty() {
            run(connection, jobs, rules);
        }
    }
}

/// Takes the write lock, or waits for it as long as somebody waits for an answer. Returns the jobs to be done.
fn begin(connection: &Connection, mut jobs: Vec<Job>, rules: &Rules) -> Vec<Job> {
    while !jobs.is_empty() {
        match connection.execute_batch("BEGIN IMMEDIATE").map_err(classify::error) {
            Ok(()) => return jobs,
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let reason = "another process held the write lock for too long";
                jobs = without_overdue(jobs, rules, reason);
            }
            Err(error) => jobs.drain(..).for_each(|job| job.answer(Err(error.clone()))),
        }
    }
    jobs
}

fn without_overdue(jobs: Vec<Job>, rules: &Rules, reason: &str) -> Vec<Job> {
    let now = rules.clock.now();
    let (overdue, due): (Vec<Job>, Vec<Job>) =
        jobs.into_iter().filter(Job::is_awaited).partition(|job| job.overdue(now));
    for job in overdue {
        job.answer(Err(Error::new(ErrorKind::Timeout, reason)));
    }
    due
}

/// Does the jobs in the open transaction, ends it, and answers.
fn run(connection: &Connection, jobs: Vec<Job>, rules: &Rules) {
    let mut done = Vec::with_capacity(jobs.len());
    let mut lost = None;
    for job in without_overdue(jobs, rules, "the deadline passed in the queue of the writer") {
        if let Some(error) = &lost {
            job.answer(Err(Error::clone(error)));
        } else if job.begin() {
            let result = perform(connection, &job, rules);
            // A full disk, for one, makes SQLite roll back everything at once.
            lost = result.as_ref().err().filter(|_| connection.is_autocommit()).cloned();
            done.push((job, result));
        }
    }
    let end = lost.map_or_else(|| commit(connection, rules), Err);
    for (job, result) in done {
        job.answer(match &end {
            Ok(()) => result,
            Err(error) => result.and_then(|_| Err(error.clone())),
        });
    }
}

fn commit(connection: &Connection, rules: &Rules) -> Result<()> {
    let checked = rules.check_file();
    let committed =
        checked.and_then(|()| connection.execute_batch("COMMIT").map_err(classify::commit_error));
    if committed.is_err()
        && !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::warn!(%error, "a transaction could not be rolled back");
    }
    committed
}

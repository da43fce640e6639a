//! The writer: all writes that wait go into one transaction, and are answered when it is on the disk.
//! It must not know what the writes are.

use rusqlite::Connection;

use super::{
    classify, control,
    lane::{Job, Worker},
    work::{Rules, perform},
};
use crate::{
    error::{Error, ErrorKind, Result},
    reply::Reply,
};

/// Jobs of one transaction at most.
const JOBS_MAX: usize = 256;

/// Bytes after which a transaction takes no more jobs.
const BYTES_MAX: usize = 4 << 20;

/// How often a group is begun again because it came too late for one of its jobs.
const ROUNDS_MAX: usize = 4;

/// A job and how it ended, as far as the transaction is committed.
type Done = Vec<(Job, Result<Reply>)>;

/// Serves until no job waits.
pub(super) fn serve(mut worker: Worker, rules: &Rules) {
    while let Some((connection, mut jobs)) = worker.next(JOBS_MAX, BYTES_MAX) {
        for _ in 0..ROUNDS_MAX {
            jobs = begin(connection, jobs, rules);
            if jobs.is_empty() {
                break;
            }
            let (done, lost) = perform_all(connection, jobs, rules);
            jobs = end(connection, done, lost, rules);
        }
        let again = "the group was too late for one of its writes, again and again";
        jobs.into_iter().for_each(|job| job.answer(Err(Error::new(ErrorKind::Conflict, again))));
    }
}

/// Takes the write lock, or waits for it as long as somebody waits for an answer. Returns the jobs to be done.
pub(super) fn begin(connection: &Connection, mut jobs: Vec<Job>, rules: &Rules) -> Vec<Job> {
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

/// Does the jobs in the open transaction; with them the error that ended it early, if one did.
pub(super) fn perform_all(
    connection: &Connection,
    jobs: Vec<Job>,
    rules: &Rules,
) -> (Done, Option<Error>) {
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
    (done, lost)
}

/// Ends the transaction and answers. What comes back was rolled back, and is to be done again: the time by which one of
/// them had to be committed has passed since it was performed.
pub(super) fn end(
    connection: &Connection,
    done: Done,
    lost: Option<Error>,
    rules: &Rules,
) -> Vec<Job> {
    let end = match lost {
        Some(error) => Err(error),
        None => match rules.check_file().and_then(|()| is_late(connection, &done)) {
            Ok(true) => {
                roll_back(connection);
                return done.into_iter().map(|(job, _)| job).collect();
            }
            // Nothing may come between the look at the clock and the commit.
            Ok(false) => connection.execute_batch("COMMIT").map_err(classify::commit_error),
            Err(error) => Err(error),
        },
    };
    if end.is_err() {
        roll_back(connection);
    }
    for (job, result) in done {
        job.answer(match &end {
            Ok(()) => result,
            Err(error) => result.and_then(|_| Err(error.clone())),
        });
    }
    Vec::new()
}

fn is_late(connection: &Connection, done: &Done) -> Result<bool> {
    let times = done.iter().filter_map(|(job, result)| {
        result.as_ref().ok().and_then(|reply| job.work.commit_by_us(reply))
    });
    let Some(first_us) = times.min() else { return Ok(false) };
    Ok(control::now_us(connection)? >= first_us)
}

fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::warn!(%error, "a transaction could not be rolled back");
    }
}

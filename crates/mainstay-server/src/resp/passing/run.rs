//! What takes a connection of its own: a command that blocks, WATCH, and what EXEC performs together.
//! It must not know what the commands mean.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use mainstay::{Effect, Error, RawOp, RawValue, Storage};

use super::{Lease, Lines, Nulls, encode};
use crate::resp::{
    command::args::{integer, is},
    error::Failure,
    reply::Output,
};

/// How often it is looked whether the backend still takes calls.
const LOOK: Duration = Duration::from_millis(200);

/// A command that blocks answers this much later than it said, or not at all.
const GRACE: Duration = Duration::from_secs(2);

type Result<T> = std::result::Result<T, Failure>;

/// A command that may wait in the server.
#[derive(Debug)]
pub(in crate::resp) struct Blocking {
    pub(in crate::resp) op: RawOp,
    pub(in crate::resp) nulls: Nulls,
    /// How long it waits; `None`: for ever.
    pub(in crate::resp) wait: Option<Duration>,
}

/// WATCH on keys that are passed through.
#[derive(Debug)]
pub(in crate::resp) struct Watching {
    pub(in crate::resp) op: RawOp,
    /// The connection that watches keys already.
    pub(in crate::resp) lease: Option<Lease>,
}

/// What EXEC performs on keys that are passed through.
#[derive(Debug)]
pub(in crate::resp) struct Together {
    pub(in crate::resp) backend: Arc<str>,
    pub(in crate::resp) commands: Vec<Vec<Bytes>>,
    pub(in crate::resp) resp3: bool,
    pub(in crate::resp) lease: Option<Lease>,
}

fn broken(backend: &str, error: &Error) -> Failure {
    let unknown = if error.effect() == Effect::Unknown { "; outcome unknown" } else { "" };
    Failure::new(format!("UNAVAILABLE {backend} {}{unknown}; retry_after_ms=1000", error.message()))
}

fn late(backend: &str) -> Failure {
    Failure::new(format!(
        "UNAVAILABLE {backend} no answer in time; outcome unknown; retry_after_ms=1000"
    ))
}

/// Ends when the backend takes no calls any more.
async fn gone(storage: &Storage, backend: &str) -> Failure {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(error) = storage.refusal(backend) {
            return Failure::from(error.with_effect(Effect::Unknown));
        }
    }
}

/// Sends over a lent connection, while the backend takes calls and for so long at most.
async fn send(
    storage: &Storage,
    lease: &mut Lease,
    commands: Vec<Vec<Bytes>>,
    limit: Option<Duration>,
) -> Result<Vec<RawValue>> {
    let backend = Arc::clone(&lease.backend);
    let limit: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = match limit {
        Some(limit) => Box::pin(tokio::time::sleep(limit)),
        None => Box::pin(std::future::pending()),
    };
    tokio::select! {
        biased;
        answers = lease.line.send(commands) => answers.map_err(|error| broken(&backend, &error)),
        failure = gone(storage, &backend) => Err(failure),
        () = limit => Err(late(&backend)),
    }
}

/// Performs a command that may wait. Dropped, its connection is closed: the server gives it up.
pub(in crate::resp) async fn block(
    storage: &Storage,
    lines: &Lines,
    asked: Blocking,
) -> Result<RawValue> {
    let Blocking { op, wait, .. } = asked;
    let deadline = storage.clock().deadline_in(storage.config().limits.deadline);
    let mut lease = lines.take(storage, &op.backend, op.resp3, deadline).await?;
    let limit = wait.map(|wait| wait.saturating_add(GRACE));
    let mut answers = send(storage, &mut lease, vec![op.words], limit).await?;
    lines.give(lease);
    Ok(answers.pop().unwrap_or(RawValue::Nil))
}

/// Watches keys on a connection that is kept until EXEC.
pub(in crate::resp) async fn watch(
    storage: &Storage,
    lines: &Lines,
    asked: Watching,
) -> Result<(Lease, RawValue)> {
    let Watching { op, lease } = asked;
    let time = storage.config().limits.deadline;
    let mut lease = match lease {
        Some(lease) if lease.backend == op.backend => lease,
        Some(_) => {
            return Err(Failure::fixed("ERR watched keys are passed through to several Redis"));
        }
        None => {
            let deadline = storage.clock().deadline_in(time);
            lines.take(storage, &op.backend, op.resp3, deadline).await?
        }
    };
    let mut answers = send(storage, &mut lease, vec![op.words], Some(time)).await?;
    Ok((lease, answers.pop().unwrap_or(RawValue::Nil)))
}

/// Performs commands as one transaction of the server. The answer to EXEC, as it is sent.
pub(in crate::resp) async fn together(
    storage: &Storage,
    lines: &Lines,
    asked: Together,
    out: &mut Output,
) -> Result<()> {
    let Together { backend, commands, resp3, lease } = asked;
    let time = storage.config().limits.deadline;
    let mut lease = match lease {
        Some(lease) if lease.backend == backend => lease,
        Some(_) => {
            return Err(Failure::fixed("ERR watched keys are passed through to another Redis"));
        }
        None => {
            let deadline = storage.clock().deadline_in(time);
            lines.take(storage, &backend, resp3, deadline).await?
        }
    };
    let written: Vec<Written> = commands.iter().map(|words| Written::of(words)).collect();
    let word = |word: &'static [u8]| vec![Bytes::from_static(word)];
    // The connection is for others afterwards: its database stays what it is.
    let sent = commands.into_iter().zip(&written).map(|(words, written)| match written {
        Written::Redis(_) => words,
        Written::Here(_) => word(b"PING"),
    });
    let all = std::iter::once(word(b"MULTI")).chain(sent).chain([word(b"EXEC")]).collect();
    let mut answers = send(storage, &mut lease, all, Some(time)).await?;
    match answers.pop() {
        Some(RawValue::Array(values)) if values.len() == written.len() => {
            out.array(values.len());
            for (value, written) in values.into_iter().zip(written) {
                match written {
                    Written::Redis(nulls) => encode(value, nulls, out),
                    Written::Here(Ok(())) => out.ok(),
                    Written::Here(Err(failure)) => out.error(failure.text()),
                }
            }
        }
        Some(RawValue::Nil) => out.null_array(),
        Some(RawValue::Error(text)) if text.starts_with("EXECABORT") => out.error(&text),
        // The lease is dropped, and its connection with it.
        _ => {
            return Err(Failure::new(format!(
                "UNAVAILABLE {backend} the connection is out of step; outcome unknown; retry_after_ms=1000"
            )));
        }
    }
    lines.give(lease);
    Ok(())
}

/// Who has the last word on an answer within EXEC.
enum Written {
    Redis(Nulls),
    /// SELECT: there is only one database.
    Here(Result<()>),
}

impl Written {
    fn of(words: &[Bytes]) -> Self {
        match words {
            [name, database] if is(name, "select") => {
                Self::Here(integer(database).and_then(|number| match number {
                    0 => Ok(()),
                    _ => Err(Failure::DATABASE),
                }))
            }
            _ => Self::Redis(Nulls::of(words)),
        }
    }
}

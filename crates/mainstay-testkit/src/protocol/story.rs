//! A counter-example in words: one line for each step.
//! It must not decide anything.

use super::Protocol;
use super::entry::{Entry, Value};
use super::scenario::Write;
use super::state::{Draining, Reading, State, Writing, Wrong};
use super::step::{ControlStep, ReadStep, Step, WriteStep};

/// Where the story begins.
pub(super) fn opening(state: &State) -> String {
    let entry = state.redis.entries.first().copied().unwrap_or(Entry::Absent);
    format!("The record holds v1; Redis {}.", held(entry))
}

/// What the step did.
pub(super) fn line(protocol: &Protocol, before: &State, step: Step, after: &State) -> String {
    match step {
        Step::Write(by, step) => writing(protocol, before, by, step, after),
        Step::Read(by, step) => format!("Reader {by} {}.", reading(before, by, step, after)),
        Step::Drain(by) => format!("Drain {by} {}.", draining(before, by, after)),
        Step::DrainStrays(by) => format!("Drain {by} reaches another server."),
        Step::Control(step) => control(step, after),
        Step::MarkExpires(generation, nonce) => format!(
            "The mark {} expires; Redis{} {}.",
            name(nonce),
            place(generation),
            redis(after, generation)
        ),
        Step::TokenExpires(generation) => {
            format!("The fill token in Redis{} expires.", place(generation))
        }
        Step::MarkIsEvicted(generation) => {
            format!("The mark in Redis{} is evicted.", place(generation))
        }
        Step::ValueVanishes(generation) => {
            format!("The value in Redis{} is evicted.", place(generation))
        }
    }
}

/// What the witness says.
pub(super) fn end(state: &State) -> String {
    match state.witness.wrong {
        Some(Wrong::StaleRead { got, known }) => {
            format!(
                "WRONG: the read returned change {got}, though change {known} was known before it began."
            )
        }
        Some(Wrong::SessionWentBack { got, known }) => {
            format!("WRONG: the session got change {got} after it had seen change {known}.")
        }
        Some(Wrong::AppliedTwice { writer }) => {
            format!("WRONG: the write of writer {writer} was applied twice.")
        }
        None => {
            let generation = state.record.control.generation;
            let (row, held) = (value(state.record.row), redis(state, generation));
            format!("WRONG: the record holds {row}, Redis {held}, and nothing forbids to read it.")
        }
    }
}

fn writing(
    protocol: &Protocol,
    before: &State,
    by: usize,
    step: WriteStep,
    after: &State,
) -> String {
    let what = kind(protocol.scenario.writes[by]);
    let (was, is) = (&before.writers[by], &after.writers[by]);
    let now = |generation: u8| format!("Redis{} {}", place(generation), redis(after, generation));
    let retried = if is.writing == Writing::Idle { "will try again" } else { "gives up" };
    let did = match step {
        WriteStep::Begin if is.writing == Writing::Around => {
            format!("begins a {what}: the cache is degraded or another server")
        }
        WriteStep::Begin => format!("begins a {what}, epoch {}", after.record.control.epoch),
        WriteStep::Mark => match is.writing {
            Writing::Marked(view) => format!("marks; {}", now(view.generation)),
            _ => "marks in a Redis that has restarted: it goes around Redis".to_owned(),
        },
        WriteStep::MarkStrays => "marks, but in another server".to_owned(),
        WriteStep::MarkTimesOut => "gets no reply to its mark: it goes around Redis".to_owned(),
        WriteStep::MarkArrivesLate => {
            let at = was.late_mark.map_or(0, |(generation, _)| generation);
            return format!("A late mark of writer {by} arrives; {}.", now(at));
        }
        WriteStep::UnmarkArrives => {
            let (at, _, clean) = was.late_unmark.unwrap_or_default();
            let kind = if clean { "clean" } else { "unclean" };
            return format!("The {kind} unmark of writer {by} arrives; {}.", now(at));
        }
        WriteStep::Check if matches!(is.writing, Writing::Committing(_)) => {
            "sends its statement, which finds epoch and deadline good".to_owned()
        }
        WriteStep::Check => format!("is refused, for the epoch has moved; it {retried}"),
        WriteStep::GiveUp => "stops before its commit".to_owned(),
        WriteStep::Commit => format!("commits{}", committed(is.writing)),
        WriteStep::Abort => "has its statement rolled back and gives up".to_owned(),
        WriteStep::Repeat => "has its statement rolled back and sends it again".to_owned(),
        WriteStep::RetryUnknown => format!("gets no reply to its commit and {retried}"),
        WriteStep::PublishArrives => {
            let at = was.publish.map_or(0, |(generation, _, _)| generation);
            return format!("The publish of writer {by} arrives; {}.", now(at));
        }
        WriteStep::DrainArrives => "drains the key for its own write".to_owned(),
        WriteStep::DrainStrays => "drains the key, but in another server".to_owned(),
        WriteStep::MakeDirty => {
            "has no word that its publish found its mark: it makes the key dirty".to_owned()
        }
        WriteStep::Acknowledge => "is acknowledged".to_owned(),
        WriteStep::SendAround => match is.writing {
            Writing::Around => "makes the key dirty and has to wait".to_owned(),
            Writing::InDegraded => "is let in: the cache is degraded".to_owned(),
            writing => format!("commits around Redis{}", committed(writing)),
        },
        WriteStep::CommitInDegraded => format!("commits, degraded,{}", committed(is.writing)),
    };
    format!("Writer {by} {did}.")
}

fn kind(write: Write) -> &'static str {
    match write {
        Write::Set => "set",
        Write::SetMortal => "set with a time to live",
        Write::Delete => "delete",
        Write::CompareAndSet => "compare-and-set",
    }
}

fn committed(writing: Writing) -> String {
    match writing {
        Writing::Committed(written) | Writing::Confirmed(written) => format!(" {}", value(written)),
        _ => " nothing: the version is another".to_owned(),
    }
}

fn reading(before: &State, by: usize, step: ReadStep, after: &State) -> String {
    let (was, is) = (&before.readers[by], &after.readers[by]);
    let returned = if is.reads > was.reads { ": the read returns" } else { "" };
    match step {
        ReadStep::Renew => match is.lease {
            Some(lease) => format!(
                "gets a lease: epoch {}, generation {}, the key is {}",
                lease.view.epoch,
                lease.view.generation,
                if lease.dirty { "dirty" } else { "clean" }
            ),
            None => "gets no lease".to_owned(),
        },
        ReadStep::LeaseEnds if is.lease.is_none() => "holds no lease any more".to_owned(),
        ReadStep::LeaseEnds => "outlives the lease that its read was asked under".to_owned(),
        ReadStep::Ask => "asks Redis".to_owned(),
        ReadStep::RedisReplies => match is.reading {
            Reading::Replied { value: got, .. } => format!("is replied {} by Redis", value(got)),
            Reading::Missed { .. } => "is replied by Redis that there is nothing".to_owned(),
            _ => "is shown a mark or a token by Redis".to_owned(),
        },
        ReadStep::Serve if is.reads > was.reads => "serves the reply of Redis".to_owned(),
        ReadStep::Serve => "may not use the reply of Redis and goes to the record".to_owned(),
        ReadStep::TakeToken => match is.reading {
            Reading::AtRecord { token: Some(_), .. } => "takes a fill token".to_owned(),
            _ => "gets no fill token".to_owned(),
        },
        ReadStep::TokenArrivesAgain => "has its request for a token repeated".to_owned(),
        ReadStep::ReadRecord => {
            format!("reads {} from the record{returned}", value(before.record.row))
        }
        ReadStep::Return => "returns what the record answered".to_owned(),
        ReadStep::Join(other) => {
            format!("begins, and takes the answer that reader {other} waits for")
        }
        ReadStep::FillArrives => {
            let at = was.fill.map_or(0, |(generation, _, _)| generation);
            format!("has its fill arrive; Redis{} {}", place(at), redis(after, at))
        }
    }
}

fn draining(before: &State, by: usize, after: &State) -> String {
    match (before.drains[by], after.drains[by]) {
        (Draining::Selected { generation, .. }, _) => {
            format!("reaches Redis{}, which {}", place(generation), redis(after, generation))
        }
        (_, Draining::Selected { .. }) => "finds the dirty row".to_owned(),
        _ if !after.record.dirty => "deletes the dirty row".to_owned(),
        _ => "leaves the dirty row, which has changed".to_owned(),
    }
}

fn control(step: ControlStep, after: &State) -> String {
    let control = after.record.control;
    match step {
        ControlStep::Degrade => format!("The cache is degraded: epoch {}.", control.epoch),
        ControlStep::Readmit => format!(
            "The cache is readmitted: epoch {}, generation {}.",
            control.epoch, control.generation
        ),
        ControlStep::RedisRestarts => {
            "Redis restarts from an old snapshot, which holds v1.".to_owned()
        }
        ControlStep::RecordExpires => "The record's value expires.".to_owned(),
    }
}

fn redis(state: &State, generation: u8) -> String {
    held(state.redis.entries.get(usize::from(generation)).copied().unwrap_or(Entry::Absent))
}

fn held(entry: Entry) -> String {
    match entry {
        Entry::Absent => "holds nothing".to_owned(),
        Entry::Value(got) => format!("holds {}", value(got)),
        Entry::Marked(marks) => {
            let nonces = (0..u16::BITS).map(|at| 1 << at).filter(|nonce| marks.nonces & nonce != 0);
            let names: Vec<String> = nonces.map(name).collect();
            format!("holds the mark {}", names.join(" and "))
        }
        Entry::Token(_) => "holds a fill token".to_owned(),
    }
}

fn value(value: Value) -> String {
    let kind = if value.deleted { " (nothing)" } else { "" };
    let change = if value.serial == value.version {
        String::new()
    } else {
        format!(", change {}", value.serial)
    };
    format!("v{}{kind}{change}", value.version)
}

/// Writer and attempt of a nonce.
fn name(nonce: u16) -> String {
    let at = nonce.trailing_zeros();
    format!("{}.{}", at / 3, at % 3 + 1)
}

fn place(generation: u8) -> String {
    if generation == 0 { String::new() } else { format!(" (generation {generation})") }
}

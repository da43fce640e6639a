//! The shapes of answers: one function each, named in the job and called when the answer is there.
//! It must not know which command asked.

use bytes::Bytes;
use mainstay::{Answer, Clock, Error, ErrorKind, Outcome, Result, Ttl, hash};

use crate::resp::reply::Output;

/// A value or null.
pub(super) fn value(answer: Answer, _: &Clock, out: &mut Output) -> Result<()> {
    let value = answer.reply.into_record()?.map(|record| record.value);
    if value.as_deref().is_some_and(hash::is_hash) {
        return Err(hash::wrong_type());
    }
    out.optional(value);
    Ok(())
}

/// Values, or nulls for what is missing or no string.
pub(super) fn values(answer: Answer, _: &Clock, out: &mut Output) -> Result<()> {
    let records = answer.reply.into_records()?;
    out.array(records.len());
    for record in records {
        let value = record.map(|record| record.value);
        out.optional(value.filter(|value| !hash::is_hash(value)));
    }
    Ok(())
}

/// A count or a length.
pub(super) fn integer(answer: Answer, _: &Clock, out: &mut Output) -> Result<()> {
    out.integer(answer.reply.into_integer()?);
    Ok(())
}

/// OK, whatever was there before.
pub(super) fn ok(answer: Answer, _: &Clock, out: &mut Output) -> Result<()> {
    answer.reply.into_written()?;
    out.ok();
    Ok(())
}

/// OK, or null when the condition did not hold.
pub(super) fn ok_or_null(answer: Answer, _: &Clock, out: &mut Output) -> Result<()> {
    if answer.reply.into_written()?.applied {
        out.ok();
    } else {
        out.null();
    }
    Ok(())
}

/// 1 when the write was applied, else 0.
pub(super) fn applied(answer: Answer, _: &Clock, out: &mut Output) -> Result<()> {
    out.integer(i64::from(answer.reply.into_written()?.applied));
    Ok(())
}

/// What was there before, or null.
pub(super) fn previous(answer: Answer, _: &Clock, out: &mut Output) -> Result<()> {
    out.optional(answer.reply.into_written()?.previous.map(|record| record.value));
    Ok(())
}

/// The number that a write computed.
pub(super) fn computed(answer: Answer, _: &Clock, out: &mut Output) -> Result<()> {
    match answer.reply.into_written()?.outcome {
        Outcome::Integer(number) => out.integer(number),
        Outcome::Text(_) | Outcome::None => return Err(outcome_missing()),
    }
    Ok(())
}

/// The float that a write computed.
pub(super) fn computed_text(answer: Answer, _: &Clock, out: &mut Output) -> Result<()> {
    match answer.reply.into_written()?.outcome {
        Outcome::Text(text) => out.bulk(&text),
        Outcome::Integer(_) | Outcome::None => return Err(outcome_missing()),
    }
    Ok(())
}

fn outcome_missing() -> Error {
    Error::new(ErrorKind::Internal, "a backend did not say what the write computed")
}

/// Time left in whole seconds, rounded; -1: for ever; -2: no such key.
pub(super) fn seconds_left(answer: Answer, _: &Clock, out: &mut Output) -> Result<()> {
    let ms = ms_left(answer)?;
    out.integer(if ms < 0 { ms } else { ms.saturating_add(500) / 1000 });
    Ok(())
}

/// Time left in milliseconds.
pub(super) fn milliseconds_left(answer: Answer, _: &Clock, out: &mut Output) -> Result<()> {
    out.integer(ms_left(answer)?);
    Ok(())
}

/// When the key expires, Unix seconds.
pub(super) fn expires_at_seconds(answer: Answer, clock: &Clock, out: &mut Output) -> Result<()> {
    let ms = ms_left(answer)?;
    let at = clock.unix_ms().saturating_add(ms);
    out.integer(if ms < 0 { ms } else { at.saturating_add(500) / 1000 });
    Ok(())
}

/// When the key expires, Unix milliseconds.
pub(super) fn expires_at_milliseconds(
    answer: Answer,
    clock: &Clock,
    out: &mut Output,
) -> Result<()> {
    let ms = ms_left(answer)?;
    out.integer(if ms < 0 { ms } else { clock.unix_ms().saturating_add(ms) });
    Ok(())
}

fn ms_left(answer: Answer) -> Result<i64> {
    Ok(match answer.reply.into_ttl()? {
        Ttl::Missing => -2,
        Ttl::Persistent => -1,
        Ttl::Left(left) => i64::try_from(left.as_millis()).unwrap_or(i64::MAX),
    })
}

/// Where a value came from and what it is worth, without the value; null when there is none.
pub(super) fn meta(answer: Answer, _: &Clock, out: &mut Output) -> Result<()> {
    let (source, stale, age) = (answer.source, answer.stale, answer.age);
    let worth = answer.worth.as_str();
    let Some(record) = answer.reply.into_record()? else {
        out.null();
        return Ok(());
    };
    let ms = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    out.map(7);
    out.bulk(b"source");
    out.bulk(source.as_bytes());
    out.bulk(b"stale");
    out.boolean(stale);
    out.bulk(b"worth");
    out.bulk(worth.as_bytes());
    out.bulk(b"age_ms");
    optional_integer(out, age.map(ms));
    out.bulk(b"ttl_ms");
    optional_integer(out, record.ttl.map(ms));
    out.bulk(b"version");
    out.optional(record.version.map(|version| Bytes::from(version.to_string())));
    out.bulk(b"length");
    out.integer(i64::try_from(record.value.len()).unwrap_or(i64::MAX));
    Ok(())
}

fn optional_integer(out: &mut Output, number: Option<i64>) {
    match number {
        Some(number) => out.integer(number),
        None => out.null(),
    }
}

//! TTL, EXPIRE and their kin.
//! It must not know whose clock counts.

use bytes::Bytes;
use mainstay::{ExpireCondition, Op, TtlChange};

use crate::resp::{
    command::{
        Encode, Job, Parsed, Request,
        args::{From, Unit, any_expiry, integer, is, key},
        encode,
        sequence::Sequence,
    },
    error::Failure,
};

fn left(request: &Request<'_>, encode: Encode) -> Parsed<Job> {
    Ok(Job::Op(Op::TimeToLive { key: key(&request.args[1]) }, encode))
}

/// TTL key
pub(in crate::resp::command) fn ttl(request: &Request<'_>) -> Parsed<Job> {
    left(request, encode::seconds_left)
}

/// PTTL key
pub(in crate::resp::command) fn pttl(request: &Request<'_>) -> Parsed<Job> {
    left(request, encode::milliseconds_left)
}

/// EXPIRETIME key
pub(in crate::resp::command) fn expiretime(request: &Request<'_>) -> Parsed<Job> {
    left(request, encode::expires_at_seconds)
}

/// PEXPIRETIME key
pub(in crate::resp::command) fn pexpiretime(request: &Request<'_>) -> Parsed<Job> {
    left(request, encode::expires_at_milliseconds)
}

/// PERSIST key
pub(in crate::resp::command) fn persist(request: &Request<'_>) -> Parsed<Job> {
    let op = Op::Expire {
        key: key(&request.args[1]),
        ttl: TtlChange::Clear,
        condition: ExpireCondition::Always,
    };
    Ok(Job::Op(op, encode::applied))
}

/// EXPIRE key seconds [NX | XX | GT | LT]
pub(in crate::resp::command) fn expire(request: &Request<'_>) -> Parsed<Job> {
    change(request, "expire", (Unit::Seconds, From::Now))
}

/// PEXPIRE key milliseconds [NX | XX | GT | LT]
pub(in crate::resp::command) fn pexpire(request: &Request<'_>) -> Parsed<Job> {
    change(request, "pexpire", (Unit::Milliseconds, From::Now))
}

/// EXPIREAT key seconds [NX | XX | GT | LT]
pub(in crate::resp::command) fn expireat(request: &Request<'_>) -> Parsed<Job> {
    change(request, "expireat", (Unit::Seconds, From::Epoch))
}

/// PEXPIREAT key milliseconds [NX | XX | GT | LT]
pub(in crate::resp::command) fn pexpireat(request: &Request<'_>) -> Parsed<Job> {
    change(request, "pexpireat", (Unit::Milliseconds, From::Epoch))
}

fn change(request: &Request<'_>, command: &str, kind: (Unit, From)) -> Parsed<Job> {
    let options = Options::read(&request.args[3..])?;
    let ttl = any_expiry(command, integer(&request.args[2])?, kind, request.clock)?;
    let key = key(&request.args[1]);
    let condition = match options {
        Options { nx: true, .. } => ExpireCondition::HasNone,
        // A key without an expiry is never outlasted, so XX adds nothing to GT.
        Options { gt: true, .. } => ExpireCondition::Greater,
        Options { xx: true, lt: true, .. } => {
            return Ok(Job::sequence(Sequence::ExpireSooner { key, ttl }));
        }
        Options { lt: true, .. } => ExpireCondition::Less,
        Options { xx: true, .. } => ExpireCondition::HasOne,
        _ => ExpireCondition::Always,
    };
    Ok(Job::Op(Op::Expire { key, ttl, condition }, encode::applied))
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "four independent flags of the command line")]
struct Options {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Options {
    fn read(args: &[Bytes]) -> Parsed<Self> {
        let mut options = Self::default();
        for arg in args {
            let flag = [
                ("nx", &mut options.nx),
                ("xx", &mut options.xx),
                ("gt", &mut options.gt),
                ("lt", &mut options.lt),
            ]
            .into_iter()
            .find(|(word, _)| is(arg, word));
            match flag {
                Some((_, flag)) => *flag = true,
                None => {
                    let shown = String::from_utf8_lossy(&arg[..arg.len().min(128)]);
                    return Err(Failure::new(format!("ERR Unsupported option {shown}")));
                }
            }
        }
        if options.nx && (options.xx || options.gt || options.lt) {
            return Err(Failure::fixed(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if options.gt && options.lt {
            return Err(Failure::fixed(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(options)
    }
}

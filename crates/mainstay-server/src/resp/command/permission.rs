//! Which role a command needs, and which keys it reaches, in the words that Redis refuses with.
//! It must not know who the users are.

use std::borrow::Cow;

use bytes::Bytes;
use mainstay::{Key, OpClass, RawOp};

use super::{
    Job, Spec,
    args::Name,
    channels,
    hash::Ask,
    locks::LockCommand,
    script::Script,
    sequence::{Filter, Invalidation, Sequence},
};
use crate::{
    access::{Access, Denied, Reach, Role, User, may, reach_of_op},
    resp::{channels::Kind, error::Failure},
};

/// Subcommands that need another role than their command; the others need what the command's kind says.
const SUBCOMMANDS: [(&str, &str, Role); 8] = [
    ("acl", "getuser", Role::Admin),
    ("acl", "list", Role::Admin),
    ("acl", "users", Role::Admin),
    ("client", "kill", Role::Admin),
    ("client", "list", Role::Admin),
    ("client", "unblock", Role::Admin),
    ("script", "flush", Role::Admin),
    ("script", "kill", Role::Admin),
];

const NO_KEY: Failure = Failure::fixed("NOPERM No permissions to access a key");

/// Whether the user may give this command at all.
pub(in crate::resp) fn may_call(
    access: &Access,
    user: &User,
    spec: &Spec,
    args: &[Bytes],
) -> Result<(), Failure> {
    check(access, user, needs(spec, args), || reach_of_call(spec, args))
        .map_err(|denied| refusal(denied, user, spec, args))
}

/// Whether the user may have this command passed to Redis, which knows of no users: what it reaches there has to be known.
pub(in crate::resp) fn may_pass(
    access: &Access,
    user: &User,
    spec: &Spec,
    args: &[Bytes],
) -> Result<(), Failure> {
    let reach = || match keys_of(spec, args) {
        keys if keys.is_empty() || spec.may_reach_more(args) => Reach::Everything,
        keys => Reach::Keys(keys),
    };
    // What is harmless here may not be so there.
    let needs = needs(spec, args).unwrap_or(Role::Admin);
    check(access, user, Some(needs), reach).map_err(|denied| refusal(denied, user, spec, args))
}

/// Whether the user may touch the keys that this command names.
pub(in crate::resp) fn may_reach(
    access: &Access,
    user: &User,
    spec: &Spec,
    args: &[Bytes],
) -> Result<(), Failure> {
    check(access, user, needs(spec, args), || Reach::Keys(keys_of(spec, args)))
        .map_err(|denied| refusal(denied, user, spec, args))
}

/// Whether the user may touch what this job touches.
pub(in crate::resp) fn may_do(access: &Access, user: &User, job: &Job) -> Result<(), Failure> {
    check(access, user, least(job), || reach(job)).map_err(|denied| match denied {
        Denied::Key => NO_KEY,
        Denied::Role => Failure::fixed("NOPERM No permissions to change a key"),
    })
}

fn check<'a>(
    access: &Access,
    user: &User,
    needs: Option<Role>,
    reach: impl FnOnce() -> Reach<'a>,
) -> Result<(), Denied> {
    if user.may_everything() {
        return Ok(());
    }
    may(user, needs, reach).inspect_err(|denied| access.refuse(*denied))
}

fn refusal(denied: Denied, user: &User, spec: &Spec, args: &[Bytes]) -> Failure {
    if denied == Denied::Key {
        return NO_KEY;
    }
    let (name, command) = (user.name(), full_name(spec, args));
    Failure::new(format!("NOPERM User {name} has no permissions to run the '{command}' command"))
}

fn keys_of<'a>(spec: &Spec, args: &'a [Bytes]) -> Vec<&'a [u8]> {
    spec.keys_in(args).into_iter().map(|key| &key[..]).collect()
}

/// What a command reaches whose job does not tell, or tells too late.
fn reach_of_call<'a>(spec: &Spec, args: &'a [Bytes]) -> Reach<'a> {
    match spec.name {
        // Events name the keys and locks of anyone.
        "mainstay.events" => Reach::Everything,
        // The names of channels count as keys.
        "watch" | "subscribe" | "ssubscribe" => {
            Reach::Keys(args[1..].iter().map(|arg| &arg[..]).collect())
        }
        "psubscribe" => Reach::Keys(args[1..].iter().map(|arg| literal(arg)).collect()),
        _ => Reach::Nothing,
    }
}

fn needs(spec: &Spec, args: &[Bytes]) -> Option<Role> {
    match spec.name {
        "publish" | "spublish" => Some(Role::Write),
        "watch" | "subscribe" | "psubscribe" | "ssubscribe" | "pubsub" => Some(Role::Read),
        // Of the kind of any write, but for how much it writes.
        "flushall" | "flushdb" => Some(Role::Admin),
        "acl" | "client" | "script" => {
            let given = args.get(1).and_then(|arg| Name::of(arg));
            let special = SUBCOMMANDS.iter().find(|(command, sub, _)| {
                *command == spec.name
                    && given.is_some_and(|given| sub.as_bytes() == given.as_bytes())
            });
            special.map_or_else(|| spec.needs(), |(_, _, role)| Some(*role))
        }
        _ => spec.needs(),
    }
}

/// `client|list` for a command that has subcommands.
fn full_name(spec: &Spec, args: &[Bytes]) -> Cow<'static, str> {
    let container =
        matches!(spec.name, "acl" | "client" | "cluster" | "command" | "config" | "script");
    match args.get(1).and_then(|arg| Name::of(arg)) {
        Some(sub) if container && sub.as_bytes().iter().all(u8::is_ascii_graphic) => {
            format!("{}|{}", spec.name, String::from_utf8_lossy(sub.as_bytes())).into()
        }
        _ => spec.name.into(),
    }
}

/// What a job does, whatever its command is said to be.
fn least(job: &Job) -> Option<Role> {
    match job {
        Job::Op(op, _) if op.class() == OpClass::Read => Some(Role::Read),
        Job::Op(..) => Some(Role::Write),
        Job::Script(script) => script.needs(),
        Job::Run(_) | Job::Part(..) | Job::Watch(_) => Some(Role::Read),
        Job::PassWatch(_) | Job::Subscribe(..) => Some(Role::Read),
        Job::Hash(call) => Some(match call.ask {
            Ask::Read(_) => Role::Read,
            Ask::Write(_) => Role::Write,
        }),
        Job::Pass(asked) => Some(least_of_passed(&asked.0)),
        Job::Block(asked) => Some(least_of_passed(&asked.op)),
        Job::Channels(ask) => Some(match **ask {
            channels::Ask::Publish(..) => Role::Write,
            _ => Role::Read,
        }),
        // Each of its commands was looked at when it was kept back.
        Job::Transaction(_) | Job::PassExec(_) => None,
        Job::Sequence(sequence) => Some(match &**sequence {
            Sequence::Scan { .. } | Sequence::Keys { .. } | Sequence::AnyKey { .. } => Role::Read,
            Sequence::GetAndExpire { .. }
            | Sequence::ExpireSooner { .. }
            | Sequence::Copy { .. }
            | Sequence::Lock(_)
            | Sequence::Invalidate(_) => Role::Write,
            Sequence::Flush => Role::Admin,
        }),
    }
}

fn least_of_passed(op: &RawOp) -> Role {
    if op.reads { Role::Read } else { Role::Write }
}

fn reach_of_passed(op: &RawOp) -> Reach<'_> {
    match op.keys.is_empty() {
        true => Reach::Everything,
        false => Reach::Keys(op.keys.iter().map(Key::as_bytes).collect()),
    }
}

/// The names of channels count as keys.
fn reach_of_channels(ask: &channels::Ask) -> Reach<'_> {
    match ask {
        channels::Ask::Publish(_, channel, _) => Reach::Keys(vec![channel]),
        channels::Ask::Channels(_, Some(pattern)) => Reach::Prefix(literal(pattern)),
        channels::Ask::Channels(_, None) => Reach::Everything,
        channels::Ask::Listeners(_, names) => {
            Reach::Keys(names.iter().map(|name| &name[..]).collect())
        }
        channels::Ask::Patterns => Reach::Nothing,
    }
}

fn reach(job: &Job) -> Reach<'_> {
    match job {
        Job::Op(op, _) => reach_of_op(op),
        Job::Run(reads) => Reach::Keys(reads.iter().map(|(key, _)| key.as_bytes()).collect()),
        Job::Part(key, _) => Reach::Keys(vec![key.as_bytes()]),
        Job::Hash(call) => Reach::Keys(vec![call.key.as_bytes()]),
        Job::Watch(keys) => Reach::Keys(keys.iter().map(Key::as_bytes).collect()),
        Job::Pass(asked) => reach_of_passed(&asked.0),
        Job::Block(asked) => reach_of_passed(&asked.op),
        Job::PassWatch(asked) => reach_of_passed(&asked.op),
        Job::Channels(ask) => reach_of_channels(ask),
        Job::Subscribe(Kind::Pattern, names) => {
            Reach::Keys(names.iter().map(|name| literal(name)).collect())
        }
        Job::Subscribe(_, names) => Reach::Keys(names.iter().map(|name| &name[..]).collect()),
        Job::Transaction(_) | Job::PassExec(_) => Reach::Nothing,
        Job::Script(script) => Reach::Keys(script.keys().into_iter().flatten().collect()),
        Job::Sequence(sequence) => match &**sequence {
            Sequence::GetAndExpire { key, .. } | Sequence::ExpireSooner { key, .. } => {
                Reach::Keys(vec![key.as_bytes()])
            }
            Sequence::Copy { from, to, .. } => Reach::Keys(vec![from.as_bytes(), to.as_bytes()]),
            Sequence::Scan { filter, .. } | Sequence::Keys { filter } => reach_of_filter(filter),
            Sequence::AnyKey { .. } | Sequence::Flush => Reach::Everything,
            Sequence::Lock(command) => Reach::Keys(vec![match command {
                LockCommand::Lock { name, .. } => name.as_bytes(),
                LockCommand::Renew { claim, .. } | LockCommand::Unlock { claim } => {
                    claim.name.as_bytes()
                }
            }]),
            Sequence::Invalidate(ends) => reach_of_invalidations(ends),
        },
    }
}

/// The keys that a pattern may match begin with its literal prefix, also when the listing goes on at another's cursor.
fn reach_of_filter(filter: &Filter) -> Reach<'_> {
    match filter {
        Filter::Nothing => Reach::Nothing,
        Filter::Everything => Reach::Everything,
        Filter::Prefix(prefix) => Reach::Prefix(prefix),
        Filter::Pattern(pattern) => Reach::Prefix(literal(pattern)),
    }
}

/// The part of a pattern before its first special byte; an escaped one ends it, too, which only makes it shorter.
fn literal(pattern: &[u8]) -> &[u8] {
    let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    &pattern[..pattern.iter().position(special).unwrap_or(pattern.len())]
}

/// Of several kinds at once there are none: a command names one.
fn reach_of_invalidations(ends: &[Invalidation]) -> Reach<'_> {
    let mut names = Vec::new();
    for end in ends {
        match end {
            Invalidation::Key(key) => names.push(key.as_bytes()),
            // Under a prefix that lies within the bounds, so does every key.
            Invalidation::Prefix(prefix) => names.push(prefix),
            Invalidation::Tag(_) => return Reach::Everything,
        }
    }
    Reach::Keys(names)
}

impl Script {
    fn needs(&self) -> Option<Role> {
        match self {
            Self::Eval(eval) if eval.is_read_only() => Some(Role::Read),
            Self::Eval(_) => Some(Role::Write),
            Self::Load(_) | Self::Exists(_) => Some(Role::Read),
            Self::Flush | Self::Kill => Some(Role::Admin),
            Self::Help => None,
        }
    }
}

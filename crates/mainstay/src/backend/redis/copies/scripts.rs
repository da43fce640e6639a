//! The scripts that keep copies, one key each, and their arguments.
//! It must not know how they are sent, nor what is answered.

use std::time::Duration;

use redis::Cmd;

use super::super::script::lua;
use crate::{
    entry::{Key, Version},
    op::CopyValue,
};

/// Times are doubles in Lua: a longer one (a hundred thousand years) would lose digits.
const MILLIS_MAX: u64 = 1 << 52;

macro_rules! copies {
    ($name:ident, $file:literal) => {
        lua!(
            /// See the file, and `semantics::copies`.
            $name,
            concat!(include_str!("lua/common.lua"), include_str!($file))
        );
    };
}

copies!(MARK, "lua/mark.lua");
copies!(UNMARK, "lua/unmark.lua");
copies!(PUBLISH, "lua/publish.lua");
copies!(TOKEN, "lua/token.lua");
copies!(FILL, "lua/fill.lua");
copies!(DRAIN, "lua/drain.lua");

pub(super) fn mark(key: &Key, nonce: u128, life: Duration) -> Cmd {
    MARK.on(&[key]).arg(&nonce.to_be_bytes()[..]).arg(millis(life)).take()
}

pub(super) fn unmark(key: &Key, nonce: u128, clean: bool) -> Cmd {
    UNMARK.on(&[key]).arg(&nonce.to_be_bytes()[..]).arg(u8::from(clean)).take()
}

pub(super) fn publish(key: &Key, nonce: u128, copy: &CopyValue) -> Cmd {
    with_copy(PUBLISH.on(&[key]), nonce, copy)
}

pub(super) fn token(key: &Key, token: u128, life: Duration) -> Cmd {
    TOKEN.on(&[key]).arg(&token.to_be_bytes()[..]).arg(millis(life)).take()
}

pub(super) fn fill(key: &Key, token: u128, copy: &CopyValue) -> Cmd {
    with_copy(FILL.on(&[key]), token, copy)
}

pub(super) fn drain(key: &Key) -> Cmd {
    DRAIN.on(&[key])
}

fn with_copy(mut command: Cmd, by: u128, copy: &CopyValue) -> Cmd {
    command.arg(&by.to_be_bytes()[..]).arg(&version(copy.version)[..]);
    command.arg(&copy.value[..]).arg(millis(copy.life));
    match copy.ttl {
        Some(ttl) => command.arg(millis(ttl)),
        None => command.arg(""),
    };
    command
}

fn version(version: Version) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&version.epoch.to_be_bytes());
    bytes[4..].copy_from_slice(&version.counter.to_be_bytes());
    bytes
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(MILLIS_MAX, |millis| millis.min(MILLIS_MAX))
}

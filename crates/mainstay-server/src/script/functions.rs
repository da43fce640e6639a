//! The functions of `redis` that call out of Lua, and the errors that they raise.
//! It must not know what a command does.

use std::{cell::RefCell, fmt, rc::Rc};

use bytes::Bytes;
use mlua::{Function, Lua, LuaString, MultiValue, Result, Table};

use super::{convert, interpreter::Host, packing, program::sha1_hex, value::Value};

/// A number from here on is written with an exponent, as `%.17g` does.
const PLAIN_END: i64 = 100_000_000_000_000_000;

/// An error of Redis's words, raised in Lua.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

fn raise(text: impl Into<String>) -> mlua::Error {
    mlua::Error::external(Said(text.into()))
}

/// What an error says to a script; `None`: it is none of ours.
fn said(error: &mlua::Value) -> Option<String> {
    let mlua::Value::Error(error) = error else { return None };
    error.downcast_ref::<Said>().map(|said| said.0.clone())
}

/// Adds them to what the sandbox is given.
pub(super) fn add<H: Host + 'static>(
    lua: &Lua,
    to: &Table,
    host: &Rc<RefCell<Option<H>>>,
) -> Result<()> {
    let perform = |host: &Rc<RefCell<Option<H>>>| {
        let host = Rc::clone(host);
        move |words| match host.borrow_mut().as_mut() {
            Some(host) => host.call(words),
            None => Value::error("ERR internal error: the script has ended"),
        }
    };
    let format: Function = lua.load("return string.format").set_name("@sandbox").call(())?;
    let (call, number) = (perform(host), format.clone());
    let call = lua.create_function(move |lua, given: MultiValue| {
        match words(&given, &number)?.map_or_else(|error| error, &call) {
            Value::Error(text) => Err(raise(text)),
            reply => convert::to_lua(lua, &reply),
        }
    })?;
    let (pcall, number) = (perform(host), format);
    let pcall = lua.create_function(move |lua, given: MultiValue| {
        let reply = words(&given, &number)?.map_or_else(|error| error, &pcall);
        convert::to_lua(lua, &reply)
    })?;
    to.raw_set("call", call)?;
    to.raw_set("pcall", pcall)?;
    to.raw_set("said", lua.create_function(|_, error: mlua::Value| Ok(said(&error)))?)?;
    to.raw_set("sha1hex", lua.create_function(sha1hex)?)?;
    to.raw_set("struct", packing::table(lua)?)?;
    to.raw_set("log", lua.create_function(log)?)?;
    to.raw_set("setresp", lua.create_function(setresp)?)
}

/// The words of a command: strings, and numbers as Redis writes them.
fn words(given: &MultiValue, format: &Function) -> Result<std::result::Result<Vec<Bytes>, Value>> {
    if given.is_empty() {
        let text = "ERR Please specify at least one argument for this redis lib call";
        return Ok(Err(Value::error(text)));
    }
    let mut words = Vec::with_capacity(given.len());
    for value in given {
        words.push(match value {
            mlua::Value::String(text) => Bytes::copy_from_slice(&text.as_bytes()),
            mlua::Value::Integer(number) if number.abs() < PLAIN_END => {
                Bytes::from(number.to_string())
            }
            mlua::Value::Integer(_) | mlua::Value::Number(_) => {
                let text: LuaString = format.call(("%.17g", value))?;
                Bytes::copy_from_slice(&text.as_bytes())
            }
            _ => {
                let text = "ERR Lua redis lib command arguments must be strings or integers";
                return Ok(Err(Value::error(text)));
            }
        });
    }
    Ok(Ok(words))
}

fn sha1hex(_: &Lua, given: MultiValue) -> Result<String> {
    match (given.len(), given.front()) {
        (1, Some(value)) => Ok(sha1_hex(value.to_string()?.as_bytes())),
        _ => Err(raise("ERR wrong number of arguments")),
    }
}

/// For the log of this server, where somebody looks for it: it may hold what is secret.
fn log(_: &Lua, given: MultiValue) -> Result<()> {
    if given.len() < 2 {
        return Err(raise("ERR redis.log() requires two arguments or more."));
    }
    let level = match given.front() {
        Some(mlua::Value::Integer(level)) => *level,
        _ => return Err(raise("ERR First argument must be a number (log level).")),
    };
    if !(0..=3).contains(&level) {
        return Err(raise("ERR Invalid log level."));
    }
    let parts = given.iter().skip(1).map(mlua::Value::to_string);
    let text = parts.collect::<Result<Vec<String>>>()?.join(" ");
    tracing::debug!(level, text, "a script says");
    Ok(())
}

fn setresp(_: &Lua, version: mlua::Value) -> Result<()> {
    match version {
        mlua::Value::Integer(2) => Ok(()),
        _ => Err(raise("ERR only RESP version 2 is spoken to scripts here")),
    }
}

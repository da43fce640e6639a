//! One run of one script in an interpreter of its own: what it may use, how long, and how it is stopped.
//! It must not know what the commands do that a script calls.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use mlua::{
    Function, HookTriggers, Lua, LuaOptions, LuaString, StdLib, Table, VmState, chunk::ChunkMode,
};

use super::{convert, functions, program::Program, value::Value};

/// Bytes that an interpreter may take, its libraries included.
const MEMORY_MAX: usize = 64 << 20;

/// Instructions between two looks at whether to stop.
const STRIDE: u32 = 1_000;

/// Calls that are looked through for the line of an error.
const LEVELS_MAX: usize = 32;

/// Under this name errors speak of a script, as in Redis.
const CHUNK: &str = "@user_script";

const SANDBOX: &str = include_str!("sandbox.lua");

/// Redis's words for a script that was ended from outside.
pub(super) const KILLED: &str = "ERR Script killed by user with SCRIPT KILL...";

/// What `redis.call` reaches.
pub(crate) trait Host {
    /// Performs one command: its name first.
    fn call(&mut self, words: Vec<Bytes>) -> Value;
}

/// What a script gets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) keys: Vec<Bytes>,
    pub(crate) argv: Vec<Bytes>,
    /// What `redis.REDIS_VERSION` says.
    pub(crate) version: &'static str,
}

/// Whether a text is Lua.
///
/// # Errors
/// Redis's words for what is wrong with it.
pub(crate) fn compile(program: &Program) -> Result<(), String> {
    let lua = interpreter().map_err(|error| internal(&error))?;
    load(&lua, program, None).map(drop)
}

/// Runs a script. Its result, or its error; and whether it ended by itself: what it did otherwise must not count.
pub(crate) fn run<H: Host + 'static>(
    program: &Program,
    inputs: &Inputs,
    host: H,
    stop: &Arc<AtomicBool>,
) -> (Value, Option<H>) {
    let host = Rc::new(RefCell::new(Some(host)));
    let outcome = evaluate(program, inputs, &host, stop);
    let finished = outcome.is_ok() && !stop.load(Ordering::Relaxed);
    let value = outcome.unwrap_or_else(Value::Error);
    (value, host.borrow_mut().take().filter(|_| finished))
}

fn evaluate<H: Host + 'static>(
    program: &Program,
    inputs: &Inputs,
    host: &Rc<RefCell<Option<H>>>,
    stop: &Arc<AtomicBool>,
) -> Result<Value, String> {
    let lua = interpreter().map_err(|error| internal(&error))?;
    let (view, run) = sandbox(&lua, inputs, host, stop).map_err(|error| internal(&error))?;
    let script = load(&lua, program, Some(view))?;
    let flag = Arc::clone(stop);
    let triggers = HookTriggers::new().every_nth_instruction(STRIDE);
    let watched = lua.set_hook(triggers, move |_, _| match flag.load(Ordering::Relaxed) {
        true => Err(mlua::Error::RuntimeError(KILLED.to_owned())),
        false => Ok(VmState::Continue),
    });
    watched.map_err(|error| internal(&error))?;
    let returned: mlua::Result<(bool, mlua::Value)> = run.call(script);
    if stop.load(Ordering::Relaxed) {
        return Err(at(KILLED, program, None));
    }
    let (done, value) = returned.map_err(|error| at(&plain(&error), program, None))?;
    if done {
        return convert::from_lua(&value).map_err(|error| at(&plain(&error), program, None));
    }
    Err(failure(&value, program))
}

fn interpreter() -> mlua::Result<Lua> {
    let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
    let lua = Lua::new_with(libraries, LuaOptions::new())?;
    lua.set_memory_limit(MEMORY_MAX)?;
    Ok(lua)
}

fn load(lua: &Lua, program: &Program, view: Option<Table>) -> Result<Function, String> {
    let chunk = lua.load(&program.text[..]).set_name(CHUNK).set_mode(ChunkMode::Text);
    let chunk = match view {
        Some(view) => chunk.set_environment(view),
        None => chunk,
    };
    chunk.into_function().map_err(|error| match error {
        mlua::Error::SyntaxError { message, .. } => {
            format!("ERR Error compiling script (new function): {message}")
        }
        other => plain(&other),
    })
}

/// What the script sees, and the function that runs it.
fn sandbox<H: Host + 'static>(
    lua: &Lua,
    inputs: &Inputs,
    host: &Rc<RefCell<Option<H>>>,
    stop: &Arc<AtomicBool>,
) -> mlua::Result<(Table, Function)> {
    let list = |values: &[Bytes]| {
        let values = values.iter().map(|value| lua.create_string(value));
        lua.create_sequence_from(values.collect::<mlua::Result<Vec<LuaString>>>()?)
    };
    let functions = lua.create_table()?;
    functions.raw_set("version", inputs.version)?;
    functions.raw_set("version_number", number_of(inputs.version))?;
    let flag = Arc::clone(stop);
    let stopped = lua.create_function(move |_, ()| Ok(flag.load(Ordering::Relaxed)))?;
    functions.raw_set("stopped", stopped)?;
    functions.raw_set("where", lua.create_function(|lua, ()| Ok(line(lua)))?)?;
    functions::add(lua, &functions, host)?;
    let arguments = (functions, list(&inputs.keys)?, list(&inputs.argv)?);
    lua.load(SANDBOX).set_name("@sandbox").call(arguments)
}

/// `7.2.4` as Redis writes it in one number: a byte for each part.
fn number_of(version: &str) -> u32 {
    let parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    parts.take(3).fold(0, |number, part| number << 8 | part)
}

/// The line of the script that is being run.
fn line(lua: &Lua) -> Option<usize> {
    (0..LEVELS_MAX).find_map(|level| {
        lua.inspect_stack(level, |frame| {
            let ours = frame.source().source.is_some_and(|source| source == CHUNK);
            frame.current_line().filter(|_| ours)
        })?
    })
}

fn failure(value: &mlua::Value, program: &Program) -> String {
    let mlua::Value::Table(table) = value else {
        // Nothing but an error within the handling of an error is no table.
        let text = value.to_string().unwrap_or_default();
        return at(&format!("ERR {text}"), program, None);
    };
    let text: Option<LuaString> = table.raw_get("err").ok();
    let text = text.map_or_else(|| "ERR unknown error".to_owned(), |text| text.to_string_lossy());
    at(&text, program, table.raw_get("line").ok().flatten())
}

/// An error with the place that it comes from.
fn at(text: &str, program: &Program, line: Option<usize>) -> String {
    let line = line.map_or_else(String::new, |line| format!(":{line}"));
    format!("{text} script: {}, on {CHUNK}{line}.", program.sha)
}

fn plain(error: &mlua::Error) -> String {
    match error {
        mlua::Error::MemoryError(text) => format!("ERR {text}"),
        mlua::Error::CallbackError { cause, .. } => plain(cause),
        other => format!("ERR {other}"),
    }
}

fn internal(error: &mlua::Error) -> String {
    format!("ERR internal error: {error}")
}

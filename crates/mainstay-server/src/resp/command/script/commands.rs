//! SCRIPT and its subcommands.
//! It must not run scripts.

use super::Script;
use crate::resp::{
    command::{
        Job, Parsed, Request,
        args::{Name, is},
    },
    error::Failure,
};

/// SCRIPT LOAD | EXISTS | FLUSH | KILL | HELP
pub(in crate::resp::command) fn script(request: &Request<'_>) -> Parsed<Job> {
    let args = request.args;
    let name = Name::of(&args[1]);
    let name = name.as_ref().map_or(&b""[..], |name| name.as_bytes());
    let script = match (name, &args[2..]) {
        (b"load", [text]) => Script::Load(text.clone()),
        (b"load", _) => return Err(Failure::arity("script|load")),
        (b"exists", []) => return Err(Failure::arity("script|exists")),
        (b"exists", shas) => Script::Exists(shas.to_vec()),
        (b"flush", []) => Script::Flush,
        (b"flush", [option]) if is(option, "sync") || is(option, "async") => Script::Flush,
        (b"flush", [_]) => {
            return Err(Failure::fixed("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
        }
        (b"flush", _) => return Err(Failure::arity("script|flush")),
        (b"kill", []) => Script::Kill,
        (b"kill", _) => return Err(Failure::arity("script|kill")),
        (b"help", []) => Script::Help,
        (b"debug", _) => return Err(Failure::fixed("ERR scripts cannot be debugged here")),
        _ => {
            let shown = String::from_utf8_lossy(&args[1][..args[1].len().min(128)]).into_owned();
            let text = format!("ERR unknown subcommand '{shown}'. Try SCRIPT HELP.");
            return Err(Failure::new(text));
        }
    };
    Ok(Job::script(script))
}

/// The lines of SCRIPT HELP.
pub(super) const HELP: &[&str] = &[
    "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "EXISTS <sha1> [<sha1> ...]",
    "    Return information about the existence of the scripts in the script cache.",
    "FLUSH [ASYNC|SYNC]",
    "    Flush the Lua scripts cache.",
    "KILL",
    "    There is never a script to kill: each is stopped after a second.",
    "LOAD <script>",
    "    Load a script into the scripts cache without executing it.",
    "HELP",
    "    Prints this help.",
];

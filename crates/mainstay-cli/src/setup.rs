//! What the process gives to the configuration: its arguments, its environment, the places of the file.
//! It must not know what the keys mean.

use std::path::Path;

use mainstay_server::Guard;

use crate::{
    args::Common,
    config::{self, Environment, Flag, Loaded, Problem, Problems, Sources},
};

/// Loads the configuration as every command sees it; `flags` are the command's own.
pub(crate) fn load(common: &Common, flags: &[Flag]) -> Result<Loaded, Problems> {
    load_from(common.config.as_deref(), common, flags)
}

/// The same once more for a process that runs with `running`: from the file that it has, which has to be there. Without it
/// the next place or the defaults would count, which nobody has asked for.
pub(crate) fn load_again(
    running: &Loaded,
    common: &Common,
    flags: &[Flag],
) -> Result<Loaded, Problems> {
    load_from(common.config.as_deref().or(running.file.as_deref()), common, flags)
}

fn load_from(file: Option<&Path>, common: &Common, flags: &[Flag]) -> Result<Loaded, Problems> {
    let set = common.set.iter().map(|(path, text)| Flag {
        flag: "--set",
        path: path.clone(),
        text: text.clone(),
    });
    let flags: Vec<Flag> = set.chain(flags.iter().cloned()).collect();
    let env = environment();
    let searched = config::SEARCHED.map(Into::into);
    config::load(&Sources { file, flags: &flags, env: &env, searched: &searched })
}

/// Who may come in at the doors, and how. Reads the certificates; what is wrong with them is wrong with the configuration.
pub(crate) fn guard(loaded: &Loaded) -> Result<Guard, Problems> {
    loaded.settings.guard().map_err(|error| {
        let (path, problem) = error.message().split_once(": ").unwrap_or(("", error.message()));
        Problems::from(Problem::found(&loaded.origins, path, problem))
    })
}

/// The variables that are text; others can hold no key of ours.
fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

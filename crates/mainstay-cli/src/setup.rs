//! What the process gives to the configuration: its arguments, its environment, the places of the file.
//! It must not know what the keys mean.

use crate::{
    args::Common,
    config::{self, Environment, Flag, Loaded, Problems, Sources},
};

/// Loads the configuration as every command sees it; `flags` are the command's own.
pub(crate) fn load(common: &Common, flags: &[Flag]) -> Result<Loaded, Problems> {
    let set = common.set.iter().map(|(path, text)| Flag {
        flag: "--set",
        path: path.clone(),
        text: text.clone(),
    });
    let flags: Vec<Flag> = set.chain(flags.iter().cloned()).collect();
    let env = environment();
    let searched = config::SEARCHED.map(Into::into);
    config::load(&Sources {
        file: common.config.as_deref(),
        flags: &flags,
        env: &env,
        searched: &searched,
    })
}

/// The variables that are text; others can hold no key of ours.
fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

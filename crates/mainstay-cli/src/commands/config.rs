//! `config`: writes, checks and shows the configuration, and prints its schema.
//! It must not connect to anything, but for `check --probe` and `reload`.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json, json};

use crate::{
    args::Common,
    client,
    config::{self, Loaded},
    exit::{Exit, Failure},
    output::{Format, Output, Tone},
    setup,
};

mod import;
mod probe;
mod reload;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Write a commented configuration file; never over one that exists
    Init(Init),
    /// Say whether the configuration is valid, and everything that is wrong with it
    Check(Check),
    /// Show the effective configuration, secrets left out
    Show(Show),
    /// Have the running server read its configuration anew, and show what differs
    Reload(reload::Reload),
    /// Make a configuration of a `config.json` that another program had
    Import(import::Import),
    /// Print the JSON Schema of the file
    Schema,
}

/// How far to look.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Connect to every backend as `serve` would, and say what is wrong with each
    #[arg(long)]
    probe: bool,
}

/// Where to write.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The file
    #[arg(default_value = "mainstay.toml")]
    file: PathBuf,
}

/// How to show it.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Say of each value where it came from
    #[arg(long)]
    origin: bool,
}

impl Config {
    pub(crate) fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        match self {
            Config::Init(init) => init.run(output),
            Config::Check(Check { probe: true }) => probe::run(&checked(common)?, output),
            Config::Check(Check { probe: false }) => check(&checked(common)?, output),
            Config::Show(show) => show.run(&setup::load(common, &[])?, output),
            Config::Reload(command) => client::wait(command.run(common, output)),
            Config::Import(import) => import.run(output),
            Config::Schema => {
                output.line(&serde_json::to_string_pretty(&config::schema())?)?;
                Ok(Exit::Ok)
            }
        }
    }
}

impl Init {
    fn run(self, output: Output) -> Result<Exit, Failure> {
        let name = self.file.display().to_string();
        let opened = OpenOptions::new().write(true).create_new(true).open(&self.file);
        let written = opened.and_then(|mut file| file.write_all(config::TEMPLATE.as_bytes()));
        written.map_err(|error| {
            let failure = Failure::new(format!("{name}: {error}"));
            match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    failure.hint("it is left as it is; name another file")
                }
                _ => failure,
            }
        })?;
        output.show(
            || format!("wrote {name}; check it with: mainstay config check -c {name}"),
            &json!({"file": name}),
        )?;
        Ok(Exit::Ok)
    }
}

/// A configuration with which `serve` would start, as far as that can be said without connecting.
fn checked(common: &Common) -> Result<Loaded, Failure> {
    let loaded = setup::load(common, &[])?;
    setup::guard(&loaded)?;
    Ok(loaded)
}

fn check(loaded: &Loaded, output: Output) -> Result<Exit, Failure> {
    let document = json!({"valid": true, "config": loaded.summary(), "notes": loaded.notes});
    output.show(
        || {
            let verdict = format!("{} ({})", output.paint(Tone::Good, "valid"), loaded.summary());
            loaded.notes.iter().chain([&verdict]).cloned().collect::<Vec<_>>().join("\n")
        },
        &document,
    )?;
    Ok(Exit::Ok)
}

impl Show {
    fn run(self, loaded: &Loaded, output: Output) -> Result<Exit, Failure> {
        match (output.format, self.origin) {
            (Format::Quiet, _) => {}
            (Format::Json, false) => {
                output.line(&serde_json::to_string_pretty(&loaded.settings)?)?
            }
            (Format::Json, true) => {
                let values = loaded.effective()?.into_iter();
                let by_path: Map<String, Json> = values
                    .map(|value| {
                        (value.path, json!({"value": value.value, "origin": value.origin}))
                    })
                    .collect();
                output.line(&serde_json::to_string_pretty(&by_path)?)?;
            }
            (Format::Text, false) => {
                let text = toml::to_string(&loaded.settings)
                    .map_err(|error| Failure::new(format!("cannot write it as TOML: {error}")))?;
                output.line(text.trim_end())?;
            }
            (Format::Text, true) => {
                for value in loaded.effective()? {
                    let origin = output.paint(Tone::Faint, &format!("# {}", value.origin));
                    output.line(&format!("{} = {}  {origin}", value.path, value.value))?;
                }
            }
        }
        Ok(Exit::Ok)
    }
}

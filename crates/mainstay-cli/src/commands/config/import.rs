//! `config import`: a configuration of another format as ours.
//! It must not write over a file.

use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

use clap::Args;
use serde_json::json;

use crate::{
    config,
    exit::{Exit, Failure},
    output::{Format, Output},
};

/// What to convert.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file: a `config.json` with redis.connection, redis.caching, redis.resilience
    file: PathBuf,
    /// Where to write; never over a file that exists. Default: stdout
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// A database stands behind Redis: routes get it as their record. Default: if DATABASE_URL is set
    #[arg(long)]
    with_database: bool,
}

impl Import {
    pub(super) fn run(self, output: Output) -> Result<Exit, Failure> {
        let name = self.file.display().to_string();
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| Failure::new(format!("{name}: cannot be read: {error}")))?;
        let database = std::env::var_os("DATABASE_URL").is_some_and(|url| !url.is_empty());
        let with_database = self.with_database || database;
        let imported = config::import(&name, &text, with_database)?;
        let toml = imported.toml(&name, with_database);
        if let Some(to) = &self.to {
            // The address may hold a password.
            let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
            let shown = to.display().to_string();
            written
                .and_then(|mut file| file.write_all(toml.as_bytes()))
                .map_err(|error| Failure::new(format!("{shown}: {error}")))?;
            output.show(
                || {
                    format!(
                        "{}\nwrote {shown}; check it with: mainstay config check -c {shown}",
                        imported.notes.join("\n")
                    )
                },
                &json!({"file": shown, "notes": imported.notes}),
            )?;
            return Ok(Exit::Ok);
        }
        match output.format {
            Format::Quiet => {}
            Format::Json => {
                output.line(&json!({"toml": toml, "notes": imported.notes}).to_string())?
            }
            Format::Text => output.line(toml.trim_end())?,
        }
        Ok(Exit::Ok)
    }
}

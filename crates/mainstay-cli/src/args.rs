//! The command line: what can be said, and its help.
//! It must not do anything.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use mainstay::config::text::parse_duration;

use crate::{commands, output::Format};

const ABOUT: &str = "One storage API that keeps working, and keeps telling the truth, when Redis or the database does not.";

/// Clap knows no groups of commands, so they stand here; a test holds them to the commands there are.
const TEMPLATE: &str = "\
{about}

{usage-heading} {usage}

Run:
  serve        Run the server: RESP and HTTP in front of the configured backends
  drill        Break a backend under load, heal it, and verify what was promised

Inspect:
  status       Show health, backends and routes
  top          Watch it all at a terminal
  health       Say by exit code whether the server can serve
  events       Show what happened; --follow goes on showing it
  locks        Show the locks

Operate:
  breaker      Force a backend's breaker open or closed for a time, or give it back
  drain        Take a backend out of use
  undrain      Put a backend back into use
  journal      Show and tend the writes that wait for a record

Data:
  get          Read a key
  set          Write a key
  del          Delete keys
  lock         Run a command under a lock
  warm         Read the keys of a list once

Config:
  config       Write, check, show, import and reload the configuration, or print its schema

Shell:
  completions  Print completions for a shell
  man          Print the manual page

For every command:
{options}{after-help}";

const EXAMPLES: &str = "\
Examples:
  mainstay serve                                        SQLite and memory, nothing to install
  REDIS_URL=redis://127.0.0.1 DATABASE_URL=postgres://app@127.0.0.1/app mainstay serve
  mainstay set user:1 ada --ttl 60s && mainstay get user:1
  mainstay drill redis-outage --for 15s                 What happens when Redis goes away

Exit codes: 0 ok; 1 failed; 2 usage; 3 unclean stop; 4 invalid configuration;
98 a drill could not run; 99 a drill missed a threshold
A command's own help: mainstay COMMAND --help";

/// The heading of what every command takes.
const EVERYWHERE: &str = "For every command";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "mainstay",
    version,
    about = ABOUT,
    help_template = TEMPLATE,
    after_help = EXAMPLES,
    disable_help_subcommand = true,
    propagate_version = true,
    max_term_width = 120
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// The configuration file; it has to exist. Default: ./mainstay.toml or /etc/mainstay/mainstay.toml, if there is one
    #[arg(long, short, global = true, help_heading = EVERYWHERE, value_name = "FILE", env = "MAINSTAY_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Set one key of the configuration, as in --set limits.deadline=2s [env: MAINSTAY__LIMITS__DEADLINE and so on]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,
    /// What goes to stdout: text for people, json for programs, or quiet: nothing
    #[arg(
        long, short, global = true, help_heading = EVERYWHERE, value_enum, default_value_t,
        hide_possible_values = true, value_name = "FORMAT", env = "MAINSTAY_OUTPUT"
    )]
    pub(crate) output: Format,
}

/// Where the server is that a command talks to.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The server")]
pub(crate) struct Target {
    /// The server. Default: http.listen and http.token of the configuration
    #[arg(long, value_name = "URL", env = "MAINSTAY_URL")]
    pub(crate) url: Option<String>,
    /// A file that holds the token of the server at --url. Default: none [env: MAINSTAY_TOKEN, the token itself]
    #[arg(long, value_name = "FILE", env = "MAINSTAY_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tls: TlsFiles,
    /// How long to wait for an answer
    #[arg(long, value_name = "DURATION", default_value = "10s", env = "MAINSTAY_TIMEOUT", value_parser = parse_duration)]
    pub(crate) timeout: std::time::Duration,
}

/// Whom a command trusts that talks https, and what it shows of itself.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The server")]
pub(crate) struct TlsFiles {
    /// Issuers of the server's certificate that are trusted, PEM; for https. Default: the system's, and without --url the
    /// certificate that the configuration names
    #[arg(long, value_name = "FILE", env = "MAINSTAY_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Our certificate, PEM, for a server that asks for one. Default: none
    #[arg(long, value_name = "FILE", env = "MAINSTAY_CERT_FILE")]
    pub(crate) cert_file: Option<PathBuf>,
    /// Its key, PEM. Default: none
    #[arg(long, value_name = "FILE", env = "MAINSTAY_KEY_FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server: RESP and HTTP in front of the configured backends
    Serve(commands::serve::Serve),
    /// Break a backend under load, heal it, and verify what was promised: on throw-away servers, or inside a running one
    Drill(Box<commands::drill::Drill>),
    /// Show health, backends and routes
    Status(commands::status::Status),
    /// Watch it all at a terminal: state, key figures, backends, routes, events
    Top(commands::top::Top),
    /// Say by exit code whether the server can serve: 0 up or degraded, 1 down
    Health(commands::health::Health),
    /// Show what happened; --follow goes on showing it
    Events(commands::events::Events),
    /// Show the locks: who holds which, and their last tokens
    Locks(commands::locks::Locks),
    /// Force a backend's breaker open or closed for a time, or give it back
    Breaker(commands::breaker::Breaker),
    /// Take a backend out of use
    Drain(commands::drain::Drain),
    /// Put a backend back into use
    Undrain(commands::drain::Undrain),
    /// Show and tend the writes that wait for a record
    #[command(subcommand)]
    Journal(commands::journal::Journal),
    /// Read a key
    Get(commands::get::Get),
    /// Write a key
    Set(commands::set::Set),
    /// Delete keys
    Del(commands::del::Del),
    /// Run a command under a lock: it is ended when the lock is lost
    Lock(commands::lock::Lock),
    /// Read the keys of a list once: copies of them stand in the caches then
    Warm(commands::warm::Warm),
    /// Write, check, show, import and reload the configuration, or print its schema
    #[command(subcommand)]
    Config(commands::config::Config),
    /// Print completions for a shell
    Completions(commands::completions::Completions),
    /// Print the manual page
    Man(commands::man::Man),
    /// Print the reference of the command line, the configuration or an interface
    #[command(hide = true)]
    Docs(commands::docs::Docs),
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err("it reads KEY=VALUE, as in limits.deadline=2s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_lists_every_command_with_its_first_words() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let first = about.split(':').next().unwrap_or_default();
            let line = format!("\n  {:<13}{first}", command.get_name());
            assert!(TEMPLATE.contains(&line), "{line}");
        }
    }

    #[test]
    fn every_flag_names_its_variable_or_its_default() {
        for command in Cli::command().get_subcommands() {
            for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let flag = !arg.get_action().takes_values();
                let told = arg.get_env().is_some()
                    || !arg.get_default_values().is_empty()
                    || help.contains("Default")
                    || help.contains("[env:");
                assert!(flag || told, "{} {}: {help}", command.get_name(), arg.get_id());
            }
        }
    }
}

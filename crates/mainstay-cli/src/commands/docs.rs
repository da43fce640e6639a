//! `docs`: the reference of the command line, the configuration and the interfaces, from their declarations.
//! It must not know any command or key by name.

use clap::{Arg, Args, Command, CommandFactory, ValueEnum};
use std::fmt::Write;

mod tables;

use crate::{
    args::Cli,
    config,
    exit::{Exit, Failure},
    output::Output,
};

/// Prints the reference: Markdown, JSON Schema for the configuration, or OpenAPI for the HTTP interface.
#[derive(Debug, Args)]
pub(crate) struct Docs {
    /// Of what
    #[arg(value_enum)]
    of: Subject,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Subject {
    Cli,
    Config,
    Schema,
    Openapi,
    Commands,
    Errors,
    Metrics,
    Http,
}

impl Docs {
    pub(crate) fn run(self, output: Output) -> Result<Exit, Failure> {
        output.line(&self.of.text()?)?;
        Ok(Exit::Ok)
    }
}

impl Subject {
    fn text(self) -> Result<String, Failure> {
        let text = match self {
            Subject::Cli => commands(),
            Subject::Config => config::docs::markdown(),
            Subject::Schema => serde_json::to_string_pretty(&config::schema())?,
            Subject::Commands => tables::commands(),
            Subject::Errors => tables::errors(),
            Subject::Metrics => tables::metrics()?,
            Subject::Http => tables::http(&mainstay_server::http::openapi()?),
            Subject::Openapi => serde_json::to_string_pretty(&mainstay_server::http::openapi()?)?,
        };
        Ok(text.trim_end().to_owned())
    }
}

/// Every command with its arguments.
fn commands() -> String {
    let mut root = Cli::command();
    root.build();
    let mut text = String::from("# Command line reference\n");
    let about = root.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "\n{about}\n\n");
    text.push_str(
        "Exit codes: 0 ok; 1 failed; 2 usage; 3 unclean stop; 4 invalid configuration; 98 a drill could not run; \
         99 a drill missed a threshold. \
         `mainstay health`: 0 up or degraded, 1 down (`--strict`: degraded is 1).\n\n\
         ## For every command\n\n",
    );
    table(&mut text, root.get_arguments());
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        section(&mut text, command, 2);
    }
    text
}

fn section(text: &mut String, command: &Command, level: usize) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "\n{} `{name}`\n\n{about}\n", "#".repeat(level));
    let own = || command.get_arguments().filter(|arg| !arg.is_global_set());
    if own().any(is_shown) {
        let usage = command.clone().render_usage().to_string();
        let _ = write!(text, "\n`{}`\n\n", usage.trim_start_matches("Usage: "));
        table(text, own());
    }
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        section(text, command, level + 1);
    }
}

fn is_shown(arg: &Arg) -> bool {
    !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())
}

fn table<'a>(text: &mut String, args: impl Iterator<Item = &'a Arg>) {
    text.push_str("| argument | default | environment | |\n|---|---|---|---|\n");
    for arg in args.filter(|arg| is_shown(arg)) {
        let default: Vec<String> = arg
            .get_default_values()
            .iter()
            .map(|value| format!("`{}`", value.to_string_lossy()))
            .collect();
        let env = arg.get_env().map(|name| format!("`{}`", name.to_string_lossy()));
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
        let default =
            if arg.get_action().takes_values() { default.join(", ") } else { String::new() };
        let _ = writeln!(text, "| `{arg}` | {default} | {} | {help} |", env.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_pages_are_what_the_code_says() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference");
        for (name, subject) in [
            ("cli.md", Subject::Cli),
            ("config.md", Subject::Config),
            ("config.schema.json", Subject::Schema),
            ("openapi.json", Subject::Openapi),
            ("commands.md", Subject::Commands),
            ("errors.md", Subject::Errors),
            ("metrics.md", Subject::Metrics),
            ("http.md", Subject::Http),
        ] {
            let committed = std::fs::read_to_string(format!("{folder}/{name}"));
            let fresh = committed.is_ok_and(|text| text.trim_end() == subject.text().unwrap());
            assert!(fresh, "docs/reference/{name} is stale; write it with: cargo xtask gen-docs");
        }
    }

    #[test]
    fn the_reference_names_every_command() {
        let text = commands();
        for expected in [
            "## `mainstay serve`",
            "### `mainstay config show`",
            "| `--url <URL>` |  | `MAINSTAY_URL` |",
        ] {
            assert!(text.contains(expected), "{text}");
        }
        assert!(!text.contains("`mainstay docs`"));
    }
}

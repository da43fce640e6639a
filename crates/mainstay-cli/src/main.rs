//! The mainstay binary: reads the command line, does the one thing it says, ends with the exit code.
//! It must not hold policy: the library decides, the server translates, this starts and shows.

use std::{io::Write, process::ExitCode};

use clap::Parser;

mod args;
mod client;
mod commands;
mod config;
mod exit;
mod log;
mod otlp;
mod output;
mod setup;
mod words;

use args::{Cli, Command};
use exit::{Exit, Failure};
use output::Output;

/// The library leaves the allocator to its program; here it is one that gives memory back: docs/adr/0016.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Usage errors end here with exit code 2, --help and --version with 0.
    let cli = Cli::parse();
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => report(&failure).into(),
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let (common, output) = (&cli.common, Output::new(cli.common.output));
    match cli.command {
        Command::Serve(serve) => serve.run(common),
        Command::Drill(drill) => drill.run(common, output),
        Command::Status(command) => client::wait(command.run(common, output)),
        Command::Health(command) => client::wait(command.run(common, output)),
        Command::Top(command) => client::wait(command.run(common, output)),
        Command::Events(command) => client::wait(command.run(common, output)),
        Command::Breaker(command) => client::wait(command.run(common, output)),
        Command::Drain(command) => client::wait(command.run(common, output)),
        Command::Undrain(command) => client::wait(command.run(common, output)),
        Command::Journal(command) => client::wait(command.run(common, output)),
        Command::Get(command) => client::wait(command.run(common, output)),
        Command::Set(command) => client::wait(command.run(common, output)),
        Command::Del(command) => client::wait(command.run(common, output)),
        Command::Lock(command) => client::wait(command.run(common, output)),
        Command::Locks(command) => client::wait(command.run(common, output)),
        Command::Warm(command) => client::wait(command.run(common, output)),
        Command::Config(command) => command.run(common, output),
        Command::Completions(command) => command.run(output),
        Command::Man(command) => command.run(output),
        Command::Docs(command) => command.run(output),
    }
}

/// Says on stderr what went wrong. Nobody is left to hear it when stderr is closed too.
fn report(failure: &Failure) -> Exit {
    let mut stderr = std::io::stderr().lock();
    let color = output::wants_color(&std::io::stderr());
    for line in failure.message.lines() {
        let word = output::Tone::Bad.paint("error:", color);
        let _ = writeln!(stderr, "{word} {line}");
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(stderr, "{} {hint}", output::Tone::Faint.paint("hint:", color));
    }
    failure.exit
}

//! `completions`: what a shell needs to complete the commands and flags.
//! It must not install anything.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{
    args::Cli,
    exit::{Exit, Failure},
    output::Output,
};

/// Prints completions for a shell.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, output: Output) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "mainstay", &mut script);
        output.bytes(&script)?;
        Ok(Exit::Ok)
    }
}

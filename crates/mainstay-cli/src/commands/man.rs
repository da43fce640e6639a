//! `man`: the manual page, or one page a command into a directory.
//! It must not install anything.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};

use crate::{
    args::Cli,
    exit::{Exit, Failure},
    output::Output,
};

/// Prints the manual page.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write one page for each command into this directory. Default: print the page of `mainstay`
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, output: Output) -> Result<Exit, Failure> {
        let mut command = Cli::command().disable_help_flag(true);
        command.build();
        match &self.dir {
            None => output.bytes(&page(&command)?)?,
            Some(dir) => {
                std::fs::create_dir_all(dir).map_err(|error| unwritten(dir, &error))?;
                write_pages(dir, &command)?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    Ok(text)
}

fn write_pages(dir: &Path, command: &Command) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let file = dir.join(format!("{name}.1"));
    std::fs::write(&file, page(command)?).map_err(|error| unwritten(&file, &error))?;
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_pages(dir, subcommand)?;
    }
    Ok(())
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

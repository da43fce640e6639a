//! `warm`: reads many keys once, so that copies of them stand in the caches before others ask.
//! It must not know where the values come from.

use std::{io, os::fd::AsFd, path::PathBuf, pin::pin, time::Duration};

use clap::Args;
use futures_util::{StreamExt, stream};
use hyper::{Method, StatusCode};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mainstay::Clock;
use serde_json::json;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines};

use crate::{
    args::{Common, Target},
    client::{self, Call, Client, Reply},
    exit::{Exit, Failure},
    output::{Format, Output},
};

/// What is quicker needs no bar.
const SHOW_AFTER: Duration = Duration::from_secs(1);

/// Reads the keys of a list once, so that copies of them stand in the caches.
#[derive(Debug, Args)]
pub(crate) struct Warm {
    /// A file with one key a line; `-` reads standard input, as in `psql -Atc 'SELECT id FROM …' | mainstay warm - --prefix user:`
    keys: PathBuf,
    /// What stands before each key of the list. Default: nothing
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Reads at once
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    #[command(flatten)]
    target: Target,
}

/// What came of it.
#[derive(Debug, Default)]
struct Tally {
    found: u64,
    missing: u64,
    failed: u64,
    /// Why the first one failed.
    why: Option<Failure>,
}

impl Tally {
    fn add(&mut self, reply: Result<Reply, Failure>) {
        match reply {
            Ok(reply) if reply.status.is_success() => self.found += 1,
            Ok(reply) if reply.status == StatusCode::NOT_FOUND => self.missing += 1,
            Ok(reply) => self.fail(client::problem(&reply)),
            Err(failure) => self.fail(failure),
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.failed += 1;
        self.why.get_or_insert(failure);
    }
}

impl Warm {
    /// Exit code 1 when a key could not be read.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        let client = Client::open(common, &self.target)?;
        let list = self
            .open()
            .map_err(|error| Failure::usage(format!("{}: {error}", self.keys.display())))?;
        let lines = BufReader::new(tokio::fs::File::from_std(list)).lines();
        let tally = self.warm(&client, lines).await?;
        let Tally { found, missing, failed, why } = tally;
        match output.format {
            Format::Json => output.line(
                &json!({ "found": found, "missing": missing, "failed": failed }).to_string(),
            )?,
            Format::Text => {
                output.line(&format!("{found} found, {missing} not there, {failed} failed"))?;
            }
            Format::Quiet => {}
        }
        match why {
            Some(failure) => Err(failure),
            None => Ok(Exit::Ok),
        }
    }

    fn open(&self) -> io::Result<std::fs::File> {
        if self.keys.as_os_str() == "-" {
            return Ok(io::stdin().as_fd().try_clone_to_owned()?.into());
        }
        std::fs::File::open(&self.keys)
    }

    async fn warm(
        &self,
        client: &Client,
        lines: Lines<impl AsyncBufRead + Unpin>,
    ) -> Result<Tally, Failure> {
        let (mut tally, bar, clock) = (Tally::default(), bar(), Clock::system());
        let shown_from = clock.now() + SHOW_AFTER;
        let keys = stream::try_unfold(lines, async |mut lines| {
            let line = lines.next_line().await?;
            Ok::<_, io::Error>(line.map(|line| (line, lines)))
        });
        let asked = keys.map(|line| async {
            match line {
                Ok(line) if line.is_empty() => Ok(None),
                Ok(line) => Ok(Some(client.exchange(self.read_of(&line)).await)),
                Err(error) => Err(error),
            }
        });
        let mut replies = pin!(asked.buffer_unordered(usize::from(self.concurrency)));
        while let Some(reply) = replies.next().await {
            if let Some(reply) = reply? {
                tally.add(reply);
            }
            if clock.now() >= shown_from {
                bar.set_message(format!("{} failed", tally.failed));
                bar.set_position(tally.found + tally.missing + tally.failed);
            }
        }
        bar.finish_and_clear();
        Ok(tally)
    }

    /// The value itself is not wanted here.
    fn read_of(&self, line: &str) -> Call {
        let key = format!("{}{line}", self.prefix.as_deref().unwrap_or_default());
        Call::new(Method::HEAD, format!("/v1/kv/{}", client::escape(key.as_bytes())))
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template("{spinner} {human_pos} keys, {per_sec}, {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

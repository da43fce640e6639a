//! `locks`: who holds what.
//! It must not take or release any.

use std::time::Duration;

use clap::Args;
use mainstay::config::text::format_duration;
use serde_json::Value as Json;

use crate::{
    args::{Common, Target},
    client::{self, Call, Client},
    exit::{Exit, Failure},
    output::{Format, Output},
};

/// Shows the locks: who holds which, and their last tokens.
#[derive(Debug, Args)]
pub(crate) struct Locks {
    /// Only locks behind this name. Default: from the first
    #[arg(long, value_name = "NAME")]
    after: Option<String>,
    /// How many, at most 1000
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    target: Target,
}

impl Locks {
    /// A line a lock.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        let client = Client::open(common, &self.target)?;
        let mut path = format!("/v1/locks?limit={}", self.limit);
        if let Some(after) = &self.after {
            path.push_str(&format!("&after={}", client::escape(after.as_bytes())));
        }
        let document = client.json(Call::get(path)).await?;
        match output.format {
            Format::Json => output.line(&document.to_string())?,
            Format::Text => output.line(&text(&document))?,
            Format::Quiet => {}
        }
        Ok(Exit::Ok)
    }
}

fn text(document: &Json) -> String {
    let word = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let status = &document["status"];
    let mut lines =
        vec![format!("mode {}, guarantee {}", word(&status["mode"]), word(&status["guarantee"]))];
    let locks = document["locks"].as_array().map(Vec::as_slice).unwrap_or_default();
    for lock in locks {
        let (name, token) = (word(&lock["name"]), &lock["token"]);
        lines.push(match lock["left_ms"].as_u64() {
            Some(left) => {
                let left = format_duration(Duration::from_millis(left));
                format!("{name}  token {token}  held by {} for {left} yet", word(&lock["note"]))
            }
            None => format!("{name}  token {token}  free"),
        });
    }
    if let Some(next) = document["next"].as_str() {
        lines.push(format!("more: --after {next}"));
    }
    lines.join("\n")
}

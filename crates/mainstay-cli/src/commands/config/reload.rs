//! `config reload`: has the running server read its configuration anew, and shows what differs.
//! It must not read the configuration itself, but for where the server is.

use clap::Args;
use hyper::{Method, StatusCode};
use serde_json::Value as Json;

use crate::{
    args::{Common, Target},
    client::{self, Call, Client},
    config,
    exit::{Exit, Failure},
    output::{Output, Tone},
};

/// Where, and whether only to look.
#[derive(Debug, Args)]
pub(crate) struct Reload {
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
}

impl Reload {
    pub(super) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        let client = Client::open(common, &self.target)?;
        let query = if self.dry_run { "?dry_run" } else { "" };
        let call = Call::new(Method::POST, format!("/v1/config/reload{query}"));
        let reply = client.exchange(call).await?;
        if reply.status == StatusCode::UNPROCESSABLE_ENTITY {
            return Err(refused(&serde_json::from_slice(&reply.body)?));
        }
        if !reply.status.is_success() {
            return Err(client::problem(&reply));
        }
        let document: Json = serde_json::from_slice(&reply.body)?;
        output.show(|| text(&document, output, self.dry_run), &document)?;
        Ok(Exit::Ok)
    }
}

/// Each problem as `config check` says it, and that nothing has changed.
fn refused(document: &Json) -> Failure {
    let causes = document["causes"].as_array().into_iter().flatten();
    let lines: Vec<&str> = causes.filter_map(|cause| cause["detail"].as_str()).collect();
    let failure = Failure { exit: Exit::Config, ..Failure::new(lines.join("\n")) };
    failure.hint("nothing was changed; the server goes on with the configuration that it has")
}

fn text(document: &Json, output: Output, dry_run: bool) -> String {
    let mut lines = Vec::new();
    for change in document["changes"].as_array().into_iter().flatten() {
        let word = |name: &str| change[name].as_str().unwrap_or_default().to_owned();
        let live = word("effect") == "applied";
        let (tone, said) = match (live, dry_run) {
            (true, false) => (Tone::Good, "applied".to_owned()),
            (true, true) => (Tone::Good, "would be applied".to_owned()),
            (false, _) => (Tone::Warning, format!("needs a restart: {}", word("reason"))),
        };
        let said = output.paint(tone, &said);
        lines.push(config::line(&word("key"), change.get("old"), change.get("new"), &said));
    }
    let count = |name: &str| document[name].as_u64().unwrap_or(0);
    lines.push(match (count("applied"), count("needs_restart")) {
        (0, 0) => "nothing differs".to_owned(),
        (applied, 0) if dry_run => format!("{applied} would be applied"),
        (applied, restart) if dry_run => {
            format!("{applied} would be applied, {restart} would need a restart")
        }
        (applied, 0) => format!("{applied} applied"),
        (applied, restart) => format!("{applied} applied, {restart} waiting for a restart"),
    });
    lines.join("\n")
}

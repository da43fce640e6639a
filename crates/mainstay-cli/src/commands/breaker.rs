//! `breaker`: what an operator tells a breaker, for a time and with a reason.
//! It must not force anything without an end.

use std::time::Duration;

use clap::{Args, ValueEnum};
use hyper::Method;
use mainstay::config::text;
use serde_json::json;

use crate::{
    args::{Common, Target},
    client::{self, Call, Client},
    exit::{Exit, Failure},
    output::Output,
};

/// Forces a backend's breaker open or closed for a time, or gives it back.
#[derive(Debug, Args)]
pub(crate) struct Breaker {
    /// open: refuse all calls; closed: let all pass; auto: decide by itself again
    #[arg(value_enum)]
    state: State,
    /// The backend
    #[arg(value_name = "BACKEND")]
    name: String,
    /// How long the forced state lasts, at most 24h. Default: 10m
    #[arg(long = "for", value_name = "DURATION", value_parser = text::parse_duration)]
    duration: Option<Duration>,
    /// Why; it goes to the log and the events
    #[arg(long, value_name = "TEXT", default_value = "by hand")]
    reason: String,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Open,
    Closed,
    Auto,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Closed => "closed",
            State::Auto => "auto",
        }
    }
}

impl Breaker {
    /// Shows the backend's breaker after it.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        if self.state == State::Auto && self.duration.is_some() {
            return Err(Failure::usage("--for has no meaning with auto"));
        }
        let client = Client::open(common, &self.target)?;
        let mut request = json!({"state": self.state.as_str(), "reason": self.reason});
        if let Some(duration) = self.duration {
            request["for"] = json!(text::format_duration(duration));
        }
        let path = format!("/v1/backends/{}/breaker", client::escape(self.name.as_bytes()));
        let backend = client.json(Call::new(Method::POST, path).json(&request)?).await?;
        let state = backend["breaker"]["state"].as_str().unwrap_or("unknown").replace('_', "-");
        let forced = if backend["breaker"]["forced"] == true { " (forced)" } else { "" };
        output.show(|| format!("{}: breaker {state}{forced}", self.name), &backend)?;
        Ok(Exit::Ok)
    }
}

//! `health`: the exit code for a container's health check.
//! It must not compute what the server knows.

use clap::Args;
use serde_json::Value as Json;

use crate::{
    args::{Common, Target},
    client::{Call, Client},
    exit::{Exit, Failure},
    output::{Output, Tone},
};

/// Says by exit code whether the server can serve.
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Degraded is a failure too
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    target: Target,
}

impl Health {
    /// 0: up or degraded; 1: down, or no answer.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        let status = match self.status(common).await {
            Ok(status) => status,
            Err(failure) if self.strict => return Err(failure),
            Err(failure) => return self.probe(common, output, failure).await,
        };
        let Some(health) = status["health"].as_str() else {
            return Err(Failure::new("the server's status names no health"));
        };
        let sentence = status["sentence"].as_str().unwrap_or_default();
        let (tone, exit) = match health {
            "up" => (Tone::Good, Exit::Ok),
            "degraded" if !self.strict => (Tone::Warning, Exit::Ok),
            "degraded" => (Tone::Warning, Exit::Failed),
            _ => (Tone::Bad, Exit::Failed),
        };
        let document = serde_json::json!({"health": health, "sentence": sentence});
        output.show(|| format!("{}  {sentence}", output.paint(tone, health)), &document)?;
        Ok(exit)
    }

    async fn status(&self, common: &Common) -> Result<Json, Failure> {
        Client::open(common, &self.target)?.json(Call::get("/v1/status")).await
    }

    /// A certificate or a token that is being exchanged is no reason to restart a server that can serve: one's own, on this
    /// host, is asked for what it tells everybody. `failure`: why it told no more.
    async fn probe(
        &self,
        common: &Common,
        output: Output,
        failure: Failure,
    ) -> Result<Exit, Failure> {
        let Ok(Some(client)) = Client::open_unproven(common, &self.target) else {
            return Err(failure);
        };
        if client.send(Call::get("/readyz")).await.is_err() {
            return Err(failure);
        }
        let sentence = format!("it can serve; it told no more: {}", failure.message);
        let document = serde_json::json!({"health": "ready", "sentence": sentence});
        let word = output.paint(Tone::Warning, "ready");
        output.show(|| format!("{word}  {sentence}"), &document)?;
        Ok(Exit::Ok)
    }
}

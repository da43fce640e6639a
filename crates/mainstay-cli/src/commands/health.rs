//! `health`: the exit code for a container's health check.
//! It must not compute what the server knows.

use clap::Args;

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
        let client = Client::open(common, &self.target)?;
        let status = client.json(Call::get("/v1/status")).await?;
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
}

//! `status`: the state of everything, as the server tells it.
//! It must not compute what the server knows.

use clap::Args;

use crate::{
    args::{Common, Target},
    client::{Call, Client},
    exit::{Exit, Failure},
    output::{Format, Output},
};

/// Shows health, backends and routes.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    target: Target,
}

impl Status {
    /// The page for people, or the document.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        let client = Client::open(common, &self.target)?;
        match output.format {
            Format::Text => {
                let page = client.send(Call::get("/status.txt")).await?;
                output.bytes(&page.body)?;
            }
            Format::Json => {
                let document = client.json(Call::get("/v1/status")).await?;
                output.line(&document.to_string())?;
            }
            Format::Quiet => drop(client.send(Call::get("/v1/status")).await?),
        }
        Ok(Exit::Ok)
    }
}

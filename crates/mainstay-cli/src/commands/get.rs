//! `get`: one value, as it was stored.
//! It must not know which backend answers.

use clap::Args;
use hyper::StatusCode;
use serde_json::{Value as Json, json};

use crate::{
    args::{Common, Target},
    client::{self, Call, Client},
    exit::{Exit, Failure},
    output::{Format, Output},
};

/// Reads a key.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The key
    key: String,
    #[command(flatten)]
    target: Target,
}

impl Get {
    /// The value's bytes; a key that is not there is exit code 1.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        let client = Client::open(common, &self.target)?;
        let path = format!("/v1/kv/{}", client::escape(self.key.as_bytes()));
        let as_json = output.format == Format::Json;
        let call = Call::get(if as_json { format!("{path}?meta") } else { path });
        let reply = client.exchange(call).await?;
        match reply.status {
            StatusCode::NOT_FOUND => Err(Failure::new(format!("there is no key `{}`", self.key))),
            status if !status.is_success() => Err(client::problem(&reply)),
            _ if as_json => {
                let mut document: Json = serde_json::from_slice(&reply.body)?;
                document["key"] = json!(self.key);
                output.line(&document.to_string())?;
                Ok(Exit::Ok)
            }
            _ => {
                if output.format == Format::Text {
                    output.bytes(&reply.body)?;
                }
                Ok(Exit::Ok)
            }
        }
    }
}

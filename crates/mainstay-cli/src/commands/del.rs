//! `del`: makes keys absent.
//! It must not know which backend does it.

use clap::Args;
use hyper::{Method, header};
use serde_json::json;

use crate::{
    args::{Common, Target},
    client::{self, Call, Client},
    exit::{Exit, Failure},
    output::Output,
};

/// Deletes keys.
#[derive(Debug, Args)]
pub(crate) struct Del {
    /// The keys
    #[arg(required = true)]
    keys: Vec<String>,
    /// Only if the key still has this version, as in 1-17; for one key. Default: whatever version it has
    #[arg(long, value_name = "VERSION")]
    if_version: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Del {
    /// A key that is not there is no failure, a condition that does not hold is.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        if self.if_version.is_some() && self.keys.len() > 1 {
            return Err(Failure::usage("--if-version goes with one key"));
        }
        let client = Client::open(common, &self.target)?;
        for key in &self.keys {
            let path = format!("/v1/kv/{}", client::escape(key.as_bytes()));
            let mut call = Call::new(Method::DELETE, path);
            if let Some(version) = &self.if_version {
                call = call.header(header::IF_MATCH, &format!("\"{version}\""))?;
            }
            client.send(call).await.map_err(|failure| Failure {
                message: format!("{key}: {}", failure.message),
                ..failure
            })?;
        }
        output.show(|| "OK".to_owned(), &json!({"deleted": self.keys}))?;
        Ok(Exit::Ok)
    }
}

//! `set`: one value, from the command line, a file or stdin.
//! It must not know which backend takes it.

use std::{io::Read, path::PathBuf, time::Duration};

use clap::Args;
use hyper::{Method, StatusCode, header};
use mainstay::config::text;
use serde_json::json;

use crate::{
    args::{Common, Target},
    client::{self, Call, Client, Reply},
    exit::{Exit, Failure},
    output::Output,
};

/// Writes a key.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The key
    key: String,
    /// The value; `-` reads it from stdin
    #[arg(required_unless_present = "file", allow_hyphen_values = true)]
    value: Option<String>,
    /// Read the value from this file. Default: the argument
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    file: Option<PathBuf>,
    /// Time to live, as in 60s. Default: the route's
    #[arg(long, value_name = "DURATION", value_parser = text::parse_duration)]
    ttl: Option<Duration>,
    /// Only if there is no such key
    #[arg(long, conflicts_with = "if_version")]
    create: bool,
    /// Only if the key still has this version, as in 1-17. Default: whatever version it has
    #[arg(long, value_name = "VERSION")]
    if_version: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Set {
    /// A condition that does not hold is exit code 1.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        let client = Client::open(common, &self.target)?;
        let mut path = format!("/v1/kv/{}", client::escape(self.key.as_bytes()));
        if let Some(ttl) = self.ttl {
            path.push_str(&format!("?ttl={}", text::format_duration(ttl)));
        }
        let mut call = Call::new(Method::PUT, path)
            .body(self.value()?)
            .header(header::CONTENT_TYPE, "application/octet-stream")?;
        if self.create {
            call = call.header(header::IF_NONE_MATCH, "*")?;
        }
        if let Some(version) = &self.if_version {
            call = call.header(header::IF_MATCH, &format!("\"{version}\""))?;
        }
        let reply = client.send(call).await?;
        let document =
            json!({"key": self.key, "version": version(&reply), "source": source(&reply)});
        let waits = reply.status == StatusCode::ACCEPTED;
        let text = if waits { "accepted: it waits in the journal" } else { "OK" };
        output.show(|| text.to_owned(), &document)?;
        Ok(Exit::Ok)
    }

    fn value(&self) -> Result<Vec<u8>, Failure> {
        let unreadable = |from: &str, error| Failure::new(format!("{from}: {error}"));
        match (&self.file, self.value.as_deref()) {
            (Some(file), _) => {
                std::fs::read(file).map_err(|error| unreadable(&file.display().to_string(), error))
            }
            (None, Some("-")) => {
                let mut value = Vec::new();
                let read = std::io::stdin().lock().read_to_end(&mut value);
                read.map_err(|error| unreadable("stdin", error))?;
                Ok(value)
            }
            (None, value) => Ok(value.unwrap_or_default().as_bytes().to_vec()),
        }
    }
}

fn version(reply: &Reply) -> Option<&str> {
    Some(reply.headers.get(header::ETAG)?.to_str().ok()?.trim_matches('"'))
}

fn source(reply: &Reply) -> Option<&str> {
    reply.headers.get("x-mainstay-source")?.to_str().ok()
}

//! `drain` and `undrain`: a backend out of use, and back.
//! It must not wait for calls in flight; they end by themselves.

use clap::Args;
use hyper::Method;
use serde_json::json;

use crate::{
    args::{Common, Target},
    client::{self, Call, Client},
    exit::{Exit, Failure},
    output::Output,
};

/// Takes a backend out of use.
#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// For how long, with a unit, at most 24h. Default: until it is put back
    #[arg(long = "for", value_name = "DURATION")]
    duration: Option<String>,
    #[command(flatten)]
    subject: Subject,
}

/// Puts a backend back into use.
#[derive(Debug, Args)]
pub(crate) struct Undrain {
    #[command(flatten)]
    subject: Subject,
}

#[derive(Debug, Args)]
struct Subject {
    /// The backend
    #[arg(value_name = "BACKEND")]
    name: String,
    /// Why; it goes to the log and the events
    #[arg(long, value_name = "TEXT", default_value = "by hand")]
    reason: String,
    #[command(flatten)]
    target: Target,
}

impl Drain {
    /// No new calls go there from now on.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        let Subject { name, reason, target } = self.subject;
        let client = Client::open(common, &target)?;
        let mut body = json!({"reason": reason});
        if let Some(duration) = self.duration {
            body["for"] = json!(duration);
        }
        client.send(Call::new(Method::POST, path(&name)).json(&body)?).await?;
        let document = json!({"backend": name, "drained": true});
        output.show(
            || format!("{name}: out of use; back with: mainstay undrain {name}"),
            &document,
        )?;
        Ok(Exit::Ok)
    }
}

impl Undrain {
    /// New calls may go there again.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        let Subject { name, reason, target } = self.subject;
        let client = Client::open(common, &target)?;
        let query = client::escape(reason.as_bytes());
        client.send(Call::new(Method::DELETE, format!("{}?reason={query}", path(&name)))).await?;
        let document = json!({"backend": name, "drained": false});
        output.show(|| format!("{name}: in use"), &document)?;
        Ok(Exit::Ok)
    }
}

fn path(name: &str) -> String {
    format!("/v1/backends/{}/drain", client::escape(name.as_bytes()))
}

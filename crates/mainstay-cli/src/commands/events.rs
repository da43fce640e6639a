//! `events`: what happened, and with --follow what happens.
//! It must not lose an event that the server still has: after a break it asks for those since the last one seen.

use std::{io::Write, time::Duration};

use clap::Args;
use serde_json::Value as Json;

use crate::{
    args::{Common, Target},
    client::{self, Call, Client, follow::Follow},
    exit::{Exit, Failure},
    output::{Format, Output},
    words,
};

/// Time between attempts to reach the server again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Shows what happened.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Go on showing what happens, also over a restart of the server
    #[arg(long, short)]
    follow: bool,
    /// How many of the last events to show
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// Only events of this backend; of the history also the starts and ends of the server. Default: all
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// The connection history instead: the last 100 changes of each backend, also from before a restart
    #[arg(long, conflicts_with = "follow")]
    history: bool,
    #[command(flatten)]
    target: Target,
}

impl Events {
    /// The last events; with --follow it ends only by a signal.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        let client = Client::open(common, &self.target)?;
        if self.history {
            return self.past(&client, output).await;
        }
        let path = format!("/v1/events?format=json&limit={}", self.limit);
        let document = client.json(Call::get(path)).await?;
        let events = document.as_array().or(document["events"].as_array());
        let mut last = 0;
        for event in events.into_iter().flatten() {
            last = event["id"].as_u64().unwrap_or(last);
            self.show(event, output)?;
        }
        if self.follow {
            return Err(self.follow(&client, last, output).await);
        }
        Ok(Exit::Ok)
    }

    /// The connection history; the server chooses the backend, since it knows which there are.
    async fn past(&self, client: &Client, output: Output) -> Result<Exit, Failure> {
        let mut path = format!("/v1/history?limit={}", self.limit);
        if let Some(backend) = &self.backend {
            path.push_str(&format!("&backend={}", client::escape(backend.as_bytes())));
        }
        let document = client.json(Call::get(path)).await?;
        for entry in document["entries"].as_array().into_iter().flatten() {
            self.print(entry, output)?;
        }
        Ok(Exit::Ok)
    }

    /// Goes on showing what happens, also over a restart of the server; ends when nobody reads stdout any more.
    async fn follow(&self, client: &Client, mut last: u64, output: Output) -> Failure {
        loop {
            let failure = match self.follow_once(client, &mut last, output).await {
                Ok(()) => Failure::new("the server ended the stream"),
                Err(failure) if failure.exit == Exit::Ok => return failure,
                Err(failure) => failure,
            };
            // Whoever reads stdout need not see this.
            let _ = writeln!(std::io::stderr(), "{}; trying again", failure.message);
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn follow_once(
        &self,
        client: &Client,
        last: &mut u64,
        output: Output,
    ) -> Result<(), Failure> {
        let mut stream = Follow::open(client, *last).await?;
        while let Some(messages) = stream.next().await? {
            for message in messages {
                let event: Json = serde_json::from_str(&message.data)?;
                if message.name == "lagged" {
                    // Beside the events, which stay one a line.
                    let _ = writeln!(std::io::stderr(), "{} events were missed", event["missed"]);
                }
                // The snapshot that a stream begins with has no id of an event.
                if let Some(id) = event["id"].as_u64() {
                    *last = id;
                    self.show(&event, output)?;
                }
            }
        }
        Ok(())
    }

    fn show(&self, event: &Json, output: Output) -> Result<(), Failure> {
        if self.backend.is_some() && self.backend.as_deref() != event["backend"].as_str() {
            return Ok(());
        }
        self.print(event, output)
    }

    fn print(&self, event: &Json, output: Output) -> Result<(), Failure> {
        match output.format {
            Format::Text if self.history => {
                output.line(&format!("{}  {}", words::day(event), line(event, output)))?;
            }
            Format::Text => output.line(&line(event, output))?,
            Format::Json => output.line(&event.to_string())?,
            Format::Quiet => {}
        }
        Ok(())
    }
}

/// The event as a line, in colours where they are wanted.
fn line(event: &Json, output: Output) -> String {
    let pieces = words::event(event).into_iter();
    pieces
        .map(|(tone, text)| match tone {
            Some(tone) => output.paint(tone, &text),
            None => text,
        })
        .collect()
}

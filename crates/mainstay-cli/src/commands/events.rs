//! `events`: what happened, and with --follow what happens.
//! It must not lose an event that the server still has: after a break it asks for those since the last one seen.

use std::{io::Write, time::Duration};

use clap::Args;
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    header::{ACCEPT, HeaderName},
};
use serde_json::Value as Json;

use crate::{
    args::{Common, Target},
    client::{Call, Client, sse::Decoder},
    exit::{Exit, Failure},
    output::{Format, Output, Tone},
};

/// Time between attempts to reach the server again.
const RECONNECT: Duration = Duration::from_secs(1);

/// The server sends a heartbeat every 15 s; a stream that is silent for longer is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Shows what happened.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Go on showing what happens, also over a restart of the server
    #[arg(long, short)]
    follow: bool,
    /// How many of the last events to show
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// Only events of this backend. Default: all
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Events {
    /// The last events; with --follow it ends only by a signal.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        let client = Client::open(common, &self.target)?;
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
        let call = Call::get("/v1/events")
            .header(ACCEPT, "text/event-stream")?
            .header(HeaderName::from_static("last-event-id"), &last.to_string())?;
        let mut body: Incoming = client.stream(call).await?;
        let mut decoder = Decoder::default();
        loop {
            let next = tokio::time::timeout(SILENCE_MAX, body.frame()).await;
            let next = next.map_err(|_| Failure::new("the stream went silent"))?;
            let Some(frame) = next else { return Ok(()) };
            let frame =
                frame.map_err(|error| Failure::new(format!("the stream broke off: {error}")))?;
            let Some(bytes) = frame.data_ref() else { continue };
            for message in decoder.push(bytes) {
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
    }

    fn show(&self, event: &Json, output: Output) -> Result<(), Failure> {
        if self.backend.is_some() && self.backend.as_deref() != event["backend"].as_str() {
            return Ok(());
        }
        match output.format {
            Format::Text => output.line(&line(event, output))?,
            Format::Json => output.line(&event.to_string())?,
            Format::Quiet => {}
        }
        Ok(())
    }
}

/// `12:04:11.250  redis    breaker closed -> open: 5 failures in a row`.
fn line(event: &Json, output: Output) -> String {
    let time = output.paint(Tone::Faint, &clock(event["unix_ms"].as_i64().unwrap_or(0)));
    let backend = event["backend"].as_str().unwrap_or("-");
    let kind = event["kind"].as_str().unwrap_or("event");
    let text = |key: &str| event[key].as_str().unwrap_or("?");
    let number = |key: &str| event[key].as_u64().unwrap_or(0);
    let what = match kind {
        "breaker" | "health" => {
            let tone = match text("to") {
                "closed" | "up" => Tone::Good,
                "open" | "down" | "isolated" => Tone::Bad,
                _ => Tone::Warning,
            };
            format!("{kind} {} -> {}", text("from"), output.paint(tone, text("to")))
        }
        "connection" if event["connected"] == true => {
            format!("{}, attempt {}", output.paint(Tone::Good, "connected"), number("attempt"))
        }
        "connection" => format!("connection failed, attempt {}", number("attempt")),
        "stuck_reset" => format!("client rebuilt after {} attempts", number("attempts")),
        "drain" if event["drained"] == true => "out of use".to_owned(),
        "drain" => "back in use".to_owned(),
        "readmission" => format!("readmitted, {} keys caught up", number("keys")),
        "storage" => format!("storage {}", text("state")),
        other => other.to_owned(),
    };
    let reason = event["reason"].as_str().filter(|reason| !reason.is_empty());
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    format!("{time}  {backend:<8} {what}{reason}")
}

/// The time of day in UTC.
fn clock(unix_ms: i64) -> String {
    let of_day = unix_ms.rem_euclid(86_400_000);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use mainstay::EventKind;
    use serde_json::json;

    use super::*;

    #[test]
    fn events_read_as_they_are_logged() {
        for kind in [
            EventKind::Breaker { from: "closed", to: "half_open" },
            EventKind::Health { from: "up", to: "down" },
            EventKind::Connection { connected: true, attempt: 3 },
            EventKind::Connection { connected: false, attempt: 2 },
            EventKind::StuckReset { attempts: 50 },
            EventKind::Drain { drained: true },
            EventKind::Drain { drained: false },
            EventKind::Readmission { keys: 7 },
            EventKind::Storage { state: "closing" },
        ] {
            let json = serde_json::to_value(&kind).unwrap();
            let shown = line(&json, Output::plain());
            assert_eq!(shown, format!("00:00:00.000Z  {:<8} {kind}", "-"));
        }
    }

    #[test]
    fn events_read_as_one_line() {
        let output = Output::plain();
        for (event, expected) in [
            (
                json!({"id": 1, "unix_ms": 43_451_250, "backend": "redis", "kind": "breaker",
                       "from": "closed", "to": "open", "reason": "5 failures in a row"}),
                "12:04:11.250Z  redis    breaker closed -> open: 5 failures in a row",
            ),
            (
                json!({"id": 2, "unix_ms": -1, "kind": "storage", "state": "open", "reason": ""}),
                "23:59:59.999Z  -        storage open",
            ),
            (
                json!({"id": 3, "unix_ms": 0, "backend": "db", "kind": "connection",
                       "connected": false, "attempt": 2, "reason": "refused"}),
                "00:00:00.000Z  db       connection failed, attempt 2: refused",
            ),
        ] {
            assert_eq!(line(&event, output), expected);
        }
    }
}

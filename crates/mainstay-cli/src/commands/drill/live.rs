//! `drill --against URL`: a drill on a running server, begun and watched over HTTP.
//! It must not inject anything itself: the server does, and lifts it when this goes away.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use http_body_util::BodyExt;
use hyper::{Method, body::Incoming, header::ACCEPT};
use mainstay_drill::{
    machine::Phase,
    report::Report,
    scenario::{Scenario, named},
    watch::{Line, Listener, Second},
};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::{abort_on_signals, screen::Screen};
use crate::{
    args::{Common, Target, TlsFiles},
    client::{
        Call, Client, escape,
        sse::{Decoder, Event},
    },
    exit::{Exit, Failure},
    output::Output,
};

/// The server says something each second; one that is silent for longer has gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long the server has to say that it has lifted the fault.
const ABORT_WAIT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// A running server in place of throw-away ones.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "On a running server")]
pub(super) struct Against {
    #[command(flatten)]
    tls: TlsFiles,
    /// The running server to drill: the fault is injected inside it, no backend is touched. It needs a token. Default: none, throw-away servers
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// A file that holds the token of the server at --against. Default: none [env: MAINSTAY_TOKEN, the token itself]
    #[arg(long, value_name = "FILE", env = "MAINSTAY_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The backend that is broken. Default: the one that the scenario means
    #[arg(long, value_name = "BACKEND", requires = "against")]
    backend: Option<String>,
    /// The share of its calls that is met; below 1 its probes go on. Default: 1
    #[arg(long, value_name = "SHARE", requires = "against")]
    share: Option<f64>,
    /// The share of failed requests above which the drill is aborted. Default: 0.05
    #[arg(long, value_name = "SHARE", requires = "against")]
    abort_error_rate: Option<f64>,
    /// Write, read and verify a few keys of the drill's own meanwhile. Default: no load at all
    #[arg(long, requires = "against")]
    canary: bool,
    /// Why; it goes to the server's log and events. Default: a drill from the command line
    #[arg(long, value_name = "TEXT", requires = "against")]
    reason: Option<String>,
}

/// What the second's message says of the phase.
#[derive(Deserialize)]
struct Update {
    phase: Phase,
    elapsed_s: f64,
    second: Second,
}

impl Against {
    pub(super) fn is_wanted(&self) -> bool {
        self.against.is_some()
    }

    /// Runs it to its end; the report as the server has it.
    pub(super) async fn drill(
        &self,
        scenario: &Scenario,
        prefix: Option<&str>,
        common: &Common,
        output: Output,
    ) -> Result<Report, Failure> {
        let (url, token_file) = (self.against.clone(), self.token_file.clone());
        let client = Client::open(
            common,
            &Target { url, token_file, tls: self.tls.clone(), timeout: TIMEOUT },
        )?;
        let abort = abort_on_signals()?;
        let screen = Arc::new(Screen::new(output, scenario));
        let call = Call::new(Method::POST, "/v1/drills").json(&self.order(scenario, prefix))?;
        let body =
            client.stream(call.header(ACCEPT, "text/event-stream")?).await.map_err(not_run)?;
        let mut heard = Heard { body, decoder: Decoder::default(), id: String::new() };
        let ended = heard.follow(&screen, &client, &abort).await;
        screen.ended();
        ended.map_err(not_run)?;
        let path = format!("/v1/drills/{}", escape(heard.id.as_bytes()));
        let mut document = client.json(Call::get(path)).await.map_err(not_run)?;
        serde_json::from_value(document["report"].take())
            .map_err(|error| not_run(Failure::new(format!("the server's report: {error}"))))
    }

    fn order(&self, scenario: &Scenario, prefix: Option<&str>) -> Json {
        // One of the server's own needs no more than its name: `for` is what may be another.
        let own = named(&scenario.name);
        let known = own.is_some_and(|own| Scenario { hold: scenario.hold, ..own } == *scenario);
        let mut order = json!({
            "scenario": if known { json!(scenario.name) } else { json!(scenario) },
            "for": mainstay::config::text::format_duration(scenario.hold),
            "canary": self.canary,
            "reason": self.reason.as_deref().unwrap_or("a drill from the command line"),
        });
        let more = [
            ("backend", self.backend.as_deref().map(Json::from)),
            ("prefix", prefix.map(Json::from)),
            ("share", self.share.map(Json::from)),
            ("abort_error_rate", self.abort_error_rate.map(Json::from)),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                order[name] = value;
            }
        }
        order
    }
}

/// The stream of one drill.
struct Heard {
    body: Incoming,
    decoder: Decoder,
    id: String,
}

impl Heard {
    /// Shows what comes until the drill is complete.
    async fn follow(
        &mut self,
        screen: &Screen,
        client: &Client,
        abort: &CancellationToken,
    ) -> Result<(), Failure> {
        loop {
            let events = tokio::select! {
                events = self.next() => events?,
                () = abort.cancelled() => return Err(self.abort(client).await),
            };
            for event in events {
                if self.show(screen, &event)? {
                    return Ok(());
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Vec<Event>, Failure> {
        let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame())
            .await
            .map_err(|_| Failure::new("the server has gone silent; it lifts the fault by itself"))?
            .ok_or_else(|| Failure::new("the server ended the drill before its end"))?
            .map_err(|error| Failure::new(format!("the stream broke off: {error}")))?;
        Ok(frame.data_ref().map(|bytes| self.decoder.push(bytes)).unwrap_or_default())
    }

    /// True: it is complete.
    fn show(&mut self, screen: &Screen, event: &Event) -> Result<bool, Failure> {
        let data: Json = serde_json::from_str(&event.data)?;
        match &*event.name {
            "start" => {
                data["id"].as_str().unwrap_or_default().clone_into(&mut self.id);
                screen.say(&begun(&data));
            }
            "step" => {
                if let Ok(line) = serde_json::from_value::<Line>(data) {
                    screen.line(&line);
                }
            }
            "retry_update" => {
                if let Ok(update) = serde_json::from_value::<Update>(data) {
                    screen.phase(update.phase);
                    let at = Duration::try_from_secs_f64(update.elapsed_s).unwrap_or_default();
                    screen.second(at, &update.second);
                }
            }
            "complete" => return Ok(true),
            "error" => {
                let message = data["message"].as_str().unwrap_or("the drill failed");
                return Err(Failure::new(message));
            }
            // What a newer server says besides.
            _ => {}
        }
        Ok(false)
    }

    /// Tells the server, and waits a little for its word; it notices by itself that this has gone.
    async fn abort(&mut self, client: &Client) -> Failure {
        let path = format!("/v1/drills/{}?reason=interrupted", escape(self.id.as_bytes()));
        let told = tokio::time::timeout(ABORT_WAIT, client.send(Call::new(Method::DELETE, path)));
        match told.await {
            Ok(Ok(_)) => Failure::new("aborted; the server has lifted the fault"),
            Ok(Err(_)) | Err(_) => {
                Failure::new("aborted; the server lifts the fault when this connection has gone")
            }
        }
    }
}

/// The first line, and what is to be known.
fn begun(start: &Json) -> String {
    let text = |name: &str| start[name].as_str().unwrap_or("?").to_owned();
    let mut lines = vec![format!(
        "{} {} on a running server, drill {}; it ends when this does",
        text("backend"),
        text("fault"),
        text("id")
    )];
    let share = start["share"].as_f64().unwrap_or(1.0);
    if share < 1.0 {
        lines.push(format!("note: {} % of the calls are met", (share * 1e4).round() / 1e2));
    }
    let notes = start["notes"].as_array().into_iter().flatten().filter_map(Json::as_str);
    lines.extend(notes.map(|note| format!("note: {note}")));
    lines.join("\n")
}

/// Whatever went wrong, the drill could not be run.
fn not_run(failure: Failure) -> Failure {
    Failure { exit: Exit::NotRun, ..failure }
}

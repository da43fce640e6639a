//! `lock`: runs a command while a lock is held, and ends it when the lock is lost.
//! It must not know who grants.

use std::{
    io::Write,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use clap::Args;
use hyper::{Method, StatusCode};
use mainstay::{Clock, Instant, config::text::parse_duration};
use serde_json::{Value as Json, json};
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    args::{Common, Target},
    client::{self, Call, Client},
    exit::{Exit, Failure},
    output::Output,
};

/// Of what a lease is believed: the server's clock may run a little faster.
const BELIEVED: f64 = 0.98;
/// No single wait takes more than this share of the lease.
const WAITS: u32 = 4;
/// As good as for ever: a year.
const WAIT_MAX: Duration = Duration::from_secs(365 * 86_400);
/// Between two waits.
const PAUSE: Duration = Duration::from_millis(20);
/// Time for the command to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a command under a lock.
#[derive(Debug, Args)]
pub(crate) struct Lock {
    /// The lock
    name: String,
    /// The command and its arguments, behind `--`. It finds MAINSTAY_LOCK_NAME, MAINSTAY_LOCK_TOKEN and
    /// MAINSTAY_LOCK_GUARANTEE in its environment; it is ended (SIGTERM, after 5 s SIGKILL) when the lock is lost
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// How long the lease lasts; it is renewed at a third of that
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    ttl: Duration,
    /// How long to wait while somebody else holds it
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    wait: Duration,
    /// The least that it must guarantee: fenced, best_effort, host or process. Default: anything
    #[arg(long, value_name = "GUARANTEE")]
    require: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// A lock that is held.
struct Held {
    path: String,
    holder: String,
    token: u64,
    guarantee: String,
    /// Until when it may be believed.
    until: Instant,
}

impl Lock {
    /// The command's own exit code; 1 when the lock was not to be had or was lost.
    pub(crate) async fn run(self, common: &Common, _output: Output) -> Result<Exit, Failure> {
        let client = Client::open(common, &self.target)?;
        let clock = Clock::system();
        let mut held = self.acquire(&client, &clock).await?;
        let ended = self.hold(&client, &clock, &mut held).await;
        let released = release(&client, &held).await;
        let status = ended?;
        if let Err(failure) = released {
            // The command has done its work: how it ended is what counts.
            let _ = writeln!(
                std::io::stderr(),
                "warning: `{}` was not released and is free when its lease has ended: {}",
                self.name,
                failure.message
            );
        }
        // As a shell has it.
        let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
        Ok(Exit::Of(u8::try_from(code).unwrap_or(1)))
    }

    async fn acquire(&self, client: &Client, clock: &Clock) -> Result<Held, Failure> {
        let path = format!("/v1/locks/{}", client::escape(self.name.as_bytes()));
        let note = format!("mainstay lock, process {}", std::process::id());
        let mut wish = json!({ "ttl": format!("{}ms", self.ttl.as_millis()), "note": note });
        if let Some(require) = &self.require {
            wish["require"] = json!(require);
        }
        let over = clock.now() + self.wait.min(WAIT_MAX);
        let (asked, reply) = loop {
            let asked = clock.now();
            // A lease counts from before its request, so a long wait there is asked for in pieces.
            let wait = over.saturating_duration_since(asked).min(self.ttl / WAITS);
            wish["wait"] = json!(format!("{}ms", wait.as_millis()));
            let call = Call::new(Method::POST, path.clone()).json(&wish)?;
            let reply = client.exchange_within(call, wait).await?;
            match reply.status {
                StatusCode::CREATED => break (asked, reply),
                StatusCode::CONFLICT if clock.now() < over => tokio::time::sleep(PAUSE).await,
                _ => return Err(client::problem(&reply)),
            }
        };
        let grant: Json = serde_json::from_slice(&reply.body)?;
        let text = |name: &str| grant[name].as_str().unwrap_or_default().to_owned();
        Ok(Held {
            path,
            holder: text("holder"),
            token: grant["token"].as_u64().unwrap_or_default(),
            guarantee: text("guarantee"),
            until: believed(&grant, asked),
        })
    }

    /// Until the command ends, or the lock is lost.
    async fn hold(
        &self,
        client: &Client,
        clock: &Clock,
        held: &mut Held,
    ) -> Result<ExitStatus, Failure> {
        // The answer may have come late: this process was stopped, or the network was slow.
        if held.until <= clock.now() {
            let text = format!(
                "the lock `{}` was lost: its lease had ended when the answer came",
                self.name
            );
            return Err(Failure::new(text).hint("the command was not started"));
        }
        let mut child = self.spawn(held)?;
        let mut signals = Signals::new()?;
        let mut renewal = clock.now() + self.ttl / 3;
        loop {
            tokio::select! {
                status = child.wait() => return Ok(status?),
                number = signals.next() => send(&child, number)?,
                () = tokio::time::sleep_until(held.until) => {
                    end(&mut child).await?;
                    let text = format!("the lock `{}` was lost: its lease could not be renewed in time", self.name);
                    return Err(Failure::new(text).hint("the command was ended; what it did may have met another holder"));
                }
                () = tokio::time::sleep_until(renewal) => {
                    renewal = clock.now() + self.ttl / 3;
                    self.renew(client, clock, held).await;
                    if held.until <= clock.now() {
                        continue;
                    }
                }
            }
        }
    }

    /// A renewal that fails leaves the old lease; one that says that it was lost ends it.
    async fn renew(&self, client: &Client, clock: &Clock, held: &mut Held) {
        let asked = clock.now();
        let wish = json!({
            "holder": held.holder,
            "token": held.token,
            "ttl": format!("{}ms", self.ttl.as_millis()),
        });
        let Ok(call) = Call::new(Method::PUT, held.path.clone()).json(&wish) else { return };
        let left = held.until.saturating_duration_since(asked);
        let Ok(Ok(reply)) = tokio::time::timeout(left, client.exchange(call)).await else { return };
        match (reply.status, serde_json::from_slice::<Json>(&reply.body)) {
            (StatusCode::OK, Ok(grant)) if clock.now() < held.until => {
                held.until = held.until.max(believed(&grant, asked));
            }
            (StatusCode::PRECONDITION_FAILED, _) => held.until = clock.now(),
            _ => {}
        }
    }

    fn spawn(&self, held: &Held) -> Result<Child, Failure> {
        let (program, args) =
            self.command.split_first().ok_or_else(|| Failure::usage("no command"))?;
        Command::new(program)
            .args(args)
            .env("MAINSTAY_LOCK_NAME", &self.name)
            .env("MAINSTAY_LOCK_TOKEN", held.token.to_string())
            .env("MAINSTAY_LOCK_GUARANTEE", &held.guarantee)
            .stdin(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::new(format!("cannot run `{program}`: {error}")))
    }
}

/// Counted from before the request was sent.
fn believed(grant: &Json, asked: Instant) -> Instant {
    let left = Duration::from_millis(grant["ttl_ms"].as_u64().unwrap_or_default());
    asked + left.mul_f64(BELIEVED)
}

/// A lock that was lost meanwhile is none to release.
async fn release(client: &Client, held: &Held) -> Result<(), Failure> {
    let path = format!("{}?holder={}&token={}", held.path, held.holder, held.token);
    let reply = client.exchange(Call::new(Method::DELETE, path)).await?;
    match reply.status {
        StatusCode::NO_CONTENT | StatusCode::PRECONDITION_FAILED => Ok(()),
        _ => Err(client::problem(&reply)),
    }
}

/// What the terminal or the service manager says goes on to the command.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: signal(terminate)?, interrupt: signal(interrupt)? })
    }

    async fn next(&mut self) -> rustix::process::Signal {
        tokio::select! {
            _ = self.terminate.recv() => rustix::process::Signal::TERM,
            _ = self.interrupt.recv() => rustix::process::Signal::INT,
        }
    }
}

fn send(child: &Child, signal: rustix::process::Signal) -> Result<(), Failure> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        rustix::process::kill_process(pid, signal).map_err(std::io::Error::from)?;
    }
    Ok(())
}

/// Asks it to end, and ends it.
async fn end(child: &mut Child) -> Result<(), Failure> {
    send(child, rustix::process::Signal::TERM)?;
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        child.kill().await?;
    }
    Ok(())
}

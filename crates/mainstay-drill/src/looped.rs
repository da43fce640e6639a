//! The loop test: many reads in a row across a restart, counted by who answered.
//! It must not know how anything is broken.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use mainstay::{Clock, EventKind, Instant};
use mainstay_servers::resp::{Client, Value};
use serde::{Deserialize, Serialize};
use tokio::sync::watch::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use crate::{
    machine::Phase,
    run::{Plan, RunError, ready},
    subject::Subject,
    watch::{Listener, Watch},
    world::World,
};

/// Iterations of one test at most.
pub const COUNT_MAX: u64 = 1_000_000;
/// Keys that are read in turn.
const KEYS: u64 = 20;
/// One answer is waited for at most so long.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looped {
    /// Reads.
    pub iterations: u64,
    /// By who answered.
    pub sources: BTreeMap<String, u64>,
    /// Reads that were not answered, or with an error.
    pub errors: u64,
    /// Reads that answered something else than was written.
    pub wrong: u64,
    /// Whether the storage noticed that the backend was away.
    pub restart_detected: bool,
    /// How long after the fault.
    pub detected_ms: Option<u64>,
    /// From healing until everything was as before.
    pub recovery_ms: Option<u64>,
    /// The text of the first error.
    pub example: Option<String>,
}

impl Looped {
    /// No read failed or was wrong, and the backend is in use again.
    pub fn succeeded(&self) -> bool {
        self.errors == 0 && self.wrong == 0 && self.recovery_ms.is_some()
    }
}

/// Runs it: broken after a quarter of the reads, healed after half of them.
pub(crate) async fn run<W: World>(
    plan: &Plan,
    world: &mut W,
    subject: &Subject,
    count: u64,
    listener: Arc<dyn Listener>,
    abort: &CancellationToken,
) -> Result<Looped, RunError> {
    let targets = world.targets(&plan.scenario.target)?;
    let clock = subject.storage().clock().clone();
    let watch = Watch::start(subject.storage(), &clock, listener);
    let (progress, seen) = channel(0);
    let test = async {
        ready(&watch, subject.storage(), &clock).await?;
        watch.begin_seconds(clock.now());
        watch.phase(Phase::Steady);
        let reads = Reads { plan, clock: &clock, address: subject.resp(), count };
        let breaks = Breaks { plan, clock: &clock, watch: &watch, targets: &targets, count };
        let (mut looped, times) =
            tokio::try_join!(reads.all(progress), breaks.through(world, seen))?;
        looped.detected_ms = detected(subject, &targets, times.fault_ms);
        looped.restart_detected = looped.detected_ms.is_some();
        looped.recovery_ms =
            times.recovery.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Ok(looped)
    };
    let ended = tokio::select! {
        ended = test => ended,
        () = abort.cancelled() => Err(RunError::Aborted),
    };
    if ended.is_err() {
        // Nothing is left broken; what cannot be healed ends with the world.
        let _best_effort = world.heal(&targets, &plan.scenario.fault).await;
    }
    drop(watch.finish());
    ended
}

struct Times {
    fault_ms: i64,
    recovery: Option<Duration>,
}

/// From the fault to the first sign that the storage knows of it.
fn detected(subject: &Subject, targets: &[String], fault_ms: i64) -> Option<u64> {
    let events = subject.storage().events().since(0);
    let sign = events.iter().find(|event| {
        let target = event
            .backend
            .as_deref()
            .is_some_and(|name| targets.iter().any(|target| target == name));
        let away = match &event.kind {
            EventKind::Breaker { to, .. } => *to != "closed",
            EventKind::Health { to, .. } => *to != "up",
            EventKind::Connection { connected, .. } => !connected,
            EventKind::Lifecycle { to, .. } => *to != "up" && *to != "warming",
            _ => false,
        };
        event.unix_ms >= fault_ms && target && away
    })?;
    Some(sign.unix_ms.abs_diff(fault_ms))
}

struct Breaks<'a> {
    plan: &'a Plan,
    clock: &'a Clock,
    watch: &'a Watch,
    targets: &'a [String],
    count: u64,
}

impl Breaks<'_> {
    async fn through<W: World>(
        &self,
        world: &mut W,
        mut progress: Receiver<u64>,
    ) -> Result<Times, RunError> {
        let (targets, fault) = (self.targets, &self.plan.scenario.fault);
        world.prepare(targets, fault).await?;
        reach(&mut progress, self.count / 4).await;
        let fault_ms = self.clock.unix_ms();
        self.watch.phase(Phase::Fault);
        self.watch.begin_timeline();
        self.watch.say("fault", format!("{} {fault}", targets.join(" and ")), true);
        world.inject(targets, fault).await?;
        reach(&mut progress, self.count / 2).await;
        world.heal(targets, fault).await?;
        let healed = self.clock.now();
        self.watch.phase(Phase::Recovery);
        self.watch.say("healed", "", false);
        let recovery = self.recovered(healed).await;
        self.watch.phase(Phase::After);
        Ok(Times { fault_ms, recovery })
    }

    async fn recovered(&self, healed: Instant) -> Option<Duration> {
        let until = healed + self.plan.scenario.recovery;
        while self.clock.now() < until {
            if self.watch.is_well() {
                return Some(self.clock.now().duration_since(healed));
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }
}

/// Waits until so many reads have been made, or all.
async fn reach(progress: &mut Receiver<u64>, wanted: u64) {
    // Fails when the reads have ended: then all have been made.
    let _ended = progress.wait_for(|done| *done >= wanted).await;
}

struct Reads<'a> {
    plan: &'a Plan,
    clock: &'a Clock,
    address: SocketAddr,
    count: u64,
}

impl Reads<'_> {
    async fn all(&self, progress: Sender<u64>) -> Result<Looped, RunError> {
        let (mut looped, mut connection) = (Looped::default(), None);
        for key in 0..KEYS {
            let (name, value) = (self.name(key), value(key));
            let set = [b"SET" as &[u8], name.as_bytes(), value.as_bytes()];
            match exchange(self.address, &mut connection, &set).await {
                Ok(Value::Error(text)) => return Err(RunError::NotReady(text)),
                Ok(_) => {}
                Err(error) => return Err(RunError::NotReady(error.to_string())),
            }
        }
        let began = self.clock.now();
        let pace = Duration::from_secs(1) / self.plan.scenario.load.rate.max(1);
        for number in 0..self.count {
            let due = began + pace * u32::try_from(number).unwrap_or(u32::MAX);
            tokio::time::sleep_until(due).await;
            self.read(number % KEYS, &mut connection, &mut looped).await;
            progress.send_replace(number + 1);
        }
        Ok(looped)
    }

    async fn read(&self, key: u64, connection: &mut Option<Client>, looped: &mut Looped) {
        looped.iterations += 1;
        let name = self.name(key);
        let meta = exchange(self.address, connection, &[b"MAINSTAY.META", name.as_bytes()]).await;
        let source = match meta {
            Ok(Value::Error(text)) => Err(text),
            Ok(reply) => Ok(field(&reply, "source").unwrap_or_else(|| "nobody".to_owned())),
            Err(error) => Err(error.to_string()),
        };
        match source {
            Ok(source) => *looped.sources.entry(source).or_default() += 1,
            Err(why) => {
                looped.errors += 1;
                looped.example.get_or_insert(why);
                return;
            }
        }
        match exchange(self.address, connection, &[b"GET", name.as_bytes()]).await {
            Ok(Value::Bulk(Some(bytes))) if bytes == value(key).as_bytes() => {}
            Ok(Value::Error(why)) => {
                looped.errors += 1;
                looped.example.get_or_insert(why);
            }
            Ok(other) => {
                looped.wrong += 1;
                looped.example.get_or_insert(format!("{name}: {other:?}"));
            }
            Err(why) => {
                looped.errors += 1;
                looped.example.get_or_insert(why.to_string());
            }
        }
    }

    fn name(&self, key: u64) -> String {
        format!("{}loop:{key}", self.plan.scenario.load.prefix)
    }
}

fn value(key: u64) -> String {
    format!("value of {key}")
}

async fn exchange(
    address: SocketAddr,
    connection: &mut Option<Client>,
    words: &[&[u8]],
) -> io::Result<Value> {
    let asked = async {
        let mut client = match connection.take() {
            Some(client) => client,
            None => Client::connect(address).await?,
        };
        let reply = client.command(words).await?;
        Ok::<_, io::Error>((reply, client))
    };
    let late =
        |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}"));
    let (reply, client) = tokio::time::timeout(PATIENCE, asked).await.map_err(late)??;
    *connection = Some(client);
    Ok(reply)
}

/// The value behind a name in a reply of names and values.
fn field(reply: &Value, name: &str) -> Option<String> {
    let Value::Array(items) = reply else { return None };
    let text = |value: &Value| match value {
        Value::Bulk(Some(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Simple(text) => Some(text.clone()),
        Value::Bulk(None) | Value::Error(_) | Value::Integer(_) | Value::Array(_) => None,
    };
    let pair = items.chunks(2).find(|pair| pair.first().and_then(text).as_deref() == Some(name))?;
    pair.get(1).and_then(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name() {
        let bulk = |text: &str| Value::Bulk(Some(text.to_owned().into()));
        let reply =
            Value::Array(vec![bulk("source"), bulk("db"), bulk("stale"), Value::Integer(0)]);
        assert_eq!(field(&reply, "source").as_deref(), Some("db"));
        assert_eq!(field(&reply, "age"), None);
        assert_eq!(field(&Value::Integer(1), "source"), None);
    }

    #[test]
    fn it_succeeds_when_nobody_noticed_and_the_backend_is_back() {
        let good = Looped { recovery_ms: Some(5), ..Looped::default() };
        assert!(good.succeeded());
        assert!(!Looped { errors: 1, ..good.clone() }.succeeded());
        assert!(!Looped { recovery_ms: None, ..good }.succeeded());
    }
}

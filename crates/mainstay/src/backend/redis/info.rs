//! What a server says about itself: version, role, run, state of its cluster.
//! It must not know how it was asked.

use redis::Value;

use super::{PROBE_KEY, classify, client::Facts};
use crate::error::{Error, ErrorKind, Result};

#[cfg(test)]
mod tests;

/// The parts of INFO that matter here. What the server would not tell is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) version: String,
    pub(super) mode: String,
    pub(super) role: String,
    pub(super) run_id: String,
    pub(super) replication_id: String,
    pub(super) memory_max: String,
    pub(super) memory_policy: String,
    /// Whether what it holds survives its end: `aof`, `rdb` or `none`; empty where it does not say.
    pub(super) persistence: String,
    /// The server's clock, Unix milliseconds.
    pub(super) unix_ms: Option<i64>,
}

/// The questions: `Info::read` takes their replies, after those that were asked before.
pub(super) fn questions() -> redis::Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("PING");
    pipeline.cmd("INFO").arg("server").cmd("INFO").arg("replication");
    pipeline
}

/// Another question, about memory: `Info::add` takes its reply.
pub(super) fn memory() -> redis::Cmd {
    redis::cmd("INFO").arg("memory").take()
}

/// More questions, of probes alone: `Info::add_more` takes their replies.
pub(super) fn add_questions(pipeline: &mut redis::Pipeline) {
    pipeline.add_command(memory()).cmd("INFO").arg("persistence");
    pipeline.cmd("CONFIG").arg("GET").arg("save").cmd("TIME");
}

impl Info {
    /// Reads the replies to `questions`.
    ///
    /// # Errors
    /// The one to PING: loading, busy, no permission to log in. That INFO is forbidden is no error.
    pub(super) fn read(replies: &mut impl Iterator<Item = Value>) -> Result<Self> {
        classify::reply(replies.next().unwrap_or_default())?;
        let mut info = Self::default();
        for reply in replies.by_ref().take(2) {
            info.add(reply)?;
        }
        Ok(info)
    }

    /// Reads one more part.
    pub(super) fn add(&mut self, reply: Value) -> Result<()> {
        if let Some(text) = text_of(reply)? {
            self.take(&text);
        }
        Ok(())
    }

    /// Reads the replies to `add_questions`. What the server keeps to itself stays empty.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn add_more(&mut self, replies: &mut impl Iterator<Item = Value>) -> Result<()> {
        let mut next = || replies.next().unwrap_or_default();
        self.add(next())?;
        self.add(next())?;
        let (points, time) = (pair_of(next()), pair_of(next()));
        if self.persistence.is_empty()
            && let Some((_, points)) = points
        {
            let kept = if points.is_empty() { "none" } else { "rdb" };
            kept.clone_into(&mut self.persistence);
        }
        self.unix_ms = time.and_then(|(seconds, micros)| {
            let (seconds, micros): (i64, i64) = (seconds.parse().ok()?, micros.parse().ok()?);
            Some(seconds * 1000 + micros / 1000)
        });
        Ok(())
    }

    fn take(&mut self, text: &str) {
        if text.lines().any(|line| line == "aof_enabled:1") {
            "aof".clone_into(&mut self.persistence);
        }
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let field = match name {
                "redis_version" => &mut self.version,
                "redis_mode" => &mut self.mode,
                "role" => &mut self.role,
                "run_id" => &mut self.run_id,
                "master_replid" => &mut self.replication_id,
                "maxmemory" => &mut self.memory_max,
                "maxmemory_policy" => &mut self.memory_policy,
                _ => continue,
            };
            value.trim().clone_into(field);
        }
    }

    /// What the adapter itself needs to know.
    pub(super) fn facts(&self) -> Facts {
        let mut numbers = self.version.split('.').map_while(|part| part.parse().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Facts { version, run_id: self.run_id.clone() }
    }

    /// Names this run and this history of the server. A history may get a new name without any loss (a first replica
    /// comes, or the last one is long gone): that costs its user some work, never the truth.
    ///
    /// # Errors
    /// `WrongNode` unless it is a master; `Misconfigured` where it does not say who it is.
    pub(super) fn identity(&self) -> Result<String> {
        if self.run_id.is_empty() || self.replication_id.is_empty() {
            let message = "INFO does not name run_id and master_replid: it must be allowed";
            return Err(Error::new(ErrorKind::Misconfigured, message));
        }
        if self.role != "master" {
            let message = format!("the server is not a master but {}", self.role);
            return Err(Error::new(ErrorKind::WrongNode, message));
        }
        Ok(format!("{} {}", self.run_id, self.replication_id))
    }

    /// Whether keys may have to go before they expire; so too where it does not say.
    pub(super) fn evicts(&self) -> bool {
        self.memory_max != "0" && self.memory_policy != "noeviction"
    }

    /// Refuses a replica: it takes no writes, and what it answers may be old.
    pub(super) fn writable(self) -> Result<Self> {
        if self.role == "slave" {
            return Err(Error::new(ErrorKind::WrongNode, "the server is a replica"));
        }
        Ok(self)
    }
}

/// The text of a reply; none where the server keeps it to itself.
fn text_of(reply: Value) -> Result<Option<String>> {
    match classify::reply(reply) {
        Ok(Value::VerbatimString { text, .. } | Value::SimpleString(text)) => Ok(Some(text)),
        Ok(Value::BulkString(bytes)) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Ok(other) => Err(classify::out_of_step(&other)),
        Err(error) if matches!(error.kind(), ErrorKind::Forbidden | ErrorKind::Unsupported) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Two texts: a name and its value, or two numbers.
fn pair_of(reply: Value) -> Option<(String, String)> {
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    };
    match classify::reply(reply).ok()? {
        Value::Array(parts) => match parts.as_slice() {
            [one, other] => Some((text(one)?, text(other)?)),
            _ => None,
        },
        Value::Map(parts) => {
            let (one, other) = parts.first()?;
            Some((text(one)?, text(other)?))
        }
        _ => None,
    }
}

/// Reads the reply to CLUSTER INFO.
pub(super) fn cluster_is_up(reply: Value) -> Result<()> {
    match text_of(reply)? {
        Some(text) if !text.contains("cluster_state:ok") => {
            let message = "CLUSTERDOWN the cluster does not serve all slots";
            Err(Error::new(ErrorKind::NotReady, message))
        }
        _ => Ok(()),
    }
}

/// Writes a key of our own and reads it back. Every process writes the same, so that probes do not disturb each other.
pub(super) fn write_and_read() -> [redis::Cmd; 2] {
    let set = redis::cmd("SET").arg(PROBE_KEY).arg(PROBE_VALUE).arg("PX").arg(10_000).take();
    [set, redis::cmd("GET").arg(PROBE_KEY).take()]
}

const PROBE_VALUE: &str = "probe";

/// Whether the key was read back.
pub(super) fn read_back(value: &Value) -> Result<()> {
    match value {
        Value::BulkString(bytes) if bytes == PROBE_VALUE.as_bytes() => Ok(()),
        // Written and gone within one round trip: only a server that evicts everything does that.
        Value::Nil => {
            Err(Error::new(ErrorKind::Overloaded, "a key just written is gone: evicted at once"))
        }
        other => Err(classify::out_of_step(other)),
    }
}

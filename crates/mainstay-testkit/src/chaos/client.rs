//! One client: a session at one process over RESP or HTTP, one call at a time, each recorded before it is sent.
//! It must not judge an answer.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    http::{Answer, HttpClient},
    label::{self, Labels},
    time::Time,
    workload::{self, Ask},
};
use crate::{
    history::{Ack, Call, ClientId, Freshness, History, OpId, Outcome, Source, Version},
    load::{Client as RespClient, Value},
};

/// Clients from this number on speak HTTP.
pub(super) const HTTP_FROM: ClientId = 1_000;
/// Longer than any deadline of the server: who has heard nothing by then knows nothing.
const PATIENCE: Duration = Duration::from_secs(8);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(50);

/// What all clients share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) history: History,
    pub(super) time: Time,
    pub(super) labels: Labels,
    /// Who calls.
    pub(super) clients: Vec<ClientId>,
    pub(super) pause: Duration,
    pub(super) stop: AtomicBool,
    /// Whether a client is one session; else each call is one of its own.
    pub(super) sessions: bool,
}

/// One client.
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) shared: Arc<Shared>,
    door: Door,
    random: StdRng,
    values: u64,
}

enum Door {
    Resp(SocketAddr, Option<RespClient>),
    Http(SocketAddr, Option<HttpClient>),
}

/// How a call ended, as its client saw it.
enum End {
    Ok(Outcome),
    Failed,
    Unknown,
}

impl Client {
    /// A client of the process that listens there; HTTP from [`HTTP_FROM`] on.
    pub(super) fn new(id: ClientId, address: SocketAddr, shared: Arc<Shared>, seed: u64) -> Self {
        let door = match id < HTTP_FROM {
            true => Door::Resp(address, None),
            false => Door::Http(address, None),
        };
        let random = StdRng::seed_from_u64(seed ^ (u64::from(id) << 32));
        Self { id, shared, door, random, values: 0 }
    }

    /// Calls until it is told to stop.
    pub(super) async fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            if !self.connect().await {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            let ask = workload::next(&mut self.random);
            self.perform(ask).await;
            let pause = self.shared.pause.mul_f64(self.random.random_range(0.0..2.0));
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether a connection stands.
    pub(super) async fn connect(&mut self) -> bool {
        match &mut self.door {
            Door::Resp(_, Some(_)) | Door::Http(_, Some(_)) => true,
            Door::Resp(address, connection) => {
                *connection = patiently(RespClient::connect(*address)).await.ok();
                connection.is_some()
            }
            Door::Http(address, connection) => {
                *connection = patiently(HttpClient::connect(*address)).await.ok();
                connection.is_some()
            }
        }
    }

    async fn perform(&mut self, ask: Ask) {
        match ask {
            Ask::Get(key) => drop(self.get(&key).await),
            Ask::GetMany(keys) => self.get_many(&keys).await,
            Ask::Put(key) => self.put(&key).await,
            Ask::Delete(key) => self.delete(&key).await,
            Ask::Swap(key) => self.swap(&key).await,
            Ask::Increment(key, by) => self.increment(&key, by).await,
        }
    }

    /// The answer, if there was one: the version where it was told.
    pub(super) async fn get(&mut self, key: &str) -> Option<(Option<u64>, Option<Version>)> {
        let id = self.begin(key, Call::Get)?;
        let labels = self.shared.labels;
        let end = match &self.door {
            Door::Resp(..) => {
                let value = self.resp(&[b"GET", key.as_bytes()]).await;
                value.map_or(End::Failed, |value| read_of_resp(&value, labels))
            }
            Door::Http(..) => {
                let answer = self.http("GET", &path(key), None, "").await;
                answer.map_or(End::Failed, |answer| read_of_http(&answer, labels))
            }
        };
        let seen = match &end {
            End::Ok(Outcome::Read(read)) => Some((read.value, read.version)),
            End::Ok(Outcome::Write(_)) | End::Failed | End::Unknown => None,
        };
        self.end(id, end);
        seen
    }

    async fn get_many(&mut self, keys: &[String]) {
        if matches!(self.door, Door::Http(..)) {
            for key in keys {
                self.get(key).await;
            }
            return;
        }
        let begun: Option<Vec<OpId>> = keys.iter().map(|key| self.begin(key, Call::Get)).collect();
        let Some(begun) = begun else { return };
        let mut words: Vec<&[u8]> = vec![b"MGET"];
        words.extend(keys.iter().map(|key| key.as_bytes()));
        let values = match self.resp(&words).await {
            Ok(Value::Array(values)) if values.len() == keys.len() => values,
            Ok(_) | Err(_) => Vec::new(),
        };
        for (at, id) in begun.into_iter().enumerate() {
            let labels = self.shared.labels;
            self.end(id, values.get(at).map_or(End::Failed, |value| read_of_resp(value, labels)));
        }
    }

    async fn put(&mut self, key: &str) {
        let value = self.value();
        let Some(id) = self.begin(key, Call::Put(value)) else { return };
        let text = value.to_string();
        let end = match &self.door {
            Door::Resp(..) => match self.resp(&[b"SET", key.as_bytes(), text.as_bytes()]).await {
                Ok(Value::Simple(_)) => written(None, true),
                other => refused_by_resp(other),
            },
            Door::Http(..) => write_of_http(self.http("PUT", &path(key), None, &text).await),
        };
        self.end(id, end);
    }

    async fn delete(&mut self, key: &str) {
        let Some(id) = self.begin(key, Call::Delete) else { return };
        let end = match &self.door {
            Door::Resp(..) => match self.resp(&[b"DEL", key.as_bytes()]).await {
                Ok(Value::Integer(gone)) => written(None, gone == 1),
                other => refused_by_resp(other),
            },
            Door::Http(..) => write_of_http(self.http("DELETE", &path(key), None, "").await),
        };
        self.end(id, end);
    }

    async fn swap(&mut self, key: &str) {
        if matches!(self.door, Door::Resp(..)) {
            return self.put(key).await;
        }
        let Some((found, expected)) = self.get(key).await else { return };
        if (found.is_some() && expected.is_none()) || !self.connect().await {
            return;
        }
        let value = self.value();
        let call = Call::CompareAndSet { expected: expected.filter(|_| found.is_some()), value };
        let Some(id) = self.begin(key, call) else { return };
        let tag = expected.map(|version| format!("\"{}-{}\"", version.epoch, version.counter));
        let condition = match (&found, &tag) {
            (Some(_), Some(tag)) => ("If-Match", tag.as_str()),
            _ => ("If-None-Match", "*"),
        };
        let answer = self.http("PUT", &path(key), Some(condition), &value.to_string()).await;
        self.end(id, write_of_http(answer));
    }

    async fn increment(&mut self, key: &str, by: i64) {
        let Some(id) = self.begin(key, Call::Increment { by }) else { return };
        let end = match &self.door {
            Door::Resp(..) => {
                match self.resp(&[b"INCRBY", key.as_bytes(), by.to_string().as_bytes()]).await {
                    Ok(Value::Integer(number)) => {
                        End::Ok(Outcome::increment(number, None, Ack::Durable))
                    }
                    other => refused_by_resp(other),
                }
            }
            Door::Http(..) => {
                let target = format!("{}/incr?by={by}", path(key));
                match self.http("POST", &target, None, "").await {
                    Ok(answer) if answer.status == 200 => counted(&answer),
                    other => write_of_http(other),
                }
            }
        };
        self.end(id, end);
    }

    /// A value that no other call stores.
    fn value(&mut self) -> u64 {
        self.values += 1;
        (u64::from(self.id) << 32) | self.values
    }

    fn begin(&mut self, key: &str, call: Call) -> Option<OpId> {
        let session = match self.shared.sessions {
            true => self.id,
            false => self.random.random_range(HTTP_FROM * 2..u32::MAX),
        };
        let now = self.shared.time.now();
        self.shared.history.invoke(self.id, session, key, call, now).ok()
    }

    fn end(&self, id: OpId, end: End) {
        let (history, now) = (&self.shared.history, self.shared.time.now());
        match end {
            End::Ok(outcome) => history.ok(id, outcome, now),
            End::Failed => history.fail(id, now),
            End::Unknown => history.unknown(id, now),
        }
    }

    async fn resp(&mut self, words: &[&[u8]]) -> io::Result<Value> {
        let Door::Resp(_, connection) = &mut self.door else { return Err(not_connected()) };
        let Some(client) = connection else { return Err(not_connected()) };
        let answer = patiently(client.command(words)).await;
        if answer.is_err() {
            *connection = None;
        }
        answer
    }

    async fn http(
        &mut self,
        method: &str,
        target: &str,
        header: Option<(&str, &str)>,
        body: &str,
    ) -> io::Result<Answer> {
        let Door::Http(_, connection) = &mut self.door else { return Err(not_connected()) };
        let Some(client) = connection else { return Err(not_connected()) };
        let answer = patiently(client.request(method, target, header, body)).await;
        let closing = |answer: &Answer| answer.header("connection") == Some("close");
        if answer.as_ref().map_or(true, closing) {
            *connection = None;
        }
        answer
    }
}

async fn patiently<T>(call: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    tokio::time::timeout(PATIENCE, call).await.map_err(|_| late())?
}

fn not_connected() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

pub(super) fn path(key: &str) -> String {
    format!("/v1/kv/{key}")
}

fn written(version: Option<Version>, applied: bool) -> End {
    End::Ok(Outcome::write(version, Ack::Durable, applied))
}

fn counted(answer: &Answer) -> End {
    let version = answer.header("etag").and_then(label::version);
    match answer.json()["value"].as_i64() {
        Some(number) => End::Ok(Outcome::increment(number, version, Ack::Durable)),
        None => End::Unknown,
    }
}

fn read_of_resp(value: &Value, labels: Labels) -> End {
    let (freshness, source) = labels.of_resp();
    match value {
        Value::Bulk(Some(bytes)) => {
            read(std::str::from_utf8(bytes).unwrap_or_default(), None, freshness, source)
        }
        Value::Bulk(None) => End::Ok(Outcome::read(None, None, freshness, source)),
        Value::Simple(_) | Value::Error(_) | Value::Integer(_) | Value::Array(_) => End::Failed,
    }
}

fn read_of_http(answer: &Answer, labels: Labels) -> End {
    let (freshness, source) = labels.of_http(answer);
    match answer.status {
        200 => {
            read(answer.text(), answer.header("etag").and_then(label::version), freshness, source)
        }
        404 => End::Ok(Outcome::read(None, None, freshness, source)),
        _ => End::Failed,
    }
}

fn read(text: &str, version: Option<Version>, freshness: Freshness, source: Source) -> End {
    // A counter's number may in principle be negative; both are 64 bits.
    let number = text.parse().or_else(|_| text.parse::<i64>().map(i64::cast_unsigned));
    // What is no number was written by nobody: 0 is said to be read, and the checkers will ask who wrote it.
    End::Ok(Outcome::read(Some(number.unwrap_or(0)), version, freshness, source))
}

fn write_of_http(answer: io::Result<Answer>) -> End {
    let Ok(answer) = answer else { return End::Unknown };
    match answer.status {
        200 | 201 | 204 => written(answer.header("etag").and_then(label::version), true),
        412 => written(None, false),
        _ if answer.effect_unknown() => End::Unknown,
        _ => End::Failed,
    }
}

fn refused_by_resp(answer: io::Result<Value>) -> End {
    match answer {
        Ok(Value::Error(text)) if !text.contains("outcome unknown") => End::Failed,
        Ok(_) | Err(_) => End::Unknown,
    }
}

//! `/v1/batch`: many operations in one request, each with its own status.
//! It must not promise more than the single operations do: a batch is not a transaction.

use std::{collections::BTreeMap, fmt, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use futures_util::{StreamExt, stream};
use mainstay::{Answer, Condition, Deadline, Key, Op, Outcome, Reply, Version};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, SeqAccess, Visitor},
};
use utoipa::ToSchema;

use super::{
    Api,
    bodies::{NoRoom, Room},
    body,
    encoding::{self, Encoding},
    kv,
    problem::{Problem, ProblemBody},
    query::Query,
};

/// Operations of one batch at most.
const OPERATIONS_MAX: usize = 1000;
/// Operations in flight at once.
const CONCURRENCY: usize = 32;
/// Bytes of values, as they are written, that one answer carries; reads beyond are refused with 413.
const ANSWER_MAX: usize = 64 << 20;

/// Many operations.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// At most 1000. Those on one key are done in this order, the others side by side.
    #[schema(value_type = Vec<BatchOp>)]
    #[serde(deserialize_with = "operations")]
    operations: Vec<body::Object<BatchOp>>,
}

/// One operation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchOp {
    /// What to do.
    op: Verb,
    /// The key, written as `key_encoding` says.
    key: String,
    /// How the key is written; default utf8.
    #[serde(default)]
    key_encoding: Encoding,
    /// `set`: the value, written as `encoding` says.
    value: Option<String>,
    /// How the value is written; default utf8.
    #[serde(default)]
    encoding: Encoding,
    /// `set`: the time to live with its unit.
    ttl: Option<String>,
    /// `set`, `delete`: only when the key has this version.
    if_version: Option<String>,
    /// `set`: only when there is no such key.
    #[serde(default)]
    if_absent: bool,
    /// `incr`: what is added, default 1.
    by: Option<i64>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verb {
    /// Read the value.
    Get,
    /// Write the value.
    Set,
    /// Delete the key.
    Delete,
    /// Add to a counter.
    Incr,
}

/// What became of the operations, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    results: Vec<BatchResult>,
}

/// What became of one operation.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct BatchResult {
    /// The status that the single request would have had.
    status: u16,
    /// `get`: the value, written as `encoding` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// How the value is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
    /// `incr`: the new value.
    #[serde(skip_serializing_if = "Option::is_none")]
    integer: Option<i64>,
    /// `set`, `delete` with status 202: the number of the journal's entry that waits for the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    journaled: Option<u64>,
    /// The version, where the backend gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The backend that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// `get`: whether it is possibly older than the last acknowledged write.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<bool>,
    /// `get`: age of the copy in seconds, when a cache answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<f64>,
    /// `get`: time left to live in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<f64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemBody>,
}

/// Do many operations
///
/// Not a transaction: each operation succeeds or fails by itself, with its own status.
#[utoipa::path(post, path = "/v1/batch", tag = "values",
    request_body = Batch,
    responses((status = 200, description = "What became of each", body = BatchAnswer),
              (status = 408, description = "The body did not arrive in time"),
              (status = 413, description = "The body is longer than limits.value_max")))]
pub(crate) async fn run(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<BatchAnswer>, Problem> {
    Query::parse(&uri, &[])?;
    let deadline = api.deadline(&headers)?;
    let body_max = api.storage().config().limits.value_max;
    let batch: Batch = body::read_json(&headers, body, body_max, deadline).await?;
    let mut results: Vec<BatchResult> = Vec::new();
    results.resize_with(batch.operations.len(), BatchResult::default);
    let mut lanes: BTreeMap<Key, Vec<(usize, Op)>> = BTreeMap::new();
    for (index, body::Object(operation)) in batch.operations.into_iter().enumerate() {
        match operation.into_op() {
            Ok((key, op)) => lanes.entry(key).or_default().push((index, op)),
            Err(problem) => results[index] = failed(problem),
        }
    }
    let room = Room::new(&api, ANSWER_MAX);
    let lanes = lanes.into_values().map(|lane| run_lane(&api, lane, deadline, &room));
    let mut finished = stream::iter(lanes).buffer_unordered(CONCURRENCY);
    while let Some(lane) = finished.next().await {
        for (index, result) in lane {
            results[index] = result;
        }
    }
    Ok(Json(BatchAnswer { results }))
}

/// The operations on one key, one after the other.
async fn run_lane(
    api: &Api,
    lane: Vec<(usize, Op)>,
    deadline: Deadline,
    room: &Room,
) -> Vec<(usize, BatchResult)> {
    let mut results = Vec::with_capacity(lane.len());
    for (index, op) in lane {
        let result = run_one(api, op, deadline, room).await.unwrap_or_else(failed);
        results.push((index, result));
    }
    results
}

async fn run_one(
    api: &Api,
    op: Op,
    deadline: Deadline,
    room: &Room,
) -> Result<BatchResult, Problem> {
    let unconditional = matches!(op, Op::Delete { condition: Condition::Always, .. });
    let created = matches!(op, Op::Set { condition: Condition::Absent, .. });
    let answer = api.execute(op, deadline).await?;
    if let Reply::Record(record) = &answer.reply {
        // Before it is copied.
        let more = record.as_ref().map_or(0, |record| encoding::length(&record.value));
        room.take(more).map_err(|none| no_room(none, more))?;
        return read_result(answer);
    }
    let source = Some(answer.source.to_string());
    if let Some(seq) = kv::journaled(&answer) {
        let status = StatusCode::ACCEPTED.as_u16();
        return Ok(BatchResult { status, journaled: Some(seq), source, ..BatchResult::default() });
    }
    let written = answer.reply.into_written()?;
    if !written.applied && !unconditional {
        return Err(Problem::precondition_failed(
            "the key has another version, or is there or gone",
        ));
    }
    let integer = match written.outcome {
        Outcome::Integer(value) => Some(value),
        Outcome::None | Outcome::Text(_) => None,
    };
    let status = match (integer, created) {
        (Some(_), _) => StatusCode::OK,
        (None, true) => StatusCode::CREATED,
        (None, false) => StatusCode::NO_CONTENT,
    };
    let version = written.version.map(|version| version.to_string());
    Ok(BatchResult { status: status.as_u16(), integer, version, source, ..BatchResult::default() })
}

fn no_room(none: NoRoom, bytes: usize) -> Problem {
    let detail = match none {
        NoRoom::Anywhere(full) => return full.problem(),
        NoRoom::Here if bytes > ANSWER_MAX => {
            "the value exceeds what the answer to a batch carries; read it by itself"
        }
        NoRoom::Here => {
            "the values of this batch exceed what one answer carries; read the rest in another"
        }
    };
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Too large", detail)
}

fn read_result(answer: Answer) -> Result<BatchResult, Problem> {
    let Some(record) = answer.reply.into_record()? else { return Err(Problem::no_such_key()) };
    let (value, encoding) = encoding::write(&record.value);
    Ok(BatchResult {
        status: StatusCode::OK.as_u16(),
        value: Some(value),
        encoding: Some(encoding),
        integer: None,
        journaled: None,
        version: record.version.map(|version| version.to_string()),
        source: Some(answer.source.to_string()),
        stale: Some(answer.stale),
        age: answer.age.as_ref().map(Duration::as_secs_f64),
        ttl: record.ttl.as_ref().map(Duration::as_secs_f64),
        problem: None,
    })
}

fn failed(problem: Problem) -> BatchResult {
    let status = problem.status().as_u16();
    BatchResult { status, problem: Some(problem.into_body()), ..BatchResult::default() }
}

/// Reads no more than one batch may hold, however many there are.
fn operations<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<body::Object<BatchOp>>, D::Error> {
    struct Operations;

    impl<'de> Visitor<'de> for Operations {
        type Value = Vec<body::Object<BatchOp>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of operations")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
            let mut read = Vec::new();
            while let Some(operation) = all.next_element()? {
                if read.len() == OPERATIONS_MAX {
                    let text = format!("a batch holds at most {OPERATIONS_MAX} operations");
                    return Err(de::Error::custom(text));
                }
                read.push(operation);
            }
            Ok(read)
        }
    }

    deserializer.deserialize_seq(Operations)
}

impl BatchOp {
    fn into_op(self) -> Result<(Key, Op), Problem> {
        self.check_members()?;
        let key = Key::from(bytes::Bytes::from(encoding::read(self.key, self.key_encoding)?));
        if key.as_bytes().is_empty() {
            return Err(Problem::bad_request("a key has at least one byte"));
        }
        let condition = match (&self.if_version, self.if_absent) {
            (None, false) => Condition::Always,
            (None, true) => Condition::Absent,
            (Some(version), false) => Condition::VersionIs(version.parse::<Version>()?),
            (Some(_), true) => {
                return Err(Problem::bad_request("if_version and if_absent exclude each other"));
            }
        };
        let op = match self.op {
            Verb::Get => Op::Get { key: key.clone(), with_ttl: true },
            Verb::Delete => Op::Delete { key: key.clone(), condition, want_previous: false },
            Verb::Incr => Op::Increment { key: key.clone(), by: self.by.unwrap_or(1) },
            Verb::Set => {
                let value = self.value.ok_or_else(|| Problem::bad_request("set needs a value"))?;
                let value = encoding::read(value, self.encoding)?.into();
                let ttl = kv::ttl_of(self.ttl.as_deref())?;
                Op::Set { key: key.clone(), value, ttl, condition, want_previous: false }
            }
        };
        Ok((key, op))
    }

    /// A member that its verb does not know would be ignored silently; so it is refused.
    fn check_members(&self) -> Result<(), Problem> {
        let set = self.op == Verb::Set;
        let strays = [
            ("value", self.value.is_some() && !set),
            ("ttl", self.ttl.is_some() && !set),
            ("if_absent", self.if_absent && !set),
            ("if_version", self.if_version.is_some() && !set && self.op != Verb::Delete),
            ("by", self.by.is_some() && self.op != Verb::Incr),
        ];
        match strays.iter().find(|(_, stray)| *stray) {
            Some((name, _)) => Err(Problem::bad_request(format!("this op does not know `{name}`"))),
            None => Ok(()),
        }
    }
}

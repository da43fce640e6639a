//! The history as lines of JSON, two for a call, in the order of time: for other tools and for keeping.
//! It must not write anywhere.

use serde_json::{Map, Value, json};

use super::call::{Call, Freshness, Outcome, Version};
use super::op::{Fate, Moment, Op};
use super::trace::{MarkKind, Trace};

impl Trace {
    /// One JSON object a line: `type` is `invoke`, `ok`, `fail`, `info` (unknown), `mark`, `outage`, `record` or
    /// `copy`; `t` is in microseconds, `p` the client, `s` the session, `f` the call, `k` the key, `i` the call's id.
    #[must_use]
    pub fn jsonl(&self) -> String {
        let mut lines: Vec<(Moment, Value)> = self.ops.iter().flat_map(of_op).collect();
        lines.extend(self.marks.iter().map(|mark| {
            let (what, text) = match &mark.kind {
                MarkKind::Fault(text) => ("fault", text.as_str()),
                MarkKind::Healed => ("healed", ""),
                MarkKind::Recovered => ("recovered", ""),
            };
            (mark.at, json!({"type": "mark", "t": mark.at.t, "mark": what, "text": text}))
        }));
        lines.extend(self.records.iter().map(|record| {
            let version = version(record.version);
            let line = json!({"type": "record", "t": record.at.t, "k": &*record.key, "v": record.value, "ver": version});
            (record.at, line)
        }));
        lines.sort_by_key(|(at, _)| *at);
        let outages = self.outages.iter().map(|outage| {
            json!({"type": "outage", "p": outage.client, "from": outage.from, "to": outage.to})
        });
        let copies = self.copies.iter().map(|copy| {
            json!({"type": "copy", "cache": &*copy.cache, "k": &*copy.key, "ver": version(copy.version)})
        });
        let lines = lines.into_iter().map(|(_, line)| line).chain(outages).chain(copies);
        lines.map(|line| format!("{line}\n")).collect()
    }
}

fn of_op(op: &Op) -> Vec<(Moment, Value)> {
    let mut lines = vec![(op.invoked, line(op, "invoke", op.invoked, asked(&op.call)))];
    match op.fate {
        Fate::Open => {}
        Fate::Ok(outcome, at) => lines.push((at, line(op, "ok", at, answered(&outcome)))),
        Fate::Failed(at) => lines.push((at, line(op, "fail", at, json!({})))),
        Fate::Unknown(at) => lines.push((at, line(op, "info", at, json!({})))),
    }
    lines
}

fn line(op: &Op, kind: &str, at: Moment, more: Value) -> Value {
    let name = match op.call {
        Call::Get => "get",
        Call::Put(_) => "put",
        Call::Delete => "del",
        Call::CompareAndSet { .. } => "cas",
        Call::Increment { .. } => "incr",
    };
    let mut line = Map::new();
    line.insert("i".into(), json!(op.id.0));
    line.insert("t".into(), json!(at.t));
    line.insert("p".into(), json!(op.client));
    line.insert("s".into(), json!(op.session));
    line.insert("type".into(), json!(kind));
    line.insert("f".into(), json!(name));
    line.insert("k".into(), json!(&*op.key));
    if let Value::Object(more) = more {
        line.extend(more);
    }
    Value::Object(line)
}

fn asked(call: &Call) -> Value {
    match call {
        Call::Get | Call::Delete => json!({}),
        Call::Put(value) => json!({"v": value}),
        Call::CompareAndSet { expected, value } => {
            json!({"v": value, "expected": version(*expected)})
        }
        Call::Increment { by } => json!({"by": by}),
    }
}

fn answered(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Read(read) => {
            let (fresh, bound) = match read.freshness {
                Freshness::Linearizable => ("lin", None),
                Freshness::Bounded(bound) => ("bounded", Some(bound)),
                Freshness::Unverified => ("unverified", None),
                Freshness::Pending => ("pending", None),
            };
            let source = format!("{:?}", read.source);
            json!({"v": read.value, "ver": version(read.version), "fresh": fresh, "bound": bound, "src": source})
        }
        Outcome::Write(write) => {
            let ack = format!("{:?}", write.ack).to_lowercase();
            json!({"ver": version(write.version), "ack": ack, "applied": write.applied, "number": write.number})
        }
    }
}

fn version(version: Option<Version>) -> Value {
    version.map_or(Value::Null, |version| json!([version.epoch, version.counter]))
}

//! Spans as OTLP writes them in JSON, written straight from what was noted: no tree is built for each.
//! It must not know where they go.

use std::fmt::{Display, LowerHex};

use mainstay::Entropy;
use serde::{Serialize, Serializer};

use super::span::{Finished, Happened, Place, Value};

/// A status of OTLP: an error.
const ERROR: u8 = 2;

type Pair = (&'static str, Value);

/// Whose spans they are.
#[derive(Debug)]
pub(super) struct Resource([Pair; 3]);

impl Resource {
    pub(super) fn new(service: &str, entropy: &Entropy) -> Self {
        let text = |text: &str| Value::Text(text.to_owned());
        Self([
            ("service.name", text(service)),
            ("service.version", text(env!("CARGO_PKG_VERSION"))),
            ("service.instance.id", Value::Text(format!("{:032x}", entropy.nonce()))),
        ])
    }

    /// One request to a collector.
    pub(super) fn document<'a>(&'a self, spans: &'a [Finished]) -> impl Serialize + 'a {
        let scope = Scope { name: "mainstay", version: env!("CARGO_PKG_VERSION") };
        let scope_spans = [ScopeSpans { scope, spans: Each(spans, Span::of) }];
        let resource = Owner { attributes: attributes(&self.0) };
        Document { resource_spans: [ResourceSpans { resource, scope_spans }] }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Owner<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Owner<'a> {
    attributes: Each<'a, Pair, Attribute<'a>>,
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Each<'a, Finished, Span<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    trace_id: Hex<u128>,
    span_id: Hex<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<Hex<u64>>,
    name: Option<&'a str>,
    kind: u8,
    start_time_unix_nano: Digits<u64>,
    end_time_unix_nano: Digits<u64>,
    attributes: Each<'a, Pair, Attribute<'a>>,
    events: Each<'a, Happened, Event<'a>>,
    status: Status,
}

#[derive(Serialize)]
struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    time_unix_nano: Digits<u64>,
    name: &'a str,
    attributes: Each<'a, Pair, Attribute<'a>>,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'static str,
    value: Any<'a>,
}

#[derive(Serialize)]
enum Any<'a> {
    #[serde(rename = "stringValue")]
    Text(&'a str),
    #[serde(rename = "intValue")]
    Integer(Digits<i64>),
    #[serde(rename = "doubleValue")]
    Number(f64),
    #[serde(rename = "boolValue")]
    Flag(bool),
}

impl<'a> Span<'a> {
    fn of(span: &'a Finished) -> Self {
        let Place { trace, span: id, parent } = span.place;
        Self {
            trace_id: Hex(trace),
            span_id: Hex(id),
            parent_span_id: parent.map(Hex),
            name: span.attributes.name.as_deref(),
            kind: span.attributes.kind as u8,
            start_time_unix_nano: Digits(span.began),
            end_time_unix_nano: Digits(span.ended),
            attributes: attributes(&span.attributes.values),
            events: Each(&span.events, Event::of),
            status: Status { code: span.attributes.failed.then_some(ERROR) },
        }
    }
}

impl<'a> Event<'a> {
    fn of(event: &'a Happened) -> Self {
        Self {
            time_unix_nano: Digits(event.unix_nanos),
            name: &event.name,
            attributes: attributes(&event.values),
        }
    }
}

impl<'a> Attribute<'a> {
    fn of((key, value): &'a Pair) -> Self {
        let value = match value {
            Value::Text(text) => Any::Text(text),
            Value::Integer(number) => Any::Integer(Digits(*number)),
            Value::Number(number) => Any::Number(*number),
            Value::Flag(flag) => Any::Flag(*flag),
        };
        Self { key, value }
    }
}

fn attributes(values: &[Pair]) -> Each<'_, Pair, Attribute<'_>> {
    Each(values, Attribute::of)
}

/// A list, each made when it is written.
struct Each<'a, T, U>(&'a [T], fn(&'a T) -> U);

impl<T, U: Serialize> Serialize for Each<'_, T, U> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

/// A whole number as a text: JSON's have no 64 bits.
struct Digits<T>(T);

impl<T: Display> Serialize for Digits<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An identity in hexadecimal, as long as its type.
struct Hex<T>(T);

impl<T: LowerHex> Serialize for Hex<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = 2 * size_of::<T>();
        serializer.collect_str(&format_args!("{:0digits$x}", self.0))
    }
}

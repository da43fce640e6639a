//! One span: what is noted while it goes on, and what is left when it has ended.
//! It must not know how it is sent.

use std::{fmt, time::Duration};

use mainstay::{Clock, Instant, trace::TraceParent};
use tracing::field::{Field, Visit};

/// Events of one span; more are left out.
const EVENTS_MAX: usize = 64;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
}

/// Names and values, each name once.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    pub(super) values: Vec<(&'static str, Value)>,
    /// The name of a span, or of an event.
    pub(super) name: Option<String>,
    pub(super) kind: Kind,
    pub(super) failed: bool,
    pub(super) joins: Option<TraceParent>,
}

/// What a span is to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// What happened inside, and when.
#[derive(Debug)]
pub(super) struct Happened {
    pub(super) name: String,
    pub(super) unix_nanos: u64,
    pub(super) values: Vec<(&'static str, Value)>,
}

/// Whose span it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) parent: Option<u64>,
}

/// One moment by both clocks; the times of a whole trace are counted from it, so that they are in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    at: Instant,
    unix_nanos: u64,
}

impl Anchor {
    pub(super) fn new(clock: &Clock) -> Self {
        Self { at: clock.now(), unix_nanos: clock.unix_us().saturating_mul(1000) }
    }

    /// Since 1970.
    pub(super) fn nanos(&self, now: Instant) -> u64 {
        let passed = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.unix_nanos.saturating_add(passed(now.saturating_duration_since(self.at)))
    }
}

/// A span that goes on.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) place: Place,
    pub(super) anchor: Anchor,
    sampled: bool,
    began: Instant,
    /// When it was last left: what it waits for may outlive it.
    pub(super) left: Option<Instant>,
    pub(super) attributes: Attributes,
    events: Vec<Happened>,
}

/// A span that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) place: Place,
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) attributes: Attributes,
    pub(super) events: Vec<Happened>,
}

impl Live {
    pub(super) fn new(
        place: Place,
        anchor: Anchor,
        sampled: bool,
        began: Instant,
        attributes: Attributes,
    ) -> Self {
        Self { place, anchor, sampled, began, left: None, attributes, events: Vec::new() }
    }

    /// Whether it is sent, and what belongs to it too.
    pub(super) fn is_sampled(&self) -> bool {
        self.sampled
    }

    pub(super) fn happened(&mut self, now: Instant, what: Attributes) {
        if self.events.len() < EVENTS_MAX {
            let unix_nanos = self.anchor.nanos(now);
            let name = what.name.unwrap_or_default();
            self.events.push(Happened { name, unix_nanos, values: what.values });
        }
    }

    pub(super) fn finish(self, now: Instant) -> Finished {
        Finished {
            began: self.anchor.nanos(self.began),
            ended: self.anchor.nanos(self.left.unwrap_or(now)),
            place: self.place,
            attributes: self.attributes,
            events: self.events,
        }
    }
}

impl Attributes {
    fn set(&mut self, name: &'static str, value: Value) {
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name, value)),
        }
    }

    fn text(&mut self, name: &'static str, text: &str) {
        match name {
            "otel.name" | "message" => self.name = Some(text.to_owned()),
            "otel.kind" => {
                self.kind = match text {
                    "client" => Kind::Client,
                    "server" => Kind::Server,
                    _ => Kind::Internal,
                }
            }
            "otel.status_code" => self.failed = text == "ERROR",
            TraceParent::FIELD => self.joins = TraceParent::parse(text),
            name => self.set(name, Value::Text(text.to_owned())),
        }
    }
}

impl Visit for Attributes {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), Value::Integer(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), Value::Number(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), Value::Flag(value));
    }
}

//! Log lines on stderr: one line an event, for people or as JSON.
//! It must not decide what is logged.

use std::fmt;

use mainstay::{Event as StorageEvent, trace::TARGET as TRACES};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{
        FmtContext, FormatEvent,
        format::{DefaultFields, Format, Writer},
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

use crate::{
    config::{LogConfig, LogFormat},
    exit::Failure,
    output::{self, Tone},
};

/// What is written from now on, which may change. One of the two filters lets nothing through.
pub(crate) struct Lines {
    text: SetFilter,
    json: SetFilter,
}

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

impl Lines {
    /// Another level, another format.
    pub(crate) fn set(&self, config: &LogConfig) -> Result<(), Failure> {
        let [text, json] = filters(config)?;
        let set = (self.text)(text).and_then(|()| (self.json)(json));
        set.map_err(|error| Failure::new(format!("cannot change what is logged: {error}")))
    }
}

/// Starts logging, once in the life of the process; `traces` sees what is for traces.
pub(crate) fn start(
    config: &LogConfig,
    traces: Option<impl Layer<Registry> + Send + Sync>,
) -> Result<Lines, Failure> {
    let [text, json] = filters(config)?;
    let (text, set_text) = reload::Layer::new(text);
    let (json, set_json) = reload::Layer::new(json);
    let for_people = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(output::wants_color(&std::io::stderr()))
        .event_format(ForPeople::new());
    let for_programs = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .json()
        .flatten_event(true)
        .with_current_span(false);
    let started = tracing_subscriber::registry()
        .with(traces)
        .with(vec![for_people.with_filter(text).boxed(), for_programs.with_filter(json).boxed()])
        .try_init();
    started.map_err(|error| Failure::new(format!("cannot start logging: {error}")))?;
    Ok(Lines {
        text: Box::new(move |filter| set_text.reload(filter)),
        json: Box::new(move |filter| set_json.reload(filter)),
    })
}

/// For the lines for people, and for those for programs.
fn filters(config: &LogConfig) -> Result<[EnvFilter; 2], Failure> {
    let (chosen, none) = (filter(&config.level)?, EnvFilter::new("off"));
    Ok(match config.format {
        LogFormat::Text => [chosen, none],
        LogFormat::Json => [none, chosen],
    })
}

/// What is for traces is logged for whoever names it, and not with everything else of level `debug`.
fn filter(level: &str) -> Result<EnvFilter, Failure> {
    let refused = |error: &dyn fmt::Display| Failure::new(format!("log.level: {error}"));
    let filter = EnvFilter::try_new(level).map_err(|error| refused(&error))?;
    if level.contains(TRACES) {
        return Ok(filter);
    }
    let off = format!("{TRACES}=off").parse().map_err(|error| refused(&error))?;
    Ok(filter.add_directive(off))
}

/// Lines for people: the fields of a storage's event are left out, as its message says the same in words.
struct ForPeople(Format);

impl ForPeople {
    fn new() -> Self {
        Self(tracing_subscriber::fmt::format().with_target(false))
    }
}

impl<S> FormatEvent<S, DefaultFields> for ForPeople
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, DefaultFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != StorageEvent::LOG_TARGET {
            return self.0.format_event(context, writer, event);
        }
        let color = writer.has_ansi_escapes();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let level = *event.metadata().level();
        let tone = if level <= Level::WARN { Tone::Warning } else { Tone::Good };
        let (time, level) = (Tone::Faint.paint(&time, color), format!("{level:>5}"));
        write!(writer, "{time} {} ", tone.paint(&level, color))?;
        event.record(&mut Message(&mut writer));
        writeln!(writer)
    }
}

/// Writes the message of an event and nothing else.
struct Message<'a, 'w>(&'a mut Writer<'w>);

impl Visit for Message<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // The writer is a buffer in memory.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use mainstay::{Clock, EventKind, Events};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(subscriber: impl Subscriber + Send + Sync + 'static, lines: &Lines) -> String {
        tracing::subscriber::with_default(subscriber, || {
            let kind = EventKind::Breaker { from: "closed", to: "open" };
            Events::new(Clock::starting_at(0)).publish(Some(&"redis".into()), kind, "last \"x\"");
            tracing::info!(port = 1, "serving");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[tokio::test]
    async fn people_read_an_event_as_one_sentence() {
        let lines = Lines::default();
        let builder = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false);
        let text = logged(builder.event_format(ForPeople::new()).finish(), &lines);
        let rest: Vec<&str> =
            text.lines().map(|line| line.split_once('Z').map_or("", |(_, rest)| rest)).collect();
        let event = "  WARN redis breaker closed -> open: last \"x\"";
        assert_eq!(rest, [event, "  INFO serving port=1"], "{text}");
    }

    #[test]
    fn programs_read_an_event_as_flat_fields() {
        let lines = Lines::default();
        let builder = tracing_subscriber::fmt().with_writer(lines.clone());
        let text = logged(builder.json().flatten_event(true).finish(), &lines);
        let event: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        for (name, value) in [
            ("message", "redis breaker closed -> open: last \"x\""),
            ("kind", "breaker"),
            ("backend", "redis"),
            ("from", "closed"),
            ("to", "open"),
            ("reason", "last \"x\""),
        ] {
            assert_eq!(event[name], value, "{text}");
        }
        assert!(event.get("attempt").is_none() && event["level"] == "WARN", "{text}");
    }
}

//! Log lines on stderr: one line an event, for people or as JSON.
//! It must not decide what is logged.

use tracing_subscriber::EnvFilter;

use crate::{
    config::{LogConfig, LogFormat},
    exit::Failure,
    output,
};

/// Starts logging, once in the life of the process.
pub(crate) fn start(config: &LogConfig) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|error| Failure::new(format!("log.level: {error}")))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => {
            lines.with_ansi(output::wants_color(&std::io::stderr())).with_target(false).try_init()
        }
    };
    started.map_err(|error| Failure::new(format!("cannot start logging: {error}")))
}

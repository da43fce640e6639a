//! Where traces go, and how many.
//! It must not send anything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client::target;

/// Where traces of operations go. Without an endpoint there are none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TracesConfig {
    /// A collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` is added. Only http://: a
    /// collector elsewhere is reached through one on this host. Default: none; `${OTEL_EXPORTER_OTLP_ENDPOINT:-}` takes
    /// what the environment says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    /// The share of operations that are traced, from 0 to 1. A request that brings a `traceparent` is traced if its caller's
    /// trace is. Default 0.01.
    pub(crate) sample: f64,
    /// So many traces begin in a second at most, so that they cost the same under any load; those of a `traceparent` are not
    /// counted. Default 200.
    pub(crate) max_per_second: u32,
    /// The name of this service in the traces. Default `mainstay`.
    pub(crate) service: String,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self { endpoint: None, sample: 0.01, max_per_second: 200, service: "mainstay".to_owned() }
    }
}

impl TracesConfig {
    /// The share of operations that offer a span, and how many a second at most: all of them where only the log may want
    /// them.
    pub(crate) fn offered(&self) -> (f64, u32) {
        match self.endpoint.as_deref().unwrap_or_default() {
            "" => (1.0, u32::MAX),
            _ => (self.sample, self.max_per_second),
        }
    }

    /// `host:port` of the collector and what stands before the path; `None`: no traces.
    pub(crate) fn collector(&self) -> Result<Option<(String, String)>, String> {
        let given = self.endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
        given
            .map(|url| target::parse_of("traces.endpoint", url))
            .transpose()
            .map_err(|failure| failure.message)
    }

    /// The message begins with the path.
    pub(super) fn validate(&self) -> Result<(), String> {
        self.collector()?;
        if !(0.0..=1.0).contains(&self.sample) {
            return Err("traces.sample: is between 0 and 1".to_owned());
        }
        if self.service.is_empty() {
            return Err("traces.service: is a name".to_owned());
        }
        Ok(())
    }
}

//! HTTP: keys and values, state, events, control and metrics, described by `/openapi.json`.
//! It must not decide anything about backends: it translates requests into operations and answers into responses.

mod app;
mod batch;
mod bodies;
mod body;
mod caller;
mod clients;
mod config;
mod control;
mod dashboard;
mod drills;
mod encoding;
mod events;
mod health;
mod history;
mod invalidate;
mod journal;
mod kv;
mod locks;
mod metrics;
mod openapi;
mod page;
mod patience;
mod permission;
mod problem;
mod query;
mod reserve;
mod security;
mod server;
mod session;
mod settings;
mod status;
mod trace;

pub(crate) use metrics::scrape as metrics_text;
pub(crate) use problem::reference_row as problem_row;

pub use app::{Api, Sections};
pub use config::HttpConfig;
pub use drills::{DrillMessage, DrillRefused, DrillRequest, DrillRun, Drills};
pub use openapi::openapi;
pub use server::{BindError, HttpServer};
pub use settings::{NotReloaded, Reload};

//! HTTP: keys and values, state, events, control and metrics, described by `/openapi.json`.
//! It must not decide anything about backends: it translates requests into operations and answers into responses.

mod app;
mod batch;
mod body;
mod config;
mod control;
mod dashboard;
mod encoding;
mod events;
mod health;
mod invalidate;
mod journal;
mod kv;
mod locks;
mod metrics;
mod openapi;
mod page;
mod problem;
mod query;
mod reject;
mod security;
mod server;
mod session;
mod settings;
mod status;

pub use app::{Api, Sections};
pub use config::HttpConfig;
pub use openapi::openapi;
pub use server::{BindError, HttpServer};

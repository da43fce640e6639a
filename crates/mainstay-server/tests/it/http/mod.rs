//! The HTTP interface.

mod access;
mod batch;
mod clients;
mod dashboard;
mod document;
mod drills;
mod events;
mod locks;
mod metrics;
mod socket;
mod state;
mod support;
mod users;
mod values;

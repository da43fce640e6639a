//! The HTTP interface.

mod access;
mod batch;
mod dashboard;
mod document;
mod locks;
mod socket;
mod state;
mod support;
mod values;

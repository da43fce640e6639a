//! The HTTP interface.

mod access;
mod batch;
mod document;
mod socket;
mod state;
mod support;
mod values;

//! The HTTP interface: against a storage on memory without a socket, and over a real one.
#![cfg(test)]

mod access;
mod batch;
mod dashboard;
mod document;
mod socket;
mod state;
mod support;
mod values;

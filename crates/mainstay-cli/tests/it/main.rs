//! The built binary as a person or a program meets it: files, environment, exit codes, a running server.
#![cfg(test)]

mod config;
mod data;
mod operate;
mod serve;
mod support;

//! The built binary as a person or a program meets it: files, environment, exit codes, a running server.
#![cfg(test)]

mod chaos;
mod clients;
mod config;
mod data;
mod faults;
mod journal;
mod lock;
mod lock_chaos;
mod lock_clients;
mod operate;
mod outage;
mod overflow;
mod process;
mod serve;
mod source;
mod stampede;
mod storm;
mod support;

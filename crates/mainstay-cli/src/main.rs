//! The mainstay binary.
#![allow(unused)]
mod config;
fn main() {}

//! Bad input as data: what is given, and exactly what is answered. The tables are in `bad_input/*.toml`; that of
//! configuration files is read by the unit tests of `config`.

mod doors;
mod files;
mod stores;
mod table;

//! What a process takes: until its first answer, on the disk, per connection, per entry in memory.
//! It must not know how any of it is made.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Instant,
};

use mainstay_testkit::servers::Redis;

use crate::{
    Failure,
    process::{free_port, start_on, start_with},
    table::{Row, Table},
};

/// Idle connections.
const CONNECTIONS: [usize; 3] = [1, 1_000, 10_000];
/// Entries in memory, of this many bytes each.
const ENTRIES: usize = 1_000_000;
const ENTRY_BYTES: usize = 100;
/// Keys of one command.
const BATCH: usize = 1_000;
const MIB: f64 = 1024.0 * 1024.0;
const MEMORY: &str = "[[route]]\nbackends = [\"memory\"]\n";

pub(crate) async fn all(table: &mut Table, rounds: usize, binary: &str) -> Result<(), Failure> {
    starts(table, rounds, binary).await?;
    let size = fs::metadata(binary)?.len() as f64 / MIB;
    let redis = fs::metadata("/usr/bin/redis-server")?.len() as f64 / MIB;
    one(table, "size of the binary", "MiB", size, ("redis-server", redis), "");
    connections(table, binary)?;
    entries(table, binary)
}

/// From its start to its first PONG; a Redis without data beside it.
async fn starts(table: &mut Table, rounds: usize, binary: &str) -> Result<(), Failure> {
    let (mut ours, mut reference) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (port, begun) = (free_port()?, Instant::now());
        let process = start_on(binary, "", port)?;
        ping(process.port())?;
        ours.push(begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        let redis = Redis::start().await?;
        ping(redis.port())?;
        reference.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let name = "start to the first PONG, SQLite record".to_owned();
    let (reference_name, target) = ("redis-server, empty", "< 100 ms");
    table.push(Row { name, unit: "ms", ours, reference_name, reference, target });
    Ok(())
}

fn ping(port: u16) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    if &answer == b"+PONG\r\n" { Ok(stream) } else { Err("no PONG".into()) }
}

/// Idle connections, each of which has been answered once.
fn connections(table: &mut Table, binary: &str) -> Result<(), Failure> {
    let config = format!("{MEMORY}[resp]\nconnections_max = 20000\n");
    let process = start_with(binary, &config)?;
    let before = process.resident()? / MIB;
    let mut open = Vec::new();
    for count in CONNECTIONS {
        while open.len() < count {
            open.push(ping(process.port())?);
        }
        let (name, resident) =
            (format!("resident with {count} idle connections"), process.resident()? / MIB);
        let target = if count == 10_000 { "< 200 MiB" } else { "" };
        one(table, &name, "MiB", resident, ("without any", before), target);
    }
    Ok(())
}

/// Bytes per entry of the memory before a record, over those of its key and value.
fn entries(table: &mut Table, binary: &str) -> Result<(), Failure> {
    let config = "[backends.db]\nurl = \"sqlite:./bench.db\"\n\
                  [l1]\nmax = \"1GiB\"\nttl_max = \"1h\"\n\
                  [[route]]\ncache = [\"memory\"]\nrecord = \"db\"\nl1_ttl = \"1h\"\n";
    let process = start_with(binary, config)?;
    let mut stream = ping(process.port())?;
    let (keys, value) = (|index: usize| format!("key:{index:012}"), "x".repeat(ENTRY_BYTES));
    for first in (0..ENTRIES).step_by(BATCH) {
        let pairs = (first..first + BATCH).flat_map(|index| [keys(index), value.clone()]);
        ask(&mut stream, "MSET", pairs, BATCH * 2)?;
        expect(&mut stream, b"+OK\r\n".len())?;
    }
    let before = process.resident()?;
    for first in (0..ENTRIES).step_by(BATCH) {
        ask(&mut stream, "MGET", (first..first + BATCH).map(keys), BATCH)?;
        let (head, each) = (format!("*{BATCH}\r\n"), format!("${ENTRY_BYTES}\r\n\r\n"));
        expect(&mut stream, head.len() + BATCH * (each.len() + ENTRY_BYTES))?;
    }
    let bytes = keys(0).len() + ENTRY_BYTES;
    let each = (process.resident()? - before) / ENTRIES as f64 - bytes as f64;
    let name = format!("overhead of each of {ENTRIES} entries before a record");
    one(table, &name, "B", each, ("its key and value", bytes as f64), "< 100 B");
    Ok(())
}

fn ask(
    stream: &mut TcpStream,
    name: &str,
    arguments: impl Iterator<Item = String>,
    count: usize,
) -> Result<(), Failure> {
    let mut frame = format!("*{}\r\n${}\r\n{name}\r\n", count + 1, name.len());
    for argument in arguments {
        frame.push_str(&format!("${}\r\n{argument}\r\n", argument.len()));
    }
    Ok(stream.write_all(frame.as_bytes())?)
}

/// A reply of exactly this length that is no error.
fn expect(stream: &mut TcpStream, bytes: usize) -> Result<(), Failure> {
    let mut answer = vec![0; bytes];
    stream.read_exact(&mut answer[..1])?;
    if answer[0] == b'-' {
        let mut text = [0; 256];
        let read = stream.read(&mut text)?;
        return Err(String::from_utf8_lossy(&text[..read]).into());
    }
    Ok(stream.read_exact(&mut answer[1..])?)
}

fn one(
    table: &mut Table,
    name: &str,
    unit: &'static str,
    ours: f64,
    (reference_name, reference): (&'static str, f64),
    target: &'static str,
) {
    let (name, ours, reference) = (name.to_owned(), vec![ours], vec![reference]);
    table.push(Row { name, unit, ours, reference_name, reference, target });
}

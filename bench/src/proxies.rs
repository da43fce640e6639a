//! GET and SET by redis-benchmark: through Mainstay to a Redis, from the memory that Mainstay keeps before it, straight to
//! that Redis, and through twemproxy and HAProxy to it. Processor time and memory of each beside the throughput.
//! It must not make load of its own.

use std::process::{Command, Stdio};

use mainstay_testkit::servers::Redis;

use crate::{
    Failure,
    process::{Process, free_port, start_other, start_with},
    table::{Row, Table},
};

/// Keys of a run.
const KEYS: &str = "1000";

/// One load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) test: &'static str,
    pub(crate) clients: usize,
    pub(crate) pipeline: usize,
    pub(crate) bytes: usize,
}

/// Who is asked.
struct Target<'a> {
    name: &'static str,
    port: u16,
    /// None: the Redis, whose processor time is part of every row.
    process: Option<&'a Process>,
    sets: bool,
}

/// What the runs of one target under one load have come to.
#[derive(Default)]
struct Runs {
    rates: Vec<f64>,
    /// Seconds of processor time per million operations.
    cpu: Vec<f64>,
    resident: Vec<f64>,
}

pub(crate) async fn all(table: &mut Table, rounds: usize, binary: &str) -> Result<(), Failure> {
    let redis = Redis::start().await?;
    let ours = start_with(binary, &plain_config(&redis.url()))?;
    // Another Redis: a copy is not stored as a plain value is.
    let behind = Redis::start().await?;
    let near = start_with(binary, &near_config(&behind.url()))?;
    let (twemproxy, haproxy) = (start_twemproxy(redis.port())?, start_haproxy(redis.port())?);
    let targets = [
        Target { name: "direct Redis", port: redis.port(), process: None, sets: true },
        target("twemproxy", &twemproxy, true),
        target("HAProxy", &haproxy, true),
        target("Mainstay", &ours, true),
        target("Mainstay, from memory", &near, false),
    ];
    for load in loads() {
        if load.test == "GET" {
            // What is read stands there in the size of this load.
            for target in [&targets[0], &targets[4]] {
                redis_benchmark(target.port, Load { test: "SET", clients: 50, ..load }, 5_000)?;
            }
        }
        rows(table, rounds, &targets, load)?;
    }
    Ok(())
}

fn target<'a>(name: &'static str, process: &'a Process, sets: bool) -> Target<'a> {
    Target { name, port: process.port(), process: Some(process), sets }
}

/// Redis alone: of a read that is late, as some are in the largest of these loads, memory behind it would say that there is
/// nothing. And nothing is refused for being late, since redis-benchmark ends with the first error.
fn plain_config(redis: &str) -> String {
    format!(
        "[backends.redis]\nurl = \"{redis}\"\ntimeout = \"20s\"\nbreaker = {{ slow_min = \"15s\" }}\n\
         [[route]]\nprefix = \"\"\nbackends = [\"redis\"]\n[limits]\ndeadline = \"30s\"\n"
    )
}

fn near_config(redis: &str) -> String {
    format!(
        "[backends.redis]\nurl = \"{redis}\"\n[backends.db]\nurl = \"sqlite:./bench.db\"\n\
         [l1]\nmax = \"512MiB\"\n\
         [[route]]\nprefix = \"\"\ncache = [\"memory\", \"redis\"]\nrecord = \"db\"\n"
    )
}

fn loads() -> impl Iterator<Item = Load> {
    let sizes = [3, 1 << 10, 64 << 10];
    sizes.into_iter().flat_map(|bytes| {
        [1, 50, 200].into_iter().flat_map(move |clients| {
            [1, 16].into_iter().flat_map(move |pipeline| {
                ["GET", "SET"].map(|test| Load { test, clients, pipeline, bytes })
            })
        })
    })
}

/// Each target in turn, as often as there are rounds; then one row per reference.
fn rows(
    table: &mut Table,
    rounds: usize,
    targets: &[Target<'_>],
    load: Load,
) -> Result<(), Failure> {
    let asked: Vec<&Target<'_>> =
        targets.iter().filter(|target| target.sets || load.test == "GET").collect();
    let mut runs: Vec<Runs> = asked.iter().map(|_| Runs::default()).collect();
    for _ in 0..rounds {
        for (target, runs) in asked.iter().zip(&mut runs) {
            run(target, load, runs)?;
        }
    }
    let named = |name: &str| asked.iter().position(|target| target.name == name);
    for name in ["Mainstay", "Mainstay, from memory"] {
        let Some(ours) = named(name) else { continue };
        for reference in ["direct Redis", "twemproxy", "HAProxy"] {
            let Some(theirs) = named(reference) else { continue };
            // Of memory what counts is Redis itself.
            if name == "Mainstay" || reference == "direct Redis" {
                push(table, (name, &runs[ours]), (asked[theirs].name, &runs[theirs]), load);
            }
        }
    }
    Ok(())
}

fn run(target: &Target<'_>, load: Load, runs: &mut Runs) -> Result<(), Failure> {
    let requests = requests(load);
    let before = target.process.map(Process::cpu).transpose()?;
    runs.rates.push(redis_benchmark(target.port, load, requests)?);
    if let (Some(process), Some(before)) = (target.process, before) {
        let took = process.cpu()? - before;
        runs.cpu.push(took.as_secs_f64() * 1e6 / requests as f64);
        runs.resident.push(process.resident()?);
    }
    Ok(())
}

fn push(table: &mut Table, ours: (&str, &Runs), theirs: (&'static str, &Runs), load: Load) {
    let Load { test, clients, pipeline, bytes } = load;
    let name = format!("{}: {test} {bytes} B -c {clients} -P {pipeline}", ours.0);
    let mut row = |suffix, unit, ours: &[f64], reference: &[f64], target| {
        table.push(Row {
            name: format!("{name}{suffix}"),
            unit,
            ours: ours.to_vec(),
            reference_name: theirs.0,
            reference: reference.to_vec(),
            target,
        });
    };
    let ahead = clients == 50
        && test == "GET"
        && bytes == 3
        && (ours.0 == "Mainstay") != (theirs.0 == "direct Redis");
    row("", "/s", &ours.1.rates, &theirs.1.rates, if ahead { "ratio > 1" } else { "" });
    if !theirs.1.cpu.is_empty() {
        let target = if ahead { "ratio < 1" } else { "" };
        row(", CPU", "s/M", &ours.1.cpu, &theirs.1.cpu, target);
        row(", resident", "B", &ours.1.resident, &theirs.1.resident, "");
    }
}

/// As many as take about a second.
fn requests(load: Load) -> usize {
    let each =
        if load.clients == 1 { 10_000 } else { 60_000 } * if load.pipeline == 1 { 1 } else { 6 };
    if load.bytes > 1 << 10 { each / 8 } else { each }
}

/// Calls a second.
pub(crate) fn redis_benchmark(port: u16, load: Load, requests: usize) -> Result<f64, Failure> {
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &port.to_string(), "-t", &load.test.to_lowercase()]);
    command.args(["-c", &load.clients.to_string(), "-P", &load.pipeline.to_string()]);
    command.args(["-n", &requests.to_string(), "-d", &load.bytes.to_string(), "-r", KEYS, "--csv"]);
    let output = command.stdin(Stdio::null()).output()?;
    let [text, said] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("\"{}\"", load.test)))
        .ok_or_else(|| format!("no result of {command:?}: {text}{said}"))?;
    let rate = line.split(',').nth(1).ok_or("no rate")?;
    Ok(rate.trim_matches('"').parse()?)
}

fn start_twemproxy(redis: u16) -> Result<Process, Failure> {
    let (port, stats) = (free_port()?, free_port()?);
    let config = format!(
        "bench:\n  listen: 127.0.0.1:{port}\n  redis: true\n  distribution: ketama\n  auto_eject_hosts: false\n  servers:\n   - 127.0.0.1:{redis}:1\n"
    );
    start_other(port, &config, |file| {
        let mut command = Command::new("nutcracker");
        command.arg("-c").arg(file).args(["-s", &stats.to_string(), "-a", "127.0.0.1"]);
        command
    })
}

fn start_haproxy(redis: u16) -> Result<Process, Failure> {
    let port = free_port()?;
    let config = format!(
        "global\n  maxconn 4096\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen bench\n  bind 127.0.0.1:{port}\n  server redis 127.0.0.1:{redis}\n"
    );
    start_other(port, &config, |file| {
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file);
        command
    })
}

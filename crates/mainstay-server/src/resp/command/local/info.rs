//! INFO: the fields that clients look for, and how the backends are.
//! It must not know how the status is kept.

use std::fmt::Write as _;

use mainstay::status::Status;

use super::Context;
use crate::resp::{
    command::{Parsed, args::is},
    session::Shared,
};

/// The version of Redis whose behaviour is followed; clients choose features by it.
pub(in crate::resp) const REDIS_VERSION: &str = "7.4.0";

type Section = (&'static str, fn(&Shared, &Status, &mut String) -> std::fmt::Result);

const SECTIONS: [Section; 9] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Cluster", cluster),
    ("Keyspace", |_, _, _| Ok(())),
    ("Resilience", resilience),
];

/// INFO [section ...]
pub(in crate::resp::command) fn info(context: &mut Context<'_>) -> Parsed<()> {
    let wanted = &context.args[1..];
    let everything = wanted.is_empty()
        || wanted
            .iter()
            .any(|word| ["all", "everything", "default"].iter().any(|all| is(word, all)));
    let status = context.shared.storage.status();
    let mut text = String::new();
    for (name, write) in SECTIONS {
        if everything || wanted.iter().any(|word| is(word, name)) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{gap}# {name}\r\n");
            let _ = write(context.shared, &status, &mut text);
        }
    }
    context.out.verbatim(&text);
    Ok(())
}

fn server(shared: &Shared, status: &Status, text: &mut String) -> std::fmt::Result {
    let seconds = status.uptime.as_secs();
    write!(
        text,
        "redis_version:{REDIS_VERSION}\r\nredis_mode:standalone\r\nserver_name:mainstay\r\n\
         mainstay_version:{}\r\nos:{} {}\r\narch_bits:{}\r\nprocess_id:{}\r\ntcp_port:{}\r\n\
         server_time_usec:{}\r\nuptime_in_seconds:{seconds}\r\nuptime_in_days:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        usize::BITS,
        std::process::id(),
        shared.local.port(),
        shared.clock().unix_us(),
        seconds / 86_400,
    )
}

fn clients(shared: &Shared, _: &Status, text: &mut String) -> std::fmt::Result {
    write!(
        text,
        "connected_clients:{}\r\ncluster_connections:0\r\nmaxclients:{}\r\nblocked_clients:0\r\n",
        shared.clients.count(),
        shared.config.connections_max,
    )
}

fn memory(_: &Shared, _: &Status, text: &mut String) -> std::fmt::Result {
    write!(text, "maxmemory:0\r\nmaxmemory_policy:noeviction\r\n")
}

fn persistence(_: &Shared, _: &Status, text: &mut String) -> std::fmt::Result {
    write!(text, "loading:0\r\nrdb_bgsave_in_progress:0\r\naof_enabled:0\r\n")
}

fn stats(shared: &Shared, _: &Status, text: &mut String) -> std::fmt::Result {
    write!(
        text,
        "total_connections_received:{}\r\ntotal_commands_processed:{}\r\nrejected_connections:{}\r\n",
        shared.clients.total(),
        shared.counters.commands.get(),
        shared.counters.rejected.get(),
    )
}

fn replication(_: &Shared, _: &Status, text: &mut String) -> std::fmt::Result {
    write!(text, "role:master\r\nconnected_slaves:0\r\nmaster_repl_offset:0\r\n")
}

fn cluster(_: &Shared, _: &Status, text: &mut String) -> std::fmt::Result {
    write!(text, "cluster_enabled:0\r\n")
}

fn resilience(_: &Shared, status: &Status, text: &mut String) -> std::fmt::Result {
    write!(
        text,
        "health:{}\r\nsentence:{}\r\nhedges:{}\r\ndirty_keys:{}\r\nbackends:{}\r\n",
        status.health.as_str(),
        status.sentence.replace(['\r', '\n'], " "),
        status.hedges,
        status.dirty_keys,
        status.backends.len(),
    )?;
    for backend in &status.backends {
        let (breaker, calls) = (&backend.breaker, &backend.calls);
        write!(
            text,
            "backend_{}:engine={},health={},breaker={},forced={},drained={},failures={},retry_in_ms={},inflight={},\
             calls_ok={},calls_failed={},calls_refused={},reconnect_attempts={}\r\n",
            backend.name,
            backend.engine,
            backend.health.as_str(),
            breaker.state.as_str(),
            u8::from(breaker.forced),
            u8::from(backend.drained),
            breaker.failures,
            breaker.retry_in.map_or(0, |time| time.as_millis()),
            backend.inflight,
            calls.success,
            calls.failure,
            calls.refused,
            backend.reconnect.attempts_total,
        )?;
    }
    Ok(())
}

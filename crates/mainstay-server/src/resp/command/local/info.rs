//! INFO: the fields that clients look for, and how the backends are.
//! It must not know how the status is kept.

use std::fmt::Write as _;

use mainstay::{Config, status::Status};

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
    )?;
    identity(shared, status, "run_id", text)
}

fn clients(shared: &Shared, _: &Status, text: &mut String) -> std::fmt::Result {
    write!(
        text,
        "connected_clients:{}\r\ncluster_connections:0\r\nmaxclients:{}\r\nblocked_clients:0\r\n",
        shared.clients.count(),
        shared.config().connections_max,
    )
}

fn memory(shared: &Shared, status: &Status, text: &mut String) -> std::fmt::Result {
    // Of a record nothing goes by itself; of memory what was used least lately does.
    let (max, policy) = match keeps_only_in_memory(status) {
        true => (shared.storage.config().memory.max, "allkeys-lru"),
        false => (0, "noeviction"),
    };
    write!(text, "maxmemory:{max}\r\nmaxmemory_policy:{policy}\r\n")
}

/// All keys live in the memory of this process and nowhere else: they live exactly as long as it does.
fn keeps_only_in_memory(status: &Status) -> bool {
    status.backends.iter().all(|backend| &*backend.name == Config::MEMORY)
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
    )?;
    for (what, count) in shared.guard.access.refusals() {
        write!(text, "acl_access_denied_{what}:{count}\r\n")?;
    }
    Ok(())
}

fn replication(shared: &Shared, status: &Status, text: &mut String) -> std::fmt::Result {
    write!(text, "role:master\r\nconnected_slaves:0\r\nmaster_repl_offset:0\r\n")?;
    identity(shared, status, "master_replid", text)
}

/// Who knows this may keep copies here: a new name says that they are gone. With a backend behind, or several, what is
/// gone and what is not cannot be said by one name, and so no name is given.
fn identity(shared: &Shared, status: &Status, field: &str, text: &mut String) -> std::fmt::Result {
    match keeps_only_in_memory(status) {
        true => write!(text, "{field}:{}\r\n", shared.run_id),
        false => Ok(()),
    }
}

fn cluster(_: &Shared, _: &Status, text: &mut String) -> std::fmt::Result {
    write!(text, "cluster_enabled:0\r\n")
}

/// What outages cost since the start, and the key figures of late; what has no value has no line.
fn figures(status: &Status, text: &mut String) -> std::fmt::Result {
    let since = &status.resilience;
    write!(
        text,
        "connection_attempts:{}\r\nsuccessful_reconnections:{}\r\nstuck_retry_resets:{}\r\nrecoveries:{}\r\n",
        since.connection_attempts,
        since.successful_reconnections,
        since.stuck_retry_resets,
        since.recoveries,
    )?;
    let average = since.average_recovery.map(|average| average.as_secs_f64() * 1000.0);
    for (name, value) in [
        ("average_recovery_ms", average),
        ("cache_hit_rate", since.cache_hit_rate),
        ("database_fallback_rate", since.database_fallback_rate),
    ] {
        if let Some(value) = value {
            write!(text, "{name}:{value:.4}\r\n")?;
        }
    }
    for (name, kpi) in status.kpis.all() {
        if let (Some(value), Some(met)) = (kpi.value, kpi.met) {
            write!(text, "kpi_{name}:value={value:.4},met={}\r\n", u8::from(met))?;
        }
    }
    Ok(())
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
    figures(status, text)?;
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

//! The storage as a whole: its health, its key figures, its history.
//! It must not know single backends.

use std::fmt;

use mainstay::status::{Kpi, Status};

use super::families::{Families, HEALTHS, NONE, flag, number};

pub(super) fn write(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    process(families, status)?;
    kpis(families, status)?;
    history(families, status)
}

fn process(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    families.gauge("mainstay_build_info", "Version of this program.", [(version, 1.0)])?;
    let uptime = [(NONE, status.uptime.as_secs_f64())];
    families.gauge("mainstay_uptime_seconds", "Time since the storage was opened.", uptime)?;
    let tasks = tokio::runtime::Handle::try_current().ok();
    let tasks = tasks.map(|runtime| (NONE, number(runtime.metrics().num_alive_tasks() as u64)));
    families.gauge(
        "mainstay_tasks",
        "Tasks that the runtime keeps, those of connections included.",
        tasks,
    )?;
    let health = HEALTHS.map(|state| ([("state", state.as_str())], flag(status.health == state)));
    families.gauge("mainstay_storage_health", "1 for the health of the whole storage.", health)
}

fn kpis(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let figures = status.kpis.all();
    let of = |(name, kpi): &(&'static str, &Kpi)| Some(([("kpi", *name)], kpi.value?));
    let ratios = figures.iter().filter(|(_, kpi)| kpi.unit == "ratio").filter_map(of);
    let help = "Key figures of the last observe.window, from 0 to 1; none where there is nothing to judge by.";
    families.gauge("mainstay_kpi_ratio", help, ratios)?;
    let recovery = status.kpis.recovery_time.value.map(|value| (NONE, value));
    let help = "Of the last outage that ended: from the first sign of life to full service.";
    families.gauge("mainstay_kpi_recovery_time_seconds", help, recovery)?;
    let met = figures.iter().filter_map(|(name, kpi)| Some(([("kpi", *name)], flag(kpi.met?))));
    families.gauge("mainstay_kpi_met", "1 when the key figure meets its target.", met)
}

fn history(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let history = &status.history;
    let entries = [(NONE, number(history.entries))];
    families.gauge("mainstay_history_entries", "Entries of the connection history.", entries)?;
    let kept = [(NONE, flag(history.file.is_some()))];
    let help = "1 when the connection history is kept in a file.";
    families.gauge("mainstay_history_kept", help, kept)?;
    let help = "Entries that are missing in the file because the disk was too slow.";
    families.counter("mainstay_history_dropped", help, [(NONE, history.dropped)])
}

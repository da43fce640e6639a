//! Copies before records, loaded values, what this process keeps, what waits in the journal.
//! It must not know keys. Families are there also where nothing of the kind is: then they have no samples.

use std::fmt;

use mainstay::status::{CacheStatus, JournalStatus, L1Status, LoadStatus, Status};

use super::families::{Families, NONE, flag, number};

pub(super) fn write(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    copies(families, status)?;
    journal(families, status)?;
    loads(families, status)?;
    near(families, status)
}

fn copies(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let dirty = [(NONE, number(status.dirty_keys))];
    families.gauge(
        "mainstay_dirty_keys",
        "Keys whose cache copies wait to be made absent.",
        dirty,
    )?;
    let overflowed = [(NONE, number(status.overflowed_keys))];
    let help = "Keys that a lower backend took for a higher one and that wait to be moved up.";
    families.gauge("mainstay_overflowed_keys", help, overflowed)?;
    let of = |value: fn(&CacheStatus) -> u64| {
        let sample = move |cache: &CacheStatus| {
            let labels = [("cache", cache.cache.to_string()), ("record", cache.record.to_string())];
            (labels, value(cache))
        };
        status.caches.iter().map(sample).collect::<Vec<_>>()
    };
    let readable = of(|cache| u64::from(cache.readable)).into_iter();
    let help = "1 while copies are read.";
    families.gauge(
        "mainstay_cache_readable",
        help,
        readable.map(|(labels, value)| (labels, number(value))),
    )?;
    let mut counter = |name, help, value| families.counter(name, help, of(value));
    counter("mainstay_cache_hits", "Reads answered by copies.", |cache| cache.hits)?;
    let help = "Reads that asked the cache and then the record.";
    counter("mainstay_cache_misses", help, |cache| cache.misses)?;
    counter("mainstay_cache_writes_around", "Writes around the cache.", |c| c.writes_around)?;
    let help = "Keys made absent in the cache for others.";
    counter("mainstay_cache_drained_keys", help, |cache| cache.drained_keys)?;
    let help = "Readmissions of the cache as a whole.";
    counter("mainstay_cache_readmissions", help, |cache| cache.readmissions)?;
    let help = "Copies compared with the record.";
    counter("mainstay_cache_audited_keys", help, |cache| cache.audited_keys)?;
    let help = "Copies that were older than the record though nothing said so.";
    counter("mainstay_cache_inconsistent_keys", help, |cache| cache.inconsistent_keys)
}

fn journal(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let journal = status.journal.as_ref();
    let mut gauge = |name, help, value: fn(&JournalStatus) -> f64| {
        families.gauge(name, help, journal.map(|journal| (NONE, value(journal))))
    };
    gauge("mainstay_journal_entries", "Writes that wait for a record.", |j| number(j.depth))?;
    let help = "For how long the oldest of them waits.";
    gauge("mainstay_journal_oldest_age_seconds", help, |j| {
        j.oldest_age.map_or(0.0, |age| age.as_secs_f64())
    })?;
    let help = "Bytes of the journal's files.";
    gauge("mainstay_journal_size_bytes", help, |j| number(j.bytes))?;
    let help = "Writes that will not be applied.";
    gauge("mainstay_journal_dead_letters", help, |j| number(j.dead_letters))?;
    let help = "1 when it refused the last write.";
    gauge("mainstay_journal_full", help, |j| flag(j.full))?;
    let mut counter = |name, help, value: fn(&JournalStatus) -> u64| {
        families.counter(name, help, journal.map(|journal| (NONE, value(journal))))
    };
    counter("mainstay_journal_applied", "Writes that records took from it.", |j| j.applied)?;
    let help = "Writes that met somebody else's in the record.";
    counter("mainstay_journal_conflicts", help, |j| j.conflicts)
}

fn loads(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let each = |outcomes: fn(&LoadStatus) -> Vec<(&'static str, u64)>, name: &'static str| {
        let of = move |load: &LoadStatus| {
            let route = load.route.to_string();
            let labelled = move |(word, count)| {
                ([("route", route.clone()), (name, String::from(word))], count)
            };
            outcomes(load).into_iter().map(labelled).collect::<Vec<_>>()
        };
        status.loads.iter().flat_map(of).collect::<Vec<_>>()
    };
    let reads = |load: &LoadStatus| {
        vec![
            ("hit", load.hits),
            ("negative_hit", load.negative_hits),
            ("joined", load.joined),
            ("stale", load.stale),
            ("default", load.defaults),
        ]
    };
    let help = "Reads of loaded values by what they got.";
    families.counter("mainstay_load_reads", help, each(reads, "got"))?;
    let runs = |load: &LoadStatus| {
        vec![
            ("success", load.loads.saturating_sub(load.load_errors)),
            ("failure", load.load_errors),
        ]
    };
    let help = "Loaders and queries that were run, by outcome.";
    families.counter("mainstay_loads", help, each(runs, "outcome"))?;
    let shed = |load: &LoadStatus| {
        vec![
            ("cache_unavailable", load.shed_cache_unavailable),
            ("database_saturated", load.shed_database_saturated),
        ]
    };
    let help = "Reads of loaded values that were refused.";
    families.counter("mainstay_loads_shed", help, each(shed, "reason"))?;
    let others = |value: fn(&LoadStatus) -> u64| {
        let of = move |load: &LoadStatus| ([("route", load.route.to_string())], value(load));
        status.loads.iter().map(of).collect::<Vec<_>>()
    };
    let help = "Loads that were left to another process.";
    families.counter("mainstay_loads_shared", help, others(|load| load.shared))?;
    let help = "Loads begun before a value's time was over.";
    families.counter("mainstay_load_refreshes", help, others(|load| load.refreshes))?;
    let help = "Invalidations of loaded keys, prefixes and tags.";
    families.counter("mainstay_load_invalidations", help, others(|load| load.invalidations))
}

/// What this process keeps of its own; the cache is empty where there is none.
fn near(families: &mut Families<'_>, status: &Status) -> fmt::Result {
    let before = status.caches.iter().filter_map(|c| Some((&*c.cache, c.l1.as_ref()?)));
    let all: Vec<_> = before.chain(status.l1.iter().map(|l1| ("", l1))).collect();
    let each = |value: fn(&L1Status) -> f64| {
        let sample =
            move |(cache, l1): &(&str, &L1Status)| ([("cache", (*cache).to_owned())], value(l1));
        all.iter().map(sample).collect::<Vec<_>>()
    };
    families.gauge(
        "mainstay_l1_entries",
        "Values that this process keeps.",
        each(|l1| number(l1.entries)),
    )?;
    families.gauge(
        "mainstay_l1_bytes",
        "Bytes that this process keeps.",
        each(|l1| number(l1.bytes)),
    )?;
    families.gauge(
        "mainstay_l1_bytes_max",
        "Bytes that this process may keep.",
        each(|l1| number(l1.max)),
    )?;
    families.gauge(
        "mainstay_l1_following",
        "1 while the cache tells of changes; else nothing that is kept is served.",
        each(|l1| flag(l1.feed != "broken")),
    )?;
    let each = |value: fn(&L1Status) -> u64| {
        let sample =
            move |(cache, l1): &(&str, &L1Status)| ([("cache", (*cache).to_owned())], value(l1));
        all.iter().map(sample).collect::<Vec<_>>()
    };
    families.counter("mainstay_l1_hits", "Reads answered by what is kept.", each(|l1| l1.hits))?;
    families.counter(
        "mainstay_l1_misses",
        "Reads that found nothing kept.",
        each(|l1| l1.misses),
    )?;
    families.counter(
        "mainstay_l1_evictions",
        "Values that went for want of space.",
        each(|l1| l1.evictions),
    )
}

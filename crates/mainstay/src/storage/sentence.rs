//! The sentence for people: what is down and since when, who serves instead, what is at risk, when it is tried again.
//! It must not look anything up: all that it says was given to it.

use std::{sync::Arc, time::Duration};

use crate::{
    config::Consistency,
    route::{NodeId, Route, Shape},
    status::{BackendStatus, BreakerState, CacheStatus, Health, JournalStatus},
};

/// Backends that are told of one by one.
const NAMED_MAX: usize = 3;
/// Routes that are named in one clause.
const ROUTES_MAX: usize = 3;
/// Characters of a server's own words.
const CAUSE_MAX: usize = 120;
const MEMORY: &str = "memory";

/// What the sentence is made of.
pub(super) struct Told<'a> {
    pub(super) health: Health,
    /// By the number of the node.
    pub(super) backends: &'a [BackendStatus],
    pub(super) routes: &'a [Arc<Route>],
    pub(super) caches: &'a [CacheStatus],
    pub(super) journal: Option<&'a JournalStatus>,
    /// Keys that wait to be moved up.
    pub(super) overflowed: u64,
    /// How long a process may read copies without asking the record.
    pub(super) lease: Duration,
}

/// Whether it is not as it should be.
pub(super) fn ails(backend: &BackendStatus) -> bool {
    backend.health != Health::Up || backend.drained || backend.breaker.state != BreakerState::Closed
}

/// Takes no calls now.
fn is_out(backend: &BackendStatus) -> bool {
    backend.health == Health::Down
        || backend.drained
        || matches!(backend.breaker.state, BreakerState::Open | BreakerState::Isolated)
}

pub(super) fn sentence(told: &Told<'_>) -> String {
    let used = |id: &NodeId| told.routes.iter().any(|route| route.nodes().any(|node| node == *id));
    let ill: Vec<NodeId> =
        (0..told.backends.len()).filter(used).filter(|id| ails(&told.backends[*id])).collect();
    let mut parts = Vec::new();
    if told.health == Health::Down {
        parts.push("Nothing can be served.".to_owned());
    }
    parts.extend(told.backends.iter().filter_map(drilled));
    parts.extend(ill.iter().take(NAMED_MAX).map(|id| told.backend(*id)));
    match ill.len() {
        0 if told.health != Health::Down => parts.push("Every backend is up.".to_owned()),
        0..=NAMED_MAX => {}
        many => parts.push(format!("{} more are not well.", many - NAMED_MAX)),
    }
    parts.extend(told.unread());
    parts.extend(told.waiting());
    parts.join(" ")
}

impl Told<'_> {
    fn backend(&self, id: NodeId) -> String {
        let backend = &self.backends[id];
        let mut text = state(backend);
        let effects = if self.health == Health::Down { Vec::new() } else { self.effects(id) };
        if !effects.is_empty() {
            text.push_str(": ");
            text.push_str(&effects.join("; "));
        }
        text.push('.');
        if let Some(next) = next(backend) {
            text.push(' ');
            text.push_str(&next);
        }
        text
    }

    /// What it means to the routes, those with the same fate in one clause.
    fn effects(&self, id: NodeId) -> Vec<String> {
        let backend = &self.backends[id];
        if backend.breaker.state == BreakerState::HalfOpen && !is_out(backend) {
            return vec!["a few calls are let through to find out".to_owned()];
        }
        if !is_out(backend) {
            return vec!["it still serves".to_owned()];
        }
        let mut fates: Vec<(Fate, Vec<&str>)> = Vec::new();
        for route in self.routes {
            for fate in self.fates(id, route) {
                match fates.iter_mut().find(|(known, _)| *known == fate) {
                    Some((_, labels)) => labels.push(&route.label),
                    None => fates.push((fate, vec![&route.label])),
                }
            }
        }
        fates.iter().map(|(fate, labels)| fate.words(&self.of(labels))).collect()
    }

    /// ` of user: and session:`; nothing where that is all there is.
    fn of(&self, labels: &[&str]) -> String {
        if labels.len() == self.routes.len() {
            return String::new();
        }
        let named = labels.iter().take(ROUTES_MAX).map(|label| format!("`{label}`"));
        let mut named: Vec<String> = named.collect();
        if labels.len() > ROUTES_MAX {
            named.push(format!("{} more routes", labels.len() - ROUTES_MAX));
        }
        let last = named.pop().unwrap_or_default();
        if named.is_empty() {
            return format!(" of {last}");
        }
        format!(" of {} and {last}", named.join(", "))
    }

    /// What becomes of one route without this backend.
    fn fates(&self, id: NodeId, route: &Route) -> Vec<Fate> {
        match &route.shape {
            Shape::Record { cache: Some(cache), record, .. } if *cache == id => {
                self.without_cache(route, *record)
            }
            Shape::Record { cache, record, .. } if *record == id => {
                self.without_record(route, *cache)
            }
            Shape::Failover { backends, .. } => self.without_one(id, route, backends),
            Shape::Record { .. } => Vec::new(),
        }
    }

    fn without_cache(&self, route: &Route, record: NodeId) -> Vec<Fate> {
        // Then the record's own clause says what is left.
        if is_out(&self.backends[record]) {
            return Vec::new();
        }
        let instead = Fate::Instead(Arc::clone(&self.backends[record].name));
        match route.consistency {
            Consistency::Bounded => vec![instead, Fate::OldElsewhere(self.lease)],
            Consistency::Strict => vec![instead],
        }
    }

    fn without_record(&self, route: &Route, cache: Option<NodeId>) -> Vec<Fate> {
        let cache = cache.map(|cache| &self.backends[cache]).filter(|cache| !is_out(cache));
        let reads = match cache {
            Some(cache) if !route.stale_if_error.get().is_zero() => {
                Some(Fate::Copies(Arc::clone(&cache.name)))
            }
            _ if route.default().is_some() => Some(Fate::Default),
            _ => None,
        };
        // Rows of the application's own are not written here.
        let writes = match (route.journal, route.source.is_some()) {
            (_, true) => None,
            (true, false) => Some(Fate::Journal),
            (false, false) => Some(Fate::WritesRefused),
        };
        match (reads, writes) {
            (None, Some(Fate::WritesRefused)) => vec![Fate::Refused],
            (None, writes) => [Fate::ReadsRefused].into_iter().chain(writes).collect(),
            (Some(reads), writes) => [reads].into_iter().chain(writes).collect(),
        }
    }

    fn without_one(&self, id: NodeId, route: &Route, backends: &[NodeId]) -> Vec<Fate> {
        let Some(place) = backends.iter().position(|node| *node == id) else { return Vec::new() };
        let Some(serves) = backends.iter().position(|node| !is_out(&self.backends[*node])) else {
            return match route.default() {
                Some(_) => vec![Fate::Default, Fate::WritesRefused],
                None => vec![Fate::Refused],
            };
        };
        if serves < place {
            return vec![Fate::Reserve];
        }
        let other = &self.backends[backends[serves]];
        let mut fates = vec![Fate::Instead(Arc::clone(&other.name))];
        if other.engine == MEMORY {
            fates.push(Fate::Volatile(Arc::clone(&other.name)));
        }
        fates
    }

    /// Caches that are up and whose copies are not read yet.
    fn unread(&self) -> Vec<String> {
        let well = |name: &str| self.backends.iter().any(|it| &*it.name == name && !ails(it));
        let unread = self.caches.iter().filter(|cache| !cache.readable && well(&cache.cache));
        let words = |cache: &CacheStatus| {
            let why = cause(&cache.reason);
            let record = &cache.record;
            format!("Copies in {} are not read yet{why}: {record} answers.", cache.cache)
        };
        unread.filter(|cache| well(&cache.record)).map(words).collect()
    }

    /// What waits for better times.
    fn waiting(&self) -> Vec<String> {
        let mut parts = Vec::new();
        if let Some(journal) = self.journal {
            parts.extend(journaled(journal));
        }
        for cache in self.caches.iter().filter(|cache| cache.dirty_keys > 0) {
            let keys = counted(cache.dirty_keys, "key waits", "keys wait");
            parts.push(format!("{keys} to be caught up in {}.", cache.cache));
        }
        if self.overflowed > 0 {
            let keys = counted(self.overflowed, "key waits", "keys wait");
            parts.push(format!("{keys} to be moved up to a better backend."));
        }
        parts
    }
}

/// What becomes of a route.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// This one serves in its place.
    Instead(Arc<str>),
    /// What this one takes does not outlive the process.
    Volatile(Arc<str>),
    /// Processes that do reach the cache may not know of a write for so long.
    OldElsewhere(Duration),
    /// This one answers from what it has.
    Copies(Arc<str>),
    Default,
    Journal,
    ReadsRefused,
    WritesRefused,
    Refused,
    /// A better one serves; only the reserve is missing.
    Reserve,
}

impl Fate {
    fn words(&self, of: &str) -> String {
        match self {
            Fate::Instead(name) => format!("{name} serves reads and writes{of} instead"),
            Fate::Volatile(name) => format!("what {name} takes{of} is lost if this process ends"),
            Fate::OldElsewhere(lease) => {
                let lease = short(*lease);
                format!("reads{of} through other Mainstay processes may be up to {lease} old")
            }
            Fate::Copies(name) => {
                format!("{name} answers reads{of} from the copies it has, which may be old")
            }
            Fate::Default => format!("reads{of} get the route's default"),
            Fate::Journal => format!("writes{of} wait in the journal"),
            Fate::ReadsRefused => format!("reads{of} are refused"),
            Fate::WritesRefused => format!("writes{of} are refused"),
            Fate::Refused => format!("reads and writes{of} are refused"),
            Fate::Reserve => format!("only the reserve{of} is missing"),
        }
    }
}

fn state(backend: &BackendStatus) -> String {
    let (name, breaker) = (&backend.name, &backend.breaker);
    let down = || lasting(backend.health_since);
    let broken = || lasting(breaker.since);
    let error = || backend.last_error.as_ref().map_or("", |error| &*error.message);
    match (backend.health, breaker.state) {
        _ if backend.drained => format!("{name} was taken out of use by hand"),
        (_, BreakerState::Isolated) if breaker.forced => {
            let why = breaker.reason.strip_prefix("forced: ").unwrap_or(&breaker.reason);
            format!("{name} has been kept out by hand for {}{}", broken(), cause(why))
        }
        (_, BreakerState::Isolated) => {
            let why = cause(&breaker.reason);
            format!("{name} has turned Mainstay away for {}{why} and a person must act", broken())
        }
        (Health::Down, _) if backend.last_error.is_none() => {
            format!("{name} has not answered yet")
        }
        (Health::Down, _) => format!("{name} has been down for {}{}", down(), cause(error())),
        (_, BreakerState::Open) => {
            format!("{name} has been failing for {}{}", broken(), cause(&breaker.reason))
        }
        (_, BreakerState::HalfOpen) => format!("{name} is being tried again"),
        (Health::Degraded | Health::Up, BreakerState::Closed) => {
            format!("{name} has been degraded for {}{}", down(), cause(error()))
        }
    }
}

/// So that nobody takes a drill for an outage.
fn drilled(backend: &BackendStatus) -> Option<String> {
    let injected = backend.injected.as_ref()?;
    let (name, fault, left) = (&backend.name, &injected.fault, ahead(injected.left));
    let why = cause(&injected.reason);
    Some(format!("A drill is under way: Mainstay {fault} before {name}, for {left} more{why}."))
}

/// The server's own words, in brackets.
fn cause(words: &str) -> String {
    let words = without_number(words.trim().trim_end_matches('.'));
    match words.char_indices().nth(CAUSE_MAX) {
        _ if words.is_empty() => String::new(),
        Some((end, _)) => format!(" ({}…)", &words[..end]),
        None => format!(" ({words})"),
    }
}

/// Without the system's number of the error, which says nothing to most.
fn without_number(words: &str) -> &str {
    match words.rsplit_once(" (os error ") {
        Some((said, number)) if number.trim_end_matches(')').parse::<i32>().is_ok() => said,
        _ => words,
    }
}

fn next(backend: &BackendStatus) -> Option<String> {
    let (breaker, reconnect) = (&backend.breaker, &backend.reconnect);
    if backend.drained {
        let stays = || "It stays out until it is put back.".to_owned();
        let back = |left| format!("It is put back in {}.", ahead(left));
        return Some(backend.drained_for.map_or_else(stays, back));
    }
    if breaker.forced {
        return breaker
            .forced_for
            .map(|left| format!("It decides by itself again in {}.", ahead(left)));
    }
    let due = match backend.health {
        Health::Down => reconnect.next_in.or(breaker.retry_in),
        Health::Up | Health::Degraded => breaker.retry_in,
    };
    due.map(|due| match due {
        Duration::ZERO => "It is being tried now.".to_owned(),
        due => format!("Next try in {}.", ahead(due)),
    })
}

fn journaled(journal: &JournalStatus) -> Vec<String> {
    let mut parts = Vec::new();
    if journal.depth > 0 {
        let writes = counted(journal.depth, "write waits", "writes wait");
        let oldest = journal.oldest_age.map(lasting);
        let oldest = oldest.map_or_else(String::new, |age| format!(", the oldest for {age}"));
        parts.push(format!("{writes} in the journal{oldest}."));
    }
    if journal.full {
        parts.push("The journal is full and takes no more.".to_owned());
    }
    if journal.dead_letters > 0 {
        let letters = counted(journal.dead_letters, "dead letter wants", "dead letters want");
        parts.push(format!("{letters} somebody to look."));
    }
    parts
}

fn counted(number: u64, one: &str, many: &str) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {}", if number == 1 { one } else { many })
}

/// A time that has passed: whole units begun, at least a second.
fn lasting(time: Duration) -> String {
    unit(time.as_secs().max(1), 0)
}

/// A time that is to come: never shorter than it is.
fn ahead(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    unit(seconds.max(1), 1)
}

/// A time of a few seconds or less.
fn short(time: Duration) -> String {
    match time.as_millis() {
        millis if millis % 1000 == 0 => format!("{} s", millis / 1000),
        millis => format!("{millis} ms"),
    }
}

fn unit(seconds: u64, up: u64) -> String {
    let whole = |size: u64| (seconds + up * (size - 1)) / size;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", whole(60)),
        7200..172_800 => format!("{} h", whole(3600)),
        _ => format!("{} d", whole(86_400)),
    }
}

#[cfg(test)]
mod tests;

//! Routes, caches, the journal, locks.
//! It must not show what there is none of.

use ratatui::text::{Line, Span};

use super::{
    super::{
        document::{Cache, Route},
        state::State,
    },
    look::{self, Look, shape},
};
use crate::output::Tone;

/// A line for each route; at most `max`.
pub(super) fn routes(state: &State, look: Look, max: usize) -> Vec<Line<'static>> {
    let view = state.view();
    let routes = &view.document.routes;
    let rate = |route: &Route| view.rates.as_ref()?.routes.get(key(route)).copied();
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (row, route) in routes.iter().take(max).enumerate() {
        let (tone, word) = serves(route);
        let rate = rate(route).map_or_else(String::new, |rate| format!("  {}/s", look::rate(rate)));
        lines.push(Line::from(vec![
            label(look, if row == 0 { "routes" } else { "" }),
            Span::raw(format!("{}  {}  ", key(route), route.description)),
            look.span(Some(tone), format!("{} {word}", shape(tone))),
            Span::raw(rate),
            look.faint(format!("  {}", route.promise)),
        ]));
    }
    if routes.len() > max {
        let text = format!("{} more routes: mainstay status", routes.len() - max);
        lines.push(Line::from(vec![label(look, ""), look.faint(text)]));
    }
    lines
}

/// The route's prefix as requests are counted by.
fn key(route: &Route) -> &str {
    if route.prefix.is_empty() { "*" } else { &route.prefix }
}

fn serves(route: &Route) -> (Tone, &'static str) {
    match (route.readable, route.writable) {
        (true, true) => (Tone::Good, "serves"),
        (true, false) => (Tone::Warning, "reads only"),
        (false, true) => (Tone::Warning, "writes only"),
        (false, false) => (Tone::Bad, "does not serve"),
    }
}

fn label(look: Look, text: &str) -> Span<'static> {
    look.title(format!("{text:<9}"))
}

/// A line each for caches, journal and locks, where there are any.
pub(super) fn rest(state: &State, now: i64, look: Look) -> Vec<Line<'static>> {
    let elapsed = state.elapsed(now);
    [caches(state, elapsed, look), journal(state, elapsed, look), locks(state, look)]
        .into_iter()
        .flatten()
        .collect()
}

fn caches(state: &State, elapsed: f64, look: Look) -> Option<Line<'static>> {
    let caches = &state.view().document.caches;
    if caches.is_empty() {
        return None;
    }
    let mut spans = vec![label(look, "caches")];
    for (index, cache) in caches.iter().enumerate() {
        if index > 0 {
            spans.push(Span::raw("; "));
        }
        spans.extend(cache_spans(cache, elapsed, look));
    }
    Some(Line::from(spans))
}

/// `redis before db ✖ down 41s, 12 keys to catch up (the cache does not answer)`.
fn cache_spans(cache: &Cache, elapsed: f64, look: Look) -> Vec<Span<'static>> {
    let tone = match cache.phase.as_str() {
        "up" if cache.readable => Tone::Good,
        "down" => Tone::Bad,
        _ => Tone::Warning,
    };
    let since = look::span(cache.since_ms + elapsed);
    let mut text = String::new();
    if cache.dirty_keys > 0 {
        text.push_str(&format!(", {} keys to catch up", cache.dirty_keys));
    }
    if cache.hits + cache.misses > 0 {
        text.push_str(&format!(", {} hits, {} misses", cache.hits, cache.misses));
    }
    if !cache.reason.is_empty() {
        text.push_str(&format!(" ({})", cache.reason));
    }
    vec![
        Span::raw(format!("{} before {} ", cache.cache, cache.record)),
        look.span(Some(tone), format!("{} {} {since}", shape(tone), cache.phase)),
        Span::raw(text),
    ]
}

fn journal(state: &State, elapsed: f64, look: Look) -> Option<Line<'static>> {
    let journal = state.view().document.journal.as_ref()?;
    let oldest = journal.oldest_age_ms;
    let oldest =
        oldest.map_or_else(String::new, |ms| format!(", oldest {}", look::span(ms + elapsed)));
    let tone = match () {
        () if journal.full || journal.dead_letters > 0 => Some(Tone::Bad),
        () if journal.depth > 0 => Some(Tone::Warning),
        () => None,
    };
    let full = if journal.full { "; FULL: it refuses" } else { "" };
    let dead = journal.dead_letters;
    let text = format!("{} writes wait{oldest}, {dead} dead letters{full}", journal.depth);
    Some(Line::from(vec![label(look, "journal"), look.span(tone, text)]))
}

fn locks(state: &State, look: Look) -> Option<Line<'static>> {
    let locks = &state.view().document.locks;
    if locks.held + locks.waiting + locks.granted + locks.lost == 0 {
        return None;
    }
    let tone = (locks.lost > 0).then_some(Tone::Warning);
    Some(Line::from(vec![
        label(look, "locks"),
        Span::raw(format!(
            "{} ({}): {} held, {} waiting, {} granted, ",
            locks.mode, locks.guarantee, locks.held, locks.waiting, locks.granted
        )),
        look.span(tone, format!("{} lost", locks.lost)),
    ]))
}

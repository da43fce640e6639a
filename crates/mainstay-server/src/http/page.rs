//! The status as tables, for a browser without scripts.
//! It must not put any text into the page unescaped.

use std::fmt::Write;

use mainstay::status::{BackendStatus, RouteStatus};

use super::status::{StatusDocument, breaker_words, error_words, headline, kpi_words, rounded};

/// The inside of the page's `noscript`.
pub(crate) fn render(document: &StatusDocument) -> String {
    let status = document.status();
    let backends: String = status.backends.iter().map(backend_row).collect();
    let routes: String = status.routes.iter().map(route_row).collect();
    let figures: String = status
        .kpis
        .all()
        .into_iter()
        .map(|(name, kpi)| row(&kpi_words(name, kpi).each_ref().map(String::as_str)))
        .collect();
    let warnings: String =
        status.warnings.iter().map(|text| format!("<p>Warning: {}</p>\n", escape(text))).collect();
    format!(
        "<h1>Mainstay: <span class=\"state\">{state}</span></h1>\n<p>{sentence}</p>\n<p>Up {uptime}.</p>\n{warnings}\
         <table><caption>Backends</caption>\n<tr><th>Name<th>Engine<th>Health<th>Breaker<th>In flight<th>p50 / p99\
         <th>Calls<th>Last error</tr>\n{backends}</table>\n\
         <table><caption>Routes</caption>\n<tr><th>Prefix<th>Way<th>Reads<th>Writes<th>Promise</tr>\n{routes}</table>\n\
         <table><caption>Key figures</caption>\n<tr><th>Figure<th>Value<th>Target<th>Met<th>Of</tr>\n{figures}</table>\n\
         <p><a href=\"/status.txt\">As text</a> · <a href=\"/v1/status\">as JSON</a> · \
         <a href=\"/metrics\">metrics</a> · <a href=\"/openapi.json\">API</a></p>\n",
        state = headline(document),
        sentence = escape(&status.sentence),
        uptime = rounded(status.uptime),
    )
}

fn backend_row(backend: &BackendStatus) -> String {
    let latency = |latency: Option<std::time::Duration>| {
        latency.map_or_else(
            || "-".to_owned(),
            |latency| format!("{:.1} ms", latency.as_secs_f64() * 1000.0),
        )
    };
    let drained = if backend.drained { ", drained" } else { "" };
    row(&[
        &backend.name,
        backend.engine,
        &format!("{}{drained}", backend.health.as_str()),
        &breaker_words(backend),
        &format!("{} of {}", backend.inflight, backend.inflight_max),
        &format!("{} / {}", latency(backend.latency_p50), latency(backend.latency_p99)),
        &format!("{} ok, {} failed", backend.calls.success, backend.calls.failure),
        &error_words(backend),
    ])
}

fn route_row(route: &RouteStatus) -> String {
    let serves = |yes: bool| if yes { "served" } else { "not served" };
    row(&[
        if route.prefix.is_empty() { "*" } else { &route.prefix },
        &route.description,
        serves(route.readable),
        serves(route.writable),
        &route.promise,
    ])
}

fn row(cells: &[&str]) -> String {
    let mut row = String::from("<tr>");
    for cell in cells {
        // Writing to a String cannot fail.
        let _ = write!(row, "<td>{}</td>", escape(cell));
    }
    row.push_str("</tr>\n");
    row
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_into_the_page_unescaped() {
        let row = row(&["<script>\"&'"]);
        assert_eq!(row, "<tr><td>&lt;script&gt;&quot;&amp;&#39;</td></tr>\n");
    }
}

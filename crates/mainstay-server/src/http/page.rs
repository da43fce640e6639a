//! The status as a page for a browser, without scripts.
//! It must not put any text into the page unescaped.

use std::fmt::Write;

use axum::{
    extract::State,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use mainstay::status::{BackendStatus, RouteStatus};

use super::{
    Api,
    problem::Problem,
    query::Query,
    status::{StatusDocument, breaker_words, error_words, headline, rounded},
};

/// Nothing but our own stylesheet: no script, no frame, no form.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
caption { text-align: left; font-weight: 600; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #8886; vertical-align: top; }
.state { font-weight: 700; }
";

/// The status as a page
#[utoipa::path(get, path = "/", tag = "state",
    responses((status = 200, description = "A page that refreshes itself every 5 s", body = String, content_type = "text/html")))]
pub(crate) async fn html(State(api): State<Api>, uri: Uri) -> Result<Response, Problem> {
    Query::parse(&uri, &[])?;
    let page = render(&StatusDocument::now(&api));
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    Ok((headers, page).into_response())
}

/// The page's stylesheet
#[utoipa::path(get, path = "/status.css", tag = "state",
    responses((status = 200, description = "CSS", body = String, content_type = "text/css")))]
pub(crate) async fn css() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

fn render(document: &StatusDocument) -> String {
    let status = document.status();
    let backends: String = status.backends.iter().map(backend_row).collect();
    let routes: String = status.routes.iter().map(route_row).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"refresh\" content=\"5\">\n<title>{state} - Mainstay</title>\n\
         <link rel=\"stylesheet\" href=\"/status.css\">\n\
         <h1>Mainstay: <span class=\"state\">{state}</span></h1>\n<p>{sentence}</p>\n<p>Up {uptime}.</p>\n\
         <table><caption>Backends</caption>\n<tr><th>Name<th>Engine<th>Health<th>Breaker<th>In flight<th>p50 / p99\
         <th>Calls<th>Last error</tr>\n{backends}</table>\n\
         <table><caption>Routes</caption>\n<tr><th>Prefix<th>Way<th>Reads<th>Writes<th>Promise</tr>\n{routes}</table>\n\
         <p><a href=\"/status.txt\">As text</a> · <a href=\"/v1/status\">as JSON</a> · \
         <a href=\"/metrics\">metrics</a> · <a href=\"/openapi.json\">API</a></p>\n</html>\n",
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

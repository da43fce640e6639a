//! The tables of the reference: RESP commands, errors, metrics, HTTP paths.
//! It must not know any of them by name.

use std::fmt::Write;

use mainstay::{Config, Storage, config::BackendConfig};
use mainstay_server::reference;

use serde_json::Value as Json;

use crate::exit::Failure;

/// Every RESP command.
pub(super) fn commands() -> String {
    let mut text = String::from(
        "# RESP commands\n\nEvery command that the RESP door takes; what is special about some of them stands in \
         [RESP](../resp.md). Arity counts the name; a negative one is a minimum.\n\n\
         | command | arity | group | kind | |\n|---|---|---|---|---|\n",
    );
    for row in reference::commands() {
        let summary = row.summary.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {summary} |",
            row.name, row.arity, row.group, row.flags
        );
    }
    text
}

/// Every kind of error.
pub(super) fn errors() -> String {
    let mut text = String::from(
        "# Errors\n\nAn error is a kind, an effect (whether a failed write may have been applied) and a place. The kind is the \
         `kind` of HTTP's problem documents, the `outcome` of `mainstay_requests_total` and `ErrorKind` in the crate. Over RESP \
         the first word says what Redis would say; what no backend can serve is `-UNAVAILABLE <backend> <reason>`, with \
         `outcome unknown` and `retry_after_ms=` at its end where they apply.\n\n\
         | kind | whose | HTTP | RESP | what has happened | what to do |\n|---|---|---|---|---|---|\n",
    );
    for row in reference::errors() {
        let whose = if row.is_callers { "the caller's" } else { "a backend's, or ours" };
        let (kind, status, class) = (row.kind, row.status, &row.class);
        let _ = writeln!(
            text,
            "| `{kind}` | {whose} | {status} | `{class}` | {} | {} |",
            row.title, row.hint
        );
    }
    text
}

/// Every family of `/metrics`.
pub(super) fn metrics() -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    let rows = runtime.block_on(async {
        let mut config = Config::default();
        config.backends.insert("db".into(), BackendConfig::at("sqlite::memory:"));
        let storage = Storage::open(config).await?;
        let rows = reference::metrics(storage.clone());
        storage.close(std::time::Duration::from_secs(5)).await;
        rows
    })?;
    let mut text = String::from(
        "# Metrics\n\nEvery family of `GET /metrics`; what its labels say, and which alerts read it, stands in \
         [Seeing it](../observing.md). A histogram has `_bucket`, `_sum` and `_count`.\n\n\
         | metric | type | |\n|---|---|---|\n",
    );
    for row in rows {
        let _ =
            writeln!(text, "| `{}` | {} | {} |", row.name, row.kind, row.help.replace('|', "\\|"));
    }
    Ok(text)
}

/// Every path of the HTTP door, from its own description.
pub(super) fn http(openapi: &Json) -> String {
    let mut text = String::from(
        "# HTTP\n\nEvery path; `GET /openapi.json`, and [openapi.json](openapi.json) here, describe parameters, bodies and answers. \
         Errors are `application/problem+json` ([Errors](errors.md)).\n\n\
         | method | path | | answers |\n|---|---|---|---|\n",
    );
    let paths = openapi["paths"].as_object().into_iter().flatten();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let Some(responses) = operation["responses"].as_object() else { continue };
            let codes: Vec<&str> = responses.keys().map(String::as_str).collect();
            let summary = operation["summary"].as_str().unwrap_or_default();
            let (method, codes) = (method.to_uppercase(), codes.join(" "));
            let _ = writeln!(
                text,
                "| {method} | `{path}` | {} | {codes} |",
                summary.replace('|', "\\|")
            );
        }
    }
    text
}

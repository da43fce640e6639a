//! `/openapi.json`: the description of this interface, made from the handlers.
//! It must not describe anything that a handler does not say itself, but for what is true of every path.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, HeaderBuilder, Object, Ref, RefOr, Response as ResponseDoc, Responses,
        Type,
        path::Operation,
        response::ResponseBuilder,
        schema::SchemaType,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    batch, control, dashboard, events, health, invalidate, journal, kv, locks, metrics,
    problem::{PROBLEM_JSON, Problem, ProblemBody},
    settings, status,
};

#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Mainstay",
        description = "Storage that keeps working, and keeps telling the truth, when Redis or the database does not."
    ),
    paths(
        kv::read, kv::head, kv::put, kv::delete, kv::increment, kv::list, batch::run, invalidate::run,
        status::json, status::backends, status::text, events::read,
        journal::read, journal::replay, journal::discard,
        locks::list, locks::acquire, locks::renew, locks::release,
        control::breaker, control::drain, control::undrain, settings::read, settings::reload,
        health::live, health::ready, health::storage, metrics::read, read, dashboard::page,
        dashboard::asset,
    ),
    components(schemas(ProblemBody)),
    modifiers(&Common),
    security(("token" = []), ())
)]
pub(crate) struct Document;

/// The OpenAPI 3.1 document of the HTTP interface.
///
/// # Errors
/// `Internal` when it cannot be written as JSON: a defect.
pub fn openapi() -> mainstay::Result<serde_json::Value> {
    serde_json::to_value(Document::openapi()).map_err(|error| {
        mainstay::Error::new(mainstay::ErrorKind::Internal, format!("openapi: {error}"))
    })
}

/// This description
#[utoipa::path(get, path = "/openapi.json", tag = "state",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(crate) async fn read() -> Result<Response, Problem> {
    let document = openapi()?;
    Ok(([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response())
}

/// What is true of every path.
struct Common;

/// Every request may end so.
const EVERYWHERE: [(&str, &str); 3] = [
    ("400", "Something in the request is wrong; the detail names it"),
    ("401", "A token is set and was not presented"),
    ("421", "This server does not answer for that host"),
];

/// Every request that changes something may end so.
const CHANGES: [(&str, &str); 2] =
    [("403", "The Origin is another one"), ("415", "The body is not JSON")];

/// Every request that reaches a backend may end so.
const STORAGE: [(&str, &str); 5] = [
    ("409", "The key holds another type"),
    ("500", "The stored data cannot be read, or a defect of Mainstay"),
    ("501", "No backend of this route can do this"),
    ("503", "No backend can serve this now; effect says whether a write may have been applied"),
    ("504", "The deadline passed; effect says whether a write may have been applied"),
];

impl Modify for Common {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut openapi.paths.paths {
            let of_values = path.starts_with("/v1/kv") || path == "/v1/batch";
            let reads = [&mut item.get, &mut item.head];
            for operation in reads.into_iter().flatten() {
                describe(operation, false, of_values);
            }
            let changes = [&mut item.put, &mut item.post, &mut item.delete];
            for operation in changes.into_iter().flatten() {
                describe(operation, true, of_values);
            }
        }
        let token = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        openapi.components.get_or_insert_default().add_security_scheme("token", token);
    }
}

fn describe(operation: &mut Operation, changes: bool, of_values: bool) {
    let more = [(true, EVERYWHERE.as_slice()), (changes, &CHANGES), (of_values, &STORAGE)];
    for (status, description) in
        more.iter().filter(|(applies, _)| *applies).flat_map(|(_, list)| *list)
    {
        let response = ResponseBuilder::new().description(*description).build();
        operation.responses.responses.entry((*status).to_owned()).or_insert(RefOr::T(response));
    }
    if of_values {
        operation.parameters.get_or_insert_default().push(RefOr::T(timeout_parameter()));
    }
    complete(&mut operation.responses);
}

/// Errors are problem documents, and every 503 has Retry-After.
fn complete(responses: &mut Responses) {
    for (status, response) in &mut responses.responses {
        let RefOr::T(ResponseDoc { content, headers, .. }) = response else { continue };
        if status.starts_with(['4', '5']) && content.is_empty() {
            let schema = Ref::from_schema_name("Problem");
            let document = ContentBuilder::new().schema(Some(schema)).build();
            content.insert(PROBLEM_JSON.to_owned(), RefOr::T(document));
        }
        if status == "503" {
            let seconds = Object::with_type(SchemaType::Type(Type::Integer));
            let header = HeaderBuilder::new()
                .schema(Some(seconds))
                .description(Some("Whole seconds, at least 1"))
                .build();
            headers.insert("Retry-After".to_owned(), RefOr::T(header));
        }
    }
}

fn timeout_parameter() -> utoipa::openapi::path::Parameter {
    use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
    ParameterBuilder::new()
        .name("X-Mainstay-Timeout")
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "When the answer is due, with a unit, as in 250ms; default limits.deadline",
        ))
        .schema(Some(Object::with_type(SchemaType::Type(Type::String))))
        .build()
}

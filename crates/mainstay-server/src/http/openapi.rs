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
        path::{Operation, Parameter},
        response::ResponseBuilder,
        schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    batch, clients, control, dashboard, drills, events, health, history, invalidate, journal, kv,
    locks, metrics,
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
        status::json, status::backends, status::text, events::read, history::read,
        journal::read, journal::replay, journal::discard,
        clients::list, locks::list, locks::acquire, locks::renew, locks::release,
        control::breaker, control::drain, control::undrain, drills::begin, drills::list, drills::find,
        drills::abort, settings::read, settings::reload,
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
const EVERYWHERE: [(&str, &str); 6] = [
    ("400", "Something in the request is wrong; the detail names it"),
    ("401", "A token is wanted, and none or a wrong one was presented"),
    (
        "403",
        "The user's role or prefixes do not allow it: `reason` says which; or the Origin of a change is another one",
    ),
    ("421", "This server does not answer for that host"),
    ("429", "Too many connections of this address"),
    ("503", "Too many connections"),
];

/// Every request that changes something may end so.
const CHANGES: [(&str, &str); 1] = [("415", "The body is not JSON")];

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
    // What a path says of a status stands before what all say.
    let more = [(of_values, STORAGE.as_slice()), (changes, &CHANGES), (true, &EVERYWHERE)];
    for (status, description) in
        more.iter().filter(|(applies, _)| *applies).flat_map(|(_, list)| *list)
    {
        let response = ResponseBuilder::new().description(*description).build();
        operation.responses.responses.entry((*status).to_owned()).or_insert(RefOr::T(response));
    }
    if of_values {
        operation.parameters.get_or_insert_default().push(RefOr::T(timeout_parameter()));
    }
    let parameters = operation.parameters.iter_mut().flatten();
    for parameter in parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    }) {
        exactly(parameter);
    }
    complete(&mut operation.responses);
}

/// What the types of Rust say of a parameter, as a query is read: a flag may stand alone, and a number has 64 bits.
fn exactly(parameter: &mut Parameter) {
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else { return };
    if schema.schema_type == SchemaType::Type(Type::Boolean) {
        *schema = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .enum_values(Some(["", "true", "false", "1", "0"]))
            .build();
    } else if schema.format == Some(SchemaFormat::KnownFormat(KnownFormat::Int64))
        && schema.minimum.is_some()
    {
        (schema.format, schema.maximum) = (None, None);
    }
}

/// Errors are problem documents, and every 429 and 503 has Retry-After.
fn complete(responses: &mut Responses) {
    for (status, response) in &mut responses.responses {
        let RefOr::T(ResponseDoc { content, headers, .. }) = response else { continue };
        if status.starts_with(['4', '5']) && content.is_empty() {
            let schema = Ref::from_schema_name("Problem");
            let document = ContentBuilder::new().schema(Some(schema)).build();
            content.insert(PROBLEM_JSON.to_owned(), RefOr::T(document));
        }
        if matches!(status.as_str(), "429" | "503") {
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

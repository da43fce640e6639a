//! `/v1/clients`: who is connected over RESP.
//! It must not close a connection: `CLIENT KILL` does.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, Uri},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, problem::Problem, query::Query};
use crate::resp::ClientRow;

/// Clients of one answer.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;

/// Some clients.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClientsDocument {
    /// How many are connected.
    connected: usize,
    /// How many may be.
    max: usize,
    /// In the order in which they came.
    clients: Vec<ClientRow>,
    /// Where to go on: `after` of the next request; absent when this is the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// The connected clients
#[utoipa::path(get, path = "/v1/clients", tag = "state",
    params(
        ("after" = Option<u64>, Query, description = "Clients behind this number"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many, 1 to 1000, default 100"),
    ),
    responses((status = 200, description = "Address, library, commands of each", body = ClientsDocument),
              (status = 404, description = "This process does not speak RESP")))]
pub(crate) async fn list(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Json<ClientsDocument>, Problem> {
    let query = Query::parse(&uri, &["after", "limit"])?;
    let limit = query.count("limit", PAGE_DEFAULT, PAGE_MAX)?;
    let number = |text: &str| {
        text.parse().map_err(|_| Problem::bad_request("query parameter `after` is a whole number"))
    };
    let after = query.text("after")?.map(number).transpose()?.unwrap_or(0);
    let roster = api.clients().ok_or_else(|| {
        let detail = "this process does not speak RESP";
        Problem::new(StatusCode::NOT_FOUND, "no_clients", "No clients", detail)
    })?;
    // One more, to know whether there are more.
    let mut clients = roster.rows(after, limit + 1);
    let more = clients.len() > limit;
    clients.truncate(limit);
    let next = clients.last().filter(|_| more).map(|client| client.id);
    Ok(Json(ClientsDocument { connected: roster.connected(), max: roster.max(), clients, next }))
}

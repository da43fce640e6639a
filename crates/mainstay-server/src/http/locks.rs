//! `/v1/locks`: locks that are held by somebody outside: taken, renewed and released by what names the grant.
//! It must not renew anything by itself: whoever holds it over HTTP does.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Extension, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use mainstay::{
    EventKind, Key,
    config::text,
    event::Details,
    lock::{Asked, Claim, Grant, Guarantee, LockOptions, Released},
    op::LockRow,
};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api, caller,
    control::{actor, read as read_request, reason as said},
    problem::Problem,
    query::Query,
    server::Peer,
};
use crate::access::{Reach, Role};

/// Locks of one answer.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;
/// Pages that are looked through for one lock.
const PAGES_MAX: usize = 100;

/// How a lock is asked for.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LockRequest {
    /// How long the lease lasts, with a unit; at most `locks.ttl_max`. Default 30s.
    ttl: Option<String>,
    /// How long to wait while somebody else holds it. Default: not at all.
    wait: Option<String>,
    /// The least that it must guarantee: fenced, best_effort, host or process.
    require: Option<String>,
    /// Who asks, shown to those who find it held.
    note: Option<String>,
}

/// What names a grant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewRequest {
    /// As the grant said.
    holder: String,
    /// As the grant said.
    token: u64,
    /// How long from now, with a unit. Default 30s.
    ttl: Option<String>,
}

/// A lock that was granted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantDocument {
    /// The lock.
    name: String,
    /// Names the grant; whoever knows it may renew and release.
    holder: String,
    /// The fencing token: only grows where the guarantee is `fenced`.
    token: u64,
    /// What the lock is worth: fenced, best_effort, host or process.
    guarantee: &'static str,
    /// Who granted it: record, quorum, failover, redis or local.
    mode: &'static str,
    /// How long it may be believed from the moment that the request was sent; renew it at a third of that.
    ttl_ms: u64,
}

/// One lock.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LockDocument {
    /// Its name.
    name: String,
    /// The last token.
    token: u64,
    /// Whether somebody holds it.
    held: bool,
    /// How long the lease lasts yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_ms: Option<u64>,
    /// Who holds it, or held it last.
    note: String,
}

/// Some locks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LocksDocument {
    /// Who grants, and what happened since the start.
    #[schema(value_type = Object)]
    status: mainstay::status::LocksStatus,
    /// In the order of their names.
    locks: Vec<LockDocument>,
    /// Where to go on: `after` of the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Take a lock
#[utoipa::path(post, path = "/v1/locks/{name}", tag = "locks",
    params(("name" = String, Path, description = "The lock's name")),
    request_body = LockRequest,
    responses((status = 201, description = "It is held by the caller now", body = GrantDocument),
              (status = 409, description = "Somebody else holds it; Retry-After says for how long yet"),
              (status = 501, description = "It would not guarantee what is required"),
              (status = 503, description = "Who grants it cannot be reached")))]
pub(crate) async fn acquire(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Query::parse(&uri, &[])?;
    let name = name_of(&api, &uri)?;
    let request: LockRequest = read_request(&api, &headers, body).await?;
    let options = request.options()?;
    let locks = api.storage().locks();
    match locks.ask(name.clone(), &options).await? {
        Asked::Granted(grant) => {
            let document = granted(&api, &grant);
            Ok((StatusCode::CREATED, Json(document)).into_response())
        }
        Asked::Held { left, note } => Err(held(&name, left, &note)),
    }
}

/// Renew a lock
#[utoipa::path(put, path = "/v1/locks/{name}", tag = "locks",
    params(("name" = String, Path, description = "The lock's name")),
    request_body = RenewRequest,
    responses((status = 200, description = "It is held for this long from now", body = GrantDocument),
              (status = 412, description = "Its lease had ended: somebody else may hold it"),
              (status = 503, description = "Who granted it cannot be reached: the old lease stands")))]
pub(crate) async fn renew(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<GrantDocument>, Problem> {
    Query::parse(&uri, &[])?;
    let name = name_of(&api, &uri)?;
    let request: RenewRequest = read_request(&api, &headers, body).await?;
    let ttl = duration("ttl", request.ttl.as_deref())?.unwrap_or(LockOptions::TTL);
    let claim = Claim { name, holder: holder(&request.holder)?, token: request.token };
    match api.storage().locks().renew(&claim, ttl).await? {
        Some(grant) => Ok(Json(granted(&api, &grant))),
        None => Err(lost(&claim.name)),
    }
}

/// Release a lock
///
/// By its holder, or by hand with a `reason` in place of `holder`: the holder is not told and believes its lease until
/// the next renewal, so only writes that carry the fencing token are safe from it.
#[utoipa::path(delete, path = "/v1/locks/{name}", tag = "locks",
    params(("name" = String, Path, description = "The lock's name"),
           ("holder" = Option<String>, Query, description = "As the grant said"),
           ("token" = u64, Query, description = "As the grant, or the list, said"),
           ("reason" = Option<String>, Query, description = "By hand: why; goes to the log and the events")),
    responses((status = 204, description = "It was held until now, and is free"),
              (status = 412, description = "Its lease had ended before"),
              (status = 503, description = "Not known; it is tried again, and ends with its lease")))]
pub(crate) async fn release(
    State(api): State<Api>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let query = Query::parse(&uri, &["holder", "token", "reason"])?;
    let missing =
        |what: &str| Problem::bad_request(format!("`{what}` is missing: as the grant said"));
    let token = query.text("token")?.ok_or_else(|| missing("token"))?;
    let token = token.parse().map_err(|_| Problem::bad_request("`token` is a whole number"))?;
    let name = name_of(&api, &uri)?;
    let (claim, by_hand) = match (query.text("holder")?, query.text("reason")?) {
        (Some(named), None) => (Claim { name, holder: holder(named)?, token }, None),
        (None, Some(reason)) => {
            let reason = said(reason)?;
            // It takes the lock from whoever holds it.
            caller::permit(&api, Role::Admin, || Reach::Nothing)?;
            (held_under(&api, name, token).await?, Some(reason))
        }
        (None, None) => return Err(missing("holder")),
        (Some(_), Some(_)) => {
            let detail = "`reason` is for a release by hand: it goes without `holder`";
            return Err(Problem::bad_request(detail));
        }
    };
    match api.storage().locks().release(&claim).await? {
        Released::Released => {
            if let Some(reason) = by_hand {
                let reason = format!("{}, token {token}: {reason}", text_of(&claim.name));
                let kind = EventKind::Lock { state: "released" };
                let details = Details { actor: actor(&headers, peer), ..Details::default() };
                api.storage().events().publish_with(None, kind, reason, details);
            }
            Ok(StatusCode::NO_CONTENT)
        }
        Released::AlreadyLost => Err(lost(&claim.name)),
        Released::Unknown => {
            let detail = "no answer came: it is tried again, and ends by itself with its lease";
            let title = "Not known whether it is free";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "release_unknown", title, detail))
        }
    }
}

/// The grant that holds a lock under this token now: whoever acts by hand knows no more of it.
async fn held_under(api: &Api, name: Key, token: u64) -> Result<Claim, Problem> {
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let page = api.storage().locks().list(after, PAGE_MAX).await?;
        if let Some(row) = page.rows.iter().find(|row| row.name == name) {
            let holder = row.holder.filter(|_| row.token == token);
            return holder
                .map(|holder| Claim { name: name.clone(), holder, token })
                .ok_or_else(|| lost(&name));
        }
        if page.next.is_none() {
            break;
        }
        after = page.next;
    }
    Err(lost(&name))
}

/// The locks
#[utoipa::path(get, path = "/v1/locks", tag = "locks",
    params(
        ("after" = Option<String>, Query, description = "Locks behind this name"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many, 1 to 1000, default 100"),
    ),
    responses((status = 200, description = "Who holds what", body = LocksDocument),
              (status = 501, description = "No backend grants locks")))]
pub(crate) async fn list(State(api): State<Api>, uri: Uri) -> Result<Json<LocksDocument>, Problem> {
    let query = Query::parse(&uri, &["after", "limit"])?;
    let limit = query.count("limit", PAGE_DEFAULT, PAGE_MAX)?;
    let after = query.text("after")?.map(|name| Key::from(name.as_bytes()));
    let page = api.storage().locks().list(after, limit).await?;
    Ok(Json(LocksDocument {
        status: api.storage().status().locks,
        locks: page.rows.iter().map(shown).collect(),
        next: page.next.map(|name| text_of(&name)),
    }))
}

impl LockRequest {
    fn options(self) -> Result<LockOptions, Problem> {
        let require = match self.require.as_deref() {
            None => None,
            Some(word) => Some(Guarantee::named(word).ok_or_else(|| {
                Problem::bad_request(format!(
                    "`require` is fenced, best_effort, host or process, not {word:?}"
                ))
            })?),
        };
        Ok(LockOptions {
            ttl: duration("ttl", self.ttl.as_deref())?,
            wait: Some(duration("wait", self.wait.as_deref())?.unwrap_or_default()),
            require,
            renew: false,
            note: self.note,
        })
    }
}

fn granted(api: &Api, grant: &Grant) -> GrantDocument {
    GrantDocument {
        name: text_of(&grant.claim.name),
        holder: format!("{:032x}", grant.claim.holder),
        token: grant.claim.token,
        guarantee: grant.guarantee.as_str(),
        mode: api.storage().locks().mode().map_or("none", |mode| mode.as_str()),
        ttl_ms: millis(grant.left),
    }
}

fn shown(row: &LockRow) -> LockDocument {
    LockDocument {
        name: text_of(&row.name),
        token: row.token,
        held: row.left.is_some(),
        left_ms: row.left.map(millis),
        note: row.note.clone(),
    }
}

fn held(name: &Key, left: Duration, note: &str) -> Problem {
    let shown = text::format_duration(Duration::from_millis(millis(left)));
    let detail = format!("{} is held by {note:?} for {shown} yet", text_of(name));
    Problem::new(StatusCode::CONFLICT, "lock_held", "The lock is held", detail)
        .retry_after(left)
        .hint("ask with `wait`, or again later")
}

fn lost(name: &Key) -> Problem {
    let detail = format!("the lease of {} had ended: somebody else may hold it", text_of(name));
    Problem::new(StatusCode::PRECONDITION_FAILED, "lock_lost", "The lock was lost", detail)
        .hint("take it anew; what was done since its end may have met another holder")
}

fn holder(text: &str) -> Result<u128, Problem> {
    u128::from_str_radix(text, 16)
        .map_err(|_| Problem::bad_request("`holder` is as the grant said: 32 hexadecimal digits"))
}

fn duration(what: &str, text: Option<&str>) -> Result<Option<Duration>, Problem> {
    let parse = |text| {
        text::parse_duration(text)
            .map_err(|problem| Problem::bad_request(format!("`{what}` {problem}")))
    };
    text.map(parse).transpose()
}

/// The lock that the path names, if the user of the request may touch it.
fn name_of(api: &Api, uri: &Uri) -> Result<Key, Problem> {
    let encoded = uri.path().strip_prefix("/v1/locks/").unwrap_or_default();
    let name: Vec<u8> = percent_decode_str(encoded).collect();
    if name.is_empty() {
        return Err(Problem::bad_request("a lock has a name: /v1/locks/{name}"));
    }
    caller::permit(api, Role::Write, || Reach::Keys(vec![&name]))?;
    Ok(Key::new(name))
}

fn text_of(name: &Key) -> String {
    String::from_utf8_lossy(name.as_bytes()).into_owned()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

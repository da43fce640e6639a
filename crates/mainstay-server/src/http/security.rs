//! Who may come in: the Host a request is for, the Origin it comes from, the user it comes from, the type of its body.
//! It must not know what a path does beyond reading or changing.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{Api, caller, permission, problem::Problem, server::Peer};
use crate::access::{Door, User};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Paths that may be asked for without a token: probes, which are told one word, and the dashboard's page, which asks
/// for the token and shows nothing without it.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/"];
/// The dashboard's files, the same for everyone.
const ASSETS: &str = "/assets/";

/// Refuses what must not come in, and adds the headers that every response carries.
pub(crate) async fn check(State(api): State<Api>, request: Request, next: Next) -> Response {
    let mut response = match admit(&api, &request) {
        Ok(Some(user)) => caller::run_as(user, next.run(request)).await,
        Ok(None) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        // A stored value must never become a page of this origin.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; sandbox"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Who sent it; `None` on paths that are open to everyone.
fn admit(api: &Api, request: &Request) -> Result<Option<Arc<User>>, Problem> {
    let host = host_of(request.uri(), request.headers())?;
    let settings = api.settings();
    if !settings.hosts.allow(host.host()) {
        let detail = format!("this server does not answer for the host `{}`", clip(host.host()));
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "Unknown host",
            detail,
        )
        .hint("add the name to http.allowed_hosts"));
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes {
        check_origin(request.headers(), &host, api.is_encrypted())?;
        check_body_type(request)?;
    }
    if is_open(request.uri()) {
        return Ok(None);
    }
    let peer = request.extensions().get::<Peer>().copied();
    let user = identify(api, request.headers(), peer)?;
    let (needs, reach) = permission::of(request.method(), request.uri().path());
    caller::check(api, &user, Some(needs), || reach)?;
    Ok(Some(user))
}

/// Whose token a request carries; without one, who nobody in particular is. Wrong ones are counted, wherever they are shown.
pub(crate) fn identify(
    api: &Api,
    headers: &HeaderMap,
    peer: Option<Peer>,
) -> Result<Arc<User>, Problem> {
    let access = api.access();
    let user = match bearer(headers) {
        // A token that is wrong is not taken for none.
        Some(token) if access.knows_tokens() => access.by_token(token.as_bytes()),
        _ => access.anonymous(Door::Http),
    };
    user.ok_or_else(|| {
        if headers.contains_key(header::AUTHORIZATION) {
            let peer = peer.map(|peer| peer.0);
            access.refuse_credentials(Door::Http, peer, api.storage().clock());
        }
        let detail = "this server wants a token";
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail)
            .hint("send Authorization: Bearer TOKEN (http.token_file, or token_file of a user)")
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_open(uri: &Uri) -> bool {
    let path = uri.path();
    uri.query().is_none() && (OPEN.contains(&path) || path.starts_with(ASSETS))
}

/// The host and port that a request is for.
fn host_of(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, more) = (hosts.next(), hosts.next().is_some());
    let named = first.and_then(|value| value.to_str().ok()?.parse::<Authority>().ok());
    match (named, uri.authority()) {
        (Some(named), None) if !more => Ok(named),
        // A target in absolute form outranks Host (RFC 9112, 3.2.2); here both have to agree.
        (Some(named), Some(target)) if !more && named == *target => Ok(named),
        _ => Err(Problem::bad_request("a request carries exactly one valid Host header")),
    }
}

/// A page of another origin must not change anything here; programs send no Origin. Where this server encrypts, a page that
/// came in the clear is of another origin; where it does not, something in front may.
fn check_origin(headers: &HeaderMap, host: &Authority, encrypted: bool) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let same = origin.is_some_and(|origin| {
        let default = match origin.scheme_str() {
            Some("http") if !encrypted => 80,
            Some("https") => 443,
            _ => return false,
        };
        let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
        origin.authority().is_some_and(|from| {
            from.host().eq_ignore_ascii_case(host.host()) && port(from) == port(host)
        })
    });
    if same {
        return Ok(());
    }
    let detail = "a page of another origin may not change anything here";
    Err(Problem::new(StatusCode::FORBIDDEN, "foreign_origin", "Foreign origin", detail))
}

/// A form of another page cannot send JSON, so only JSON is taken; a value's PUT may be of any type.
fn check_body_type(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let has_length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    let has_body = has_length || headers.contains_key(header::TRANSFER_ENCODING);
    if !has_body || request.method() == Method::PUT {
        return Ok(());
    }
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|value| value.split(';').next()).unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Problem::new(
        status,
        "unsupported_media_type",
        "Unsupported media type",
        "the body must be JSON",
    )
    .hint("send Content-Type: application/json"))
}

/// The names under which this server may be addressed.
#[derive(Debug)]
pub(crate) struct Hosts {
    names: Vec<String>,
    any_address: bool,
}

impl Hosts {
    /// A foreign name that resolves to this machine (DNS rebinding) is not among them. A literal address cannot be
    /// rebound, so where the server is reachable by one, it may be used.
    pub(crate) fn new(allowed: &[String], listen: SocketAddr) -> Self {
        Self {
            names: allowed.iter().map(|name| name.to_ascii_lowercase()).collect(),
            any_address: !listen.ip().is_loopback(),
        }
    }

    fn allow(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return address.is_loopback()
                || self.any_address
                || self.names.iter().any(|name| name == bare);
        }
        host == "localhost" || host.ends_with(".localhost") || self.names.contains(&host)
    }
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str) -> Hosts {
        Hosts::new(&["Storage.internal".to_owned()], listen.parse().unwrap())
    }

    #[test]
    fn on_loopback_only_loopback_names_and_configured_ones() {
        let hosts = hosts("127.0.0.1:6391");
        for good in [
            "localhost",
            "LOCALHOST",
            "app.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "storage.internal",
        ] {
            assert!(hosts.allow(good), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "192.0.2.1",
            "[2001:db8::1]",
            "127.0.0.1.nip.io",
            "",
        ] {
            assert!(!hosts.allow(bad), "{bad}");
        }
    }

    #[test]
    fn elsewhere_addresses_too() {
        let hosts = hosts("0.0.0.0:6391");
        assert!(hosts.allow("192.0.2.1"));
        assert!(!hosts.allow("evil.example"));
    }

    #[test]
    fn origins_compare_host_and_port() {
        let check_as = |origin: &str, host: &str, encrypted: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            check_origin(&headers, &host.parse().unwrap(), encrypted).is_ok()
        };
        let check = |origin: &str, host: &str| check_as(origin, host, false);
        assert!(check_as("https://localhost:6391", "localhost:6391", true));
        assert!(!check_as("http://localhost:6391", "localhost:6391", true));
        assert!(check("http://localhost:6391", "localhost:6391"));
        assert!(check("https://storage.internal", "storage.internal"));
        assert!(check("http://storage.internal:80", "storage.internal"));
        assert!(!check("http://localhost:3000", "localhost:6391"));
        assert!(!check("http://evil.example", "localhost:6391"));
        assert!(!check("null", "localhost:6391"));
    }

    #[test]
    fn only_a_bearer_token_is_one() {
        let given = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(given("Bearer correct-horse").as_deref(), Some("correct-horse"));
        assert_eq!(given("bearer  correct-horse ").as_deref(), Some("correct-horse"));
        for none in ["Basic correct-horse", "Bearer", "correct-horse"] {
            assert_eq!(given(none), None, "{none}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}

//! Storages, interfaces and requests for the tests.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
    response::Response,
};
use mainstay_server::http::{Api, HttpConfig, Sections};
use serde_json::Value;
use tower::ServiceExt;

use crate::support::in_memory;

/// The interface of such a storage.
pub(crate) async fn api() -> Api {
    api_with(HttpConfig::default()).await
}

pub(crate) async fn api_with(config: HttpConfig) -> Api {
    Api::new(config, in_memory().await, Sections::new()).unwrap()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Checks that this is a whole problem document with this status.
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        for member in ["type", "title", "detail", "effect"] {
            assert!(problem[member].is_string(), "{member} in {problem}");
        }
        if status == 503 {
            assert!(self.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
        problem
    }
}

/// A request with a loopback Host.
pub(crate) fn request(method: Method, target: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(target).header(header::HOST, "localhost:6391")
}

pub(crate) async fn send(api: &Api, request: Request<Body>) -> Answer {
    let response = open(api, request).await;
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Sends, and leaves the body unread.
pub(crate) async fn open(api: &Api, request: Request<Body>) -> Response {
    api.router().oneshot(request).await.unwrap()
}

pub(crate) async fn get(api: &Api, target: &str) -> Answer {
    send(api, request(Method::GET, target).body(Body::empty()).unwrap()).await
}

pub(crate) async fn get_with(api: &Api, target: &str, name: &str, value: &str) -> Answer {
    send(api, request(Method::GET, target).header(name, value).body(Body::empty()).unwrap()).await
}

pub(crate) async fn put(api: &Api, target: &str, value: impl Into<Body>) -> Answer {
    send(api, request(Method::PUT, target).body(value.into()).unwrap()).await
}

pub(crate) async fn put_if(
    api: &Api,
    target: &str,
    name: &str,
    tag: &str,
    value: &'static str,
) -> Answer {
    send(api, request(Method::PUT, target).header(name, tag).body(value.into()).unwrap()).await
}

pub(crate) async fn delete(api: &Api, target: &str) -> Answer {
    send(api, request(Method::DELETE, target).body(Body::empty()).unwrap()).await
}

pub(crate) async fn post(api: &Api, target: &str) -> Answer {
    send(api, request(Method::POST, target).body(Body::empty()).unwrap()).await
}

pub(crate) async fn post_json(api: &Api, target: &str, json: &Value) -> Answer {
    send_json(api, Method::POST, target, json).await
}

pub(crate) async fn put_json(api: &Api, target: &str, json: &Value) -> Answer {
    send_json(api, Method::PUT, target, json).await
}

async fn send_json(api: &Api, method: Method, target: &str, json: &Value) -> Answer {
    let request = request(method, target).header("content-type", "application/json");
    send(
        api,
        request
            .header("content-length", json.to_string().len())
            .body(json.to_string().into())
            .unwrap(),
    )
    .await
}

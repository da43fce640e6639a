//! The small HTTP client of the commands: one request, one connection.
//! It must not know what the paths mean.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    client::conn::http1,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use mainstay::Tasks;
use mainstay_server::access::Door;
use serde::Serialize;
use serde_json::Value as Json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    args::{Common, Target},
    exit::Failure,
    setup,
};

pub(crate) mod follow;
pub(crate) mod sse;
pub(crate) mod target;
mod tls;

use tls::Trust;

/// A server, and how to talk to it.
pub(crate) struct Client {
    /// `host:port`.
    authority: String,
    /// What stands before the paths; without a slash at its end.
    base: String,
    token: Option<String>,
    /// `None`: plain HTTP.
    tls: Option<TlsConnector>,
    timeout: Duration,
    /// The connections; they end with the client.
    tasks: Tasks,
}

/// One request.
pub(crate) struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// An answer that was read to its end.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Result<Self, Failure> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| Failure::usage(format!("{name}: holds what a header cannot")))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    pub(crate) fn json(self, document: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(document)
            .map_err(|error| Failure::new(format!("cannot write a request: {error}")))?;
        self.body(body).header(header::CONTENT_TYPE, "application/json")
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

impl Client {
    /// The server that the flags name, or else the one that the configuration describes.
    pub(crate) fn open(common: &Common, target: &Target) -> Result<Self, Failure> {
        let ca_file = target.tls.ca_file.as_deref();
        let mut trust = Trust { ca_file, client: certificate(target)?, ..Trust::default() };
        if let Some(url) = &target.url {
            let (place, encrypted) = target::parse(url)?;
            let token = target_token(target.token_file.as_deref())?;
            let tls = encrypted.then(|| tls::connector(&trust)).transpose()?;
            return Ok(Self { token, tls, ..Self::at(place, target.timeout) });
        }
        let settings = setup::load(common, &[])?.settings;
        let place = target::of_listen(&settings.http.listen)?;
        trust.own_server = settings.tls.cert_file.as_deref();
        let encrypted = settings.tls.covers(Door::Http);
        let tls = encrypted.then(|| tls::connector(&trust)).transpose()?;
        Ok(Self { token: settings.http_token(), tls, ..Self::at(place, target.timeout) })
    }

    /// The server that the configuration describes, if it is on this host, whatever the files say that it names: they may be
    /// newer than what the server uses, or broken. Whoever answers is believed, and gets no token.
    pub(crate) fn open_unproven(common: &Common, target: &Target) -> Result<Option<Self>, Failure> {
        if target.url.is_some() {
            return Ok(None);
        }
        let settings = setup::load(common, &[])?.settings;
        let place = target::of_listen(&settings.http.listen)?;
        if !target::is_loopback(&place) {
            return Ok(None);
        }
        let trust = Trust { anyone: true, client: certificate(target)?, ..Trust::default() };
        let encrypted = settings.tls.covers(Door::Http);
        let tls = encrypted.then(|| tls::connector(&trust)).transpose()?;
        Ok(Some(Self { tls, ..Self::at(place, target.timeout) }))
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// A server at `host:port`, whose paths stand behind `base`.
    pub(crate) fn at((authority, base): (String, String), timeout: Duration) -> Self {
        Self { authority, base, token: None, tls: None, timeout, tasks: Tasks::new() }
    }

    /// Sends it and reads the answer; an answer that is no success is a failure.
    pub(crate) async fn send(&self, call: Call) -> Result<Reply, Failure> {
        let reply = self.exchange(call).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(problem(&reply)) }
    }

    /// Sends it and reads the answer, whatever its status.
    pub(crate) async fn exchange(&self, call: Call) -> Result<Reply, Failure> {
        self.exchange_within(call, Duration::ZERO).await
    }

    /// The same, where the server may take so much longer to answer.
    pub(crate) async fn exchange_within(
        &self,
        call: Call,
        longer: Duration,
    ) -> Result<Reply, Failure> {
        let exchange = async {
            let response = self.begin(call).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| self.lost(&error))?.to_bytes();
            Ok(Reply { status: head.status, headers: head.headers, body })
        };
        timeout(self.timeout + longer, exchange).await.unwrap_or_else(|_| Err(self.late()))
    }

    /// Sends it and reads the answer's JSON.
    pub(crate) async fn json(&self, call: Call) -> Result<Json, Failure> {
        let reply = self.send(call).await?;
        Ok(serde_json::from_slice(&reply.body)?)
    }

    /// Sends it and returns as soon as the head of a success is there; the body goes on.
    pub(crate) async fn stream(&self, call: Call) -> Result<Incoming, Failure> {
        let response =
            timeout(self.timeout, self.begin(call)).await.unwrap_or_else(|_| Err(self.late()))?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| self.lost(&error))?.to_bytes();
        Err(problem(&Reply { status: head.status, headers: head.headers, body }))
    }

    async fn begin(&self, call: Call) -> Result<Response<Incoming>, Failure> {
        let stream = TcpStream::connect(&self.authority).await.map_err(|error| {
            Failure::new(format!("cannot reach the server at {}: {error}", self.authority))
                .hint("is `mainstay serve` running? --url names another address")
        })?;
        let Some(tls) = &self.tls else { return self.talk(stream, call).await };
        let name = tls::server_name(&self.authority)?;
        let stream = tls.connect(name, stream).await.map_err(|error| {
            Failure::new(format!("no TLS with the server at {}: {error}", self.authority))
                .hint("--ca-file names who issued its certificate, --cert-file and --key-file ours")
        })?;
        self.talk(stream, call).await
    }

    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        call: Call,
    ) -> Result<Response<Incoming>, Failure> {
        let lost = |error: hyper::Error| self.lost(&error);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        self.tasks.spawn(async move {
            // The error, if there is one, reaches the request too.
            drop(connection.await);
        });
        sender.send_request(self.request(call)?).await.map_err(lost)
    }

    fn request(&self, call: Call) -> Result<Request<Full<Bytes>>, Failure> {
        let path = format!("{}{}", self.base, call.path);
        let uri =
            path.parse::<Uri>().map_err(|error| Failure::usage(format!("{path}: {error}")))?;
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = call.headers;
        let mut add = |name: HeaderName, text: &str| match HeaderValue::from_str(text) {
            Ok(value) => {
                request.headers_mut().insert(name, value);
                Ok(())
            }
            Err(_) => Err(Failure::usage(format!("{name}: holds what a header cannot"))),
        };
        add(header::HOST, &self.authority)?;
        add(header::USER_AGENT, concat!("mainstay/", env!("CARGO_PKG_VERSION")))?;
        if let Some(token) = &self.token {
            add(header::AUTHORIZATION, &format!("Bearer {token}"))?;
        }
        Ok(request)
    }

    fn lost(&self, error: &hyper::Error) -> Failure {
        let cause =
            std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
        Failure::new(format!("the server at {} broke off: {error}{cause}", self.authority))
    }

    fn late(&self) -> Failure {
        let waited = mainstay::config::text::format_duration(self.timeout);
        Failure::new(format!("the server at {} did not answer within {waited}", self.authority))
    }
}

/// What we show of ourselves.
fn certificate(target: &Target) -> Result<Option<(PathBuf, PathBuf)>, Failure> {
    match (&target.tls.cert_file, &target.tls.key_file) {
        (Some(cert), Some(key)) => Ok(Some((cert.clone(), key.clone()))),
        (None, None) => Ok(None),
        _ => Err(Failure::usage("--cert-file and --key-file belong together")),
    }
}

/// A secret is not taken from the configuration for an address that is not the configuration's.
fn target_token(file: Option<&Path>) -> Result<Option<String>, Failure> {
    match file {
        Some(file) => {
            let token = std::fs::read_to_string(file)
                .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
            Ok(Some(token.trim().to_owned()))
        }
        None => Ok(std::env::var("MAINSTAY_TOKEN").ok().filter(|token| !token.is_empty())),
    }
}

/// The failure that a problem document (RFC 9457) describes.
pub(crate) fn problem(reply: &Reply) -> Failure {
    let document: Json = serde_json::from_slice(&reply.body).unwrap_or(Json::Null);
    let detail = document["detail"].as_str().or(document["title"].as_str());
    let failure = Failure::new(match detail {
        Some(detail) => detail.to_owned(),
        None => format!("the server answered {}", reply.status),
    });
    match document["hint"].as_str() {
        _ if reply.status == StatusCode::UNAUTHORIZED => failure.hint(
            "give the token: http.token_file in the configuration, or --token-file with --url",
        ),
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// A part of a path, of any bytes.
pub(crate) fn escape(bytes: &[u8]) -> String {
    percent_encoding::percent_encode(bytes, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Waits for a command that talks to a server.
pub(crate) fn wait<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(command)
}

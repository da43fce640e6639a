//! What the bodies of all requests and answers hold together: each request's is weighed as it arrives, until it is
//! answered, and each answer's until it has been sent.
//! It must not know what is in a body, nor the limit on a single one.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};

use super::{Api, problem::Problem};
use crate::limits::{Limit, Share};

/// The bodies of all requests and answers together are over `http.bodies_max`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bodies of all requests and answers together are too long")
    }
}

impl Error for Full {}

impl Full {
    /// What the client is told.
    pub(super) fn problem(self) -> Problem {
        let (status, title) = (StatusCode::SERVICE_UNAVAILABLE, "Too many bodies at once");
        Problem::new(status, "overloaded", title, self.to_string())
            .hint("send and read fewer large values at once, or raise http.bodies_max")
            .over(Limit::HttpBodies)
    }

    /// Whether this is why a body ended.
    pub(super) fn is_cause_of(error: &axum::Error) -> bool {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// Weighs the body of a request until it is answered.
pub(crate) async fn weigh(State(api): State<Api>, request: Request, next: Next) -> Response {
    // What a write came to is told in any case, and so is how things stand.
    let refuses = request.method().is_safe() && request.uri().path().starts_with("/v1/kv");
    if request.body().is_end_stream() {
        return weighed(&api, next.run(request).await, refuses);
    }
    // Both halves live until the answer: the handler drops its body when it has read it, and holds what it read.
    let share = Arc::new(Mutex::new(Share::of(&api.door().buffers)));
    let (held, mut bytes) = (Arc::clone(&share), 0);
    let each = move |frame: Frame<Bytes>| {
        bytes += frame.data_ref().map_or(0, |data| data.remaining() as u64);
        match held.lock().unwrap_or_else(PoisonError::into_inner).set(bytes) {
            true => Ok(frame),
            false => Err(axum::Error::new(Full)),
        }
    };
    let request = request.map(|body| Body::new(Through { body, each }));
    let response = next.run(request).await;
    drop(share);
    weighed(&api, response, refuses)
}

/// What the values of one answer may take, before it is made: so many bytes, and of what all bodies may.
pub(super) struct Room {
    max: usize,
    taken: Mutex<(usize, Share)>,
}

/// Why there is no room.
pub(super) enum NoRoom {
    /// In this answer.
    Here,
    /// All bodies together.
    Anywhere(Full),
}

impl Room {
    pub(super) fn new(api: &Api, max: usize) -> Self {
        Self { max, taken: Mutex::new((0, Share::of(&api.door().buffers))) }
    }

    /// Takes some of it.
    pub(super) fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, share) = &mut *taken;
        let all = before.saturating_add(bytes);
        if all > self.max {
            return Err(NoRoom::Here);
        }
        if !share.set(all as u64) {
            share.set(*before as u64);
            return Err(NoRoom::Anywhere(Full));
        }
        *before = all;
        Ok(())
    }
}

/// Weighs an answer of a known length until it has been sent. A stream sends what there is and holds little.
fn weighed(api: &Api, response: Response, refuses: bool) -> Response {
    let bytes = response.body().size_hint().exact().unwrap_or(0);
    if bytes <= Share::FREE {
        return response;
    }
    let mut share = Share::of(&api.door().buffers);
    if !share.set(bytes) && refuses {
        return Full.problem().into_response();
    }
    // Its bytes take the share with them: the connection holds them longer than this body.
    let mut share = Some(share);
    let each = move |frame: Frame<Bytes>| {
        Ok(frame.map_data(|bytes| match share.take() {
            Some(share) => Bytes::from_owner(Owned { bytes, _share: share }),
            None => bytes,
        }))
    };
    response.map(|body| Body::new(Through { body, each }))
}

struct Owned {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Counts an answer that says which limit refused.
pub(crate) async fn count(State(api): State<Api>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if let Some(limit) = response.extensions().get::<Limit>() {
        api.door().refusals.count(*limit);
    }
    response
}

/// A body of which each frame is looked at on its way, and stays as long as it is.
struct Through<F> {
    body: Body,
    each: F,
}

impl<F> HttpBody for Through<F>
where
    F: FnMut(Frame<Bytes>) -> Result<Frame<Bytes>, axum::Error> + Unpin,
{
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx)?);
        Poll::Ready(frame.map(&mut self.each))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! What happened: as a stream of server-sent events that can be taken up again, or as a list.
//! It must not slow down who publishes: a client that falls behind is told so and goes on.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use mainstay::Event;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::{Api, caller, problem::Problem, query::Query, status::StatusDocument};
use crate::{access::User, admission::Admitted, limits::Limit};

const HEARTBEAT: Duration = Duration::from_secs(15);

/// The latest events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventList {
    /// Oldest first.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Arc<Event>>,
}

/// What happened, and what happens
///
/// Server-sent events. First `snapshot`: the document of `/v1/status`. Then one message for each event, with its id, in
/// order. `Last-Event-ID` takes up a stream again as far back as the last 1000 events reach. `lagged` tells how many
/// events were missed. A comment keeps the connection alive every 15 s.
#[utoipa::path(get, path = "/v1/events", tag = "state",
    params(
        ("format" = Option<String>, Query, description = "`json`: the latest events as a list, no stream"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "With format=json: how many, 1 to 1000, default 100"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event that was received"),
    ),
    responses((status = 200, description = "The stream, or the list",
        content((String = "text/event-stream"), (EventList = "application/json")))))]
pub(crate) async fn read(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(&uri, &["format", "limit"])?;
    let limit = query.count("limit", 100, 1000)?;
    match query.text("format")? {
        Some("json") => {
            let mut events = api.storage().events().since(0);
            events.drain(..events.len().saturating_sub(limit));
            Ok(Json(EventList { events }).into_response())
        }
        None | Some("sse") => open(&api, last_event_id(&headers)?),
        Some(_) => Err(Problem::bad_request("query parameter `format` is json or sse")),
    }
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|id| id.parse().ok());
    id.map(Some).ok_or_else(|| Problem::bad_request("Last-Event-ID is the id of an event"))
}

fn open(api: &Api, last_id: Option<u64>) -> Result<Response, Problem> {
    let permit = api.streams().try_admit().ok_or_else(|| {
        let detail = "too many event streams are open";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too many streams", detail)
            .hint("close one, or raise http.streams_max")
            .over(Limit::HttpStreams)
    })?;
    let follow = Follow::start(api, last_id, permit)?;
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    Ok(Sse::new(follow.into_stream()).keep_alive(heartbeat).into_response())
}

/// One client's stream.
#[derive(Debug)]
struct Follow {
    /// What is sent before anything new.
    ready: VecDeque<sse::Event>,
    live: broadcast::Receiver<Arc<Event>>,
    /// The id of the last event that was queued or sent.
    last_id: u64,
    closing: CancellationToken,
    /// Who listens.
    user: Option<Arc<User>>,
    _permit: Admitted,
}

impl Follow {
    fn start(api: &Api, last_id: Option<u64>, permit: Admitted) -> Result<Self, Problem> {
        let bus = api.storage().events();
        // Subscribed before the ring and the status are read: what comes in between is seen twice and skipped once.
        let live = bus.subscribe();
        let ring = bus.since(0);
        let newest = ring.last().map_or(bus.base(), |event| event.id);
        let (missed, replay) = replay(&ring, bus.base(), last_id);
        let mut ready = VecDeque::with_capacity(replay.len() + 2);
        // The snapshot carries an id only for a new client; one that comes back keeps its place until the replay.
        let snapshot = message("snapshot", &StatusDocument::now(api))?;
        ready.push_back(if last_id.is_none() { snapshot.id(newest.to_string()) } else { snapshot });
        if missed > 0 {
            ready.push_back(lagged(missed));
        }
        for event in replay {
            ready.push_back(event_message(event)?);
        }
        let (closing, user) = (api.closing(), caller::current());
        Ok(Self { ready, live, last_id: newest, closing, user, _permit: permit })
    }

    fn into_stream(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, |mut follow| async move {
            let next = follow.next().await?;
            Some((Ok(next), follow))
        })
    }

    async fn next(&mut self) -> Option<sse::Event> {
        if let Some(ready) = self.ready.pop_front() {
            return Some(ready);
        }
        loop {
            let received = tokio::select! {
                biased;
                () = self.closing.cancelled() => return None,
                received = self.live.recv() => received,
            };
            // A reload that takes the token away tells of itself, so that the stream ends there.
            if self.user.as_ref().is_some_and(|user| user.is_revoked()) {
                return None;
            }
            match received {
                Ok(event) if event.id <= self.last_id => {}
                Ok(event) => {
                    self.last_id = event.id;
                    return event_message(&event).ok();
                }
                Err(broadcast::error::RecvError::Lagged(missed)) => return Some(lagged(missed)),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// How many events a client that has seen `last_id` has missed for good, and which are sent again. `base`: before the first.
fn replay(ring: &[Arc<Event>], base: u64, last_id: Option<u64>) -> (u64, &[Arc<Event>]) {
    let Some(last_id) = last_id else { return (0, &[]) };
    let newest = ring.last().map_or(base, |event| event.id);
    // One of an earlier process (or from the future, if the clock was put back): nothing of this one has been seen.
    let seen = if (base..=newest).contains(&last_id) { last_id } else { base };
    let from = ring.partition_point(|event| event.id <= seen);
    let missed = ring.get(from).map_or(0, |event| event.id - seen - 1);
    (missed, &ring[from..])
}

fn event_message(event: &Arc<Event>) -> Result<sse::Event, Problem> {
    let message = sse::Event::default().id(event.id.to_string()).json_data(event);
    message.map_err(|error| broken(&error))
}

fn message(name: &str, data: &impl Serialize) -> Result<sse::Event, Problem> {
    sse::Event::default().event(name).json_data(data).map_err(|error| broken(&error))
}

fn lagged(missed: u64) -> sse::Event {
    sse::Event::default().event("lagged").data(format!("{{\"missed\":{missed}}}"))
}

fn broken(error: &axum::Error) -> Problem {
    mainstay::Error::new(mainstay::ErrorKind::Internal, error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use mainstay::{Clock, EventKind, Events};

    use super::*;

    fn ring(events: u64) -> (u64, Vec<Arc<Event>>) {
        let bus = Events::new(Clock::starting_at(7));
        for _ in 0..events {
            bus.publish(None, EventKind::Storage { state: "open" }, "");
        }
        (bus.base(), bus.since(0))
    }

    fn replayed(ring: &[Arc<Event>], base: u64, last_id: Option<u64>) -> (u64, Vec<u64>) {
        let (missed, events) = replay(ring, base, last_id.map(|id| base + id));
        (missed, events.iter().map(|event| event.id - base).collect())
    }

    #[tokio::test]
    async fn a_client_that_comes_back_gets_what_it_missed() {
        let (base, all) = ring(5);
        let replayed = |ring: &[Arc<Event>], last_id| replayed(ring, base, last_id);
        assert_eq!(replayed(&all, None), (0, vec![]));
        assert_eq!(replayed(&all, Some(5)), (0, vec![]));
        assert_eq!(replayed(&all, Some(3)), (0, vec![4, 5]));
        assert_eq!(replayed(&all, Some(0)), (0, vec![1, 2, 3, 4, 5]));
        // The ring has lost 1 and 2.
        assert_eq!(replayed(&all[2..], Some(1)), (1, vec![3, 4, 5]));
        // Ids of an earlier process, and of one whose clock was ahead.
        for id in [3, base + 900] {
            let (missed, events) = replay(&all, base, Some(id));
            assert_eq!((missed, events.len()), (0, 5));
        }
        assert_eq!(replayed(&[], Some(9)), (0, vec![]));
    }
}

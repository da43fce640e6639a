//! The server's stream of events, from behind the last one that was seen.
//! It must not know what the events mean.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    header::{ACCEPT, HeaderName},
};

use super::{
    Call, Client,
    sse::{Decoder, Event},
};
use crate::exit::Failure;

/// The server sends a heartbeat every 15 s; a stream that is silent for longer is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// One stream. It ends with the server or with the connection; then another one is opened.
pub(crate) struct Follow {
    body: Incoming,
    decoder: Decoder,
}

impl Follow {
    /// Begins with the events behind this one, as far as the server still has them; 0: with all it has.
    pub(crate) async fn open(client: &Client, last: u64) -> Result<Self, Failure> {
        let call = Call::get("/v1/events")
            .header(ACCEPT, "text/event-stream")?
            .header(HeaderName::from_static("last-event-id"), &last.to_string())?;
        Ok(Self { body: client.stream(call).await?, decoder: Decoder::default() })
    }

    /// What came next, which may be no whole message yet; none when the server has ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Event>>, Failure> {
        let next = tokio::time::timeout(SILENCE_MAX, self.body.frame()).await;
        let Some(frame) = next.map_err(|_| Failure::new("the stream went silent"))? else {
            return Ok(None);
        };
        let frame =
            frame.map_err(|error| Failure::new(format!("the stream broke off: {error}")))?;
        let messages = frame.data_ref().map(|bytes| self.decoder.push(bytes));
        Ok(Some(messages.unwrap_or_default()))
    }
}

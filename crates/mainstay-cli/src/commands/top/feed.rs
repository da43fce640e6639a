//! What the server says: its status again and again, its events as they come. Both go on trying.
//! It must not know how it is shown.

use std::time::Duration;

use serde_json::Value as Json;
use tokio::{
    sync::mpsc::Sender,
    time::{MissedTickBehavior, interval, sleep},
};

use super::document::Document;
use crate::{
    client::{Call, Client, follow::Follow},
    exit::Failure,
};

/// Time between attempts to open the stream again.
const RECONNECT: Duration = Duration::from_secs(1);

/// One thing that was learnt.
#[derive(Debug)]
pub(super) enum News {
    Status(Box<Document>),
    /// Why there was no status.
    Lost(String),
    Event(Json),
    /// So many events that the server no longer has.
    Missed(u64),
    /// The stream of events stands.
    Streaming,
    StreamLost,
}

/// The status now.
pub(super) async fn status(client: &Client) -> Result<Document, Failure> {
    Ok(serde_json::from_value(client.json(Call::get("/v1/status")).await?)?)
}

/// The status once each interval, until nobody takes the news.
pub(super) async fn statuses(client: &Client, every: Duration, news: &Sender<News>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let learnt = match status(client).await {
            Ok(document) => News::Status(Box::new(document)),
            Err(failure) => News::Lost(failure.message),
        };
        if news.send(learnt).await.is_err() {
            return;
        }
    }
}

/// The events that the server still has, and those that come, until nobody takes the news.
pub(super) async fn events(client: &Client, news: &Sender<News>) {
    let mut last = 0;
    while !news.is_closed() {
        // Why it failed is said by the status, which fails alike.
        drop(follow(client, &mut last, news).await);
        if news.send(News::StreamLost).await.is_err() {
            return;
        }
        sleep(RECONNECT).await;
    }
}

async fn follow(client: &Client, last: &mut u64, news: &Sender<News>) -> Result<(), Failure> {
    let gone = |_| Failure::new("nobody takes the news");
    let mut stream = Follow::open(client, *last).await?;
    news.send(News::Streaming).await.map_err(gone)?;
    while let Some(messages) = stream.next().await? {
        for message in messages {
            let event: Json = serde_json::from_str(&message.data)?;
            if message.name == "lagged" {
                // At the beginning nothing was missed: what came before is not wanted.
                if let Some(missed) = event["missed"].as_u64().filter(|_| *last > 0) {
                    news.send(News::Missed(missed)).await.map_err(gone)?;
                }
            }
            // The snapshot that a stream begins with has no id of an event.
            if let Some(id) = event["id"].as_u64() {
                *last = id;
                news.send(News::Event(event)).await.map_err(gone)?;
            }
        }
    }
    Ok(())
}

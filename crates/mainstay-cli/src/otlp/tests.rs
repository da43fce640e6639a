//! Which spans there are, whose children, and what is sent of them.

use std::sync::atomic::AtomicU64;

use mainstay::trace::TARGET;
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt;

use super::{span::Finished, *};

/// Runs it where traces are recorded; what was finished, and how many had no place.
fn traced(places: usize, work: impl FnOnce()) -> (Vec<Finished>, u64) {
    let (queue, mut finished) = mpsc::channel(places);
    let (entropy, dropped) = (Entropy::seeded(1), Arc::new(AtomicU64::new(0)));
    let spans = Spans::new(Clock::starting_at(0), entropy, queue, Arc::clone(&dropped));
    let subscriber = tracing_subscriber::registry().with(spans.with_filter(Sample));
    tracing::subscriber::with_default(subscriber, work);
    let mut all = Vec::new();
    while let Ok(span) = finished.try_recv() {
        all.push(span);
    }
    (all, dropped.load(Relaxed))
}

fn operation() {
    let operation = tracing::debug_span!(target: TARGET, "operation", otel.name = "get", mainstay.outcome = tracing::field::Empty);
    operation.in_scope(|| {
        let call = tracing::debug_span!(target: TARGET, "call", otel.name = "get db", otel.kind = "client", otel.status_code = "ERROR");
        call.in_scope(|| tracing::debug!(target: TARGET, { attempt = 2u32 }, "retry"));
        tracing::info!("nobody's");
        tracing::info_span!("nobody's");
    });
    operation.record("mainstay.outcome", "success");
}

#[tokio::test]
async fn a_call_is_a_child_of_its_operation() {
    let (spans, dropped) = traced(8, operation);
    let [call, operation] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((operation.place.parent, dropped), (None, 0));
    assert_eq!(call.place.parent, Some(operation.place.span));
    assert_eq!(call.place.trace, operation.place.trace);
    let resource = Resource::new("shop", &Entropy::seeded(1));
    let document = serde_json::to_value(resource.document(&spans)).unwrap();
    let sent = &document["resourceSpans"][0];
    let name = json!({ "key": "service.name", "value": { "stringValue": "shop" } });
    assert_eq!(sent["resource"]["attributes"][0], name);
    let sent = &sent["scopeSpans"][0]["spans"];
    assert_eq!(
        (&sent[0]["name"], &sent[0]["kind"], &sent[0]["status"]["code"]),
        (&json!("get db"), &json!(3), &json!(2))
    );
    assert_eq!((&sent[0]["parentSpanId"], &sent[1]["name"]), (&sent[1]["spanId"], &json!("get")));
    assert_eq!(sent[1]["attributes"][0]["value"]["stringValue"], "success");
    let event = &sent[0]["events"][0];
    assert_eq!(
        (&event["name"], &event["attributes"][0]["key"]),
        (&json!("retry"), &json!("attempt"))
    );
    assert_eq!(event["attributes"][0]["value"]["intValue"], "2");
}

#[tokio::test]
async fn no_call_begins_a_trace_and_what_has_no_place_is_counted() {
    let alone = || drop(tracing::debug_span!(target: TARGET, "call", otel.name = "get db"));
    assert!(traced(8, alone).0.is_empty(), "a call that no operation made");
    let (few, dropped) = traced(3, || (0..4).for_each(|_| operation()));
    assert_eq!((few.len(), dropped), (3, 5));
}

#[tokio::test]
async fn the_caller_decides_about_its_own_trace() {
    let request = |flags: &'static str| {
        move || {
            let header = format!("00-{:032x}-{:016x}-{flags}", 7, 9);
            let request = tracing::debug_span!(target: TARGET, "request", otel.name = "GET", mainstay.traceparent = header);
            request.in_scope(operation);
        }
    };
    let (spans, _) = traced(8, request("01"));
    let [call, operation, request_span] = &spans[..] else { panic!("{spans:?}") };
    assert!(spans.iter().all(|span| span.place.trace == 7));
    assert_eq!(request_span.place.parent, Some(9));
    assert_eq!(operation.place.parent, Some(request_span.place.span));
    assert_eq!(call.place.parent, Some(operation.place.span));
    assert!(traced(8, request("00")).0.is_empty());
}

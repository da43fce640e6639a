//! Keys and values, one by one.

use axum::{body::Body, http::Method};
use bytes::Bytes;
use futures_util::stream;
use mainstay_server::http::{Api, HttpConfig, Sections};

use crate::support::in_memory;

use super::support::{api, api_with, delete, get, get_with, post, put, put_if, request, send};

#[tokio::test]
async fn a_value_comes_back_as_it_was_stored() {
    let api = api().await;
    let value: Vec<u8> = (0..=255).collect();
    let written = put(&api, "/v1/kv/bin", value.clone()).await;
    assert_eq!(written.status, 204);
    let read = get(&api, "/v1/kv/bin").await;
    assert_eq!((read.status.as_u16(), &read.body), (200, &value));
    assert_eq!(read.header("content-type"), "application/octet-stream");
    assert_eq!(read.header("x-content-type-options"), "nosniff");
    assert_eq!(read.header("etag"), written.header("etag"));
    assert_eq!(read.header("cache-status"), "mainstay; fwd=miss; detail=memory");
    assert_eq!(read.header("x-mainstay-source"), "memory");
    assert_eq!(read.header("cache-control"), "no-cache");
    assert!(!read.headers.contains_key("age"));
}

#[tokio::test]
async fn head_tells_what_get_tells_without_the_body() {
    let api = api().await;
    put(&api, "/v1/kv/k", "four").await;
    let get = get(&api, "/v1/kv/k").await;
    let head = send(&api, request(Method::HEAD, "/v1/kv/k").body(Body::empty()).unwrap()).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), "4");
    assert_eq!(head.header("etag"), get.header("etag"));
    let gone = send(&api, request(Method::HEAD, "/v1/kv/no").body(Body::empty()).unwrap()).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (404, 0));
}

#[tokio::test]
async fn a_key_may_hold_any_byte_but_not_none() {
    let api = api().await;
    for path in ["a/b//c", "a%2Fb%2F%2Fd", "%FF%00", "%25", "a+b", "incr", "x/incr", "%D0%BA"] {
        let path = format!("/v1/kv/{path}");
        assert_eq!(put(&api, &path, path.clone()).await.status, 204, "{path}");
        assert_eq!(get(&api, &path).await.text(), path);
    }
    assert_eq!(get(&api, "/v1/kv/a%2Fb%2F%2Fc").await.text(), "/v1/kv/a/b//c");
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let empty = request(method, "/v1/kv/").body(Body::empty()).unwrap();
        send(&api, empty).await.problem(400);
    }
    get(&api, &format!("/v1/kv/{}", "k".repeat(2049))).await.problem(413);
}

#[tokio::test]
async fn a_missing_key_is_a_problem_with_404() {
    let api = api().await;
    let missing = get(&api, "/v1/kv/no").await;
    assert_eq!(missing.problem(404)["type"], "urn:mainstay:error:no_such_key");
    assert_eq!(missing.header("cache-status"), "mainstay; fwd=miss; detail=memory");
}

#[tokio::test]
async fn writes_are_conditional_on_etags() {
    let api = api().await;
    assert_eq!(put_if(&api, "/v1/kv/k", "if-none-match", "*", "one").await.status, 201);
    put_if(&api, "/v1/kv/k", "if-none-match", "*", "two").await.problem(412);
    let first = get(&api, "/v1/kv/k").await.header("etag").to_owned();
    let second = put_if(&api, "/v1/kv/k", "if-match", &first, "two").await;
    assert_eq!(second.status, 204);
    assert_ne!(second.header("etag"), first);
    put_if(&api, "/v1/kv/k", "if-match", &first, "three").await.problem(412);
    put_if(&api, "/v1/kv/k", "if-match", "\"not-ours\"", "three").await.problem(412);
    put_if(&api, "/v1/kv/k", "if-match", &format!("W/{first}"), "three").await.problem(412);
    put_if(&api, "/v1/kv/k", "if-match", "unquoted", "three").await.problem(400);
    put_if(&api, "/v1/kv/no", "if-match", "*", "three").await.problem(412);
    assert_eq!(put_if(&api, "/v1/kv/k", "if-match", "*", "three").await.status, 204);
    assert_eq!(get(&api, "/v1/kv/k").await.text(), "three");
}

#[tokio::test]
async fn reads_are_conditional_on_etags() {
    let api = api().await;
    put(&api, "/v1/kv/k", "v").await;
    let tag = get(&api, "/v1/kv/k").await.header("etag").to_owned();
    let unchanged = get_with(&api, "/v1/kv/k", "if-none-match", &tag).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.header("etag"), tag);
    assert_eq!(get_with(&api, "/v1/kv/k", "if-none-match", "\"1-1\"").await.status, 200);
    get_with(&api, "/v1/kv/k", "if-match", "\"1-1\"").await.problem(412);
}

#[tokio::test]
async fn deletes_are_idempotent_but_under_a_condition() {
    let api = api().await;
    put(&api, "/v1/kv/k", "v").await;
    let tag = get(&api, "/v1/kv/k").await.header("etag").to_owned();
    let with = |tag: &str| {
        request(Method::DELETE, "/v1/kv/k").header("if-match", tag).body(Body::empty()).unwrap()
    };
    send(&api, with("\"1-1\"")).await.problem(412);
    assert_eq!(get(&api, "/v1/kv/k").await.status, 200);
    assert_eq!(send(&api, with(&tag)).await.status, 204);
    assert_eq!(get(&api, "/v1/kv/k").await.status, 404);
    assert_eq!(delete(&api, "/v1/kv/k").await.status, 204);
    send(&api, with(&tag)).await.problem(412);
}

#[tokio::test(start_paused = true)]
async fn a_ttl_has_a_unit_and_runs_out() {
    let api = api().await;
    assert_eq!(put(&api, "/v1/kv/k?ttl=60s", "v").await.status, 204);
    assert_eq!(
        get(&api, "/v1/kv/k").await.header("cache-status"),
        "mainstay; fwd=miss; detail=memory; ttl=60"
    );
    for bad in ["60", "", "0s", "x", "-1s", "1us"] {
        let problem = put(&api, &format!("/v1/kv/k?ttl={bad}"), "w").await.problem(400);
        assert!(problem["detail"].as_str().unwrap().starts_with("ttl: "), "{problem}");
    }
    put(&api, "/v1/kv/k?tll=60s", "w").await.problem(400);
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    assert_eq!(get(&api, "/v1/kv/k").await.status, 404);
}

#[tokio::test]
async fn meta_tells_all_that_is_known() {
    let api = api().await;
    put(&api, "/v1/kv/text?ttl=60s", "ада").await;
    put(&api, "/v1/kv/bytes", b"\xff\x00".to_vec()).await;
    let text = get(&api, "/v1/kv/text?meta").await;
    let meta = text.json();
    assert_eq!((&meta["value"], &meta["encoding"]), (&"ада".into(), &"utf8".into()));
    assert_eq!((&meta["source"], &meta["stale"]), (&"memory".into(), &false.into()));
    assert!(meta["age"].is_null());
    assert!((59.0..=60.0).contains(&meta["ttl"].as_f64().unwrap()), "{meta}");
    assert_eq!(format!("\"{}\"", meta["version"].as_str().unwrap()), text.header("etag"));
    let meta = get(&api, "/v1/kv/bytes?meta").await.json();
    assert_eq!((&meta["value"], &meta["encoding"]), (&"/wA=".into(), &"base64".into()));
    assert!(meta["ttl"].is_null());
}

#[tokio::test]
async fn a_counter_counts_and_refuses_what_is_none() {
    let api = api().await;
    let first = post(&api, "/v1/kv/n/incr").await;
    assert_eq!((first.status.as_u16(), &first.json()["value"]), (200, &1.into()));
    assert_eq!(post(&api, "/v1/kv/n/incr?by=-43").await.json()["value"], -42);
    assert_eq!(get(&api, "/v1/kv/n").await.text(), "-42");
    post(&api, "/v1/kv/n/incr?by=1.5").await.problem(400);
    put(&api, "/v1/kv/word", "ada").await;
    assert_eq!(
        post(&api, "/v1/kv/word/incr").await.problem(409)["type"],
        "urn:mainstay:error:not_integer"
    );
    put(&api, "/v1/kv/max", i64::MAX.to_string()).await;
    post(&api, "/v1/kv/max/incr").await.problem(409);
    post(&api, "/v1/kv//incr").await.problem(400);
}

#[tokio::test]
async fn a_key_that_ends_in_incr_is_a_key_but_for_post() {
    let api = api().await;
    put(&api, "/v1/kv/a/incr", "7").await;
    assert_eq!(get(&api, "/v1/kv/a/incr").await.text(), "7");
    assert_eq!(post(&api, "/v1/kv/a/incr/incr").await.json()["value"], 8);
    assert_eq!(post(&api, "/v1/kv/a/incr").await.json()["value"], 1);
    assert_eq!(get(&api, "/v1/kv/a").await.text(), "1");
    let refused = post(&api, "/v1/kv/a").await;
    refused.problem(405);
    assert_eq!(refused.header("allow"), "GET, HEAD, PUT, DELETE");
}

/// All keys, page by page, with their encodings, sorted.
async fn list(api: &Api, query: &str) -> Vec<String> {
    let (mut keys, mut target) = (Vec::new(), format!("/v1/kv?{query}"));
    loop {
        let page = get(api, &target).await.json();
        for key in page["keys"].as_array().unwrap() {
            let (name, encoding) =
                (key["key"].as_str().unwrap(), key["encoding"].as_str().unwrap());
            keys.push(format!("{name} {encoding}"));
        }
        let Some(cursor) = page["cursor"].as_str() else { break };
        target = format!("/v1/kv?{query}&cursor={cursor}");
    }
    keys.sort();
    keys
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let api = api().await;
    for key in ["p:1", "p:2", "p:3", "p:%FF", "q:1"] {
        put(&api, &format!("/v1/kv/{key}"), "v").await;
    }
    assert_eq!(
        list(&api, "prefix=p:&limit=2").await,
        ["cDr/ base64", "p:1 utf8", "p:2 utf8", "p:3 utf8"]
    );
    assert_eq!(list(&api, "prefix=p:%FF").await, ["cDr/ base64"]);
    assert_eq!(list(&api, "").await.len(), 5);
    get(&api, "/v1/kv?limit=1001").await.problem(400);
    get(&api, "/v1/kv?limit=0").await.problem(400);
    get(&api, "/v1/kv?cursor=a%20b").await.problem(400);
    get(&api, "/v1/kv?perfix=p").await.problem(400);
}

#[tokio::test]
async fn a_value_over_the_limit_is_refused_declared_or_not() {
    let mut config = mainstay::Config::clone(&in_memory().await.config());
    config.limits.value_max = 8;
    let storage = mainstay::Storage::open(config).await.unwrap();
    let api = Api::new(HttpConfig::default(), storage, Sections::new()).unwrap();
    assert_eq!(put(&api, "/v1/kv/k", "12345678").await.status, 204);
    put(&api, "/v1/kv/k", "123456789").await.problem(413);
    let chunks = (0..3).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"1234")));
    put(&api, "/v1/kv/k", Body::from_stream(stream::iter(chunks))).await.problem(413);
    let declared = request(Method::PUT, "/v1/kv/k").header("content-length", "9");
    send(&api, declared.body(Body::empty()).unwrap()).await.problem(413);
    assert_eq!(get(&api, "/v1/kv/k").await.text(), "12345678");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_ends_at_the_deadline() {
    let api = api().await;
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let slow = request(Method::PUT, "/v1/kv/k").header("x-mainstay-timeout", "250ms");
    send(&api, slow.body(never).unwrap()).await.problem(408);
}

#[tokio::test]
async fn a_timeout_has_a_unit_and_a_bound() {
    let api = api_with(HttpConfig::default()).await;
    assert_eq!(get_with(&api, "/v1/kv/k", "x-mainstay-timeout", "1s").await.status, 404);
    for bad in ["1", "0s", "61s", "soon"] {
        get_with(&api, "/v1/kv/k", "x-mainstay-timeout", bad).await.problem(400);
    }
}

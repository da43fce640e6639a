//! The dashboard's page and files, as they are served. What they do is tested in a browser.

use std::{collections::BTreeSet, io::Write, path::Path};

use axum::{body::Body, http::Method};
use flate2::{Compression, write::GzEncoder};
use mainstay_server::http::{Api, HttpConfig};

use super::support::{Answer, api, api_with, get, get_with, put, request, send};

/// What all files may weigh together, compressed.
const COMPRESSED_MAX: usize = 150_000;
/// The same as they are sent.
const SENT_MAX: usize = 250_000;
/// Hosts that may stand in a file, for they are names or notices and nothing asks them.
const NAMES: [&str; 2] = ["http://www.w3.org/2000/svg", "https://github.com/leeoniya/uPlot"];

/// Every file below `web/`, as a path below it.
fn files() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(&root).unwrap();
                found.push(below.to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

async fn served(api: &Api, file: &str) -> Answer {
    let answer = get(api, &format!("/assets/{file}")).await;
    assert_eq!(answer.status, 200, "{file}");
    answer
}

#[tokio::test]
async fn the_page_has_a_strict_policy_and_nothing_inline() {
    let api = api().await;
    let page = get(&api, "/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-store");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for source in policy.split(';').filter(|part| part.trim().contains("-src ")) {
        let source = source.trim();
        assert!(source.ends_with(" 'self'") || source.ends_with(" 'none'"), "{source}");
    }
    let scripts = page.text().matches("<script").count();
    assert!(scripts > 0 && scripts == page.text().matches("></script>").count());
    for inline in ["style=\"", "onclick", "<style", "javascript:"] {
        assert!(!page.text().contains(inline), "{inline}");
    }
}

#[tokio::test]
async fn a_browser_without_scripts_gets_the_tables() {
    let api = api().await;
    let page = get(&api, "/").await;
    let inside = page.text().split("<noscript><div").nth(1).unwrap();
    let inside = inside.split("</noscript>").next().unwrap();
    assert!(inside.contains("HEALTHY") && inside.contains("<td>memory</td>"), "{inside}");
    assert!(!page.text().contains("<!--status-->"));
    get(&api, "/?x").await.problem(400);
}

#[tokio::test]
async fn each_file_is_served_with_its_type_and_can_be_kept() {
    let api = api().await;
    for file in files() {
        let answer = served(&api, &file).await;
        let expected = match file.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("html") => "text/html; charset=utf-8",
            _ => "text/plain; charset=utf-8",
        };
        assert_eq!(answer.header("content-type"), expected, "{file}");
        assert_eq!(answer.header("cache-control"), "no-cache", "{file}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{file}");
        let tag = answer.header("etag");
        let again = get_with(&api, &format!("/assets/{file}"), "if-none-match", tag).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{file}");
        let other = get_with(&api, &format!("/assets/{file}"), "if-none-match", "\"x\"").await;
        assert_eq!(other.status, 200, "{file}");
    }
    for nothing in
        ["/assets/", "/assets/none.js", "/assets/../Cargo.toml", "/assets/%2e%2e/Cargo.toml"]
    {
        get(&api, nothing).await.problem(404);
    }
}

#[tokio::test]
async fn all_files_together_are_small() {
    let api = api().await;
    let (mut sent, mut compressed) = (0, 0);
    for file in files() {
        let body = served(&api, &file).await.body;
        sent += body.len();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&body).unwrap();
        compressed += encoder.finish().unwrap().len();
    }
    assert!(sent <= SENT_MAX && compressed <= COMPRESSED_MAX, "{sent}, {compressed} compressed");
}

#[tokio::test]
async fn nothing_refers_to_another_host() {
    let api = api().await;
    for file in files() {
        let answer = served(&api, &file).await;
        let mut text = answer.text().to_owned();
        for name in NAMES {
            text = text.replace(name, "");
        }
        for scheme in ["http:", "https:", "ws:", "wss:", "\"//", "'//", "url(//"] {
            assert!(!text.contains(scheme), "{file} names {scheme}");
        }
        for sink in ["innerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!text.contains(sink), "{file} uses {sink}");
        }
    }
}

/// What stands in quotes after `before`, for each time it stands there.
fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
}

#[tokio::test]
async fn whatever_the_page_and_its_modules_load_is_there_and_nothing_lies_idle() {
    let api = api().await;
    let page = get(&api, "/").await;
    let linked = quoted(page.text(), "=\"/assets/").map(str::to_owned);
    let mut known: BTreeSet<String> = linked.collect();
    let mut open: Vec<String> = known.iter().cloned().collect();
    while let Some(file) = open.pop() {
        let answer = served(&api, &file).await;
        for module in quoted(answer.text(), " from \"./") {
            if known.insert(module.to_owned()) {
                open.push(module.to_owned());
            }
        }
    }
    known.extend(["index.html".to_owned(), "vendor/uPlot.LICENSE".to_owned()]);
    assert_eq!(known, files().into_iter().collect());
}

#[tokio::test]
async fn the_page_and_its_files_need_no_token_and_show_nothing_without() {
    let config = HttpConfig { token: Some("correct-horse".to_owned()), ..HttpConfig::default() };
    let api = api_with(config).await;
    for file in files() {
        served(&api, &file).await;
    }
    let page = get(&api, "/").await;
    assert_eq!(page.status, 200);
    assert!(!page.text().contains("HEALTHY") && !page.text().contains("memory"));
    let page = get_with(&api, "/", "authorization", "Bearer correct-horse").await;
    assert!(page.text().contains("HEALTHY") && page.text().contains("<td>memory</td>"));
    for target in
        ["/v1/status", "/v1/events", "/v1/config", "/status.txt", "/assets/app.js?x", "/?x"]
    {
        get(&api, target).await.problem(401);
    }
    put(&api, "/v1/kv/assets/app.js", "v").await.problem(401);
    let post = request(Method::POST, "/assets/app.js").body(Body::empty()).unwrap();
    send(&api, post).await.problem(405);
}

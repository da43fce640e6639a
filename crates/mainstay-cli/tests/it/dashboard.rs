//! The dashboard in a real browser: what it says in an outage, what can be done on it, and whether everybody can use it.
//! Pictures of it are kept under `target/screenshots`.

mod bounds;
mod browser;
mod drill;
mod page;
mod tabs;

use std::time::Duration;

use mainstay_testkit::{
    load::{Load, LoadOptions},
    servers::{Postgres, Redis},
};

use self::page::{Page, TABS};
use crate::process::Mainstay;

/// The state of a backend as its card shows it.
fn look(backend: &str) -> String {
    format!(
        "[...document.querySelectorAll('.backend')].find((it) => it.querySelector('h3').textContent === \
         '{backend}')?.dataset.look"
    )
}

fn traffic(mainstay: &Mainstay) -> Load {
    let pause = Duration::from_millis(5);
    let options = LoadOptions { clients: 4, keys: 200, write_every: 5, pause };
    Load::start(mainstay.resp(), options)
}

/// Every tab is fit for a phone and for everybody, in light and dark.
async fn is_fit_for_everybody(page: &mut Page, when: &str) {
    for scheme in ["light", "dark"] {
        page.prefer(scheme).await;
        for tab in TABS {
            page.tab(tab).await;
            page.screenshot(&format!("{when}-{tab}-{scheme}")).await;
            assert_eq!(page.flaws().await, Vec::<String>::new(), "{tab}, {scheme}, {when}");
        }
    }
    page.prefer("light").await;
    page.narrow().await;
    for tab in TABS {
        page.tab(tab).await;
        page.screenshot(&format!("{when}-{tab}-phone")).await;
        assert!(!page.is_too_wide().await, "{tab} on a phone, {when}");
    }
    page.wide().await;
    page.tab("overview").await;
}

#[tokio::test]
async fn an_outage_is_told_while_it_lasts_and_when_it_is_over() {
    let (mut redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let mainstay =
        Mainstay::start(&[("REDIS_URL", &redis.url()), ("DATABASE_URL", &postgres.url())]).await;
    mainstay.wait_for("redis", "up").await;
    let load = traffic(&mainstay);
    let mut page = Page::open(mainstay.http_address()).await;
    page.prefer("light").await;
    page.until_says("#state", "HEALTHY").await;
    page.until_says("#sentence", "Every backend is up.").await;
    page.until_says("#live", "live").await;
    page.until("lines to be drawn", "document.querySelectorAll('.edge.busy').length >= 4").await;
    page.until_says("#kpis .verdict", "met").await;
    page.until("charts", "document.querySelectorAll('.u-over').length === 2").await;
    is_fit_for_everybody(&mut page, "well").await;

    redis.kill();
    page.until("the node to turn", &format!("{} === 'bad'", look("redis"))).await;
    page.until_says("#sentence", "redis has been down for").await;
    page.until_says("#sentence", "db serves reads and writes instead").await;
    page.until_says("#sentence", "Next try in").await;
    page.until_says("#state", "DEGRADED").await;
    page.until_says("#announce", "redis: down").await;
    // The last of its lane: a backend that was not there at the start has one that only shrinks.
    let stretch = "Number([...document.querySelectorAll('#timeline .stretch.bad[data-backend=redis]')].at(-1)?.getAttribute('width') ?? 0)";
    page.until("the timeline to tell it", &format!("{stretch} > 0")).await;
    let before = page.eval(stretch).await.as_f64().unwrap();
    page.until("the timeline to grow", &format!("{stretch} > {before} + 5")).await;
    page.until("a line to be dashed", "document.querySelector('.edge.bypassed')").await;
    page.until_says("#timeline .axis", " now").await;
    is_fit_for_everybody(&mut page, "outage").await;

    redis.restart().await.unwrap();
    page.until("the node to turn back", &format!("{} === 'ok'", look("redis"))).await;
    page.until_says("#timeline .recovered", "recovered in").await;
    page.until_says("#state", "HEALTHY").await;
    page.until_says("#events td", "down → up").await;
    page.screenshot("recovered-overview-light").await;
    load.finish().await;
    page.close().await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn a_forced_state_has_a_reason_and_ends_by_itself() {
    let redis = Redis::start().await.unwrap();
    let mainstay = Mainstay::start(&[("REDIS_URL", &redis.url())]).await;
    mainstay.wait_for("redis", "up").await;
    let mut page = Page::open(mainstay.http_address()).await;
    page.until("the node", &format!("{} === 'ok'", look("redis"))).await;
    page.press("[aria-label='Actions for redis']").await;
    page.until_says("#action h2", "Actions: redis").await;
    // Without a reason nothing is sent.
    page.press("#action .primary").await;
    page.until(
        "it to insist",
        "document.querySelector('#action [name=reason]').matches(':invalid')",
    )
    .await;
    page.screenshot("actions").await;
    page.type_into("#action [name=reason]", "an exercise").await;
    page.press("#action .primary").await;
    page.until("the dialog to close", "!document.getElementById('action').open").await;
    page.until_says(".backend .word", "forced open").await;
    page.until_says(".backend .chip", " left").await;
    page.until_says(".backend .chip", "health: ").await;
    page.until_says("#sentence", "redis has been kept out by hand").await;
    page.until_says("#events .why", "an exercise").await;
    page.until_says("#events .why", "127.0.0.1").await;
    page.screenshot("forced").await;

    let body = r#"{"state":"open","reason":"a short one","for":"2s"}"#;
    let answer = mainstay.http("POST", "/v1/backends/redis/breaker", body).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    page.until_says("#events .why", "a short one").await;
    page.until("it to end by itself", &format!("{} === 'ok'", look("redis"))).await;
    page.until_says("#state", "HEALTHY").await;
    page.until("no hand to be shown", "!document.querySelector('.backend .chip')").await;
    page.close().await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn a_page_that_knows_nothing_new_says_since_when() {
    let mut mainstay = Mainstay::start(&[]).await;
    let mut page = Page::open(mainstay.http_address()).await;
    page.until_says("#live", "live").await;
    page.until_says("#state", "HEALTHY").await;
    page.forgive();
    mainstay.kill().await;
    page.until_says("#live", "stale since ").await;
    page.until("it to turn grey", "document.body.classList.contains('stale')").await;
    page.until("the title to say it", "document.title.startsWith('STALE')").await;
    page.until_says("#announce", "No connection to Mainstay").await;
    page.screenshot("stale").await;
    mainstay.start_again().await;
    page.until_says("#live", "live").await;
    page.until("its colours to come back", "!document.body.classList.contains('stale')").await;
    page.close().await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn a_token_is_asked_for_and_kept_in_the_tab() {
    let mainstay = Mainstay::start(&[("MAINSTAY__HTTP__TOKEN", "correct-horse")]).await;
    let mut page = Page::open_refused(mainstay.http_address()).await;
    page.until_says("#login h2", "Token").await;
    page.until_says("#live", "token required").await;
    assert_eq!(page.text("#state").await, "");
    page.type_into("#login [name=token]", "wrong").await;
    page.press("#login .primary").await;
    page.until_says("#login .failed", "not accepted").await;
    page.screenshot("token").await;
    assert_eq!(page.flaws().await, Vec::<String>::new());
    page.type_into("#login [name=token]", "correct-horse").await;
    page.press("#login .primary").await;
    page.until_says("#live", "live").await;
    page.until_says("#state", "HEALTHY").await;
    page.load().await;
    page.until_says("#state", "HEALTHY").await;
    assert_eq!(page.eval("document.getElementById('login').open").await, false);
    page.close().await;
    mainstay.terminate().await;
}

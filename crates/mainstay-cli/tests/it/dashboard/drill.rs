//! The tab of the drill: begun, watched, aborted, and what it came to.

use mainstay_testkit::servers::Redis;

use super::{is_fit_for_everybody, page::Page};
use crate::process::Mainstay;

const CONFIG: &str = "[backends.redis]\nurl = '${REDIS_URL}'\nhealth = { interval = '500ms' }\n\
                      [backends.db]\nurl = 'sqlite:db.sqlite'\n";

async fn sign_in(page: &mut Page) {
    page.until_says("#login h2", "Token").await;
    page.type_into("#login [name=token]", "correct-horse").await;
    page.press("#login .primary").await;
    page.until_says("#live", "live").await;
}

async fn choose(page: &mut Page, name: &str, value: &str) {
    let field = format!("document.querySelector('#drill [name={name}]')");
    page.eval(&format!(
        "{field}.value = '{value}'; {field}.dispatchEvent(new Event('input', {{ bubbles: true }}))"
    ))
    .await;
}

#[tokio::test]
async fn a_drill_is_begun_watched_and_aborted() {
    let redis = Redis::start().await.unwrap();
    let url = redis.url();
    let variables = [("REDIS_URL", url.as_str()), ("MAINSTAY__HTTP__TOKEN", "correct-horse")];
    let mainstay = Mainstay::start_with(CONFIG, &variables).await;
    let mut page = Page::open_refused(mainstay.http_address()).await;
    page.prefer("light").await;
    sign_in(&mut page).await;
    page.until_says("#sentence", "Every backend is up.").await;
    page.tab("drill").await;
    page.until_says("#drill [name=scenario]", "redis-outage").await;
    choose(&mut page, "scenario", "redis-outage").await;
    choose(&mut page, "backend", "redis").await;
    choose(&mut page, "for", "5m").await;
    page.until_says("#drill .consequence", "redis fails for its callers for 5 minutes").await;
    page.type_into("#drill [name=reason]", "a test of the tab").await;
    // From the keyboard, as a form is sent.
    page.eval("document.querySelector('#drill [name=reason]').focus()").await;
    page.key("Enter").await;
    page.until_says("#drill .steps td", "DOWN").await;
    page.until_says("#drill .head .note", "attempts to connect").await;
    page.until_says("#sentence", "A drill is under way").await;
    page.until_says("#tab-drill .badge", "1").await;
    is_fit_for_everybody(&mut page, "drill").await;
    page.until_says("#topology .chip", "drill: refuses every call").await;
    page.tab("drill").await;
    page.press("#drill .head .tools button").await;
    page.until_says("#drill .drills td", "aborted on the dashboard").await;
    page.until_says("#drill .drills td", "a test of the tab").await;
    page.until_says("#sentence", "Every backend is up.").await;
    choose(&mut page, "for", "15s").await;
    page.press("#drill .primary").await;
    page.until_says("#drill .steps td", "recovered").await;
    page.until_says("#drill .drills .chip", "passed").await;
    page.until_says("#drill .verdicts li", "recovery").await;
    page.screenshot("drill-ended").await;
    page.tab("overview").await;
    page.until_says("#events td", "fault lifted").await;
    page.close().await;
    mainstay.terminate().await;
}

#[tokio::test]
async fn without_a_token_the_tab_says_why_not() {
    let mainstay = Mainstay::start(&[]).await;
    let mut page = Page::open(mainstay.http_address()).await;
    page.tab("drill").await;
    page.until_says("#drill .consequence", "a token has to be configured").await;
    page.until("no way to start", "document.querySelector('#drill .primary').disabled").await;
    page.close().await;
    mainstay.terminate().await;
}

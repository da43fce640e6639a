//! The tabs under a load that gives each of them something to show.

use mainstay_testkit::servers::{Postgres, Redis};

use super::{is_fit_for_everybody, page::Page, traffic};
use crate::process::{Mainstay, until};

const CONFIG: &str = r#"
[[route]]
prefix = "load:"
cache = ["memory", "redis"]
record = "db"

[[route]]
prefix = "order:"
record = "db"
on_record_down = "journal"
"#;

async fn until_the_record_is_met(mainstay: &Mainstay) {
    until("the record to be met", async || {
        mainstay.http_get("/v1/journal").await.contains("\"unmet_records\":0")
    })
    .await;
}

#[tokio::test]
async fn each_tab_shows_what_there_is() {
    let (redis, mut postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let variables = [("REDIS_URL", redis.url()), ("DATABASE_URL", postgres.url())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mainstay = Mainstay::start_with(CONFIG, &variables).await;
    mainstay.wait_for("redis", "up").await;
    mainstay.wait_for("db", "up").await;
    until_the_record_is_met(&mainstay).await;
    let load = traffic(&mainstay);
    let mut client = mainstay.client().await;
    assert_eq!(client.text(&["CLIENT", "SETINFO", "lib-name", "redis-py"]).await, "OK");
    assert_eq!(client.text(&["CLIENT", "SETINFO", "lib-ver", "8.0.1"]).await, "OK");
    let mut page = Page::open(mainstay.http_address()).await;
    page.prefer("light").await;

    clients_and_caches(&mut page).await;
    locks(&mainstay, &mut page).await;
    // Whoever grants the locks cannot be asked: the answer is an error to the browser's console.
    page.forgive();
    postgres.kill();
    mainstay.wait_for("db", "down").await;
    for number in 0..12 {
        let key = format!("order:{number}");
        assert_eq!(client.text(&["SET", &key, "v"]).await, "OK");
    }
    page.tab("journal").await;
    page.until_says("#journal .figure", "12").await;
    page.until_says("#journal tbody code", "order:11").await;
    page.until_says("#tab-journal .badge", "12").await;
    page.until_says("#sentence", "12 writes wait in the journal").await;
    page.until_says("#sentence code", "order:").await;
    is_fit_for_everybody(&mut page, "journal").await;
    postgres.restart().await.unwrap();
    page.tab("journal").await;
    page.until_says("#journal tbody", "Nothing waits.").await;
    page.tab("overview").await;
    page.until_says("#events td", "dealt with").await;
    load.finish().await;
    page.close().await;
    mainstay.terminate().await;
}

async fn clients_and_caches(page: &mut Page) {
    page.tab("clients").await;
    page.until_says("#clients td", "redis-py 8.0.1").await;
    page.until_says("#clients .libraries", "1 × redis-py 8.0.1").await;
    page.tab("cache").await;
    page.until_says("#cache .splitter", "memory (this process)").await;
    page.until("shares to be drawn", "document.querySelector('#cache .split .own')").await;
    page.until_says("#cache .chip", "up: serves").await;
    // From the keyboard: to the next tab, and from the last to the first.
    page.eval("document.getElementById('tab-clients').focus()").await;
    page.tab("clients").await;
    page.eval("document.getElementById('tab-clients').focus()").await;
    page.key("ArrowRight").await;
    page.until("the next tab", "!document.getElementById('config').hidden").await;
    page.until_says("#config caption", "[backends.db]").await;
    page.key("ArrowRight").await;
    page.until("the first tab", "document.activeElement.id === 'tab-overview'").await;
}

async fn locks(mainstay: &Mainstay, page: &mut Page) {
    // Only now: it is not renewed.
    let lock = r#"{"ttl":"60s","note":"the nightly job"}"#;
    let answer = mainstay.http("POST", "/v1/locks/jobs/nightly", lock).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    page.tab("locks").await;
    page.until_says("#locks td", "jobs/nightly").await;
    page.until_says("#locks td", "the nightly job").await;
    page.until_says("#locks .figure", "fenced").await;
    page.press("[aria-label='Release jobs/nightly']").await;
    page.until_says("#action .consequence", "Its holder is not told").await;
    page.screenshot("release").await;
    page.type_into("#action [name=reason]", "its host burnt down").await;
    page.press("#action .primary").await;
    page.until_says("#locks td", "Nobody holds a lock.").await;
    page.tab("overview").await;
    page.until_says("#events .why", "jobs/nightly, token").await;
    page.until_says("#events .why", "its host burnt down").await;
}

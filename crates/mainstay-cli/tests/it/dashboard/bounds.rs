//! A page that has been open for an hour in which much happened: what it keeps and shows has its bounds.

use super::page::Page;
use crate::process::Mainstay;

/// An hour of status documents before the page has really begun: its clock runs through the last hour, a second for each
/// answer, and all of them are made from the first real one.
const AN_HOUR: &str = r#"(() => {
  const SECONDS = 3600;
  const [fetch, now, later] = [window.fetch.bind(window), Date.now, window.setTimeout.bind(window)];
  const begin = now() - SECONDS * 1000;
  let past = 0;
  let first = null;
  Date.now = () => (past < SECONDS ? begin + past * 1000 : now());
  window.setTimeout = (work, ms, ...rest) => later(work, past < SECONDS && ms > 300 ? 0 : ms, ...rest);
  window.fetch = async (path, options) => {
    if (past >= SECONDS) return fetch(path, options);
    // Without its date: the page would believe that the server's clock is ahead.
    if (path !== "/v1/status") return new Response((await fetch(path, options)).body);
    first ??= await (await fetch(path, options)).json();
    past += 1;
    const count = past * 200 + Math.round(Math.sin(past / 60) * 3000);
    const requests = first.backends.flatMap(({ name }) => ["read", "write"].map((op) => ({ route: "*", op, source: name, outcome: "ok", count })));
    const backends = first.backends.map((it) => ({ ...it, latency_p50_ms: 1 + (past % 7), latency_p99_ms: 20 + (past % 90) }));
    return new Response(JSON.stringify({ ...first, backends, requests, uptime_ms: past * 1000 }));
  };
  window.anHourHasPassed = () => past >= SECONDS;
})()"#;

const EVENTS: u32 = 1100;

/// Takes memory out of use and puts it back: two events.
async fn two_events(mainstay: &Mainstay, turn: u32) {
    let body = format!(r#"{{"reason":"turn {turn}"}}"#);
    let out = mainstay.http("POST", "/v1/backends/memory/drain", &body).await;
    assert!(out.starts_with("HTTP/1.1 202"), "{out}");
    let back = mainstay.http("DELETE", "/v1/backends/memory/drain", "").await;
    assert!(back.starts_with("HTTP/1.1 204"), "{back}");
}

#[tokio::test]
async fn a_page_after_a_full_hour_stays_small() {
    let mainstay = Mainstay::start(&[]).await;
    for turn in 0..EVENTS / 2 {
        two_events(&mainstay, turn).await;
    }
    let mut page = Page::open_after(AN_HOUR, mainstay.http_address()).await;
    page.until("an hour to pass", "anHourHasPassed()").await;
    page.until_says("#live", "live").await;
    page.until_says("#events .note", "the newest 100 of 1000 of 1000 kept").await;
    page.eval("[...document.querySelectorAll('#timeline select')].forEach((it) => { it.value = '3600'; it.dispatchEvent(new Event('change')); })").await;

    let before = Costs::of(&mut page).await;
    // Eight events a second: as often as it may, it shows what is new.
    for turn in 0..20 {
        two_events(&mainstay, EVENTS + turn).await;
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    Costs::of(&mut page).await.tell(&before);

    let rows = page.eval("document.querySelectorAll('#events tbody tr').length").await;
    assert_eq!(rows, 100);
    let elements = page.eval("document.querySelectorAll('*').length").await.as_u64().unwrap();
    assert!(elements < 3000, "{elements} elements");
    page.screenshot("full").await;
    // What was replaced is given back.
    let nodes = page.kept_nodes().await;
    assert!(nodes < 20_000.0, "{nodes} nodes");
    page.close().await;
    mainstay.terminate().await;
}

/// What the page has cost so far, in seconds.
struct Costs {
    script: f64,
    tasks: f64,
    at: f64,
}

impl Costs {
    async fn of(page: &mut Page) -> Self {
        Self {
            script: page.metric("ScriptDuration").await,
            tasks: page.metric("TaskDuration").await,
            at: page.metric("Timestamp").await,
        }
    }

    /// Shown, not judged: another machine has another speed.
    fn tell(&self, before: &Self) {
        let share = |now: f64, then: f64| 100.0 * (now - then) / (self.at - before.at);
        println!(
            "of one core: {:.1} % scripts, {:.1} % all tasks of the page",
            share(self.script, before.script),
            share(self.tasks, before.tasks)
        );
    }
}

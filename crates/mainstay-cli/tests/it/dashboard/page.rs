//! The dashboard in a browser: what it shows, what is done on it, and whether anything is wrong with it.
//! It must not know what stands behind the server.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value as Json, json};

use super::browser::{Browser, Notice, screenshots};

/// How often a condition is looked at before a test gives up.
const LOOKS: u32 = 1200;
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(50);
const AXE: &str = include_str!("../../data/axe.min.js");
/// The tabs, in their order.
pub(super) const TABS: [&str; 7] =
    ["overview", "locks", "journal", "cache", "drill", "clients", "config"];

/// What is looked for by axe: WCAG 2.2 AA, and what its authors call good practice.
const AXE_RUN: &str = "axe.run(document, { resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', \
    'wcag21aa', 'wcag22aa', 'best-practice'] }).then(({ violations }) => violations.map(({ id, impact, nodes }) => \
    ({ id, impact, nodes: nodes.map(({ target, failureSummary }) => `${target}: ${failureSummary}`) })))";

/// One page.
pub(super) struct Page {
    browser: Browser,
    origin: String,
    /// Errors in the console, refused resources, exceptions.
    problems: Vec<String>,
    /// Requests to somebody else.
    foreign: Vec<String>,
    /// Whether requests may fail, as they do while there is no server.
    forgiving: bool,
}

impl Page {
    /// Opens the dashboard of the server that listens here.
    pub(super) async fn open(address: impl std::fmt::Display) -> Self {
        Self::open_after("", address).await
    }

    /// The same of a server that refuses the first questions, which are errors to the browser's console.
    pub(super) async fn open_refused(address: impl std::fmt::Display) -> Self {
        let mut page = Self::blank("", address).await;
        page.forgive();
        page.load().await;
        page
    }

    /// The same, after a script of the test's own.
    pub(super) async fn open_after(script: &str, address: impl std::fmt::Display) -> Self {
        let mut page = Self::blank(script, address).await;
        page.load().await;
        page
    }

    async fn blank(script: &str, address: impl std::fmt::Display) -> Self {
        let mut browser = Browser::start().await;
        for domain in ["Page", "Runtime", "Log", "Network", "Performance"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        let script = json!({ "source": script });
        browser.call("Page.addScriptToEvaluateOnNewDocument", script).await;
        let origin = format!("http://{address}");
        let (problems, foreign) = (Vec::new(), Vec::new());
        let mut page = Self { browser, origin, problems, foreign, forgiving: false };
        page.wide().await;
        page
    }

    /// Loads the page anew.
    pub(super) async fn load(&mut self) {
        let url = json!({ "url": format!("{}/", self.origin) });
        let answer = self.browser.call("Page.navigate", url).await;
        assert_eq!(answer["errorText"], Json::Null, "{answer}");
        self.until("the page to begin", "document.getElementById('app')?.hidden === false").await;
    }

    /// A desktop.
    pub(super) async fn wide(&mut self) {
        self.size(1440, 900, false).await;
    }

    /// A phone.
    pub(super) async fn narrow(&mut self) {
        self.size(360, 780, true).await;
    }

    async fn size(&mut self, width: u32, height: u32, mobile: bool) {
        let scale = if mobile { 2 } else { 1 };
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile });
        self.browser.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// As the system asks for: `light` or `dark`, and with little motion.
    pub(super) async fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" }]);
        self.browser.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// The value of an expression, a promise's when it is one.
    pub(super) async fn eval(&mut self, expression: &str) -> Json {
        let params =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.browser.call("Runtime.evaluate", params).await;
        assert_eq!(answer["exceptionDetails"], Json::Null, "{expression}");
        self.listen();
        answer["result"]["value"].take()
    }

    /// The text of the first element that this selects.
    pub(super) async fn text(&mut self, selector: &str) -> String {
        let found = self.eval(&format!("document.querySelector({selector:?})?.textContent")).await;
        found.as_str().unwrap_or_else(|| panic!("there is no {selector}")).to_owned()
    }

    /// Waits until an expression is true.
    pub(super) async fn until(&mut self, what: &str, expression: &str) {
        let wanted = format!("Boolean({expression})");
        for _ in 0..LOOKS {
            if self.eval(&wanted).await == true {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.screenshot("failed").await;
        let shown = self.eval("document.body.innerText").await;
        panic!("waited for {what}: {expression}\n{}", shown.as_str().unwrap_or_default());
    }

    /// Waits until the text of an element contains this.
    pub(super) async fn until_says(&mut self, selector: &str, part: &str) {
        let expression = format!(
            "[...document.querySelectorAll({selector:?})].some((it) => it.textContent.includes({part:?}))"
        );
        self.until(&format!("{selector} to say {part:?}"), &expression).await;
    }

    /// Presses an element, as a hand or a key does.
    pub(super) async fn press(&mut self, selector: &str) {
        self.until(
            &format!("{selector} to be there"),
            &format!("document.querySelector({selector:?})"),
        )
        .await;
        self.eval(&format!("document.querySelector({selector:?}).click()")).await;
    }

    /// Types into an element, as if by hand.
    pub(super) async fn type_into(&mut self, selector: &str, text: &str) {
        self.eval(&format!("document.querySelector({selector:?}).focus()")).await;
        self.browser.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a key of the keyboard.
    pub(super) async fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key });
            if key == "Enter" && kind == "keyDown" {
                // Without its text a form is not sent.
                event["text"] = "\r".into();
                event["windowsVirtualKeyCode"] = 13.into();
            }
            self.browser.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Goes to a tab, and waits until it is seen.
    pub(super) async fn tab(&mut self, name: &str) {
        self.press(&format!("#tab-{name}")).await;
        self.until(
            &format!("the tab {name}"),
            &format!("!document.getElementById({name:?}).hidden"),
        )
        .await;
    }

    /// Keeps the whole page as a picture.
    pub(super) async fn screenshot(&mut self, name: &str) {
        let metrics = self.browser.call("Page.getLayoutMetrics", json!({})).await;
        let size = &metrics["cssContentSize"];
        let clip =
            json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let params = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.browser.call("Page.captureScreenshot", params).await;
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(screenshots().join(format!("{name}.png")), bytes).unwrap();
    }

    /// What axe finds serious or critical.
    pub(super) async fn flaws(&mut self) -> Vec<String> {
        if self.eval("typeof axe").await == "undefined" {
            self.eval(&format!("{AXE}; 0")).await;
        }
        let found = self.eval(AXE_RUN).await;
        let found = found.as_array().expect("axe answers with a list").iter();
        let grave = found.filter(|it| it["impact"] == "serious" || it["impact"] == "critical");
        grave.map(Json::to_string).collect()
    }

    /// Whether anything has to be moved sideways to be read.
    pub(super) async fn is_too_wide(&mut self) -> bool {
        self.eval("document.documentElement.scrollWidth > innerWidth").await == true
    }

    /// A figure of the browser's own: `Nodes`, `ScriptDuration` (s), `TaskDuration` (s), `Timestamp` (s).
    pub(super) async fn metric(&mut self, name: &str) -> f64 {
        let answer = self.browser.call("Performance.getMetrics", json!({})).await;
        let all = answer["metrics"].as_array().unwrap();
        let found = all.iter().find(|it| it["name"] == name);
        found.and_then(|it| it["value"].as_f64()).unwrap_or_else(|| panic!("no metric {name}"))
    }

    /// Nodes that are still kept once what nobody needs was thrown away.
    pub(super) async fn kept_nodes(&mut self) -> f64 {
        self.browser.call("HeapProfiler.collectGarbage", json!({})).await;
        self.metric("Nodes").await
    }

    /// From now on requests may fail: their server, or what is behind it, is gone.
    pub(super) fn forgive(&mut self) {
        self.forgiving = true;
    }

    /// Checks that nothing was wrong, and ends.
    pub(super) async fn close(mut self) {
        self.eval("0").await;
        assert_eq!((&self.problems, &self.foreign), (&Vec::new(), &Vec::new()));
        self.browser.close().await;
    }

    fn listen(&mut self) {
        for Notice { method, params } in self.browser.notices() {
            match method.as_str() {
                "Runtime.exceptionThrown" => self.problems.push(params.to_string()),
                "Runtime.consoleAPICalled" if params["type"] == "error" => {
                    self.problems.push(params["args"].to_string());
                }
                "Log.entryAdded" if params["entry"]["level"] == "error" => self.logged(&params),
                "Network.requestWillBeSent" => self.requested(&params["request"]["url"]),
                _ => {}
            }
        }
    }

    fn logged(&mut self, params: &Json) {
        if !(self.forgiving && params["entry"]["source"] == "network") {
            self.problems.push(params["entry"].to_string());
        }
    }

    fn requested(&mut self, url: &Json) {
        let url = url.as_str().unwrap_or_default();
        let own = url.strip_prefix(&self.origin).is_some_and(|rest| rest.starts_with('/'));
        if !own && !url.starts_with("data:") && !url.starts_with("blob:") {
            self.foreign.push(url.to_owned());
        }
    }
}

//! A headless Chromium of the test's own, spoken to over a pipe: it ends when the pipe does, whoever held it.
//! It must not know what page is shown.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::support::PATIENCE;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
/// Reads commands from descriptor 3 and writes answers to 4.
const PIPES: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null";
const FLAGS: [&str; 12] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--lang=en",
];

/// What came without being asked for.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) method: String,
    pub(super) params: Json,
}

/// The browser, with one page.
pub(super) struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    folder: PathBuf,
    session: Option<String>,
    last_id: u64,
    notices: Vec<Notice>,
}

impl Browser {
    /// Starts it, and opens an empty page.
    pub(super) async fn start() -> Self {
        let folder = folder();
        let log = std::fs::File::create(folder.join("chromium.log")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", PIPES]).arg(program()).args(FLAGS);
        command.arg(format!("--user-data-dir={}", folder.display()));
        // Its sandbox cannot be set up by root.
        if is_root() {
            command.arg("--no-sandbox");
        }
        command.arg("about:blank").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let output = BufReader::new(output);
        let (session, last_id, notices) = (None, 0, Vec::new());
        let mut browser = Self { child, input, output, folder, session, last_id, notices };
        let targets = browser.call("Target.getTargets", json!({})).await;
        let page =
            targets["targetInfos"].as_array().unwrap().iter().find(|it| it["type"] == "page");
        let id = page.expect("it opens with a page")["targetId"].clone();
        let attach = json!({ "targetId": id, "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        browser
    }

    /// One command to the page; its result.
    pub(super) async fn call(&mut self, method: &str, params: Json) -> Json {
        match self.try_call(method, params).await {
            Ok(result) => result,
            Err(error) => panic!("{method}: {error}"),
        }
    }

    /// The same, where an error is an answer.
    pub(super) async fn try_call(&mut self, method: &str, params: Json) -> Result<Json, Json> {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).await.unwrap();
        loop {
            let mut answer = self.next().await;
            if answer["id"] == id {
                return match answer.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(answer["result"].take()),
                };
            }
            if let Some(method) = answer["method"].as_str().map(str::to_owned) {
                self.notices.push(Notice { method, params: answer["params"].take() });
            }
        }
    }

    async fn next(&mut self) -> Json {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.output.read_until(0, &mut bytes)).await;
        let read = read.unwrap_or_else(|_| panic!("Chromium does not answer{}", self.log()));
        assert!(read.unwrap() > 0, "Chromium has ended{}", self.log());
        bytes.pop();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// What came since this was last asked.
    pub(super) fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Ends it, and waits for its end.
    pub(super) async fn close(mut self) {
        self.session = None;
        self.call("Browser.close", json!({})).await;
        // One that hangs is killed by the drop.
        drop(timeout(Duration::from_secs(10), self.child.wait()).await);
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("chromium.log")).unwrap_or_default();
        format!(":\n{log}")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its own processes end with it; what they still write may be left over.
        drop(self.child.start_kill());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn folder() -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("mainstay-chromium-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn program() -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&paths).collect();
    let candidates = NAMES.iter().flat_map(|name| folders.iter().map(move |at| at.join(name)));
    let found = candidates.into_iter().find(|path| path.is_file());
    found.expect("these tests need Chromium: apt-get install chromium, or cargo xtask test")
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Where screenshots are kept.
pub(super) fn screenshots() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

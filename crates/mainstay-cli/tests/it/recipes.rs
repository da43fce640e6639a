//! The pages of docs/clients and the READMEs of the packages, run as they stand: their code, and the outages between.
//!
//! A page's code blocks of one language are one program. Where it holds `<!-- mainstay-test: redis kill -->`, the program
//! stops, and what the comment says happens. What follows `<!-- mainstay-test: check CODE -->` is run and not shown.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use mainstay_testkit::servers::{Postgres, Redis};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{ChildStdin, Command},
};

use crate::{
    clients::{install_node, install_python},
    process::Mainstay,
};

/// Longer than any step of a page: only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a language stops for a step.
pub(crate) struct Language {
    /// After the opening of a block.
    fence: &'static str,
    /// On the program's first line, so that the lines below are the page's.
    prelude: &'static str,
    step: fn(&str) -> String,
    end: &'static str,
}

const PYTHON: Language = Language {
    fence: "```python",
    prelude: "def step(word): print(word + '?', flush=True); assert input() == 'go'",
    step: |word| format!("step({word:?})"),
    end: "print('done')",
};

const JAVASCRIPT: Language = Language {
    fence: "```js",
    prelude: "import { createInterface } from 'node:readline'; \
              const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator](); \
              const step = async (word) => { console.log(`${word}?`); await lines.next(); };",
    step: |word| format!("await step({word:?});"),
    end: "console.log('done'); process.exit(0);",
};

pub(crate) const TYPESCRIPT: Language = Language {
    fence: "```ts",
    prelude: "import { createInterface } from 'node:readline'; \
              const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator](); \
              const step = async (word: string): Promise<void> => { console.log(`${word}?`); await lines.next(); };",
    ..JAVASCRIPT
};

/// What a page speaks of.
pub(crate) struct Stage {
    redis: Redis,
    postgres: Postgres,
    pub(crate) mainstay: Mainstay,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
        let urls = [("REDIS_URL", &*redis.url()), ("DATABASE_URL", &*postgres.url())];
        let mainstay = Mainstay::start(&urls).await;
        let stage = Self { redis, postgres, mainstay };
        stage.all_up().await;
        stage
    }

    async fn all_up(&self) {
        self.mainstay.wait_for("db", "up").await;
        self.mainstay.wait_for("redis", "up").await;
    }

    async fn perform(&mut self, step: &str) {
        match step {
            "redis kill" => self.redis.kill(),
            "redis start" => {
                self.redis.restart().await.unwrap();
                self.all_up().await;
            }
            "database kill" => {
                self.postgres.kill();
                self.mainstay.wait_for("db", "down").await;
            }
            "database start" => self.postgres.restart().await.unwrap(),
            "mainstay stop" => self.mainstay.signal("STOP"),
            "mainstay kill" => self.mainstay.kill().await,
            "mainstay start" => self.mainstay.start_again().await,
            "all up" => self.all_up().await,
            other => panic!("no page knows how to {other:?}"),
        }
    }

    /// The page as a program, each line where it stands in the page.
    pub(crate) fn program(&self, page: &Path, language: &Language) -> String {
        let text = std::fs::read_to_string(page).unwrap();
        let mut program = language.prelude.to_owned();
        let (mut inside, mut blocks) = (false, 0);
        for line in text.lines() {
            if inside && line != "```" {
                program.push_str(line);
            } else if inside || line == language.fence {
                inside = !inside;
                blocks += i32::from(inside);
            } else if let Some(said) = directive(line) {
                let code = said.strip_prefix("check ").map(str::to_owned);
                program.push_str(&code.unwrap_or_else(|| (language.step)(said)));
            }
            program.push('\n');
        }
        assert!(blocks > 0 && !inside, "{page:?} holds no code to run, or a block without end");
        program.push_str(language.end);
        let (resp, http) = (self.mainstay.resp().port(), self.mainstay.http_address().port());
        program.replace("6390", &resp.to_string()).replace("6391", &http.to_string())
    }

    /// Runs a program through its steps, and sees that it comes to its end.
    pub(crate) async fn run(mut self, mut command: Command) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut input: ChildStdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut steps, mut done) = (0, false);
        while let Some(line) = within(lines.next_line()).await.unwrap() {
            println!("{line}");
            done |= line == "done";
            let Some(step) = line.strip_suffix('?') else { continue };
            within(self.perform(step)).await;
            steps += 1;
            input.write_all(b"go\n").await.unwrap();
        }
        let ended = within(child.wait()).await.unwrap();
        assert!(ended.success() && done, "{ended}");
        assert!(steps > 0, "the page shows no outage");
        self.mainstay.terminate().await;
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("a step ends")
}

fn directive(line: &str) -> Option<&str> {
    line.trim().strip_prefix("<!-- mainstay-test: ")?.strip_suffix(" -->")
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

async fn python_page(page: &str, folder: &str) {
    let packages = install_python(folder, &["redis"]).await;
    let stage = Stage::new().await;
    let file = packages.join("page.py");
    std::fs::write(&file, stage.program(&repository(page), &PYTHON)).unwrap();
    let path = format!("{}:{}", packages.display(), repository("clients/python/src").display());
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1").arg(file);
    stage.run(command).await;
}

async fn node_page(page: &str, folder: &str, packages: &[&str]) {
    let modules = install_node(folder, packages).await;
    let stage = Stage::new().await;
    // Beside the modules: that is where `import` looks for them.
    let file = modules.with_file_name("page.mjs");
    std::fs::write(&file, stage.program(&repository(page), &JAVASCRIPT)).unwrap();
    let mut command = Command::new("node");
    command.arg(file);
    stage.run(command).await;
}

#[tokio::test]
async fn the_page_of_redis_py_runs() {
    python_page("docs/clients/redis-py.md", "recipe-redis-py").await;
}

#[tokio::test]
async fn the_page_of_ioredis_runs() {
    node_page("docs/clients/ioredis.md", "recipe-ioredis", &["ioredis"]).await;
}

#[tokio::test]
async fn the_page_of_node_redis_runs() {
    node_page("docs/clients/node-redis.md", "recipe-node-redis", &["redis"]).await;
}

#[tokio::test]
async fn the_readme_of_the_python_package_runs() {
    python_page("clients/python/README.md", "recipe-python").await;
}

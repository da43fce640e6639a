//! One page as its reader would follow it: its files, its commands in order, and what they print.

use std::{net::SocketAddr, process::Command, time::Duration};

use mainstay_testkit::servers::{MariaDb, Postgres, Redis, port::PortLease};

use super::{
    block::{Block, Page},
    expect,
    shell::{Shell, is_open},
};
use crate::{
    clients::{install_node, install_python},
    support::Scratch,
};

/// Backends that a fragment of a configuration may speak of without defining them.
const BACKENDS: &str = "[backends.redis]\nurl = \"redis://127.0.0.1:6379\"\n[backends.db]\nurl = \"postgres://app@127.0.0.1/app\"\n";
/// What may be asked again until it answers as shown: it changes nothing.
const ASKS: &[&str] = &[
    "mainstay status",
    "mainstay health",
    "mainstay events",
    "mainstay journal show",
    "mainstay get ",
    "curl -s http",
    "curl -si http",
    "curl http",
];
/// RESP, HTTP, a Redis, a program of the page.
const USUAL: [&str; 4] = ["6390", "6391", "6379", "8080"];
const LOOKS: u32 = 900;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the pages call by its usual place, and where it is in this run.
struct Places {
    pairs: Vec<(String, String)>,
    http: SocketAddr,
}

#[derive(Default)]
struct Servers {
    redis: Option<Redis>,
    postgres: Option<Postgres>,
    mariadb: Option<MariaDb>,
}

pub(super) struct Session {
    /// Before the folder: what runs in it is known by it.
    shell: Shell,
    page: Page,
    scratch: Scratch,
    places: Places,
    servers: Servers,
    _ports: Vec<PortLease>,
    serving: usize,
}

impl Session {
    /// With the servers and packages that the page asks for.
    pub(super) async fn of(page: Page) -> Self {
        let scratch = Scratch::new();
        let ports: Vec<PortLease> = USUAL.iter().map(|_| port()).collect();
        let mut servers = Servers::default();
        let mut pairs = Vec::new();
        for want in page.wants("with") {
            match &*want {
                "redis" => {
                    let redis = Redis::start().await.unwrap();
                    pairs.push((
                        "redis://127.0.0.1:6379".to_owned(),
                        redis.url().trim_end_matches('/').to_owned(),
                    ));
                    pairs.push(("6379".to_owned(), redis.port().to_string()));
                    servers.redis = Some(redis);
                }
                "postgres" => {
                    let postgres = Postgres::start().await.unwrap();
                    pairs.push(("postgres://app:secret@127.0.0.1/app".to_owned(), postgres.url()));
                    servers.postgres = Some(postgres);
                }
                "mariadb" => {
                    let mariadb = MariaDb::start().await.unwrap();
                    pairs.push(("mysql://app:secret@127.0.0.1/app".to_owned(), mariadb.url()));
                    servers.mariadb = Some(mariadb);
                }
                other => panic!("{}: there is no server {other}", page.name),
            }
        }
        for (usual, port) in USUAL.iter().zip(&ports) {
            pairs.push(((*usual).to_owned(), port.get().to_string()));
        }
        let http: SocketAddr = format!("127.0.0.1:{}", ports[1].get()).parse().unwrap();
        let mut variables = vec![
            ("MAINSTAY__RESP__LISTEN".to_owned(), format!("127.0.0.1:{}", ports[0].get())),
            ("MAINSTAY__HTTP__LISTEN".to_owned(), http.to_string()),
        ];
        let python = page.wants("python");
        if !python.is_empty() {
            let packages: Vec<&str> = python.iter().map(String::as_str).collect();
            let folder = install_python(&format!("docs-{}", python.join("-")), &packages).await;
            variables.push(("PYTHONPATH".to_owned(), folder.to_str().unwrap().to_owned()));
        }
        let node = page.wants("node");
        if !node.is_empty() {
            let packages: Vec<&str> = node.iter().map(String::as_str).collect();
            let folder = install_node(&format!("docs-{}", node.join("-")), &packages).await;
            variables.push(("NODE_PATH".to_owned(), folder.to_str().unwrap().to_owned()));
        }
        // On a terminal curl draws no meter, which a pipe would get.
        scratch.write(".curlrc", "silent\nshow-error\n");
        let shell = Shell::start(&scratch, &variables);
        let places = Places { pairs, http };
        Self { page, scratch, places, shell, servers, _ports: ports, serving: 0 }
    }

    /// Every block in order. The first that does not do as it says fails the test.
    pub(super) fn run(mut self) {
        for block in self.page.blocks.clone() {
            if block.ignored().is_some() {
                continue;
            }
            if let Some(file) = block.file() {
                let path = self.scratch.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, self.places.real(&block.text)).unwrap();
            }
            self.block(&block);
        }
        drop(self.servers);
    }

    fn block(&mut self, block: &Block) {
        let at = format!("{}:{}", self.page.name, block.line);
        match &*block.language {
            "console" | "sh" => self.commands(&at, &block.text),
            "toml" => self.configuration(&at, block),
            "python" if block.file().is_none() => self.program(&at, "python3", &block.text),
            "js" if block.file().is_none() => self.program(&at, "node", &block.text),
            "sql" => self.statements(&at, &block.text),
            "json" => drop(serde_json::from_str::<serde_json::Value>(&block.text).expect(&at)),
            // Rust is compiled by the documentation tests of the crate; a text is no code.
            "python" | "js" | "rust" | "text" => {}
            other => panic!(
                "{at}: nobody can run `{other}`; say `<!-- ignore: why -->` before it, or `text`"
            ),
        }
    }

    fn commands(&mut self, at: &str, text: &str) {
        let commands = expect::commands(text);
        assert!(!commands.is_empty(), "{at}: no line begins with `$ `");
        for (command, shown) in commands {
            let real = self.places.real(&command.replace("cargo run --release -- ", "mainstay "));
            if is_serve(&real) {
                self.serve(at, &real, &shown);
                continue;
            }
            let mut last = self.shell.run(&real);
            for _ in 0..LOOKS {
                let settled = last.1 == 0 && self.fits(&shown, &last.0);
                if settled || !ASKS.iter().any(|ask| command.starts_with(ask)) {
                    break;
                }
                std::thread::park_timeout(LOOK_EVERY);
                last = self.shell.run(&real);
            }
            let printed = self.places.usual(&last.0.join("\n"));
            assert_eq!(last.1, 0, "{at}: {command}\n{printed}");
            assert!(
                self.fits(&shown, &last.0),
                "{at}: {command}\nshown:\n{}\nprinted:\n{printed}",
                shown.join("\n")
            );
        }
    }

    /// Nothing is shown where nothing matters.
    fn fits(&self, shown: &[String], printed: &[String]) -> bool {
        let printed = self.places.usual(&printed.join("\n"));
        let printed: Vec<String> = printed.lines().map(|line| line.trim_end().to_owned()).collect();
        shown.is_empty() || expect::matches(shown, &printed)
    }

    /// A server goes on in a terminal of its own.
    fn serve(&mut self, at: &str, command: &str, shown: &[String]) {
        self.serving += 1;
        let log = self.scratch.path().join(format!("serve-{}.log", self.serving));
        let quoted = command.trim_end_matches('&').trim().replace('\'', "'\\''");
        let started = format!("(script -qfec '{quoted}' /dev/null > {} 2>&1 &)", log.display());
        assert_eq!(self.shell.run(&started).1, 0, "{at}: {command}");
        // How long it took on the day when the page was written is no promise.
        let took = |line: &String| match line.starts_with("Ready in ") {
            true => "Ready in … ms.".to_owned(),
            false => line.clone(),
        };
        let shown: Vec<String> = shown.iter().map(took).collect();
        let mut printed = Vec::new();
        for _ in 0..LOOKS {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            printed = text
                .lines()
                .map(str::trim_end)
                .filter(|line| !is_log(line))
                .map(str::to_owned)
                .collect();
            if is_open(self.places.http) && self.fits(&shown, &printed) {
                return;
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
        panic!("{at}: {command}\nshown:\n{}\nprinted:\n{}", shown.join("\n"), printed.join("\n"));
    }

    fn configuration(&mut self, at: &str, block: &Block) {
        let is_scenario = block.directive.as_ref().is_some_and(|(name, _)| name == "scenario");
        let whole =
            is_scenario || block.text.contains("[backends.") || !block.text.contains("[[route]]");
        let secrets = self.scratch.path().join("run-secrets");
        std::fs::create_dir_all(&secrets).unwrap();
        for name in ["db", "mainstay", "redis", "token", "password"] {
            std::fs::write(
                secrets.join(name),
                if name == "db" { "postgres://app@127.0.0.1/app" } else { "s3cret-s3cret-s3cret" },
            )
            .unwrap();
        }
        let text = block.text.replace("/run/secrets", secrets.to_str().unwrap());
        let text = text.replace(
            "${CREDENTIALS_DIRECTORY:-/etc/mainstay/credentials}",
            secrets.to_str().unwrap(),
        );
        // What follows a route belongs to it, so what is added stands before it.
        let needs_route = text.starts_with("[route.");
        let route = if needs_route {
            "[[route]]\nprefix = \"user:\"\n[route.source]\nbackend = \"db\"\nquery = \"select 1\"\n"
        } else {
            ""
        };
        let text = if whole && !needs_route { text } else { format!("{BACKENDS}{route}{text}") };
        self.scratch.write("fragment.toml", &text);
        let command = if is_scenario {
            "mainstay drill show ./fragment.toml"
        } else {
            "mainstay config check -c fragment.toml"
        };
        let (printed, code) = self.shell.run(&format!(
            "REDIS_URL=redis://127.0.0.1 DATABASE_URL=postgres://app@127.0.0.1/app {command}"
        ));
        assert_eq!(code, 0, "{at}: {}\n{text}", printed.join("\n"));
    }

    fn program(&mut self, at: &str, interpreter: &str, text: &str) {
        let end = if interpreter == "node" { "js" } else { "py" };
        let name = format!("block-{}.{end}", at.replace(['/', ':', '.'], "-"));
        self.scratch.write(&name, &self.places.real(text));
        let (printed, code) = self.shell.run(&format!("{interpreter} {name}"));
        assert_eq!(code, 0, "{at}: {}", printed.join("\n"));
    }

    fn statements(&mut self, at: &str, text: &str) {
        let postgres = self.servers.postgres.as_ref();
        let url =
            postgres.unwrap_or_else(|| panic!("{at}: SQL needs `<!-- with: postgres -->`")).url();
        let output =
            Command::new("psql").args(["-v", "ON_ERROR_STOP=1", "-q", "-c", text, &url]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{at}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// One in which no usual port can be found, or it would be replaced again.
fn port() -> PortLease {
    loop {
        let lease = PortLease::take().unwrap();
        if USUAL.iter().all(|usual| !lease.get().to_string().contains(usual)) {
            return lease;
        }
    }
}

/// `mainstay serve`, with variables before it or not; with `&` behind it or not.
fn is_serve(command: &str) -> bool {
    let mut words =
        command.split_whitespace().skip_while(|word| word.contains('=') && !word.starts_with('-'));
    words.next() == Some("mainstay") && words.next() == Some("serve")
}

/// `2026-11-27T09:37:52.490684Z  INFO ...`: beside the banner, for whoever keeps logs.
fn is_log(line: &str) -> bool {
    let time = line.split_whitespace().next().unwrap_or_default();
    time.len() > 20 && time.ends_with('Z') && time.as_bytes().get(10) == Some(&b'T')
}

impl Places {
    fn real(&self, text: &str) -> String {
        self.pairs.iter().fold(text.to_owned(), |text, (usual, real)| text.replace(usual, real))
    }

    fn usual(&self, text: &str) -> String {
        // The ports come from the environment here, which the banner names.
        let text = text.replace(
            "built-in defaults, MAINSTAY__HTTP__LISTEN, MAINSTAY__RESP__LISTEN",
            "built-in defaults   (write one: mainstay config init)",
        );
        let text = text.replace(", MAINSTAY__HTTP__LISTEN, MAINSTAY__RESP__LISTEN", "");
        self.pairs.iter().fold(text, |text, (usual, real)| text.replace(real, usual))
    }
}

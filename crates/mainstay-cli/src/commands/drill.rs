//! `drill`: a scenario run on throw-away servers or against a running one, shown while it runs, and reported.
//! It must not know how anything is broken, measured or judged.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use mainstay::{Entropy, config::text::parse_duration};
use mainstay_drill::{
    report::{self, Report},
    run::RunError,
    scenario::Scenario,
    session::Session,
    world::{Database, Options},
};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    args::Common,
    exit::{Exit, Failure},
    output::Output,
    setup,
};

mod catalog;
mod live;
mod screen;
mod summary;

use live::Against;
use screen::Screen;

/// Runs a drill, or says what drills there are.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Drill {
    #[command(subcommand)]
    command: Option<Action>,
    /// A scenario by name, as in `mainstay drill list`, or a file: ./mine.toml
    #[arg(required = true)]
    scenario: Option<String>,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    against: Against,
    /// Where the report goes. Default: drill-NAME.html
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where the thresholds go as JUnit XML. Default: nowhere
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
enum Action {
    /// List the scenarios
    List,
    /// Print a scenario as a file to begin one's own with
    Show {
        /// Its name
        name: String,
    },
    /// Show two reports beside each other, as written by --output json
    Compare {
        /// The first one
        first: PathBuf,
        /// The second one
        second: PathBuf,
    },
    /// Read many times in a row while a backend is restarted, and count who answers
    Loop {
        /// Reads
        #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(8..=mainstay_drill::looped::COUNT_MAX))]
        count: u64,
        /// What is done to which backend: a scenario by name or file
        #[arg(long, value_name = "SCENARIO", default_value = "container-crash")]
        scenario: String,
        #[command(flatten)]
        how: How,
    },
}

/// What is another than the scenario says.
#[derive(Debug, Args)]
struct Shape {
    /// How long the backend is broken. Default: the scenario's, 45s
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    hold: Option<Duration>,
    /// Connections. Default: the scenario's, 32
    #[arg(long, value_name = "COUNT")]
    clients: Option<u32>,
    /// Keys. Default: the scenario's, 1000
    #[arg(long, value_name = "COUNT")]
    keys: Option<u32>,
    /// Clients that contend for one lock. Default: the scenario's, mostly 0
    #[arg(long, value_name = "COUNT")]
    locks: Option<u32>,
}

/// How a scenario or the loop test is run.
#[derive(Debug, Args)]
struct How {
    /// Requests a second, begun on time whatever happens; 0: each client sends its next when it has an answer. Default: the scenario's, 200
    #[arg(long, value_name = "COUNT")]
    rate: Option<u32>,
    /// What keys begin with, and so which route serves them; with --against: only calls on such keys are met. Default: the scenario's, drill:
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// The same seed asks for the same keys. Default: another one each time
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// The database where the configuration names no backend. Default: the first of these that is installed
    #[arg(long, value_enum, value_name = "ENGINE")]
    database: Option<Engine>,
    /// Mainstay's own RESP server and SQLite also where redis-server and a database are installed
    #[arg(long)]
    stand_ins: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Engine {
    Postgres,
    Mariadb,
    Sqlite,
}

impl Drill {
    /// Ends with 0 when every threshold is met, with 99 when one is not, with 98 when it could not be run to its end.
    pub(crate) fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        match (&self.command, &self.scenario) {
            (Some(Action::List), _) => catalog::list(output),
            (Some(Action::Show { name }), _) => catalog::show(name, output),
            (Some(Action::Compare { first, second }), _) => catalog::compare(first, second, output),
            (Some(Action::Loop { count, scenario, how }), _) => {
                let mut scenario = catalog::find(scenario)?;
                how.apply(&mut scenario);
                scenario.validate().map_err(Failure::usage)?;
                within_runtime(run_loop(how, scenario, *count, common, output))
            }
            (None, Some(name)) => {
                let mut scenario = catalog::find(name)?;
                self.shape.apply(&mut scenario);
                if !self.against.is_wanted() {
                    self.how.apply(&mut scenario);
                }
                scenario.validate().map_err(Failure::usage)?;
                if self.against.is_wanted() {
                    self.check_against()?;
                    return within_runtime(self.drill_live(scenario, common, output));
                }
                within_runtime(self.drill(scenario, common, output))
            }
            // Clap asks for one of them.
            (None, None) => Err(Failure::usage("which scenario? mainstay drill list")),
        }
    }

    async fn drill(
        &self,
        scenario: Scenario,
        common: &Common,
        output: Output,
    ) -> Result<Exit, Failure> {
        let name = scenario.name.clone();
        let screen = Arc::new(Screen::new(output, &scenario));
        let abort = abort_on_signals()?;
        let mut session = self.how.open(scenario, common, &abort).await?;
        screen.began(&session);
        let ended = session.run(Arc::<Screen>::clone(&screen) as _, &abort).await;
        screen.ended();
        session.close().await;
        self.tell(&name, &ended.map_err(not_run)?, output)
    }

    async fn drill_live(
        &self,
        scenario: Scenario,
        common: &Common,
        output: Output,
    ) -> Result<Exit, Failure> {
        let prefix = self.how.prefix.as_deref();
        let report = self.against.drill(&scenario, prefix, common, output).await?;
        self.tell(&scenario.name, &report, output)
    }

    /// There is no load to shape, and no server to choose.
    fn check_against(&self) -> Result<(), Failure> {
        let (shape, how) = (&self.shape, &self.how);
        let given = [
            ("--clients", shape.clients.is_some()),
            ("--keys", shape.keys.is_some()),
            ("--locks", shape.locks.is_some()),
            ("--rate", how.rate.is_some()),
            ("--seed", how.seed.is_some()),
            ("--database", how.database.is_some()),
            ("--stand-ins", how.stand_ins),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(Failure::usage(format!(
                "{flag} has no meaning with --against: the load is that of the server's callers"
            ))),
            None => Ok(()),
        }
    }

    /// Writes the pages and shows how it ended.
    fn tell(&self, name: &str, report: &Report, output: Output) -> Result<Exit, Failure> {
        let page = self.report.clone().unwrap_or_else(|| format!("drill-{name}.html").into());
        write(&page, &report::html(report))?;
        if let Some(file) = &self.junit {
            write(file, &report::junit(report))?;
        }
        output.show(|| summary::text(report, &page, output), &json!(report))?;
        Ok(if report.passed { Exit::Ok } else { Exit::Missed })
    }
}

async fn run_loop(
    how: &How,
    scenario: Scenario,
    count: u64,
    common: &Common,
    output: Output,
) -> Result<Exit, Failure> {
    let screen = Arc::new(Screen::new(output, &scenario));
    let abort = abort_on_signals()?;
    let mut session = how.open(scenario, common, &abort).await?;
    screen.began(&session);
    let ended = session.run_loop(count, Arc::<Screen>::clone(&screen) as _, &abort).await;
    screen.ended();
    session.close().await;
    let looped = ended.map_err(not_run)?;
    output.show(|| summary::looped(&looped, output), &json!(looped))?;
    Ok(if looped.succeeded() { Exit::Ok } else { Exit::Missed })
}

impl Shape {
    fn apply(&self, scenario: &mut Scenario) {
        scenario.hold = self.hold.unwrap_or(scenario.hold);
        scenario.load.clients = self.clients.unwrap_or(scenario.load.clients);
        scenario.load.keys = self.keys.unwrap_or(scenario.load.keys);
        scenario.locks = self.locks.unwrap_or(scenario.locks);
    }
}

impl How {
    fn apply(&self, scenario: &mut Scenario) {
        let load = &mut scenario.load;
        load.rate = self.rate.unwrap_or(load.rate);
        if let Some(prefix) = &self.prefix {
            prefix.clone_into(&mut load.prefix);
        }
    }

    /// Starts the servers; told to stop meanwhile, it ends those that have been started.
    async fn open(
        &self,
        scenario: Scenario,
        common: &Common,
        abort: &CancellationToken,
    ) -> Result<Session, Failure> {
        let loaded = setup::load(common, &[])?;
        let config = loaded.settings.storage();
        let seed = self.seed.unwrap_or_else(|| {
            // 64 of its 128 random bits.
            u64::try_from(Entropy::system().nonce() >> 64).unwrap_or(0)
        });
        let options = Options {
            stand_ins: self.stand_ins,
            database: self.database.map(|engine| match engine {
                Engine::Postgres => Database::Postgres,
                Engine::Mariadb => Database::MariaDb,
                Engine::Sqlite => Database::Sqlite,
            }),
            ..Options::default()
        };
        let session = tokio::select! {
            session = Box::pin(Session::open(config, scenario, seed, options)) => session,
            () = abort.cancelled() => return Err(not_run(RunError::Aborted)),
        };
        let mut session = session.map_err(|error| not_run(RunError::World(error)))?;
        if !loaded.is_default() {
            session.note(format!("the configuration is {}", loaded.summary()));
        }
        Ok(session)
    }
}

fn not_run(error: RunError) -> Failure {
    Failure { exit: Exit::NotRun, ..Failure::new(error.to_string()) }
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))
}

fn within_runtime(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(Box::pin(work))
}

/// Told to stop, a drill heals what it broke and ends its servers. Told twice, it is gone at once, and its servers with it.
fn abort_on_signals() -> Result<CancellationToken, Failure> {
    let abort = CancellationToken::new();
    let listen =
        |kind| signal(kind).map_err(|error| Failure::new(format!("cannot catch signals: {error}")));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let token = abort.clone();
    mainstay::Tasks::new().spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if token.is_cancelled() {
                std::process::exit(98);
            }
            token.cancel();
        }
    });
    Ok(abort)
}

//! Servers and processes of a run, and what breaks them.
//! It must not know what the contenders do.

use std::{net::SocketAddr, time::Duration};

use mainstay_testkit::servers::{MariaDb, Postgres, Redis};

use super::{
    LEASE, NAMES,
    clocks::{self, Variables, WallClock},
    contender,
    engines::{self, Database, Link},
    holder,
    judge::Section,
    mode::{Fault, Mode},
};
use crate::{process::Mainstay, support::Scratch};

/// By how much a wall clock is wrong.
const HOUR: Duration = Duration::from_secs(3600);

/// Everything that runs.
pub(super) struct World {
    mode: Mode,
    redis: Option<Redis>,
    databases: Vec<Database>,
    /// Of each process; of the contenders where there is none.
    links: Vec<Vec<Link>>,
    processes: Vec<Mainstay>,
    /// Where the file of `Local` is.
    folder: Scratch,
    strikes: usize,
}

impl World {
    pub(super) async fn start(mode: Mode) -> Self {
        let mut world = Self {
            mode,
            redis: None,
            databases: Vec::new(),
            links: Vec::new(),
            processes: Vec::new(),
            folder: Scratch::new(),
            strikes: 0,
        };
        if mode.has_redis() {
            world.redis = Some(Redis::start().await.unwrap());
        }
        if mode.has_postgres() {
            world.databases.push(Database::Postgres(Postgres::start().await.unwrap()));
        }
        if mode.has_mariadb() {
            world.databases.push(Database::MariaDb(MariaDb::start().await.unwrap()));
        }
        for _ in 0..mode.processes().max(1) {
            let links = world.new_links().await;
            world.links.push(links);
        }
        for number in 0..mode.processes() {
            let process = Mainstay::start_with(&world.configuration(number), &[]).await;
            world.processes.push(process);
        }
        world
    }

    async fn new_links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        if let Some(redis) = &self.redis {
            links.push(Link::to_redis(redis).await);
        }
        for database in &self.databases {
            links.push(Link::to_database(database).await);
        }
        links
    }

    /// Of a process with this one's links.
    fn configuration(&self, number: usize) -> String {
        let file = format!("sqlite:{}/locks.db", self.folder.path().display());
        let links = self.links[number].iter().map(|link| (link.name, link.url()));
        let mut backends: Vec<(&str, &str)> = links.collect();
        if self.mode == Mode::Local {
            backends.push(("file", &file));
        }
        let (mode, lease) = (self.mode.setting(), self.mode.longest_lease().as_millis());
        let mut text = format!(
            "locks.mode = \"{mode}\"\nlocks.ttl_max = \"{lease}ms\"\nlocks.view = \"300ms\"\n"
        );
        for (name, url) in &backends {
            text.push_str(&format!(
                "backends.{name}.url = \"{url}\"\nbackends.{name}.breaker.open = \"500ms\"\n\
                 backends.{name}.breaker.open_max = \"1s\"\nbackends.{name}.reconnect.max = \"500ms\"\n"
            ));
        }
        let names: Vec<String> = backends.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        text.push_str(&format!("locks.backends = [{}]\n", names.join(", ")));
        text
    }

    /// Of a process that writes under a lock, too.
    fn configuration_of_holder(&self) -> String {
        let record = match self.mode {
            Mode::Local => "file",
            _ => self.links[0].iter().find(|link| !link.is_redis()).expect("a database").name,
        };
        self.configuration(0) + &holder::route(record)
    }

    /// Where locks are asked for.
    pub(super) fn doors(&self) -> Vec<SocketAddr> {
        match self.mode {
            Mode::RedisPy => vec![self.links[0][0].proxy().address()],
            _ => self.processes.iter().map(Mainstay::resp).collect(),
        }
    }

    /// No lock is held for ever, whatever happened to its holders.
    pub(super) async fn every_lock_is_free(&self) {
        for name in 0..NAMES {
            for process in &self.processes {
                contender::is_free(process.resp(), name).await;
            }
        }
    }

    /// Breaks, and mends again; what others than the contenders did meanwhile.
    pub(super) async fn strike(&mut self, fault: Fault) -> Vec<Section> {
        self.strikes += 1;
        let victim = self.strikes % self.processes.len().max(1);
        let in_silence = self.strikes.is_multiple_of(2);
        match fault {
            Fault::RedisEmptied => {
                let redis = self.redis.as_mut().unwrap();
                redis.kill();
                tokio::time::sleep(LEASE / 3).await;
                redis.restart_empty().await.unwrap();
            }
            Fault::RedisPromoted => self.promote().await,
            Fault::DatabaseKilled => {
                let number = self.strikes % self.databases.len();
                self.databases[number].strike(&Variables::new()).await;
            }
            Fault::ProcessKilled => {
                self.processes[victim].kill().await;
                tokio::time::sleep(LEASE / 3).await;
                self.processes[victim].start_again().await;
            }
            Fault::ProcessPaused => {
                self.processes[victim].signal("STOP");
                tokio::time::sleep(LEASE * 2).await;
                self.processes[victim].signal("CONT");
            }
            Fault::CutOffFromRedis => {
                let links = self.links[victim].iter().filter(|link| link.is_redis());
                engines::cut(links, in_silence).await;
            }
            Fault::CutOffFromDatabase => {
                let links = self.links[victim].iter().filter(|link| !link.is_redis());
                engines::cut(links, in_silence).await;
            }
            Fault::ClockJumps => self.clock_jumps(victim).await,
            Fault::ClockDrifts => return self.clock_drifts(victim).await,
            Fault::DatabaseDrifts => return self.database_drifts().await,
            Fault::HolderStopped => {
                let (text, lease) = (self.configuration_of_holder(), self.mode.longest_lease());
                return holder::stopped(&text, lease).await.into();
            }
        }
        Vec::new()
    }

    async fn promote(&mut self) {
        let replica = engines::promoted(self.redis.as_ref().unwrap()).await;
        for link in self.links.iter().flatten().filter(|link| link.is_redis()) {
            link.proxy().lead_to(replica.port()).await;
        }
        self.redis = Some(replica);
    }

    /// SIGKILL, and a restart with these variables.
    async fn restart(&mut self, victim: usize, variables: &Variables) {
        let process = &mut self.processes[victim];
        let pid = process.pid();
        process.kill().await;
        clocks::forget(pid);
        process.start_again_with(variables).await;
    }

    async fn clock_jumps(&mut self, victim: usize) {
        let clock = WallClock::ahead_by(1);
        self.restart(victim, &clock.variables().await).await;
        clocks::is_ahead(&self.processes[victim], HOUR).await;
        for hours in [-1, 1, 0] {
            clock.set(hours);
            tokio::time::sleep(LEASE * 2 / 3).await;
        }
        self.restart(victim, &Variables::new()).await;
    }

    async fn clock_drifts(&mut self, victim: usize) -> Vec<Section> {
        let fast = self.mode == Mode::Local || self.strikes.is_multiple_of(2);
        let rate = if fast { "1.01" } else { "0.99" };
        self.restart(victim, &clocks::at_rate(rate).await).await;
        let mut sections = Vec::new();
        if matches!(self.mode, Mode::Local | Mode::Redis) {
            tokio::time::sleep(LEASE * 3).await;
        } else {
            let (text, lease) = (self.configuration_of_holder(), self.mode.longest_lease());
            sections.extend(holder::to_its_end(&text, "0.99", lease).await);
        }
        clocks::drifts(async || clocks::of(&self.processes[victim]).await, fast).await;
        self.restart(victim, &Variables::new()).await;
        sections
    }

    async fn database_drifts(&mut self) -> Vec<Section> {
        let (number, text) = (self.strikes % self.databases.len(), self.configuration_of_holder());
        self.databases[number].strike(&clocks::at_rate("1.01").await).await;
        let sections = holder::to_its_end(&text, "1.00", self.mode.longest_lease()).await.into();
        clocks::drifts(async || self.databases[number].time().await, true).await;
        self.databases[number].strike(&Variables::new()).await;
        sections
    }
}

//! Who wants the locks: enters, works, writes under the token; some renew, and some sleep past their lease and act late.
//! It must not know what breaks.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mainstay_testkit::load::{Client, Value};
use tokio::{task::JoinSet, time::Instant};

use super::{
    LEASE, NAMES, PATIENCE,
    judge::{Grant, Ledger, Report, Section},
    mode::Mode,
    redis_py::RedisPy,
};

/// Longer than any answer of a server that runs.
const ANSWER: Duration = Duration::from_secs(5);

/// All of them.
pub(super) struct Contenders {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    ledger: Mutex<Ledger>,
}

struct Contender {
    door: SocketAddr,
    client: Option<Client>,
    number: usize,
    turns: u64,
    shared: Arc<Shared>,
}

/// What a contender does with a lock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Short,
    /// Longer than the lease, which is renewed.
    Long,
    /// Sleeps past its lease, and then writes.
    Asleep,
}

impl Contenders {
    pub(super) async fn start(doors: &[SocketAddr], mode: Mode, count: usize) -> Self {
        let (mut tasks, shared) = (JoinSet::new(), Arc::new(Shared::default()));
        if mode == Mode::RedisPy {
            let contenders = RedisPy::start(doors[0], count).await;
            tasks.spawn(Arc::clone(&shared).follow(contenders));
            return Self { tasks, shared };
        }
        for number in 0..count {
            let (door, shared) = (doors[number % doors.len()], Arc::clone(&shared));
            let contender = Contender { door, client: None, number, turns: 0, shared };
            tasks.spawn(contender.run());
        }
        Self { tasks, shared }
    }

    /// Waits until somebody has entered after this moment.
    pub(super) async fn until_granted(&self, after: Instant) {
        let granted = async {
            while !self.shared.ledger().sections.iter().any(|section| section.enter > after) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, granted).await.expect("a lock is granted again");
    }

    /// What others did with the same locks.
    pub(super) fn add(&self, sections: Vec<Section>) {
        self.shared.ledger().add(sections);
    }

    pub(super) async fn end(self, mode: Mode, time: Duration) -> Report {
        self.shared.over.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        Report::of(&self.shared.ledger(), mode, time)
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// Writes down what they do until the run is over.
    async fn follow(self: Arc<Self>, mut contenders: RedisPy) {
        while !self.over.load(Ordering::Relaxed) {
            if let Ok(next) = tokio::time::timeout(LEASE / 10, contenders.section()).await {
                self.ledger().add([next.expect("they go on until they are told")]);
            }
        }
        contenders.stop();
        while let Some(section) = contenders.section().await {
            self.ledger().add([section]);
        }
        contenders.ended_well().await;
    }
}

impl Contender {
    async fn run(mut self) {
        while !self.shared.over.load(Ordering::Relaxed) {
            self.turns += 1;
            let name = usize::try_from(self.turns).unwrap() % NAMES;
            let asked = Instant::now();
            match self.ask(name).await {
                Ok(Some((grant, left))) => self.hold(grant, asked + left).await,
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Three in eight of each contender's grants are not short; not the same for all of them at once.
    fn turn(&self) -> Use {
        match (self.turns + u64::try_from(self.number).unwrap() * 3) % 8 {
            0 | 4 => Use::Long,
            6 => Use::Asleep,
            _ => Use::Short,
        }
    }

    async fn hold(&mut self, grant: Grant, mut until: Instant) {
        let (enter, turn) = (Instant::now(), self.turn());
        self.shared.ledger().grants.push(grant.clone());
        self.write(&grant, until);
        let stay = if turn == Use::Long { LEASE * 3 / 2 } else { Duration::from_millis(40) };
        let (mut renewed, mut gone) = (enter, false);
        while !gone && Instant::now() < until && enter.elapsed() < stay {
            if turn == Use::Long && renewed.elapsed() > LEASE / 3 {
                renewed = Instant::now();
                let answer = self.renew(&grant).await;
                let in_time = Instant::now() < until;
                gone = matches!(answer, Ok(false));
                if in_time && matches!(answer, Ok(true)) {
                    until = renewed + LEASE - LEASE / 50;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.write(&grant, if gone { enter } else { until });
        let leave = Instant::now().min(until);
        if leave > enter {
            self.shared.ledger().sections.push(Section { grant: grant.clone(), enter, leave });
        }
        if turn == Use::Asleep {
            tokio::time::sleep_until(until + LEASE / 3).await;
            self.write(&grant, until);
        }
        // Lost: it ends with its lease.
        drop(self.release(&grant).await);
    }

    fn write(&self, grant: &Grant, until: Instant) {
        let mut ledger = self.shared.ledger();
        // By the clock as it is when the judge decides.
        ledger.judge.write(grant, Instant::now() < until);
    }

    /// A grant, and for how long from before it was asked for it may be believed.
    async fn ask(&mut self, name: usize) -> io::Result<Option<(Grant, Duration)>> {
        let (key, lease) = (key(name), format!("{}ms", LEASE.as_millis()));
        let answer = self.command(&["MAINSTAY.LOCK", &key, "TTL", &lease, "WAIT", "300ms"]).await?;
        let Value::Array(parts) = answer else { return Ok(None) };
        let [Value::Bulk(Some(holder)), Value::Integer(token), _, Value::Integer(left)] =
            &parts[..]
        else {
            panic!("a grant has four parts: {parts:?}")
        };
        let holder = String::from_utf8_lossy(holder).into_owned();
        let grant = Grant { name, token: u64::try_from(*token).unwrap(), holder };
        Ok(Some((grant, Duration::from_millis(u64::try_from(*left).unwrap()))))
    }

    async fn renew(&mut self, grant: &Grant) -> io::Result<bool> {
        let (key, token) = (key(grant.name), grant.token.to_string());
        let ttl = format!("{}ms", LEASE.as_millis());
        let renew = ["MAINSTAY.RENEW", &key, &grant.holder, &token, "TTL", &ttl];
        match self.command(&renew).await? {
            Value::Integer(renewed) => Ok(renewed == 1),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    async fn release(&mut self, grant: &Grant) -> io::Result<Value> {
        let (key, token) = (key(grant.name), grant.token.to_string());
        self.command(&["MAINSTAY.UNLOCK", &key, &grant.holder, &token]).await
    }

    async fn command(&mut self, words: &[&str]) -> io::Result<Value> {
        let answered = async {
            let client = match &mut self.client {
                Some(client) => client,
                none => none.insert(Client::connect(self.door).await?),
            };
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            client.command(&words).await
        };
        let answer = tokio::time::timeout(ANSWER, answered).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if answer.is_err() {
            self.client = None;
        }
        answer
    }
}

pub(super) fn key(name: usize) -> String {
    format!("lock-{name}")
}

/// Waits until a lock can be had through this door, and gives it back.
pub(super) async fn is_free(door: SocketAddr, name: usize) {
    let shared = Arc::default();
    let mut last = Contender { door, client: None, number: 1_000, turns: 0, shared };
    let granted = async {
        loop {
            last.turns += 1;
            if let Ok(Some((grant, _))) = last.ask(name).await {
                return grant;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let grant = tokio::time::timeout(PATIENCE, granted).await.expect("no lock is held for ever");
    drop(last.release(&grant).await);
}

//! What one seed makes of a run: its shape, its terms, and the faults with their times.
//! It must not carry anything out.

use std::{fmt, time::Duration};

use super::dice::Dice;

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// Holds copies.
    Redis,
    /// The truth.
    Record,
}

/// Which messages of a connection are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Those to the server.
    There,
    /// Those from the server: it performs what nobody hears of.
    Back,
    /// All.
    Both,
}

/// What happens to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// One process does not reach one server.
    Cut {
        /// The process.
        process: usize,
        /// The server.
        site: Site,
        /// The direction.
        way: Way,
    },
    /// A server stops, and goes on later with everything that was sent to it meanwhile.
    Hang(Site),
    /// A server refuses everything.
    Errors(Site),
    /// A server is away and comes back with its data; its connections break.
    Away(Site),
    /// The record performs commits, and nobody hears of it.
    LostReplies,
    /// A process ends without notice and is started anew.
    Crash {
        /// The process.
        process: usize,
    },
    /// A process stops without ending, and goes on later as if nothing had been.
    Freeze {
        /// The process.
        process: usize,
    },
    /// Redis is restarted without its data.
    Empty {
        /// A proxy keeps the connections: nobody is told.
        proxied: bool,
    },
    /// Redis is restarted from a dump that is so old.
    Old {
        /// Milliseconds.
        back_ms: u64,
        /// As above.
        proxied: bool,
    },
    /// A replica that lags is promoted.
    Promote {
        /// Milliseconds.
        lag_ms: u64,
        /// As above.
        proxied: bool,
        /// This process goes on with the old one.
        split: Option<usize>,
    },
    /// Redis goes back to an older state and says nothing: only the beacon tells.
    RollBack {
        /// Milliseconds.
        back_ms: u64,
    },
    /// Redis drops entries, so many of a thousand (of a run whose Redis evicts).
    Evict(u32),
}

/// A fault and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Milliseconds after the start.
    pub at_ms: u64,
    /// How long it lasts.
    pub for_ms: u64,
    /// What it is.
    pub kind: FaultKind,
}

/// What may happen to every message, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// Takes up to 300 ms.
    pub slow: u32,
    /// Takes up to 4 s, and is performed then.
    pub late: u32,
    /// Is lost on its way there or back.
    pub lost: u32,
    /// Is refused by the server.
    pub refused: u32,
}

/// For a connection, its first probe and the questions of two looks.
const DETECTION_SLACK: Duration = Duration::from_millis(1_000);

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Of all randomness.
    pub seed: u64,
    /// Whether the route is strict.
    pub strict: bool,
    /// `[consistency] lease`.
    pub lease: Duration,
    /// The record's timeout.
    pub statement: Duration,
    /// `[consistency] mark`.
    pub mark: Duration,
    /// `[consistency] dirty_max`.
    pub dirty_max: usize,
    /// Whether Redis may evict marks, and says so.
    pub evicts: bool,
    /// Whether the auditor works; most runs do without the safety net.
    pub audits: bool,
    /// Processes.
    pub processes: usize,
    /// So many of them write, the first ones; all read.
    pub writers: usize,
    /// Clients of each.
    pub clients: usize,
    /// Keys that are put, deleted and compared.
    pub keys: u64,
    /// Keys that are counted up.
    pub counters: u64,
    /// How long clients work.
    pub work_ms: u64,
    /// Calls of each client at most.
    pub calls: u64,
    /// The mean pause between two calls of a client.
    pub think_ms: u64,
    /// Whether everybody only reads for two leases after every two leases: what a write would cover up is seen.
    pub pauses: bool,
    /// Whether clients tell the library of their sessions; those that do not are promised nothing of one.
    pub sessions: bool,
    /// Whether most writes compare versions first, so that many change nothing.
    pub compares: bool,
    /// The network.
    pub noise: Noise,
    /// Operations of these names often take up to 2 s to get to their server.
    pub lagging: &'static [&'static str],
    /// By how many millionths the clocks of Redis and of the record run faster than those of the processes.
    pub fast_ppm: [i32; 2],
    /// What happens when.
    pub faults: Vec<Fault>,
}

impl Plan {
    /// What the seed makes of it.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut plan = Self::unfrozen(seed);
        let mut dice = Dice::new(seed, 4);
        plan.sessions = dice.permille(700);
        if dice.permille(500) {
            plan.fast_ppm = [0; 2].map(|_: i32| drift(&mut dice));
        }
        // What is calm is timed.
        if !plan.is_calm() && dice.permille(400) {
            for _ in 0..dice.between(1, 3) {
                let freeze = plan.freeze(&mut dice);
                plan.faults.push(freeze);
            }
        }
        plan
    }

    /// Somebody stops for one to three leases.
    pub(super) fn freeze(&self, dice: &mut Dice) -> Fault {
        let lease = u64::try_from(self.lease.as_millis()).unwrap_or(1);
        let process = index(dice.below(self.processes as u64));
        let at_ms = dice.between(300, self.work_ms.saturating_sub(1_000).max(400));
        let for_ms = dice.between(lease, 3 * lease);
        Fault { at_ms, for_ms, kind: FaultKind::Freeze { process } }
    }

    /// The same without processes that stop: the numbers of older seeds.
    #[must_use]
    pub(super) fn unfrozen(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let (processes, clients) = (dice.between(2, 4), dice.between(1, 3));
        let work_ms = dice.between(8_000, 16_000);
        let calls_all = dice.between(300, 1_200);
        let statement = dice.ms(300, 700);
        let lease = dice.ms(300, 2_000);
        let evicts = dice.permille(150);
        let mut plan = Self {
            seed,
            strict: dice.permille(500),
            lease,
            statement,
            mark: (statement + dice.ms(300, 1_500)).max(Duration::from_secs(1)),
            dirty_max: if dice.permille(100) { 2 } else { 1_000 },
            evicts,
            audits: dice.permille(100),
            processes: index(processes),
            writers: index(processes),
            clients: index(clients),
            keys: dice.between(1, 4),
            counters: dice.between(1, 2),
            work_ms,
            calls: calls_all / (processes * clients) + 1,
            think_ms: (work_ms * processes * clients / calls_all).max(1),
            pauses: false,
            sessions: true,
            compares: false,
            noise: noise(&mut dice),
            lagging: &[],
            fast_ppm: [0; 2],
            faults: Vec::new(),
        };
        if dice.permille(100) {
            plan.noise = Noise::default();
            let mut alone = fault(&plan, &mut dice);
            while !alone.kind.forgets() {
                alone.kind = kind(&plan, &mut dice);
            }
            plan.faults.push(alone);
            return Self { evicts: false, dirty_max: 1_000, ..plan };
        }
        for _ in 0..dice.below(7) {
            let fault = fault(&plan, &mut dice);
            plan.faults.push(fault);
        }
        if plan.evicts {
            let (at_ms, for_ms) = (dice.between(0, 2_000), work_ms);
            plan.faults.push(Fault { at_ms, for_ms, kind: FaultKind::Evict(200) });
        }
        plan
    }

    /// The same in a rough sea: everybody on one key, messages that are often slow, and one process that does not reach
    /// Redis for long. What is rare elsewhere happens here.
    #[must_use]
    pub fn rough(seed: u64) -> Self {
        let plan = Self::unfrozen(seed);
        let mut dice = Dice::new(seed, 3);
        let (at_ms, for_ms) = (dice.between(300, 2_000), dice.between(2_000, 6_000));
        let way = dice.one_of(&[Way::There, Way::Back, Way::Both]);
        let mut faults = plan.faults.clone();
        faults.retain(|fault| !fault.kind.forgets());
        let kind = FaultKind::Cut { process: 0, site: Site::Redis, way };
        faults.push(Fault { at_ms, for_ms, kind });
        let noise = Noise { slow: 200, late: 30, lost: 20, refused: 0 };
        let mark = Duration::from_secs(1);
        Self { keys: 1, counters: 1, pauses: seed % 2 == 1, noise, mark, faults, ..plan }
    }

    /// Whether nothing but one loss of data happens.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.noise == Noise::default() && self.faults.len() == 1 && self.forgets()
    }

    /// Within this a loss of data is noticed when nothing else goes wrong: a process looks three times a lease (give or
    /// take 10 %), connects anew, and looks again.
    #[must_use]
    pub fn detection_us(&self) -> u64 {
        u64::try_from((self.lease.mul_f64(0.4) + DETECTION_SLACK).as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether something happens that takes back what Redis had confirmed.
    #[must_use]
    pub fn forgets(&self) -> bool {
        self.faults.iter().any(|fault| fault.kind.forgets())
    }
}

impl FaultKind {
    /// Whether Redis is not what it was afterwards.
    #[must_use]
    pub fn forgets(&self) -> bool {
        match self {
            Self::Empty { .. }
            | Self::Old { .. }
            | Self::Promote { .. }
            | Self::RollBack { .. } => true,
            Self::Cut { .. }
            | Self::Hang(_)
            | Self::Errors(_)
            | Self::Away(_)
            | Self::LostReplies
            | Self::Crash { .. }
            | Self::Freeze { .. }
            | Self::Evict(_) => false,
        }
    }
}

pub(super) fn noise(dice: &mut Dice) -> Noise {
    match dice.below(4) {
        0 => Noise::default(),
        1 => Noise { slow: 20, late: 0, lost: 2, refused: 0 },
        2 => Noise { slow: 10, late: 10, lost: 5, refused: 2 },
        _ => Noise { slow: 50, late: 20, lost: 15, refused: 5 },
    }
}

fn fault(plan: &Plan, dice: &mut Dice) -> Fault {
    let at_ms = dice.between(500, plan.work_ms.saturating_sub(1_500).max(600));
    let for_ms = dice.one_of(&[100, 400, 1_000, 2_500, 4_000]) + dice.below(300);
    Fault { at_ms, for_ms, kind: kind(plan, dice) }
}

fn kind(plan: &Plan, dice: &mut Dice) -> FaultKind {
    let process = index(dice.below(plan.processes as u64));
    let site = if dice.permille(700) { Site::Redis } else { Site::Record };
    match dice.below(20) {
        0..=6 => {
            let way = dice.one_of(&[Way::There, Way::Back, Way::Both]);
            FaultKind::Cut { process, site, way }
        }
        7 | 8 => FaultKind::Hang(site),
        9 => FaultKind::Errors(site),
        10 => FaultKind::Away(site),
        11 => FaultKind::LostReplies,
        12..=14 => FaultKind::Crash { process },
        15 => FaultKind::Empty { proxied: dice.permille(300) },
        16 => FaultKind::Old { back_ms: dice.between(50, 4_000), proxied: dice.permille(300) },
        17 | 18 => FaultKind::Promote {
            lag_ms: dice.between(5, 1_000),
            proxied: dice.permille(300),
            split: Some(process).filter(|_| dice.permille(600)),
        },
        _ => {
            let lease = u64::try_from(plan.lease.as_millis()).unwrap_or(u64::MAX);
            FaultKind::RollBack { back_ms: 3 * lease + dice.between(500, 2_000) }
        }
    }
}

/// Two servers differ by 2 % at most, so each by 1 % from the processes between them.
pub(super) fn drift(dice: &mut Dice) -> i32 {
    i32::try_from(dice.below(20_001)).unwrap_or(0) - 10_000
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = if self.strict { "strict" } else { "bounded" };
        writeln!(
            f,
            "seed {}: {route}, lease {:?}, statement {:?}, mark {:?}, dirty_max {}{}{}{}{}{}",
            self.seed,
            self.lease,
            self.statement,
            self.mark,
            self.dirty_max,
            if self.evicts { ", evicts" } else { "" },
            if self.audits { ", audits" } else { "" },
            if self.pauses { ", pauses" } else { "" },
            if self.compares { ", compares" } else { "" },
            if self.sessions { "" } else { ", without sessions" },
        )?;
        writeln!(
            f,
            "  {} processes ({} write) of {} clients, {} keys and {} counters, {} calls each over {} ms, {:?}",
            self.processes,
            self.writers,
            self.clients,
            self.keys,
            self.counters,
            self.calls,
            self.work_ms,
            self.noise
        )?;
        if self.fast_ppm != [0; 2] {
            writeln!(f, "  clocks of Redis and the record fast by {:?} millionths", self.fast_ppm)?;
        }
        if !self.lagging.is_empty() {
            writeln!(f, "  often late: {:?}", self.lagging)?;
        }
        for Fault { at_ms, for_ms, kind } in &self.faults {
            writeln!(f, "  at {at_ms} ms for {for_ms} ms: {kind:?}")?;
        }
        Ok(())
    }
}

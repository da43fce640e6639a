//! What one seed makes of a run about locks: who grants, the leases, and the faults with their times.
//! It must not carry anything out.

use std::{fmt, time::Duration};

use crate::sim::{
    dice::Dice,
    plan::{Noise, Way, drift, noise},
};

/// Who grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// One row of the database.
    Record,
    /// Redis while the database says so.
    Failover,
    /// Two of three: the database and two Redis.
    Quorum,
}

/// What happens to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// One process does not reach one server.
    Cut {
        /// The process.
        process: usize,
        /// The server.
        server: usize,
        /// The direction.
        way: Way,
    },
    /// One process reaches no server.
    Alone {
        /// The process.
        process: usize,
    },
    /// A server stops, and goes on later with everything that was sent to it meanwhile.
    Hang(usize),
    /// A server refuses everything.
    Errors(usize),
    /// A server is away and comes back with its data; its connections break.
    Away(usize),
    /// A server performs what it is asked about locks, and nobody hears of it.
    LostReplies(usize),
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
    /// A Redis is replaced by one that has forgotten: by an empty one, or by a replica or a dump that is so old. In a quorum
    /// only while both others may vote: more is assumed not to happen (docs/locks.md, A3).
    Forget {
        /// The server.
        server: usize,
        /// Milliseconds; `None`: empty.
        back_ms: Option<u64>,
        /// A proxy keeps the connections: nobody is told.
        proxied: bool,
        /// This process goes on with the old one until the fault ends.
        split: Option<usize>,
    },
}

/// A fault and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Milliseconds after the start.
    pub at_ms: u64,
    /// How long it lasts.
    pub for_ms: u64,
    /// What it is.
    pub kind: Trouble,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Of all randomness.
    pub seed: u64,
    /// Who grants.
    pub mode: Mode,
    /// The lease that is mostly asked for; sometimes it is the longest.
    pub ttl: Duration,
    /// `[locks] ttl_max`.
    pub ttl_max: Duration,
    /// `[locks] view`.
    pub view: Duration,
    /// Processes.
    pub processes: usize,
    /// Contenders of each.
    pub contenders: usize,
    /// Locks.
    pub locks: u64,
    /// How long contenders work.
    pub work_ms: u64,
    /// The mean pause of a contender between two turns.
    pub think_ms: u64,
    /// The network.
    pub noise: Noise,
    /// By how many millionths the clocks of the servers run faster than those of the processes.
    pub fast_ppm: [i32; 3],
    /// What happens when.
    pub faults: Vec<Fault>,
}

impl Mode {
    /// How many servers there are: the database is the first one, the others are Redis.
    #[must_use]
    pub fn servers(self) -> usize {
        match self {
            Self::Record => 1,
            Self::Failover => 2,
            Self::Quorum => 3,
        }
    }
}

impl Plan {
    /// What the seed makes of it.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mode = [Mode::Record, Mode::Failover, Mode::Quorum][index(seed % 3)];
        Self::in_mode(mode, seed)
    }

    /// The same where these grant.
    #[must_use]
    pub fn in_mode(mode: Mode, seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let ttl_max = dice.ms(1_000, 2_500);
        let longest = u64::try_from(ttl_max.as_millis()).unwrap_or(u64::MAX);
        let work_ms = match mode {
            Mode::Record => dice.between(8_000, 14_000),
            // A member sits out the longest lease and a second, a move takes two seconds more.
            Mode::Failover | Mode::Quorum => dice.between(15_000, 25_000),
        };
        let mut plan = Self {
            seed,
            mode,
            ttl: dice.ms(200, longest),
            ttl_max,
            view: dice.ms(300, 1_500),
            processes: index(dice.between(2, 4)),
            contenders: index(dice.between(1, 3)),
            locks: dice.between(1, 2),
            work_ms,
            think_ms: dice.between(20, 300),
            noise: noise(&mut dice),
            fast_ppm: [0; 3],
            faults: Vec::new(),
        };
        if dice.permille(600) {
            plan.fast_ppm = [0; 3].map(|_: i32| drift(&mut dice));
        }
        for _ in 0..dice.between(1, 8) {
            let fault = plan.fault(&mut dice);
            plan.faults.push(fault);
        }
        plan
    }

    fn fault(&self, dice: &mut Dice) -> Fault {
        let at_ms = dice.between(500, self.work_ms.saturating_sub(1_500).max(600));
        let for_ms = dice.one_of(&[100, 400, 1_000, 2_500, 4_000, 8_000]) + dice.below(300);
        let kind = self.trouble(dice);
        // A member that is replaced votes on for less than a second (docs/locks.md, A3).
        let split = matches!(kind, Trouble::Forget { split: Some(_), .. });
        let for_ms = if split && self.mode == Mode::Quorum { for_ms.min(900) } else { for_ms };
        Fault { at_ms, for_ms, kind }
    }

    fn trouble(&self, dice: &mut Dice) -> Trouble {
        let process = index(dice.below(self.processes as u64));
        let server = index(dice.below(self.mode.servers() as u64));
        match dice.below(24) {
            0..=4 => {
                let way = dice.one_of(&[Way::There, Way::Back, Way::Both]);
                Trouble::Cut { process, server, way }
            }
            5 | 6 => Trouble::Alone { process },
            7 | 8 => Trouble::Hang(server),
            9 => Trouble::Errors(server),
            10 => Trouble::Away(server),
            11 => Trouble::LostReplies(server),
            12..=14 => Trouble::Crash { process },
            15..=17 => Trouble::Freeze { process },
            // There is no Redis.
            _ if self.mode == Mode::Record => Trouble::Freeze { process },
            _ => Trouble::Forget {
                server: 1 + index(dice.below(self.mode.servers() as u64 - 1)),
                back_ms: dice.permille(600).then(|| dice.between(5, 3_000)),
                proxied: dice.permille(300),
                split: Some(process).filter(|_| dice.permille(250)),
            },
        }
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {:?}, leases of {:?} (at most {:?}), view {:?}",
            self.seed, self.mode, self.ttl, self.ttl_max, self.view
        )?;
        writeln!(
            f,
            "  {} processes of {} contenders, {} locks, {} ms, pauses of {} ms, {:?}",
            self.processes, self.contenders, self.locks, self.work_ms, self.think_ms, self.noise
        )?;
        if self.fast_ppm != [0; 3] {
            writeln!(f, "  clocks of the servers fast by {:?} millionths", self.fast_ppm)?;
        }
        for Fault { at_ms, for_ms, kind } in &self.faults {
            writeln!(f, "  at {at_ms} ms for {for_ms} ms: {kind:?}")?;
        }
        Ok(())
    }
}

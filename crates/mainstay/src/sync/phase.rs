//! The life of one cache, as this process sees it: up, suspect, down, probing, readmitting, warming, up.
//! It must not know IO, the clock or who acts on it; time is an argument and the change is returned.

use std::time::Duration;

use crate::clock::Instant;

/// The share of reads that a cold cache is asked for at first.
const SHARE_MIN: f64 = 0.1;
/// After this a cache takes all reads, whatever its hit rate: reads that pass it by load the record and fill nothing, so
/// that a longer ramp would cost more than it spares.
const RAMP: Duration = Duration::from_secs(5);
/// A hit rate at which a cache is warm.
const WARM: f64 = 0.8;
/// Reads that a hit rate is judged by at least.
const READS_MIN: u64 = 20;

/// Where a cache stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    /// Serves.
    Up,
    /// Its lease lasts, but it did not answer when last asked.
    Suspect,
    /// Cannot be reached.
    Down,
    /// Answers, and has no lease yet.
    Probing,
    /// Distrusted as a whole; everybody waits until it can be begun anew.
    Readmitting,
    /// Serves a growing share of the reads.
    Warming {
        /// From 0.1 to 1.
        share: f64,
    },
}

impl Phase {
    /// The word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Phase::Up => "up",
            Phase::Suspect => "suspect",
            Phase::Down => "down",
            Phase::Probing => "probing",
            Phase::Readmitting => "readmitting",
            Phase::Warming { .. } => "warming",
        }
    }
}

/// What one look has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether calls to the cache pass.
    pub(crate) reachable: bool,
    /// Whether it answered this time.
    pub(crate) answered: bool,
    /// Whether the control row is active.
    pub(crate) active: bool,
    /// Whether a lease lasts.
    pub(crate) leased: bool,
    /// The generation of the copies.
    pub(crate) generation: u64,
    /// Hits and reads through the cache since the start.
    pub(crate) hits: u64,
    /// See `hits`.
    pub(crate) reads: u64,
}

/// The life of one cache.
#[derive(Clone, Debug)]
pub(crate) struct Lifecycle {
    phase: Phase,
    since: Instant,
    generation: u64,
    hits: u64,
    reads: u64,
}

impl Lifecycle {
    pub(crate) fn new(now: Instant) -> Self {
        Self { phase: Phase::Down, since: now, generation: 0, hits: 0, reads: 0 }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// The share of reads that go through the cache.
    pub(crate) fn share(&self) -> f64 {
        match self.phase {
            Phase::Warming { share } => share,
            _ => 1.0,
        }
    }

    /// One look; the change of phase, if it is one.
    pub(crate) fn on(&mut self, now: Instant, look: Look) -> Option<(Phase, Phase)> {
        let (hits, reads) = (look.hits - self.hits, look.reads - self.reads);
        let next = self.next(now, look, hits, reads);
        if reads >= READS_MIN || !matches!(next, Phase::Warming { .. }) {
            (self.hits, self.reads) = (look.hits, look.reads);
        }
        if look.leased {
            self.generation = look.generation;
        }
        let from = std::mem::replace(&mut self.phase, next);
        if std::mem::discriminant(&from) == std::mem::discriminant(&next) {
            return None;
        }
        self.since = now;
        Some((from, next))
    }

    fn next(&self, now: Instant, look: Look, hits: u64, reads: u64) -> Phase {
        if !look.reachable {
            return if look.leased && !look.answered { Phase::Suspect } else { Phase::Down };
        }
        if !look.active {
            return Phase::Readmitting;
        }
        if !look.leased {
            return if look.answered { Phase::Probing } else { Phase::Down };
        }
        if !look.answered {
            return Phase::Suspect;
        }
        // What this process sees first may be long warm.
        if self.generation != 0 && look.generation != self.generation {
            return Phase::Warming { share: SHARE_MIN };
        }
        match self.phase {
            Phase::Warming { share } => self.warmer(now, share, hits, reads),
            _ => Phase::Up,
        }
    }

    /// The share follows the hit rate, and the time in any case.
    fn warmer(&self, now: Instant, share: f64, hits: u64, reads: u64) -> Phase {
        let ramp = now.saturating_duration_since(self.since).as_secs_f64() / RAMP.as_secs_f64();
        let mut share = share.max(ramp);
        if reads >= READS_MIN {
            #[expect(clippy::cast_precision_loss, reason = "a rate of small counts")]
            let rate = hits as f64 / reads as f64;
            // Half warm: the next step may be twice as large.
            share = share.max((share * 2.0).min(rate / WARM));
        }
        if share >= 1.0 { Phase::Up } else { Phase::Warming { share } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const WELL: Look = Look {
        reachable: true,
        answered: true,
        active: true,
        leased: true,
        generation: 1,
        hits: 0,
        reads: 0,
    };

    fn steps(looks: &[Look]) -> Vec<&'static str> {
        let mut now = Clock::system().now();
        let mut life = Lifecycle::new(now);
        let mut words = Vec::new();
        for look in looks {
            now += Duration::from_secs(1);
            if let Some((_, to)) = life.on(now, *look) {
                words.push(to.as_str());
            }
        }
        words
    }

    #[test]
    fn an_outage_of_the_same_server_ends_warm() {
        let silent = Look { answered: false, ..WELL };
        let gone = Look { reachable: false, answered: false, leased: false, ..WELL };
        let back = Look { leased: false, ..WELL };
        let words = steps(&[WELL, silent, gone, back, WELL]);
        assert_eq!(words, ["up", "suspect", "down", "probing", "up"]);
    }

    #[test]
    fn a_restarted_server_is_readmitted_and_warms_up() {
        let degraded = Look { active: false, leased: false, ..WELL };
        let anew = Look { generation: 2, ..WELL };
        let words = steps(&[WELL, degraded, anew]);
        assert_eq!(words, ["up", "readmitting", "warming"]);
    }

    #[test]
    fn the_share_follows_the_hit_rate_and_at_last_the_time() {
        let start = Clock::system().now();
        let mut life = Lifecycle::new(start);
        life.on(start, WELL);
        let cold = |reads| Look { generation: 2, hits: 0, reads, ..WELL };
        life.on(start, cold(0));
        let share = |life: &Lifecycle, wanted: f64| (life.share() - wanted).abs() < 1e-9;
        assert!(share(&life, SHARE_MIN));
        life.on(start + Duration::from_millis(500), cold(1_000));
        assert!(share(&life, 0.1));
        life.on(start + RAMP / 2, cold(2_000));
        assert!(share(&life, 0.5));
        let warm = Look { hits: 800, ..cold(3_000) };
        assert_eq!(life.on(start + RAMP / 2, warm).map(|(_, to)| to), Some(Phase::Up));
        assert!(share(&life, 1.0));
    }
}

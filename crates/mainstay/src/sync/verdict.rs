//! What one look at record and cache leads to: a lease, an accusation, a readmission, or nothing.
//! It must not do any of it, nor know IO; time is an argument.

use std::time::Duration;

use crate::{
    clock::Instant,
    op::{Beacon, LeaseRow},
};

/// An accusation that others overruled is repeated after this, doubled each time: who keeps accusing is at the wrong
/// server itself.
const ACCUSE_AGAIN: Duration = Duration::from_secs(30);
/// The longest.
const ACCUSE_AGAIN_MAX: Duration = Duration::from_secs(600);

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Copies may be read.
    Grant,
    /// Copies may not be read now, and this is why.
    Withhold(String),
    /// The connection may lead to the wrong server: build it anew, then look again.
    Reconnect(String),
    /// No copy is to be trusted by anybody.
    Degrade(String),
    /// Everybody has waited long enough: readmit the server that answers.
    Readmit,
}

/// What has been seen so far, as far as the next verdict depends on it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Whether the connection was built after the last lease: who answers was asked for by name.
    fresh: bool,
    /// The degraded epoch, and since when it has been known here.
    degraded: Option<(u64, Instant)>,
    /// The server that was accused of being another one, and when that may be repeated.
    accused: Option<Accused>,
}

#[derive(Debug)]
struct Accused {
    identity: String,
    again_at: Instant,
    wait: Duration,
}

impl Watch {
    /// A connection has been built.
    pub(crate) fn connected(&mut self) {
        self.fresh = true;
    }

    /// Judges one look. `beacon` is `None` when the cache did not answer.
    pub(crate) fn judge(
        &mut self,
        row: &LeaseRow,
        beacon: Option<&Beacon>,
        readmit_wait: Duration,
        now: Instant,
    ) -> Verdict {
        if !row.control.active {
            return self.judge_degraded(row, beacon, readmit_wait, now);
        }
        self.degraded = None;
        if row.more {
            return Verdict::Degrade(format!("more than {} keys are dirty", row.dirty.len()));
        }
        let Some(beacon) = beacon else {
            return Verdict::Withhold("the cache does not answer".to_owned());
        };
        match problem(row, beacon) {
            None => {
                self.fresh = false;
                self.accused = None;
                Verdict::Grant
            }
            Some(problem) if !self.fresh => Verdict::Reconnect(problem),
            Some(problem) => self.accuse(&beacon.identity, problem, now),
        }
    }

    fn judge_degraded(
        &mut self,
        row: &LeaseRow,
        beacon: Option<&Beacon>,
        readmit_wait: Duration,
        now: Instant,
    ) -> Verdict {
        let epoch = row.control.epoch;
        let since = match self.degraded {
            Some((known, since)) if known == epoch => since,
            _ => {
                self.degraded = Some((epoch, now));
                now
            }
        };
        if beacon.is_none() {
            return Verdict::Withhold("the cache does not answer".to_owned());
        }
        // At epoch 0 nobody has ever had a lease.
        if epoch == 0 || now.saturating_duration_since(since) >= readmit_wait {
            return Verdict::Readmit;
        }
        Verdict::Withhold("waiting until the leases of before have ended".to_owned())
    }

    /// Once at once; again only after ever longer times, when others have readmitted another server meanwhile.
    fn accuse(&mut self, identity: &str, problem: String, now: Instant) -> Verdict {
        let wait = match &self.accused {
            Some(accused) if accused.identity == identity => {
                if now < accused.again_at {
                    return Verdict::Withhold(format!("{problem}; others use another server"));
                }
                (accused.wait * 2).min(ACCUSE_AGAIN_MAX)
            }
            _ => ACCUSE_AGAIN,
        };
        let identity = identity.to_owned();
        self.accused = Some(Accused { identity, again_at: now + wait, wait });
        Verdict::Degrade(problem)
    }

    /// When this process has known of the degraded state long enough; `None` while active.
    pub(crate) fn readmit_at(&self, readmit_wait: Duration) -> Option<Instant> {
        self.degraded.map(|(_, since)| since + readmit_wait)
    }
}

/// Why the cache is not what the record says; `None` when it is.
fn problem(row: &LeaseRow, beacon: &Beacon) -> Option<String> {
    let control = &row.control;
    if beacon.identity != control.identity {
        return Some("another server answers, or the same after a restart".to_owned());
    }
    // It is raised only from where the record's stands.
    let stands = beacon.beacon;
    if stands < control.beacon {
        let text = format!("its beacon stands at {stands}, the record's at {}", control.beacon);
        return Some(format!("the server has lost writes: {text}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        op::{Control, Terms},
    };

    const S: Duration = Duration::from_secs(1);

    fn row(active: bool, epoch: u64) -> LeaseRow {
        let terms = Terms { lease: 2 * S, mark: 5 * S, statement: 2 * S };
        let control = Control {
            id: 1,
            active,
            epoch,
            generation: 1,
            identity: "run-1".into(),
            beacon: 7,
            beacon_age: Duration::ZERO,
            reason: String::new(),
            terms,
        };
        LeaseRow { control, dirty: Vec::new(), more: false, now_us: 0 }
    }

    fn beacon(identity: &str, beacon: u64) -> Beacon {
        Beacon { beacon, identity: identity.into(), ..Beacon::default() }
    }

    fn judge(watch: &mut Watch, row: &LeaseRow, beacon: &Beacon, now: Instant) -> Verdict {
        watch.judge(row, Some(beacon), 2 * S, now)
    }

    #[test]
    fn the_right_server_gets_a_lease() {
        let (mut watch, now) = (Watch::default(), Clock::system().now());
        assert_eq!(judge(&mut watch, &row(true, 1), &beacon("run-1", 7), now), Verdict::Grant);
        let verdict = watch.judge(&row(true, 1), None, 2 * S, now);
        assert!(matches!(verdict, Verdict::Withhold(_)));
        let verdict = watch.judge(&row(true, 1), Some(&beacon("run-1", 8)), 2 * S, now);
        assert_eq!(verdict, Verdict::Grant, "raised from 7 to 8");
    }

    #[test]
    fn a_wrong_server_is_asked_for_by_name_again_before_it_is_accused() {
        let (mut watch, now) = (Watch::default(), Clock::system().now());
        let (row, wrong) = (row(true, 1), beacon("run-2", 7));
        assert!(matches!(judge(&mut watch, &row, &wrong, now), Verdict::Reconnect(_)));
        watch.connected();
        assert!(matches!(judge(&mut watch, &row, &wrong, now), Verdict::Degrade(_)));
    }

    #[test]
    fn who_is_overruled_accuses_ever_less_often() {
        let (mut watch, mut now) = (Watch::default(), Clock::system().now());
        watch.connected();
        let (row, wrong) = (row(true, 1), beacon("run-2", 7));
        let mut accusations = Vec::new();
        for second in 0..200 {
            if let Verdict::Degrade(_) = judge(&mut watch, &row, &wrong, now) {
                accusations.push(second);
            }
            now += S;
        }
        assert_eq!(accusations, [0, 30, 90]);
    }

    #[test]
    fn a_server_that_has_lost_writes_is_noticed() {
        let (mut watch, now) = (Watch::default(), Clock::system().now());
        watch.connected();
        let verdict = watch.judge(&row(true, 1), Some(&beacon("run-1", 6)), 2 * S, now);
        assert!(matches!(verdict, Verdict::Degrade(_)), "{verdict:?}");
    }

    #[test]
    fn a_readmission_waits_from_when_this_process_knows() {
        let (mut watch, now) = (Watch::default(), Clock::system().now());
        let (down, any) = (row(false, 2), beacon("run-2", 0));
        assert!(matches!(judge(&mut watch, &down, &any, now), Verdict::Withhold(_)));
        let later = now + Duration::from_millis(1_999);
        assert!(matches!(judge(&mut watch, &down, &any, later), Verdict::Withhold(_)));
        assert_eq!(judge(&mut watch, &down, &any, now + 2 * S), Verdict::Readmit);
        let newer = row(false, 4);
        assert!(matches!(judge(&mut watch, &newer, &any, now + 2 * S), Verdict::Withhold(_)));
        assert_eq!(judge(&mut Watch::default(), &row(false, 0), &any, now), Verdict::Readmit);
    }

    #[test]
    fn too_many_dirty_keys_degrade() {
        let (mut watch, now) = (Watch::default(), Clock::system().now());
        let full = LeaseRow { more: true, ..row(true, 1) };
        assert!(matches!(judge(&mut watch, &full, &beacon("run-1", 7), now), Verdict::Degrade(_)));
    }
}

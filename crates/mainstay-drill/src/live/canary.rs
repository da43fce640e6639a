//! A few keys of the drill's own on a running storage, written, read and verified.
//! It must not touch any other key.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mainstay::{SetOptions, Storage, TtlChange};

use crate::{
    load::{ReadBack, Tally},
    machine::Phase,
};

/// Keys.
const KEYS: usize = 16;
/// Time between two requests: ten a second.
const PERIOD: Duration = Duration::from_millis(100);
/// What is left behind ends by itself.
const LIFE: Duration = Duration::from_secs(1800);

/// Requests that know what each must answer.
#[derive(Debug)]
pub(super) struct Canary {
    storage: Storage,
    prefix: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    phase: Option<Phase>,
    /// Each key: the last number sent, and the last one acknowledged.
    keys: [(u64, u64); KEYS],
    /// By phase: acknowledged, stale, unexplained.
    counted: std::collections::BTreeMap<Phase, [u64; 3]>,
}

impl Canary {
    /// Keys begin with `prefix`.
    pub(super) fn new(storage: &Storage, prefix: String) -> Self {
        Self { storage: storage.clone(), prefix, state: Arc::default() }
    }

    /// What is asked from now on belongs to this phase.
    pub(super) fn phase(&self, phase: Phase) {
        self.state().phase = Some(phase);
    }

    /// Writes and reads in turns. Never ends.
    pub(super) async fn sing(&self) {
        for turn in 0_usize.. {
            tokio::time::sleep(PERIOD).await;
            let key = turn / 2 % KEYS;
            if turn % 2 == 0 { self.write(key).await } else { self.read(key).await }
        }
    }

    async fn write(&self, key: usize) {
        let number = {
            let mut state = self.state();
            state.keys[key].0 += 1;
            state.keys[key].0
        };
        let options = SetOptions { ttl: TtlChange::For(LIFE), ..SetOptions::default() };
        let written = self.storage.set_with(self.name(key), number.to_string(), options).await;
        if written.is_ok() {
            let mut state = self.state();
            state.keys[key].1 = number;
            state.count(0);
        }
    }

    async fn read(&self, key: usize) {
        let acknowledged = self.state().keys[key].1;
        let Ok(found) = self.storage.get(self.name(key)).await else { return };
        let number = found.map(|entry| number_of(&entry.value));
        let mut state = self.state();
        match judge(number, acknowledged, state.keys[key].0) {
            Judged::Right => {}
            Judged::Old => state.count(1),
            Judged::Foreign => state.count(2),
        }
    }

    /// Reads each key back, deletes it, and adds what was found to the counts of the callers.
    pub(super) async fn finish(self, tally: &mut Tally) -> ReadBack {
        let mut back = ReadBack::default();
        for key in 0..KEYS {
            let (sent, acknowledged) = self.state().keys[key];
            if acknowledged == 0 {
                continue;
            }
            back.keys += 1;
            match self.storage.get(self.name(key)).await {
                Ok(found) => {
                    let number = found.map(|entry| number_of(&entry.value));
                    match judge(number, acknowledged, sent) {
                        Judged::Right => {}
                        Judged::Old => back.lost += 1,
                        Judged::Foreign => back.unexplained += 1,
                    }
                }
                Err(error) => {
                    back.lost += 1;
                    back.unreadable += 1;
                    back.examples.push(format!("{}: {error}", self.name(key)));
                }
            }
            // What cannot be deleted ends by itself.
            let _left = self.storage.delete(self.name(key)).await;
        }
        for (phase, [acknowledged, stale, unexplained]) in &self.state().counted {
            let slice = tally.phases.entry(*phase).or_default();
            slice.acknowledged += acknowledged;
            slice.stale += stale;
            slice.unexplained += unexplained;
        }
        back
    }

    fn name(&self, key: usize) -> String {
        format!("{}{key}", self.prefix)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, what: usize) {
        let phase = self.phase.unwrap_or(Phase::Steady);
        self.counted.entry(phase).or_default()[what] += 1;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    Right,
    /// Older than acknowledged, or gone.
    Old,
    /// Nobody wrote that.
    Foreign,
}

fn number_of(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// `found`: nothing, or what stands there, read as a number.
fn judge(found: Option<Option<u64>>, acknowledged: u64, sent: u64) -> Judged {
    match found {
        None if acknowledged == 0 => Judged::Right,
        None => Judged::Old,
        Some(None) => Judged::Foreign,
        Some(Some(number)) if number > sent => Judged::Foreign,
        Some(Some(number)) if number < acknowledged => Judged::Old,
        Some(Some(_)) => Judged::Right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_must_be_there_and_what_was_sent_may_be() {
        assert_eq!(judge(None, 0, 1), Judged::Right);
        assert_eq!(judge(None, 1, 1), Judged::Old);
        assert_eq!(judge(Some(Some(3)), 3, 4), Judged::Right);
        assert_eq!(judge(Some(Some(4)), 3, 4), Judged::Right);
        assert_eq!(judge(Some(Some(2)), 3, 4), Judged::Old);
        assert_eq!(judge(Some(Some(5)), 3, 4), Judged::Foreign);
        assert_eq!(judge(Some(None), 0, 4), Judged::Foreign);
    }
}

//! What the clients ask for: keys, and which call comes next.
//! It must not send anything.

use rand::{RngExt, rngs::StdRng};

/// Keys that everybody writes.
const HOT: u32 = 4;
/// Keys that are written now and then.
const WIDE: u32 = 200;
/// Counters, all of them hot.
const COUNTERS: u32 = 4;
/// Keys of one many-key read at most.
const MANY: usize = 4;

/// One call of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Get(String),
    GetMany(Vec<String>),
    Put(String),
    Delete(String),
    /// Reads, then stores if the version is still the same.
    Swap(String),
    Increment(String, i64),
}

/// The next call.
pub(super) fn next(random: &mut StdRng) -> Ask {
    match random.random_range(0..100) {
        0..42 => Ask::Get(register(random)),
        42..50 => Ask::Get(counter(random)),
        50..58 => {
            Ask::GetMany((0..random.random_range(2..=MANY)).map(|_| register(random)).collect())
        }
        58..76 => Ask::Put(register(random)),
        76..82 => Ask::Delete(register(random)),
        82..90 => Ask::Swap(register(random)),
        _ => Ask::Increment(counter(random), random.random_range(1..=9)),
    }
}

/// Every key that a run may touch.
pub(super) fn keys() -> Vec<String> {
    let hot = (0..HOT).map(|n| format!("hot:{n}"));
    let wide = (0..WIDE).map(|n| format!("key:{n}"));
    hot.chain(wide).chain((0..COUNTERS).map(|n| format!("count:{n}"))).collect()
}

fn register(random: &mut StdRng) -> String {
    if random.random_range(0..3) == 0 {
        format!("hot:{}", random.random_range(0..HOT))
    } else {
        format!("key:{}", random.random_range(0..WIDE))
    }
}

fn counter(random: &mut StdRng) -> String {
    format!("count:{}", random.random_range(0..COUNTERS))
}

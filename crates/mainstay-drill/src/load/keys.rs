//! Which key is next.
//! It must not know what is done with it.

use rand::{RngExt, rngs::StdRng};

use crate::scenario::Spread;

/// How much more often a key is asked for than the next one: the value that load generators use.
const EXPONENT: f64 = 0.99;

/// A choice among `count` keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    count: usize,
    /// The share of the keys up to each; empty when all are alike.
    cumulative: Vec<f64>,
}

impl Keys {
    #[expect(clippy::cast_precision_loss, reason = "at most a million")]
    pub(crate) fn new(count: usize, spread: Spread) -> Self {
        let mut cumulative = Vec::new();
        if spread == Spread::Zipf {
            let mut sum = 0.0;
            cumulative.extend((1..=count).map(|rank| {
                sum += (rank as f64).powf(-EXPONENT);
                sum
            }));
            cumulative.iter_mut().for_each(|share| *share /= sum);
        }
        Self { count, cumulative }
    }

    pub(crate) fn draw(&self, random: &mut StdRng) -> usize {
        if self.cumulative.is_empty() {
            return random.random_range(0..self.count);
        }
        let at: f64 = random.random();
        self.cumulative.partition_point(|share| *share < at).min(self.count - 1)
    }

    /// The nearest key that this one of `clients` writes: each key has one writer.
    pub(crate) fn own(&self, key: usize, client: usize, clients: usize) -> usize {
        let own = key - key % clients + client;
        if own < self.count { own } else { client }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn some_keys_are_asked_for_most_of_the_time_or_all_alike() {
        let mut random = StdRng::seed_from_u64(7);
        let mut top = |spread| {
            let keys = Keys::new(1000, spread);
            let drawn: Vec<usize> = (0..10_000).map(|_| keys.draw(&mut random)).collect();
            assert!(drawn.iter().all(|key| *key < 1000));
            drawn.iter().filter(|key| **key < 10).count()
        };
        assert!(top(Spread::Zipf) > 3000);
        assert!(top(Spread::Uniform) < 200);
    }

    #[test]
    fn each_key_has_one_writer() {
        let keys = Keys::new(10, Spread::Uniform);
        for key in 0..10 {
            for client in 0..4 {
                let own = keys.own(key, client, 4);
                assert!(own < 10 && own % 4 == client);
            }
        }
    }
}

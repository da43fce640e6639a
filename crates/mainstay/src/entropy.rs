//! Randomness as an argument: one seed, one sequence.
//! It must not know what the numbers are for.

use std::sync::{Arc, Mutex, PoisonError};

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// The randomness of a storage. Cheap to clone; clones share the sequence.
#[derive(Clone, Debug)]
pub struct Entropy(Arc<Mutex<StdRng>>);

impl Entropy {
    /// Seeded by the operating system.
    #[expect(clippy::disallowed_methods, reason = "the one place where randomness comes in")]
    pub fn system() -> Self {
        Self::seeded(rand::random())
    }

    /// The same seed gives the same sequence.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// 128 random bits, for nonces and tokens.
    pub fn nonce(&self) -> u128 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}

//! Randomness that depends on a place alone.

use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;
use sha2::{Digest as _, Sha256};

/// The generator of random numbers: its algorithm is documented as portable, so
/// that a seed gives the same models with every version of the library.
pub(super) type Random = Xoshiro256PlusPlus;

/// What the values at one place of a model are drawn from.
///
/// Each place has its own, made of the seed, the steps to the place and how
/// often it was reconsidered: to try another value at one place leaves all
/// others as they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Salt([u8; 32]);

impl Salt {
    pub(super) fn new(seed: u64) -> Self {
        Self(Sha256::digest(seed.to_be_bytes()).into())
    }

    /// Gives the salt of the member `step`, in its `attempt`.
    pub(super) fn step(&self, step: &str, attempt: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(attempt.to_be_bytes());
        hash.update(step.as_bytes());
        Self(hash.finalize().into())
    }

    /// Starts drawing.
    pub(super) fn random(&self) -> Random {
        Random::from_seed(self.0)
    }
}

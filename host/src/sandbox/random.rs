//! Randomness for guests, as much as an invocation may have.

use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::p2::bindings::random::{insecure, random};
use wasmtime_wasi::random::WasiRandomCtx;

use super::limit::Limit;
use super::limiter::Limiter;
use super::wasi::State;

/// Randomness, counted.
pub(super) struct CountedRandom;

impl HasData for CountedRandom {
    type Data<'a> = RandomView<'a>;
}

pub(super) struct RandomView<'a> {
    pub(super) source: &'a mut WasiRandomCtx,
    /// Bytes that may still be given.
    pub(super) left: &'a mut usize,
    pub(super) limiter: &'a mut Limiter,
}

/// Links the interfaces of randomness, in place of the library's, which count
/// each call for itself.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    random::add_to_linker::<State, CountedRandom>(linker, State::random)?;
    insecure::add_to_linker::<State, CountedRandom>(linker, State::random)
}

impl RandomView<'_> {
    fn take(&mut self, bytes: u64) -> wasmtime::Result<()> {
        let left = usize::try_from(bytes)
            .ok()
            .and_then(|bytes| self.left.checked_sub(bytes));
        match left {
            Some(left) => {
                *self.left = left;
                Ok(())
            }
            None => {
                self.limiter.exceed(Limit::RANDOM);
                Err(wasmtime::Error::msg("no more randomness"))
            }
        }
    }
}

impl random::Host for RandomView<'_> {
    fn get_random_bytes(&mut self, bytes: u64) -> wasmtime::Result<Vec<u8>> {
        self.take(bytes)?;
        random::Host::get_random_bytes(self.source, bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.take(8)?;
        random::Host::get_random_u64(self.source)
    }
}

impl insecure::Host for RandomView<'_> {
    fn get_insecure_random_bytes(&mut self, bytes: u64) -> wasmtime::Result<Vec<u8>> {
        self.take(bytes)?;
        insecure::Host::get_insecure_random_bytes(self.source, bytes)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.take(8)?;
        insecure::Host::get_insecure_random_u64(self.source)
    }
}

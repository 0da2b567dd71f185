//! What is read of a file in a granted directory, as a stream.

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynInputStream, InputStream, Pollable, StreamResult};

use super::allowance::Counted;

#[async_trait]
impl InputStream for Counted<DynInputStream> {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.library.read(size)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.library.blocking_read(size).await
    }

    async fn cancel(&mut self) {
        self.library.cancel().await;
    }
}

#[async_trait]
impl Pollable for Counted<DynInputStream> {
    async fn ready(&mut self) {
        self.library.ready().await;
    }
}

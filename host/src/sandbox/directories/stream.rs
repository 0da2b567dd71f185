//! What is written to a file of a granted directory, held to its quota.

use std::fs::File;
use std::io;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

use super::super::quota::Sum;
use super::allowance::Counted;
use super::room::{Growth, Room};

/// How much is taken at a time; the host keeps it until it is written.
const WRITE_PERMIT: usize = 64 * 1024;

pub(super) struct QuotaStream {
    state: State,
    file: Arc<File>,
    /// Where the next byte goes; none at the end of the file.
    position: Option<u64>,
    room: Arc<Room>,
}

type Library = Counted<DynOutputStream>;

enum State {
    Ready(Library),
    Writing(AbortOnDropJoinHandle<(Library, StreamResult<()>)>),
    Failed(StreamError),
    Closed,
}

impl QuotaStream {
    pub(super) fn new(
        library: Library,
        file: Arc<File>,
        position: Option<u64>,
        room: Arc<Room>,
    ) -> Self {
        Self {
            state: State::Ready(library),
            file,
            position,
            room,
        }
    }

    /// Begins to write; what comes next is written behind it.
    fn begin(&mut self, library: Library, bytes: Bytes) {
        let length = bytes.len() as u64;
        let growth = match &mut self.position {
            Some(position) => {
                let end = position.saturating_add(length);
                *position = end;
                Growth::To {
                    file: Arc::clone(&self.file),
                    end,
                }
            }
            None => Growth::By(Sum {
                bytes: length,
                files: 0,
            }),
        };
        let room = Arc::clone(&self.room);
        self.state = State::Writing(spawn(write(library, bytes, room, growth)));
    }

    /// Waits until nothing is being written.
    async fn settle(&mut self) {
        if let State::Writing(writing) = &mut self.state {
            let (library, written) = writing.await;
            self.state = match written {
                Ok(()) => State::Ready(library),
                Err(error) => State::Failed(error),
            };
        }
    }

    /// Gives the error that the stream ended with, once.
    fn ended(&mut self) -> StreamError {
        match mem::replace(&mut self.state, State::Closed) {
            State::Failed(error) => error,
            State::Ready(_) | State::Writing(_) | State::Closed => StreamError::Closed,
        }
    }
}

async fn write(
    mut stream: Library,
    bytes: Bytes,
    room: Arc<Room>,
    growth: Growth,
) -> (Library, StreamResult<()>) {
    let growing = match room.grow(&growth).await {
        Ok(growing) => growing,
        Err(error) => return (stream, Err(failed(error))),
    };
    // What is being written goes on when the guest is ended, so this does too.
    let writing = tokio::spawn(async move {
        let written = stream.library.blocking_write_and_flush(bytes).await;
        drop(growing);
        (stream, written)
    });
    writing.await.expect("the library does not panic")
}

fn failed(error: io::Error) -> StreamError {
    StreamError::LastOperationFailed(error.into())
}

#[async_trait]
impl OutputStream for QuotaStream {
    fn check_write(&mut self) -> StreamResult<usize> {
        match &self.state {
            State::Ready(_) => Ok(WRITE_PERMIT),
            State::Writing(_) => Ok(0),
            State::Failed(_) | State::Closed => Err(self.ended()),
        }
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_PERMIT {
            return Err(StreamError::trap("more was written than is permitted"));
        }
        match mem::replace(&mut self.state, State::Closed) {
            State::Ready(library) => {
                self.begin(library, bytes);
                Ok(())
            }
            State::Closed => Err(StreamError::Closed),
            State::Writing(_) | State::Failed(_) => Err(StreamError::trap(
                "it was written before that was permitted",
            )),
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        match &self.state {
            State::Ready(_) | State::Writing(_) => Ok(()),
            State::Failed(_) | State::Closed => Err(self.ended()),
        }
    }

    async fn cancel(&mut self) {
        // What is being written is written to its end, so that few writes are
        // under way whatever a guest drops.
        self.settle().await;
        self.state = State::Closed;
    }
}

#[async_trait]
impl Pollable for QuotaStream {
    async fn ready(&mut self) {
        self.settle().await;
    }
}

//! What is done to a directory on a thread that may block.
//!
//! *Invariant*: a directory is not measured while something in it is changed, also where
//! the guest that does it is ended meanwhile: what has begun on such a thread goes on to
//! its end, and keeps its hold on the directory until then.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, Dir, File, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::runtime::poll_noop;

use super::room::{Growth, Room};
use crate::sandbox::quota::Growing;

/// Keeps a directory from being measured, if it has a quota.
pub(super) struct Hold(Option<(Arc<Room>, Growing)>);

impl Hold {
    /// Holds what no guest may write in.
    pub(super) const NONE: Self = Self(None);

    /// Takes from the quota what something would grow by, and holds the directory.
    pub(super) async fn on(room: Option<Arc<Room>>, growth: &Growth) -> io::Result<Self> {
        let Some(room) = room else {
            return Ok(Self::NONE);
        };
        let growing = room.grow(growth).await?;
        Ok(Self(Some((room, growing))))
    }

    /// Holds it though nothing grows: what is moved, removed or opened while it is
    /// measured could be missed.
    pub(super) async fn still(room: Option<Arc<Room>>) -> io::Result<Self> {
        Self::on(room, &Growth::NONE).await
    }

    /// Notes that something of the directory was removed.
    pub(super) fn released(&self) {
        if let Self(Some((room, growing))) = self {
            room.ledger.released(growing);
        }
    }

    /// Notes that something in it was opened.
    pub(super) fn opened(&self, opened: &Descriptor) {
        if let (Self(Some((room, growing))), Descriptor::File(file)) = (self, opened) {
            room.ledger.opened(&file.file, growing);
        }
    }
}

/// Does something where it may block, with its hold.
pub(super) async fn apart<T: Send + 'static>(
    hold: Hold,
    work: impl FnOnce(&Hold) -> FsResult<T> + Send + 'static,
) -> FsResult<T> {
    tokio::task::spawn_blocking(move || work(&hold))
        .await
        .map_err(io::Error::other)?
}

/// Has the library do something where it may block.
pub(super) async fn change<T: Send + 'static>(
    hold: Hold,
    work: impl AsyncFnOnce(&mut WasiFilesystemCtxView<'_>, &Hold) -> FsResult<T> + Send + 'static,
) -> FsResult<T> {
    apart(hold, |hold| at_once(work, hold)).await
}

/// Has the library do something by which the directory of a room may hold less.
pub(super) async fn make_room(
    room: Option<Arc<Room>>,
    work: impl AsyncFnOnce(&mut WasiFilesystemCtxView<'_>) -> FsResult<()> + Send + 'static,
) -> FsResult<()> {
    let hold = Hold::still(room).await?;
    change(hold, async move |library, hold| {
        work(library).await?;
        hold.released();
        Ok(())
    })
    .await
}

/// Has the library do something that does not wait, since all that it uses may block.
fn at_once<T>(
    work: impl AsyncFnOnce(&mut WasiFilesystemCtxView<'_>, &Hold) -> FsResult<T>,
    hold: &Hold,
) -> FsResult<T> {
    let mut library = WasiFilesystemCtxView {
        ctx: &mut WasiFilesystemCtx::default(),
        table: &mut ResourceTable::new(),
    };
    let done = poll_noop(pin!(work(&mut library, hold)));
    done.unwrap_or_else(|| Err(io::Error::other("the library waits").into()))
}

/// Gives the library a descriptor whose calls block.
pub(super) fn enter(
    library: &mut WasiFilesystemCtxView<'_>,
    descriptor: &Descriptor,
) -> FsResult<Resource<Descriptor>> {
    let blocking = match descriptor {
        Descriptor::File(file) => {
            let own = file.file.try_clone()?;
            Descriptor::File(File::new(own, file.perms, file.open_mode, true))
        }
        Descriptor::Dir(directory) => {
            let own = directory.dir.try_clone()?;
            Descriptor::Dir(Dir::new(own, directory.perms, directory.open_mode, true))
        }
    };
    Ok(library.table.push(blocking)?)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;
    use crate::sandbox::Quota;
    use crate::sandbox::notices::Notices;
    use crate::sandbox::quota::Ledgers;

    #[tokio::test]
    async fn a_directory_is_held_until_a_change_that_nobody_waits_for_has_ended() {
        let place = tempfile::tempdir().expect("a directory");
        let ledger = Ledgers::default().of(place.path());
        let room = Arc::new(Room {
            path: place.path().to_owned(),
            quota: Quota::default(),
            ledger: Arc::clone(&ledger),
            notices: Notices::new(None),
        });
        let hold = Hold::still(Some(room)).await.expect("it is there");
        let (begun, has_begun) = oneshot::channel();
        let (let_go, held) = mpsc::channel::<()>();
        let changing = change(hold, async move |_, _| {
            begun.send(()).expect("it is waited for");
            let _ended = held.recv();
            Ok(())
        });
        tokio::select! {
            biased;
            _ = changing => panic!("it is held"),
            begun = has_begun => begun.expect("it begins"),
        }
        let mut measuring = pin!(ledger.alone());
        assert!(poll_noop(measuring.as_mut()).is_none());
        drop(let_go);
        measuring.await;
    }
}

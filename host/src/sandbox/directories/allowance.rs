//! How many files and listings one guest has open.
//!
//! *Invariant*: a guest has no more of them open than its limits say, and than its
//! handler's share of the process allows. Going over is an error that the guest is
//! given, and a line of the log.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use crate::sandbox::notices::Notices;
use crate::sandbox::places::{Place, Share};
use crate::sandbox::{Limit, Limits};

/// What one guest may have open, of one kind.
pub(super) struct Allowance {
    /// One of them, in words.
    one: &'static str,
    limit: Limit<Limits>,
    most: usize,
    left: Arc<Semaphore>,
    share: Share,
    notices: Notices,
}

/// Something that is open, as long as this is kept.
pub(super) struct Open {
    _own: OwnedSemaphorePermit,
    /// What has a descriptor has a place among those of the process.
    _place: Option<Place>,
}

/// Something of the library that is open.
pub(super) struct Counted<T> {
    pub(super) library: T,
    _open: Open,
}

impl Allowance {
    pub(super) fn files(limits: &Limits, share: &Share, notices: &Notices) -> Self {
        let one = "a file or a stream of one";
        Self::new(one, Limit::FILES, limits.files, share, notices)
    }

    pub(super) fn listings(limits: &Limits, share: &Share, notices: &Notices) -> Self {
        let one = "a listing of a directory";
        Self::new(one, Limit::LISTINGS, limits.listings, share, notices)
    }

    fn new(
        one: &'static str,
        limit: Limit<Limits>,
        most: usize,
        share: &Share,
        notices: &Notices,
    ) -> Self {
        Self {
            one,
            limit,
            most,
            left: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            share: share.clone(),
            notices: notices.clone(),
        }
    }

    /// Lets one more be opened; where that cannot be, it tells the operator.
    pub(super) fn take(&self) -> Result<Open, ErrorCode> {
        let own = self.own()?;
        match self.share.try_take() {
            Some(place) => Ok(Open {
                _own: own,
                _place: Some(place),
            }),
            None => Err(self.refuse(self.too_many_in_all())),
        }
    }

    /// Lets one more be opened that has no descriptor of its own.
    pub(super) fn take_stream(&self) -> Result<Open, ErrorCode> {
        Ok(Open {
            _own: self.own()?,
            _place: None,
        })
    }

    fn own(&self) -> Result<OwnedSemaphorePermit, ErrorCode> {
        let own = Arc::clone(&self.left).try_acquire_owned();
        own.map_err(|_| self.refuse(self.too_many()))
    }

    fn refuse(&self, why: String) -> ErrorCode {
        self.notices.tell(why);
        // There is no code for too many open files.
        ErrorCode::InsufficientMemory
    }

    fn too_many(&self) -> String {
        format!(
            "{} is refused beside the {} that the handler has open: raise `{}` if they are meant",
            self.one,
            self.most,
            self.limit.setting()
        )
    }

    fn too_many_in_all(&self) -> String {
        format!(
            "{} is refused, since handlers have too many of the {} open that all of them may have \
             together, a quarter of the file descriptors of this process, and one of them half of \
             that: raise that limit of the system (`ulimit -n`, `LimitNOFILE=` of systemd) if they \
             are meant",
            self.one,
            self.share.of()
        )
    }
}

impl<T> Counted<T> {
    pub(super) const fn new(library: T, open: Open) -> Self {
        Self {
            library,
            _open: open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::places::Places;

    fn allowance(files: usize, share: &Share) -> Allowance {
        let limits = Limits {
            files,
            ..Limits::default()
        };
        Allowance::files(&limits, share, &Notices::new(None))
    }

    #[test]
    fn a_guest_has_so_many_open_and_the_operator_is_told_the_setting() {
        let files = allowance(2, &Share::new(&Places::new(100, 1)));
        let mut held: Vec<_> = (0..2)
            .map(|_| files.take().expect("there is room"))
            .collect();
        assert_eq!(files.take().err(), Some(ErrorCode::InsufficientMemory));
        for words in [
            "beside the 2 that the handler has open",
            "raise `limits.files`",
        ] {
            assert!(files.too_many().contains(words), "{}", files.too_many());
        }
        held.pop();
        files.take().expect("there is room again");
    }

    #[test]
    fn the_guests_of_one_handler_leave_as_many_to_others() {
        let places = Places::new(32, 1);
        let share = Share::new(&places);
        let guests = [(); 4].map(|()| allowance(10, &share));
        let held: Vec<_> = guests
            .iter()
            .flat_map(|guest| std::iter::from_fn(|| guest.take().ok()))
            .collect();
        assert_eq!(held.len(), 15);
        let words = guests[1].too_many_in_all();
        assert!(words.contains("too many of the 32 open"), "{words}");
        allowance(10, &Share::new(&places))
            .take()
            .expect("there is room for another handler");
    }
}

//! How many files and connections this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More are of no use to this program, and those that it starts inherit the limit: some
/// close all that they may have.
const ENOUGH: u64 = 65_536;

/// Lets this process have more file descriptors, if the system allows it: what it has by
/// default is meant for programs that wait by `select`.
///
/// Where the system refuses, the log says so, and the process goes on with fewer.
pub(super) fn allow() {
    let limit = getrlimit(Resource::Nofile);
    let Some(more) = more(limit) else {
        return;
    };
    if let Err(error) = setrlimit(Resource::Nofile, more) {
        tracing::warn!(
            %error,
            "this process keeps its limit of {} file descriptors, for all files and connections",
            limit.current.unwrap_or_default()
        );
    }
}

/// Gives the limit that allows more, if one does.
fn more(limit: Rlimit) -> Option<Rlimit> {
    // Systems of Apple take no more, whatever they say.
    let enough = if cfg!(target_vendor = "apple") {
        10_240
    } else {
        ENOUGH
    };
    let most = limit.maximum.unwrap_or(u64::MAX).min(enough);
    let is_less = limit.current? < most;
    is_less.then_some(Rlimit {
        current: Some(most),
        maximum: limit.maximum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_to_the_most_that_may_be() {
        let limit = |current, maximum| Rlimit { current, maximum };
        for (limit, raised) in [
            (limit(Some(256), Some(4_096)), Some(Some(4_096))),
            (limit(Some(100_000), None), None),
            (limit(Some(4_096), Some(4_096)), None),
            (limit(None, None), None),
        ] {
            assert_eq!(more(limit).map(|it| it.current), raised, "{limit:?}");
        }
    }
}

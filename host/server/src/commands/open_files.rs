//! How many files and connections this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process have as many file descriptors as the system allows it at most:
/// what it has by default is meant for programs that wait by `select`.
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
    let most = if cfg!(target_vendor = "apple") {
        // It takes no more, whatever it says.
        Some(limit.maximum.unwrap_or(u64::MAX).min(10_240))
    } else {
        limit.maximum
    };
    let is_less = limit.current? < most.unwrap_or(u64::MAX);
    is_less.then_some(Rlimit {
        current: most,
        maximum: limit.maximum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_the_file_descriptors_that_it_may_have() {
        let before = getrlimit(Resource::Nofile);
        let fewer = Rlimit {
            current: before.current.map(|current| current - 1),
            ..before
        };
        setrlimit(Resource::Nofile, fewer).expect("fewer");
        allow();
        let has = getrlimit(Resource::Nofile);
        assert!(has.current > fewer.current, "{has:?}");
        assert_eq!(more(has), None);
    }

    #[test]
    fn a_limit_is_raised_to_the_most_that_may_be() {
        let limit = |current, maximum| Rlimit { current, maximum };
        for (limit, raised) in [
            (limit(Some(256), Some(4_096)), Some(Some(4_096))),
            (limit(Some(4_096), Some(4_096)), None),
            (limit(None, None), None),
        ] {
            assert_eq!(more(limit).map(|it| it.current), raised, "{limit:?}");
        }
    }
}

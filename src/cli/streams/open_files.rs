//! The number of files and sockets that the process may open.

use crate::cli::terminal::screen::Screen;

/// Raises the limit of open files as far as the system permits, and warns if `streams` may need more.
///
/// The usual limit of 1,024 protects programs that call `select`, and would stop 350 streams.
pub(super) fn raise_limit(streams: usize, screen: &Screen) {
    let needed = needed(streams);
    if let Some(limit) = highest_limit().filter(|limit| *limit < needed) {
        screen.line(&format!(
            "WARNING: {} may need {needed} open files, but the limit is {limit}: raise it, for example with \
             ulimit -n or LimitNOFILE=",
            super::count(streams)
        ));
    }
}

/// Returns the number of open files that this number of streams may need.
fn needed(streams: usize) -> u64 {
    let of_streams = (streams as u64).saturating_mul(FILES_PER_STREAM);
    of_streams.saturating_add(FILES_OF_PROCESS)
}

/// Sets the limit to its maximum, and returns it; `None` if there is none.
#[cfg(unix)]
fn highest_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limits.maximum,
        ..limits
    };
    // macOS rejects an unlimited number.
    let raised = setrlimit(Resource::Nofile, raised).map(|()| raised);
    raised.unwrap_or(limits).current
}

#[cfg(not(unix))]
fn highest_limit() -> Option<u64> {
    None
}

/// A socket, a file and its copy for syncs, and a manifest.
const FILES_PER_STREAM: u64 = 4;

/// Standard streams, runtimes, metrics with its clients, and logs.
const FILES_OF_PROCESS: u64 = 80;

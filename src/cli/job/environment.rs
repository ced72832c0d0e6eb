//! Variables and terminals that affect how arguments are resolved.

use std::{
    env,
    io::{self, IsTerminal},
    path::PathBuf,
};

use super::hooks::ProgramSearch;

/// Environment of the process, as far as it affects a download.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// Whether standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether standard input is a terminal.
    pub stdin_is_terminal: bool,
    /// Whether standard output is closed.
    pub stdout_is_closed: bool,
    /// Proxy to use if no option names one, from `ALL_PROXY`.
    pub all_proxy: Option<String>,
    /// Hosts to reach without that proxy, from `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// Home folder of the user.
    pub home: Option<PathBuf>,
    /// Folder for caches, from `XDG_CACHE_HOME`.
    pub cache_home: Option<PathBuf>,
    /// How programs are found, from `PATH` and `PATHEXT`.
    pub programs: ProgramSearch,
}

impl Environment {
    /// Reads the environment of this process. A variable in lower case takes precedence, as in curl.
    pub fn here() -> Self {
        let variable = |lower, upper| env::var(lower).or_else(|_| env::var(upper)).ok();
        Self {
            stdout_is_terminal: io::stdout().is_terminal(),
            stdin_is_terminal: io::stdin().is_terminal(),
            stdout_is_closed: is_closed(io::stdout()),
            all_proxy: variable("all_proxy", "ALL_PROXY"),
            no_proxy: variable("no_proxy", "NO_PROXY"),
            home: home(),
            cache_home: env::var_os("XDG_CACHE_HOME").map(PathBuf::from),
            programs: ProgramSearch::here(),
        }
    }
}

/// Returns whether a standard output was closed when the program started.
///
/// The runtime of Rust opens `/dev/null` for reading and writing in its place. Shells open it only for
/// writing. Some programs, such as Python with `subprocess.DEVNULL`, open it for both; a device opened by
/// them cannot be distinguished from a closed output.
#[cfg(unix)]
fn is_closed(output: impl std::os::fd::AsFd) -> bool {
    use rustix::fs::{OFlags, fcntl_getfl, fstat, stat};

    let is_null = || {
        let (output, null) = (fstat(output.as_fd()).ok()?, stat("/dev/null").ok()?);
        Some(output.st_rdev == null.st_rdev)
    };
    let access = fcntl_getfl(output.as_fd()).map(|flags| flags & OFlags::ACCMODE);
    access == Ok(OFlags::RDWR) && is_null() == Some(true)
}

#[cfg(not(unix))]
fn is_closed(_: impl Sized) -> bool {
    false
}

/// Returns the folder in which rtmpdump keeps `.swfinfo`.
fn home() -> Option<PathBuf> {
    if cfg!(windows) {
        let mut home = env::var_os("HOMEDRIVE")?;
        home.push(env::var_os("HOMEPATH")?);
        return Some(home.into());
    }
    env::var_os("HOME").map(PathBuf::from)
}

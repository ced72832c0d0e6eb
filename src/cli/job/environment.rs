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
            all_proxy: variable("all_proxy", "ALL_PROXY"),
            no_proxy: variable("no_proxy", "NO_PROXY"),
            home: home(),
            cache_home: env::var_os("XDG_CACHE_HOME").map(PathBuf::from),
            programs: ProgramSearch::here(),
        }
    }
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

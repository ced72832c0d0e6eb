//! Variables and terminals that affect how arguments are resolved.

use std::{
    env,
    io::{self, IsTerminal},
    path::PathBuf,
};

/// What surrounds the process, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// Whether standard output shows on a terminal.
    pub stdout_is_terminal: bool,
    /// The proxy for everything, where nobody names another.
    pub all_proxy: Option<String>,
    /// The hosts that it is not for.
    pub no_proxy: Option<String>,
    /// The user's own folder.
    pub home: Option<PathBuf>,
    /// The folder for what can be had again, where the user has named one.
    pub cache_home: Option<PathBuf>,
}

impl Environment {
    /// Those of this process. Of a variable in both cases the lower one counts, as for curl.
    pub fn here() -> Self {
        let variable = |lower, upper| env::var(lower).or_else(|_| env::var(upper)).ok();
        Self {
            stdout_is_terminal: io::stdout().is_terminal(),
            all_proxy: variable("all_proxy", "ALL_PROXY"),
            no_proxy: variable("no_proxy", "NO_PROXY"),
            home: home(),
            cache_home: env::var_os("XDG_CACHE_HOME").map(PathBuf::from),
        }
    }
}

/// Where rtmpdump looks for the user's folder.
fn home() -> Option<PathBuf> {
    if cfg!(windows) {
        let mut home = env::var_os("HOMEDRIVE")?;
        home.push(env::var_os("HOMEPATH")?);
        return Some(home.into());
    }
    env::var_os("HOME").map(PathBuf::from)
}

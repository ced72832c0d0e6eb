//! Servers and players that others wrote, each test with instances of its own.
//!
//! `tests/peers.sh` installs them. A test asks for its peer first; where it is missing, the test
//! says so and is over, unless `RTMPULL_REQUIRE_PEERS=1` says that all must be here.

pub mod ffmpeg;
pub mod rtmpdump;

use std::{
    env,
    path::{Path, PathBuf},
};

/// Ends the test where its peer is not installed.
macro_rules! require {
    ($peer:expr) => {
        match $peer {
            Some(peer) => peer,
            None => return $crate::peers::skip(stringify!($peer)),
        }
    };
}
pub(crate) use require;

/// Says that a test is skipped for want of `peer`; fails it where peers are required.
pub fn skip(peer: &str) {
    let peer = peer.trim_end_matches("()").trim_end_matches("::find");
    assert!(
        env::var_os("RTMPULL_REQUIRE_PEERS").is_none_or(|value| value != "1"),
        "{peer} is not installed: tests/peers.sh installs it"
    );
    println!("skipped: {peer} is not installed (tests/peers.sh installs it)");
}

/// The folder that `tests/peers.sh` installs npm and PyPI packages into.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers")
}

/// Looks a program up in the PATH and where Debian keeps servers.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

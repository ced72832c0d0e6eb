//! yt-dlp, which has rtmpdump do its RTMP downloads.

use std::{
    env,
    ffi::OsString,
    iter,
    path::{Path, PathBuf},
    process::Command,
};

use super::folder;
use crate::process::Process;

/// yt-dlp as `tests/peers.sh` installs it.
pub struct YtDlp {
    program: PathBuf,
}

impl YtDlp {
    /// yt-dlp, where it is installed.
    pub fn find() -> Option<Self> {
        let program = folder().join("venv/bin/yt-dlp");
        program.is_file().then_some(Self { program })
    }

    /// Starts it in `folder`, with the rtmpdump that is in `bin`.
    pub fn start(&self, folder: &Path, bin: &Path, arguments: &[&str]) -> Process {
        let mut command = Command::new(&self.program);
        command.args(["--ignore-config", "--no-update", "--newline", "-v"]);
        command.args(arguments).current_dir(folder);
        command.env("PATH", path_from(bin));
        Process::start(&mut command)
    }
}

/// The PATH with `first` in front.
fn path_from(first: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = iter::once(first.to_owned()).chain(env::split_paths(&path));
    env::join_paths(folders).expect("a folder without a separator in its name")
}

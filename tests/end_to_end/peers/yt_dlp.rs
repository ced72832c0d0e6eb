//! yt-dlp, which runs rtmpdump for RTMP downloads.

use std::{
    env,
    ffi::OsString,
    iter,
    path::{Path, PathBuf},
    process::Command,
};

use super::folder;
use crate::process::Process;

/// yt-dlp installed by `tests/peers.sh`.
pub struct YtDlp {
    program: PathBuf,
}

impl YtDlp {
    /// Finds yt-dlp.
    pub fn find() -> Option<Self> {
        let program = folder().join("venv/bin/yt-dlp");
        program.is_file().then_some(Self { program })
    }

    /// Starts yt-dlp in `folder` with the rtmpdump in `bin`.
    pub fn start(&self, folder: &Path, bin: &Path, arguments: &[&str]) -> Process {
        let mut command = Command::new(&self.program);
        command.args(["--ignore-config", "--no-update", "--newline", "-v"]);
        command.args(arguments).current_dir(folder);
        command.env("PATH", path_from(bin));
        Process::start(&mut command)
    }
}

/// Returns PATH with `first` prepended.
fn path_from(first: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = iter::once(first.to_owned()).chain(env::split_paths(&path));
    env::join_paths(folders).expect("a folder without a separator in its name")
}

//! ffmpeg: encoder, publisher, player, server, and the judge of what came out.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{find_program, folder};
use crate::process::{Finished, Process};

/// An ffmpeg as installed here.
pub struct Ffmpeg {
    program: PathBuf,
}

impl Ffmpeg {
    /// The system's ffmpeg with its ffprobe.
    pub fn find() -> Option<Self> {
        find_program("ffprobe")?;
        find_program("ffmpeg").map(|program| Self { program })
    }

    /// PyPI's ffmpeg, recent enough for Enhanced RTMP.
    pub fn find_recent() -> Option<Self> {
        let program = folder().join("ffmpeg");
        program.is_file().then_some(Self { program })
    }

    /// Runs it to its end; it is quiet but for errors.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Finished {
        Process::start(self.command().args(arguments)).finish(RUN_LIMIT)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-hide_banner", "-nostdin", "-loglevel", "error", "-y"]);
        command
    }
}

/// Runs ffprobe, quiet but for errors.
pub fn ffprobe(arguments: &[&str], file: &Path) -> Finished {
    let program = find_program("ffprobe").expect("ffprobe comes with ffmpeg");
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-loglevel", "error"]);
    Process::start(command.args(arguments).arg(file)).finish(RUN_LIMIT)
}

/// How long an encoder or a demuxer may take over a clip of seconds.
const RUN_LIMIT: Duration = Duration::from_secs(60);

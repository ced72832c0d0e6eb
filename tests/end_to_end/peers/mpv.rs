//! mpv, a player that seeks.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::find_program;
use crate::process::Process;

/// Installed mpv.
pub struct Mpv {
    program: PathBuf,
}

impl Mpv {
    /// Finds mpv.
    pub fn find() -> Option<Self> {
        find_program("mpv").map(|program| Self { program })
    }

    /// Returns the position at which mpv starts to show `file` when it seeks to `seconds` by
    /// keyframes, as the arrow keys do.
    #[track_caller]
    pub fn seek(&self, file: &Path, seconds: f64) -> f64 {
        let options = ["--no-audio", "--hr-seek=no", "--frames=1"];
        self.start(file, seconds, &options)
    }

    /// Returns the position at which mpv starts to play the sound of `file` when it seeks to `seconds`.
    #[track_caller]
    pub fn seek_sound(&self, file: &Path, seconds: f64) -> f64 {
        let options = ["--no-video", "--ao=null", "--untimed", "--length=0.1"];
        self.start(file, seconds, &options)
    }

    #[track_caller]
    fn start(&self, file: &Path, seconds: f64, options: &[&str]) -> f64 {
        let mut command = Command::new(&self.program);
        command.args(["--no-config", "--vo=null"]).args(options);
        command.arg(format!("--start={seconds:.3}"));
        command.args(["--term-playing-msg=begins at ${=time-pos}", "--"]);
        let finished = Process::start(command.arg(file)).finish(LIMIT).succeeded();
        let stdout = String::from_utf8_lossy(&finished.stdout);
        let mut lines = stdout.lines();
        let position = lines.find_map(|line| line.trim().strip_prefix("begins at "));
        let position = position.and_then(|position| position.parse().ok());
        position.unwrap_or_else(|| panic!("{stdout}{finished}"))
    }
}

/// Time limit until the first picture.
const LIMIT: Duration = Duration::from_secs(60);

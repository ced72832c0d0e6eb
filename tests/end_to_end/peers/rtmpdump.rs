//! rtmpdump, the predecessor, as a player of our test server.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::find_program;
use crate::process::Process;

/// rtmpdump as installed here.
pub struct Rtmpdump {
    program: PathBuf,
}

impl Rtmpdump {
    /// rtmpdump, where it is installed.
    pub fn find() -> Option<Self> {
        find_program("rtmpdump").map(|program| Self { program })
    }

    /// Starts to save `url` as `output`.
    pub fn play(&self, url: &str, output: &Path, options: &[&str]) -> Process {
        let mut command = Command::new(&self.program);
        command.args(["-r", url, "-m", "5"]).args(options);
        command.arg("-o").arg(output);
        Process::start(&mut command)
    }
}

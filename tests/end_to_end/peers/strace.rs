//! strace, which delays system calls.

use std::{path::PathBuf, process::Command, time::Duration};

use super::find_program;

/// Installed strace.
#[derive(Debug)]
pub struct Strace {
    program: PathBuf,
}

impl Strace {
    /// Finds strace in PATH.
    pub fn find() -> Option<Self> {
        let program = find_program("strace")?;
        Some(Self { program })
    }

    /// Returns a command that runs `command` and delays each call of this name.
    pub fn delaying(&self, call: &str, delay: Duration, command: &Command) -> Command {
        let mut delaying = Command::new(&self.program);
        let inject = format!("inject={call}:delay_enter={}", delay.as_micros());
        let trace = format!("trace={call}");
        delaying.args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]);
        delaying.arg(command.get_program()).args(command.get_args());
        let set = command.get_envs();
        delaying.envs(set.filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = command.get_current_dir() {
            delaying.current_dir(folder);
        }
        delaying
    }
}

//! rtmpdump, the predecessor, as a player of the test server, and its server rtmpsrv.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::find_program;
use crate::process::Process;

/// Installed rtmpdump.
pub struct Rtmpdump {
    program: PathBuf,
}

impl Rtmpdump {
    /// Finds rtmpdump.
    pub fn find() -> Option<Self> {
        find_program("rtmpdump").map(|program| Self { program })
    }

    /// Returns the path of the program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Starts to save `url` as `output`.
    pub fn play(&self, url: &str, output: &Path, options: &[&str]) -> Process {
        Process::start(&mut self.command(url, output, options))
    }

    /// Returns the command that saves `url` as `output`.
    pub fn command(&self, url: &str, output: &Path, options: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-r", url, "-m", "5"]).args(options);
        command.arg("-o").arg(output);
        command
    }
}

/// rtmpsrv, which performs the handshake and plays nothing. It listens on port 1935 of all
/// addresses and therefore needs its own network namespace.
pub struct Rtmpsrv {
    program: PathBuf,
}

impl Rtmpsrv {
    /// Finds rtmpsrv.
    pub fn find() -> Option<Self> {
        find_program("rtmpsrv").map(|program| Self { program })
    }

    /// Returns whether a network namespace can be created.
    pub fn can_run(&self) -> bool {
        let mut command = Command::new("unshare");
        command.args(["-rn", "ip", "link", "set", "lo", "up"]);
        let status = command.output().map(|output| output.status);
        status.is_ok_and(|status| status.success())
    }

    /// Runs `player` against rtmpsrv and returns the stderr of the player and the log of rtmpsrv.
    #[track_caller]
    pub fn run(&self, player: &[&str]) -> [String; 2] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("rtmpsrv.log");
        let mut command = Command::new("unshare");
        command.args(["-rn", "sh", "-c", SCRIPT, "sh"]);
        command.arg(&self.program).arg(&log).args(player);
        // rtmpsrv runs rtmpdump for each requested stream, which writes to the current folder.
        command.current_dir(folder.path());
        let finished = Process::start(&mut command).finish(LIMIT);
        let theirs = fs::read(&log).expect("rtmpsrv wrote a log");
        [
            finished.stderr,
            String::from_utf8_lossy(&theirs).into_owned(),
        ]
    }
}

/// Starts `$1` with `$2` as its log, waits until it listens on port 0x078F, and runs the remaining
/// arguments. The FIFO is a standard input without data and without an end.
const SCRIPT: &str = r#"
    ip link set lo up
    program=$1 log=$2
    shift 2
    mkfifo "$log.in"
    "$program" -z <>"$log.in" >"$log" 2>&1 &
    for i in $(seq 100); do
        grep -q ':078F 00000000:0000 0A' /proc/net/tcp && break
        sleep 0.05
    done
    "$@"
    sleep 0.2
    kill $!
"#;

/// Time limit of a player that receives no media.
const LIMIT: Duration = Duration::from_secs(20);

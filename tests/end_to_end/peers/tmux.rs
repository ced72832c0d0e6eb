//! tmux, a terminal emulator without a window.

use std::{
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::find_program;

/// Installed tmux.
pub struct Tmux {
    program: PathBuf,
}

/// Terminal that runs a command.
pub struct Terminal {
    program: PathBuf,
    /// Folder of the server's socket.
    folder: TempDir,
}

impl Tmux {
    /// Finds tmux.
    pub fn find() -> Option<Self> {
        find_program("tmux").map(|program| Self { program })
    }

    /// Runs `command` in a terminal of this width. The terminal stays open after the command has ended.
    #[track_caller]
    pub fn run(&self, columns: usize, command: &Command) -> Terminal {
        let terminal = Terminal {
            program: self.program.clone(),
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        let columns = columns.to_string();
        let script = r#""$@"; exec sleep 600"#;
        let mut new_session = terminal.command();
        new_session.args(["-f", "/dev/null", "new-session", "-d", "-x", &columns]);
        new_session.args(["-y", "20"]);
        if let Some(folder) = command.get_current_dir() {
            new_session.arg("-c").arg(folder);
        }
        new_session.arg("env");
        // env(1) expects its options before the assignments.
        let (set, unset): (Vec<_>, Vec<_>) =
            command.get_envs().partition(|(_, value)| value.is_some());
        for (name, _) in unset {
            new_session.arg("-u").arg(name);
        }
        for (name, value) in set {
            new_session.arg([name, value.unwrap_or_default()].join(OsStr::new("=")));
        }
        new_session.args(["sh", "-c", script, "sh"]);
        new_session
            .arg(command.get_program())
            .args(command.get_args());
        let output = new_session.output().expect("tmux runs");
        assert!(output.status.success(), "{output:?}");
        terminal
    }
}

impl Terminal {
    /// Waits until a line of the screen meets the condition, and returns it.
    #[track_caller]
    pub fn wait_for_line(&self, condition: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if let Some(line) = screen.lines().find(|line| condition(line)) {
                return line.to_owned();
            }
            assert!(start.elapsed() < LIMIT, "no such line on\n{screen}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns what the screen shows.
    pub fn screen(&self) -> String {
        let Output { stdout, .. } = self
            .command()
            .args(["capture-pane", "-p"])
            .output()
            .expect("tmux runs");
        String::from_utf8_lossy(&stdout).into_owned()
    }

    /// Stops all output by Ctrl-S, so that writes to the terminal block.
    #[cfg(target_os = "linux")]
    pub fn stop_output(&self) {
        let keys = self.command().args(["send-keys", "C-s"]).status();
        assert!(keys.is_ok_and(|status| status.success()));
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_remove("TMUX");
        command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
        command
            .arg("-u")
            .arg("-S")
            .arg(self.folder.path().join("socket"));
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.command().arg("kill-server").output();
    }
}

/// Time limit for a line to appear.
const LIMIT: Duration = Duration::from_secs(30);

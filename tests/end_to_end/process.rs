//! Processes that a test starts. All waits are bounded, and dropping a process kills it.

use std::{
    fmt,
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Running process, killed when dropped.
pub struct Process {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

/// Result of a finished process.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub took: Duration,
}

impl Process {
    /// Starts `command` with captured output and an empty standard input.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().map(gather);
        let stderr = child.stderr.take().map(gather);
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Returns whether the process is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal by name, for example "INT".
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "kill -s {name} failed"
        );
    }

    /// Waits until the process ends. Panics with its output if this takes longer than `limit`.
    pub fn finish(mut self, limit: Duration) -> Finished {
        let start = Instant::now();
        while self.is_running() && start.elapsed() < limit {
            thread::sleep(Duration::from_millis(5));
        }
        let in_time = !self.is_running();
        let finished = self.end(start);
        assert!(in_time, "still running after {limit:?}:\n{finished}");
        finished
    }

    /// Returns the peak memory of the process so far, in bytes.
    #[cfg(target_os = "linux")]
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Returns the memory of the process without its code and other mapped files, in bytes.
    #[cfg(target_os = "linux")]
    pub fn anonymous_memory(&self) -> u64 {
        self.memory("RssAnon:")
    }

    #[cfg(target_os = "linux")]
    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process is running");
        // A new process shares the memory of the test until its program has started.
        if !status.starts_with("Name:\trtmp") {
            return 0;
        }
        let value = status.lines().find_map(|line| line.strip_prefix(field));
        let kilobytes = value.and_then(|value| value.trim().strip_suffix(" kB"));
        1024 * kilobytes.map_or(0, |kilobytes| kilobytes.parse().expect("a number"))
    }

    /// Lets the process open this number of files in addition to the open ones.
    #[cfg(target_os = "linux")]
    pub fn limit_open_files(&self, more: usize) {
        let id = self.child.id();
        let open = std::fs::read_dir(format!("/proc/{id}/fd")).expect("the process is running");
        let limit = format!("--nofile={}", open.count() + more);
        let limited = Command::new("prlimit")
            .args(["--pid", &id.to_string(), &limit])
            .status();
        assert!(
            limited.is_ok_and(|status| status.success()),
            "prlimit failed"
        );
    }

    /// Kills the process.
    pub fn kill_and_wait(&mut self) {
        self.child.kill().expect("the process can be killed");
        let _ = self.child.wait();
    }

    /// Kills the process and returns its output.
    pub fn kill(mut self) -> Finished {
        self.end(Instant::now())
    }

    fn end(&mut self, start: Instant) -> Finished {
        let _ = self.child.kill();
        let status = self
            .child
            .wait()
            .expect("the child process can be waited for");
        let took = start.elapsed();
        let collect = |pipe: Option<JoinHandle<Vec<u8>>>| {
            pipe.map(|pipe| pipe.join().expect("the reader thread does not panic"))
                .unwrap_or_default()
        };
        Finished {
            status,
            stdout: collect(self.stdout.take()),
            stderr: String::from_utf8_lossy(&collect(self.stderr.take())).into_owned(),
            took,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Finished {
    /// Returns the exit code, or `None` after a signal.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Panics unless the process exited with this code and printed this ending word in its last line.
    #[track_caller]
    pub fn assert_ended(&self, code: i32, word: &str) {
        assert_eq!(self.code(), Some(code), "{self}");
        let (_, ending, reason) = ending(&self.stderr);
        assert!(
            ending == word && !reason.is_empty(),
            "no {word:?} in the last line of {self}"
        );
    }

    /// Panics unless the process exited with code 0.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }
}

/// Removes the time of day with which the line starts, `15:04:05.678 `. Returns `None` if the line does not
/// start with one.
pub fn without_time(line: &str) -> Option<&str> {
    let (time, text) = line.split_at_checked(TIME.len())?;
    let is_time = time
        .bytes()
        .zip(TIME.bytes())
        .all(|(byte, pattern)| match pattern {
            b'0' => byte.is_ascii_digit(),
            separator => byte == separator,
        });
    is_time.then_some(text)
}

/// Returns the last line of standard error before the hints, of which there are at most three.
pub fn last_line(stderr: &str) -> &str {
    let is_hint = |line: &&str| without_time(line).unwrap_or(line).starts_with("hint: ");
    let hint_count = stderr.lines().rev().take_while(is_hint).count();
    assert!(hint_count <= 3, "{hint_count} hints in {stderr}");
    stderr.lines().rev().nth(hint_count).unwrap_or_default()
}

/// Returns level, ending word and reason in the last line of standard error: `LEVEL: WORD: REASON`, or
/// `[LEVEL: ]saved FILE: SIZE, DURATION, WORD (REASON)...`. With `--verbose` the line starts with a time.
pub fn ending(stderr: &str) -> (&str, &str, &str) {
    let last = last_line(stderr);
    let last = without_time(last).unwrap_or(last);
    let is_level = |(level, _): &(&str, _)| ["INFO", "WARNING", "ERROR"].contains(level);
    let (level, text) = last
        .split_once(": ")
        .filter(is_level)
        .unwrap_or(("INFO", last));
    if !text.starts_with("saved ") && !text.starts_with("sent to ") {
        let (word, reason) = text.split_once(": ").unwrap_or((text, ""));
        return (level, word, reason);
    }
    let (_, facts) = text.split_once(": ").unwrap_or_default();
    let ending = facts.splitn(3, ", ").nth(2).unwrap_or_default();
    let (word, reason) = ending.split_once(" (").unwrap_or((ending, ""));
    (level, word, reason)
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} after {:?}, stderr:\n{}",
            self.status, self.took, self.stderr
        )
    }
}

fn gather(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// Layout of a time; 0 stands for a digit.
const TIME: &str = "00:00:00.000 ";

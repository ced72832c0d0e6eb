//! Programs that record streams.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::measure::{CpuTime, peak_memory_mib, proportional_memory_mib};

/// A program that records streams.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    /// A build of rtmpull, which records all streams in one process.
    Rtmpull { name: &'static str, path: PathBuf },
    /// A process for each stream.
    Rtmpdump,
    /// A process for each stream.
    Ffmpeg,
}

impl Program {
    /// Returns the measured build of rtmpull.
    pub(crate) fn rtmpull() -> Self {
        Self::Rtmpull {
            name: "rtmpull",
            path: RTMPULL.into(),
        }
    }

    /// Returns the build that `RTMPULL_BEFORE` names.
    pub(crate) fn rtmpull_before() -> Option<Self> {
        Some(Self::Rtmpull {
            name: "rtmpull before",
            path: env::var_os("RTMPULL_BEFORE")?.into(),
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Rtmpull { name, .. } => name,
            Self::Rtmpdump => "rtmpdump",
            Self::Ffmpeg => "ffmpeg",
        }
    }

    /// Starts to record the live stream at `url` `count` times, as the files of [`file_of`]. Returns `None` if the
    /// program is not installed.
    pub(crate) fn start(&self, url: &str, count: u64, folder: &Path) -> Option<Processes> {
        match self {
            Self::Rtmpull { path, .. } => {
                let defaults = format!("url = \"{url}\"\nlive = true\nrepublish-wait = 0");
                let streams = write_streams(folder, &defaults, count, "");
                Some(Processes::of(&mut recorder(path, &streams)))
            }
            Self::Rtmpdump | Self::Ffmpeg => {
                let mut processes = Processes(Vec::new());
                for stream in 0..count {
                    let mut command = self.for_one(url, &file_of(folder, stream));
                    processes.0.push(start(&mut command)?);
                    thread::sleep(start_time(count) / count as u32);
                }
                Some(processes)
            }
        }
    }

    /// Returns the command that records one stream.
    fn for_one(&self, url: &str, file: &Path) -> Command {
        let mut command = Command::new(self.name());
        match self {
            Self::Ffmpeg => command
                .args(["-nostdin", "-loglevel", "error", "-y", "-i", url])
                .args(["-map", "0", "-c", "copy", "-f", "flv"])
                .arg(file),
            Self::Rtmpull { .. } | Self::Rtmpdump => {
                command.args(["-q", "-v", "-r", url, "-o"]).arg(file)
            }
        };
        command
    }
}

/// The measured build of rtmpull.
pub(crate) const RTMPULL: &str = env!("CARGO_BIN_EXE_rtmpull");

/// Returns the command with which a build of rtmpull records the streams of a file, without messages.
pub(crate) fn recorder(rtmpull: &Path, streams: &Path) -> Command {
    let mut command = with_many_files(rtmpull);
    command.arg("-q").arg("--streams").arg(streams);
    command
}

/// Returns a command for a program that may open as many files as the system permits.
pub(crate) fn with_many_files(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n \"$(ulimit -H -n)\"; exec \"$0\" \"$@\""]);
    command.arg(program);
    command
}

/// Writes a file for `--streams` with `count` streams, whose outputs are the files of [`file_of`], and with `more`
/// tables after them.
pub(crate) fn write_streams(folder: &Path, defaults: &str, count: u64, more: &str) -> PathBuf {
    let output = folder.join("{name}.flv").display().to_string();
    let mut text = format!("[defaults]\n{defaults}\noutput = \"{output}\"\n");
    for stream in 0..count {
        text += &format!("[[stream]]\nname = \"{stream}\"\n");
    }
    text += more;
    let file = folder.join("streams.toml");
    fs::write(&file, text).expect("the folder is writable");
    file
}

/// Returns the file of a recorded stream.
pub(crate) fn file_of(folder: &Path, stream: u64) -> PathBuf {
    folder.join(format!("{stream}.flv"))
}

/// Starts a process without output. Returns `None` if the program is not installed.
fn start(command: &mut Command) -> Option<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

/// Running processes, which are killed when they are dropped.
#[derive(Debug)]
pub(crate) struct Processes(Vec<Child>);

impl Processes {
    /// Starts one process.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self(vec![start(command).expect("the program is installed")])
    }

    /// Returns the CPU time of all processes so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.sum(|pid| CpuTime::of(pid).map(|time| time.sum()))
    }

    /// Returns the resident memory of all processes, which counts shared memory once, in MiB.
    pub(crate) fn memory_mib(&self) -> f64 {
        self.sum(proportional_memory_mib)
    }

    /// Returns the sum of the peak memories of all processes, which counts shared memory for each process, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        self.sum(peak_memory_mib)
    }

    /// Returns the sum of a value of each process that has not ended.
    fn sum(&self, of: impl Fn(u32) -> Option<f64>) -> f64 {
        self.0.iter().map(Child::id).filter_map(of).sum()
    }

    /// Returns whether no process has ended.
    pub(crate) fn all_run(&mut self) -> bool {
        let is_running = |child: &mut Child| child.try_wait().is_ok_and(|status| status.is_none());
        self.0.iter_mut().all(is_running)
    }

    /// Waits until all processes have ended.
    pub(crate) fn wait(mut self) {
        for child in &mut self.0 {
            child.wait().expect("a child process");
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

/// Returns the time over which rtmpull spreads the start of `count` streams by default (`--stagger`). The processes of
/// other programs start over the same time.
pub(crate) fn start_time(count: u64) -> Duration {
    (Duration::from_millis(50) * count as u32).min(Duration::from_secs(5))
}

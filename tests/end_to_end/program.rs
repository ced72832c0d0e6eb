//! Runs rtmpull.

use std::{fs, path::PathBuf, process::Command, thread, time::Duration};

use tempfile::TempDir;

use crate::{
    process::{Finished, Process, last_line, without_time},
    server::Clip,
};

/// Running `rtmpull URL -o FILE`.
pub struct Running {
    pub process: Process,
    folder: TempDir,
}

/// Finished `rtmpull URL -o FILE`.
pub struct Download {
    pub finished: Finished,
    folder: TempDir,
}

/// Temporary folder in which rtmpull runs.
#[cfg(unix)]
pub struct Folder(TempDir);

/// Returns the command in a UTF-8 locale, without proxy variables in its environment.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
    for variable in ["all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"] {
        command.env_remove(variable);
    }
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// Starts a download of `url`.
pub fn start(url: &str, options: &[&str]) -> Running {
    start_in(
        tempfile::tempdir().expect("a temporary folder"),
        url,
        options,
    )
}

fn start_in(folder: TempDir, url: &str, options: &[&str]) -> Running {
    let mut command = command();
    command.arg(url).args(options);
    command.arg("-o").arg(folder.path().join(FILE));
    Running {
        process: Process::start(&mut command),
        folder,
    }
}

/// Downloads `url`.
#[track_caller]
pub fn download(url: &str, options: &[&str]) -> Download {
    start(url, options).finish()
}

impl Running {
    /// Waits for the end of the download.
    #[track_caller]
    pub fn finish(self) -> Download {
        Download {
            finished: self.process.finish(LIMIT),
            folder: self.folder,
        }
    }

    /// Returns the path of the output file, which may not exist.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Sends SIGINT and waits for the end of the download.
    #[track_caller]
    pub fn interrupt(self) -> Download {
        self.process.signal("INT");
        self.finish()
    }

    /// Waits until the file has grown by `bytes`.
    #[track_caller]
    pub fn wait_for_more(&mut self, bytes: u64) {
        let now = fs::metadata(self.file()).map_or(0, |file| file.len());
        self.wait_for_bytes(now + bytes);
    }

    /// Waits until the file has `bytes`.
    #[track_caller]
    pub fn wait_for_bytes(&mut self, bytes: u64) {
        let file = self.folder.path().join(FILE);
        while fs::metadata(&file).map_or(0, |file| file.len()) < bytes {
            assert!(
                self.process.is_running(),
                "ended before it had written {bytes} bytes"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Download {
    /// Starts a download of `url` to the same file.
    pub fn start_again(self, url: &str, options: &[&str]) -> Running {
        start_in(self.folder, url, options)
    }

    /// Panics unless the program ended with this exit code and this ending word in its last line.
    #[track_caller]
    pub fn assert_ended(&self, code: i32, word: &str) {
        self.finished.assert_ended(code, word);
    }

    /// Panics unless the program created no file and ended with "no-connection" and one error, which
    /// contains `cause`.
    #[track_caller]
    pub fn assert_no_connection(&self, cause: &str) {
        self.assert_ended(3, "no-connection");
        let stderr = &self.finished.stderr;
        let texts = stderr
            .lines()
            .map(|line| without_time(line).unwrap_or(line));
        let errors = texts.filter(|line| line.starts_with("ERROR"));
        assert_eq!(errors.count(), 1, "{stderr}");
        assert!(
            last_line(stderr).contains(cause),
            "no {cause:?} in the last line of {stderr}"
        );
        assert!(!self.file().exists(), "the file exists");
    }

    /// Returns the path of the output file, which may not exist.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Reads the output file.
    #[track_caller]
    pub fn clip(&self) -> Clip {
        Clip::read(&self.file())
    }
}

#[cfg(unix)]
impl Folder {
    /// Creates an empty folder.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Returns the path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns the command that runs in the folder.
    pub fn command(&self) -> Command {
        let mut command = command();
        command.current_dir(self.0.path());
        command
    }

    /// Runs rtmpull with these arguments.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Process::start(self.command().args(arguments)).finish(LIMIT)
    }

    /// Returns the sorted names of the files in the folder.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("a folder").flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

const FILE: &str = "out.flv";

/// Time limit of a download, longer than all timeouts that tests wait for.
pub const LIMIT: Duration = Duration::from_secs(45);

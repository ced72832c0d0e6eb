//! Runs the program itself.

use std::{fs, path::PathBuf, process::Command, thread, time::Duration};

use tempfile::TempDir;

use crate::{
    process::{Finished, Process},
    server::Clip,
};

/// `rtmpull URL -o FILE`, running.
pub struct Running {
    pub process: Process,
    folder: TempDir,
}

/// `rtmpull URL -o FILE`, done.
pub struct Download {
    pub finished: Finished,
    folder: TempDir,
}

/// The program, with no proxy around it.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpull"));
    for variable in ["all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"] {
        command.env_remove(variable);
    }
    command
}

/// Starts to download `url`.
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
    /// Waits for its end.
    #[track_caller]
    pub fn finish(self) -> Download {
        Download {
            finished: self.process.finish(LIMIT),
            folder: self.folder,
        }
    }

    /// The file, there or not.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub fn interrupt(self) -> Download {
        self.process.signal("INT");
        self.finish()
    }

    /// Waits until it has written so many bytes more than now.
    #[track_caller]
    pub fn wait_for_more(&mut self, bytes: u64) {
        let now = fs::metadata(self.file()).map_or(0, |file| file.len());
        self.wait_for_bytes(now + bytes);
    }

    /// Waits until it has written `bytes`.
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
    /// Starts to download `url` to the same file.
    pub fn start_again(self, url: &str, options: &[&str]) -> Running {
        start_in(self.folder, url, options)
    }

    /// Panics unless it ended with this exit code and this word in the last line that it wrote.
    #[track_caller]
    pub fn assert_ended(&self, code: i32, word: &str) {
        assert_eq!(self.finished.code(), Some(code), "{}", self.finished);
        let last = self.finished.stderr.lines().last().unwrap_or_default();
        let mut words = last.split(|c: char| !c.is_alphanumeric() && c != '-');
        assert!(
            words.any(|this| this == word),
            "no {word:?} in the last line of {}",
            self.finished
        );
    }

    /// The file, there or not.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// The tags of the file.
    #[track_caller]
    pub fn clip(&self) -> Clip {
        Clip::read(&self.file())
    }
}

const FILE: &str = "out.flv";

/// How long a download may take: more than any timer of its own that a test waits for.
pub const LIMIT: Duration = Duration::from_secs(45);

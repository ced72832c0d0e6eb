//! A file that is rewritten while media arrives, for programs that watch the download.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    listeners::Listener,
    worker::{ProgressTimer, Worker},
};
use crate::{
    cli::terminal::time_format::utc,
    download::{Outcome, Progress, Report},
};

/// Rewrites the file from a thread of its own.
#[derive(Debug)]
pub struct Heartbeat {
    worker: Worker<Beat>,
    timer: ProgressTimer,
}

/// Content of the file.
#[derive(Debug, Serialize)]
struct Beat {
    time: String,
    position_ms: u64,
    bytes: u64,
}

impl Heartbeat {
    /// Starts the thread. The file is written when the first media arrives.
    ///
    /// # Errors
    ///
    /// Fails if `file` cannot be a regular file in an existing folder.
    pub fn start(file: &Path) -> Result<Self> {
        file.file_name()
            .context("the value is not the name of a file")?;
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        ensure!(folder.is_dir(), "{folder:?} is not a folder");
        ensure!(!file.exists() || file.is_file(), "{file:?} is not a file");
        let file = file.to_owned();
        // One beat may wait while the disk is slow. More would be outdated.
        let worker = Worker::start("heartbeat", 1, move |beats| write_all(beats.iter(), &file))?;
        Ok(Self {
            worker,
            timer: ProgressTimer::new(INTERVAL),
        })
    }

    fn progress_at(&mut self, progress: &Progress, now: Instant) {
        if self.timer.is_due(progress, now) {
            self.worker.send(Beat {
                time: utc(Timestamp::now()),
                position_ms: progress.position_ms,
                bytes: progress.bytes,
            });
        }
    }
}

impl Listener for Heartbeat {
    fn finished(&mut self, _: &Outcome) {
        self.finish();
    }
}

impl Heartbeat {
    /// Waits until the last beat is written.
    pub fn finish(&mut self) {
        if !self.worker.finish(DISK_TIMEOUT) {
            tracing::warn!("the heartbeat file is still being written");
        }
    }
}

impl Report for Heartbeat {
    fn progress(&mut self, progress: &Progress) {
        self.progress_at(progress, Instant::now());
    }
}

/// Writes each beat. Only the first failure is logged.
fn write_all(beats: impl Iterator<Item = Beat>, file: &Path) {
    let mut has_failed = false;
    for beat in beats {
        let written = write(&beat, file, &temporary(file));
        if let Err(error) = written
            && !has_failed
        {
            has_failed = true;
            tracing::warn!("cannot write the heartbeat file {file:?}: {error}");
        }
    }
}

/// Returns the name of a new temporary file. It is unpredictable, so that other users cannot occupy it in a
/// shared folder.
fn temporary(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{:016x}", rand::random::<u64>()));
    name.into()
}

/// Replaces the file atomically. `create_new` does not follow links.
fn write(beat: &Beat, file: &Path, temporary: &Path) -> io::Result<()> {
    let text = serde_json::to_string(beat)? + "\n";
    let mut new = File::create_new(temporary)?;
    let written = new
        .write_all(text.as_bytes())
        .and_then(|()| fs::rename(temporary, file));
    written.inspect_err(|_| {
        let _ = fs::remove_file(temporary);
    })
}

/// Minimum time between two beats.
const INTERVAL: Duration = Duration::from_secs(2);

/// Time for the last beat to be written.
const DISK_TIMEOUT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(frames: u64) -> Progress {
        let bytes = frames;
        Progress {
            frames,
            bytes,
            position_ms: 10 * bytes,
            ..Progress::default()
        }
    }

    /// Returns the content of the file after progress at these milliseconds.
    fn written(moments: &[(u64, u64)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("beat");
        let mut heartbeat = Heartbeat::start(&file).unwrap();
        let start = Instant::now();
        for (ms, bytes) in moments {
            heartbeat.progress_at(&progress(*bytes), start + Duration::from_millis(*ms));
        }
        assert!(heartbeat.worker.finish(Duration::from_secs(60)));
        let files = fs::read_dir(folder.path()).unwrap().count();
        let text = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(files, usize::from(!text.is_empty()), "no other file");
        text
    }

    #[test]
    fn a_beat_is_written_when_media_arrives() {
        assert_eq!(written(&[(0, 0)]), "");
        let beat: serde_json::Value = serde_json::from_str(&written(&[(0, 5)])).unwrap();
        assert_eq!(
            (&beat["bytes"], &beat["position_ms"]),
            (&5.into(), &50.into())
        );
        let time = beat["time"].as_str().unwrap();
        assert!(time.parse::<Timestamp>().is_ok(), "{time}");
        // The second progress is too early, and the third one has no new media.
        let text = written(&[(0, 5), (1_999, 6), (2_500, 6)]);
        assert!(text.contains(r#""bytes":5}"#), "{text}");
    }

    #[test]
    #[cfg(unix)]
    fn a_link_with_the_name_of_the_temporary_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, target] = ["beat", "link", "target"].map(|name| folder.path().join(name));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let beat = || Beat {
            time: String::new(),
            position_ms: 0,
            bytes: 0,
        };
        write(&beat(), &file, &link).unwrap_err();
        write(&beat(), &file, &temporary(&file)).unwrap();
        assert_ne!(temporary(&file), temporary(&file), "unpredictable");
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert!(link.is_symlink() && file.is_file());
    }

    #[test]
    fn the_path_must_be_a_file_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "",
            "/",
            "no such folder/beat",
            folder.path().to_str().unwrap(),
        ] {
            assert!(Heartbeat::start(Path::new(file)).is_err(), "{file:?}");
        }
        #[cfg(unix)]
        assert!(Heartbeat::start(Path::new("/dev/null")).is_err());
    }
}

//! A file that is rewritten while media arrives, for programs that watch the download.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
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
        let name = file.file_name().context("the value names no file")?;
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        ensure!(folder.is_dir(), "{folder:?} is not a folder");
        ensure!(!file.exists() || file.is_file(), "{file:?} is not a file");
        let mut temporary = name.to_owned();
        temporary.push(format!(".{}", process::id()));
        let (file, temporary) = (file.to_owned(), folder.join(temporary));
        // One beat may wait while the disk is slow. More would be outdated.
        let worker = Worker::start("heartbeat", 1, move |beats| {
            write_all(beats.iter(), &file, &temporary);
        })?;
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
fn write_all(beats: impl Iterator<Item = Beat>, file: &PathBuf, temporary: &Path) {
    let mut has_failed = false;
    for beat in beats {
        let written = write(&beat, file, temporary);
        if let Err(error) = written
            && !has_failed
        {
            has_failed = true;
            tracing::warn!("cannot write the heartbeat file {file:?}: {error}");
            let _ = fs::remove_file(temporary);
        }
    }
}

fn write(beat: &Beat, file: &Path, temporary: &Path) -> io::Result<()> {
    let text = serde_json::to_string(beat)? + "\n";
    fs::write(temporary, text)?;
    fs::rename(temporary, file)
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
            duration_ms: None,
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

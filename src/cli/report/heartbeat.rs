//! A file that is rewritten while media arrives, for whoever looks whether it still does.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::Serialize;

use super::listeners::Listener;
use crate::{
    cli::terminal::time_format::utc,
    core::amf::Object,
    download::{Outcome, Progress, Report, Retry},
    output::Gap,
    transport::Endpoint,
};

/// Rewrites the file, from a thread of its own: a disk that hangs delays nothing but this.
#[derive(Debug)]
pub struct Heartbeat {
    /// None once it is over.
    beats: Option<SyncSender<Beat>>,
    thread_ends: Receiver<()>,
    seen: Progress,
    last: Option<Instant>,
}

/// What stands in the file.
#[derive(Debug, Serialize)]
struct Beat {
    time: String,
    position_ms: u64,
    bytes: u64,
}

impl Heartbeat {
    /// Nothing is written before the first media. Fails where `file` cannot be one.
    pub fn start(file: &Path) -> Result<Self> {
        let name = file.file_name().context("a heartbeat needs a file")?;
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        ensure!(folder.is_dir(), "{folder:?} is no folder");
        ensure!(!file.exists() || file.is_file(), "{file:?} is no file");
        let mut unfinished = name.to_owned();
        unfinished.push(format!(".{}", process::id()));
        let (file, unfinished) = (file.to_owned(), folder.join(unfinished));
        let (beats, received) = mpsc::sync_channel(1);
        let (sender, thread_ends) = mpsc::sync_channel(0);
        thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn(move || {
                let _until_the_end: SyncSender<()> = sender;
                write_all(&received, &file, &unfinished);
            })?;
        Ok(Self {
            beats: Some(beats),
            thread_ends,
            seen: Progress::default(),
            last: None,
        })
    }

    fn progress_at(&mut self, progress: &Progress, now: Instant) {
        let has_media = progress.frames != self.seen.frames;
        self.seen = *progress;
        let is_due = self
            .last
            .is_none_or(|last| now.duration_since(last) >= INTERVAL);
        if has_media && is_due {
            self.last = Some(now);
            self.beat();
        }
    }

    fn beat(&self) {
        let beat = Beat {
            time: utc(Timestamp::now()),
            position_ms: self.seen.position_ms,
            bytes: self.seen.bytes,
        };
        if let Some(beats) = &self.beats {
            // Where the beat before is still being written, this one comes too soon.
            let _ = beats.try_send(beat);
        }
    }
}

impl Listener for Heartbeat {
    fn finished(&mut self, _: &Outcome) {
        self.beats = None;
        let ended = self.thread_ends.recv_timeout(DISK_PATIENCE);
        if ended == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the heartbeat is still being written");
        }
    }
}

impl Report for Heartbeat {
    fn connecting(&mut self, _: &Endpoint) {}

    fn connected(&mut self) {}

    fn metadata(&mut self, _: &Object) {}

    fn started(&mut self, _: bool) {}

    fn gap(&mut self, _: &Gap) {}

    fn retry(&mut self, _: &Retry) {}

    fn progress(&mut self, progress: &Progress) {
        self.progress_at(progress, Instant::now());
    }
}

fn write_all(beats: &Receiver<Beat>, file: &PathBuf, unfinished: &Path) {
    let mut has_failed = false;
    for beat in beats {
        let written = write(&beat, file, unfinished);
        if let Err(error) = written
            && !has_failed
        {
            has_failed = true;
            tracing::warn!("cannot write the heartbeat {file:?}: {error}");
            let _ = fs::remove_file(unfinished);
        }
    }
}

fn write(beat: &Beat, file: &Path, unfinished: &Path) -> io::Result<()> {
    let text = serde_json::to_string(beat)? + "\n";
    fs::write(unfinished, text)?;
    fs::rename(unfinished, file)
}

/// How much time is between two beats at the least.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long the last beat may take.
const DISK_PATIENCE: Duration = Duration::from_millis(200);

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

    /// What the file holds after progress at these milliseconds.
    fn written(moments: &[(u64, u64)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("beat");
        let mut heartbeat = Heartbeat::start(&file).unwrap();
        let start = Instant::now();
        for (ms, bytes) in moments {
            heartbeat.progress_at(&progress(*bytes), start + Duration::from_millis(*ms));
        }
        heartbeat.beats = None;
        let _ = heartbeat.thread_ends.recv();
        let files = fs::read_dir(folder.path()).unwrap().count();
        let text = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(files, usize::from(!text.is_empty()), "no other file");
        text
    }

    #[test]
    fn beats_while_media_arrives() {
        assert_eq!(written(&[(0, 0)]), "");
        let beat: serde_json::Value = serde_json::from_str(&written(&[(0, 5)])).unwrap();
        assert_eq!(
            (&beat["bytes"], &beat["position_ms"]),
            (&5.into(), &50.into())
        );
        let time = beat["time"].as_str().unwrap();
        assert!(time.parse::<Timestamp>().is_ok(), "{time}");
        // Too soon for another, and nothing new.
        let text = written(&[(0, 5), (1_999, 6), (2_500, 6)]);
        assert!(text.contains(r#""bytes":5}"#), "{text}");
    }

    #[test]
    fn has_a_place_to_be_written_to() {
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

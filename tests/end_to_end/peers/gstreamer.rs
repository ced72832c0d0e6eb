//! GStreamer's MP4 demuxer.

use std::{ffi::OsString, path::Path, path::PathBuf, process::Command, time::Duration};

use super::find_program;
use crate::process::{Finished, Process};

/// Installed GStreamer.
pub struct GStreamer {
    program: PathBuf,
}

impl GStreamer {
    /// Finds GStreamer.
    pub fn find() -> Option<Self> {
        find_program("gst-launch-1.0").map(|program| Self { program })
    }

    /// Returns the presentation time in milliseconds and the MD5 hash of each sample of a track, such as
    /// `video_0`, as `qtdemux` returns them.
    #[track_caller]
    pub fn samples(&self, file: &Path, track: &str) -> Vec<(f64, String)> {
        let sink = format!("demuxer.{track} ! queue ! checksumsink hash=md5");
        let finished = self.run(file, &[sink]);
        let text = String::from_utf8_lossy(&finished.stdout);
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines
            .map(|(time, hash)| (milliseconds(time), hash.trim().to_owned()))
            .collect()
    }

    /// Panics unless GStreamer decodes these tracks of `file` without errors.
    #[track_caller]
    pub fn assert_plays(&self, file: &Path, tracks: &[&str]) {
        let sinks = tracks
            .iter()
            .map(|track| format!("demuxer.{track} ! queue ! decodebin ! fakesink"));
        let finished = self.run(file, &sinks.collect::<Vec<_>>());
        let errors = finished.stderr.lines();
        let errors: Vec<_> = errors.filter(|line| line.contains("ERROR")).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", file.display());
    }

    #[track_caller]
    fn run(&self, file: &Path, sinks: &[String]) -> Finished {
        let mut location = OsString::from("location=");
        location.push(file);
        let mut command = Command::new(&self.program);
        command.args(["-q", "filesrc"]).arg(location);
        command.args(["!", "qtdemux", "name=demuxer"]);
        command.args(sinks.iter().flat_map(|sink| sink.split(' ')));
        Process::start(&mut command).finish(LIMIT).succeeded()
    }
}

/// Converts a time such as `0:00:01.080000000`.
#[track_caller]
fn milliseconds(time: &str) -> f64 {
    let fields = time
        .split(':')
        .map(|field| field.parse::<f64>().expect("a time"));
    1000.0 * fields.fold(0.0, |sum, field| 60.0 * sum + field)
}

/// Time limit to demux or decode a short file.
const LIMIT: Duration = Duration::from_secs(60);

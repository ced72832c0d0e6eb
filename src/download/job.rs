//! The resolved request for one download.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    admission::Admission, capture::Capture, retry::RetryPolicy, sources::Fallbacks,
    swf_player::Player,
};
use crate::{
    core::{flv::TrackSet, rejoin::history::MAX_FRAMES, rtmp::client::config::Config},
    output::{Destination, FileOptions, GapPolicy, PipeOptions, SegmentOptions},
    transport::{Dialer, Route},
};

/// One download with all defaults applied.
#[derive(Debug, Clone)]
pub struct Job {
    /// Server, and the transport to reach it.
    pub route: Route,
    /// Configuration of the RTMP session.
    pub session: Arc<Config>,
    /// SWF player whose hash must be determined before connecting (`-W`).
    pub player: Option<Player>,
    /// How connections are made.
    pub dialer: Dialer,
    /// Capture file that records the bytes of all sessions.
    pub capture: Option<Arc<Capture>>,
    /// Limits that it shares with other downloads.
    pub admission: Option<Arc<Admission>>,
    /// Destination of the recording.
    pub output: Destination,
    /// Pipe that receives the same frames as a recording in files (`--tee`).
    pub pipe: Option<Destination>,
    /// Bytes of a live stream that may wait for the reader of a pipe before frames are dropped.
    pub backlog_bytes: usize,
    /// Tracks to record; `None` records all.
    pub tracks: Option<TrackSet>,
    /// How files are written.
    pub file: FileOptions,
    /// How pipes and devices are written.
    pub pipe_options: PipeOptions,
    /// When to reconnect.
    pub retry: RetryPolicy,
    /// Largest number of frames that are remembered to recognize them after a reconnect, see
    /// [`history_frames`].
    pub history_frames: usize,
    /// How a gap in a live stream appears in the recording.
    pub gap: GapPolicy,
    /// Whether output times are the server's timestamps.
    pub keep_timestamps: bool,
    /// Other splits of the URL path, tried in turn if the server does not have the app or the
    /// stream.
    pub candidates: Vec<Candidate>,
    /// Sources that take over if the first one is lost.
    pub fallbacks: Option<Fallbacks>,
    /// Output time at which the recording ends, in milliseconds (`-B`).
    pub stop_ms: Option<u64>,
    /// Further limits of the recording.
    pub limits: Limits,
    /// When a segment ends, and which program and manifest are notified.
    pub segments: SegmentOptions,
    /// How to continue the recording in the output; `None` replaces it. Always `None` for pipes and
    /// devices.
    pub resume: Option<Resume>,
}

impl Job {
    /// Returns the largest length of the recording on the output clock, in milliseconds.
    pub fn length_ms(&self) -> Option<u64> {
        let lengths = self.stop_ms.into_iter().chain(self.limits.duration_ms);
        lengths.min()
    }

    /// Whether the recording may continue after a loss or with another publisher.
    pub(super) fn may_rejoin(&self) -> bool {
        self.retry != RetryPolicy::default()
            || !self.session.republish_wait.is_zero()
            || self.fallbacks.is_some()
    }
}

/// Returns the number of frames that each of `streams` downloads in one process remembers: 65,536 for up to
/// eight streams, which are a quarter of an hour of video and audio in 1.5 MiB each. More streams share 12 MiB,
/// but each remembers at least 1,024 frames, which are 13 s and more than servers repeat.
pub fn history_frames(streams: usize) -> usize {
    const ALL: usize = 8 * MAX_FRAMES;
    let share = ALL.checked_div(streams).unwrap_or(ALL);
    // The memory of a queue doubles, so another number would waste some of it.
    let share = 1_usize.checked_shl(share.max(1).ilog2()).unwrap_or(ALL);
    share.clamp(1 << 10, MAX_FRAMES)
}

/// Limits set by the user that end a recording before the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Largest length on the output clock, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Largest size of the output in bytes, all segments together.
    pub bytes: Option<u64>,
    /// Time of day at which the recording ends.
    pub until: Option<Timestamp>,
    /// Free space to keep on the output's disk, in bytes. Falling below it is a failure.
    pub min_free: Option<u64>,
    /// Time from the first audio or video frame of the download to its end, whether or not more arrives.
    pub media_time: Option<Duration>,
}

/// One split of a URL path into app and playpath.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Application.
    pub app: String,
    /// Stream name within the application.
    pub playpath: String,
    /// `tcUrl` of the application.
    pub tc_url: String,
}

/// How to continue an existing recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resume {
    /// Number of keyframes before the last one at which the old and the new stream are joined.
    pub skip_keyframes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_streams_share_the_memory_for_remembered_frames() {
        let frames = [0, 1, 8, 9, 100, 500, 2_000, usize::MAX].map(history_frames);
        let expected = [65_536, 65_536, 65_536, 32_768, 4_096, 1_024, 1_024, 1_024];
        assert_eq!(frames, expected);
    }
}

//! Going on with a file: what it holds, where to ask for the stream again, and whether the stream leads
//! up to the file's end.

#[cfg(test)]
mod tests;

use super::matcher::{Arrival, MatchPoint, Matcher, Verdict};
pub(in crate::download) use super::scan::{ExistingRecording, ScanResult, read};
use crate::core::rtmp::message::Timestamp;
use crate::download::Resume;

/// A file that is gone on with, as long as the stream has not been found to lead up to its end.
#[derive(Debug)]
pub(in crate::download) struct RecordedRejoin {
    recording: ExistingRecording,
    start_ms: u32,
    /// Where the stream can still be asked for: the next one last.
    starts: Vec<u32>,
    matcher: Matcher,
    /// The timestamp of the first frame that came.
    first: Option<Timestamp>,
}

impl RecordedRejoin {
    pub(in crate::download) fn new(recording: ExistingRecording, wish: Resume) -> Self {
        let mut starts = recording.starts(wish.skip_keyframes);
        starts.reverse();
        let start_ms = starts.pop().unwrap_or(0);
        Self {
            matcher: recording.matcher(start_ms),
            recording,
            start_ms,
            starts,
            first: None,
        }
    }

    /// Where the stream is to be asked for, in milliseconds.
    pub(in crate::download) fn start_ms(&self) -> u32 {
        self.start_ms
    }

    /// The stream led nowhere. Where it is to be asked for next, unless it came from its beginning.
    pub(in crate::download) fn next_start(&mut self) -> Option<u32> {
        self.start_ms = self.starts.pop()?;
        self.begin_again();
        Some(self.start_ms)
    }

    /// The connection was lost: the stream is asked for at the same place again.
    pub(in crate::download) fn begin_again(&mut self) {
        self.matcher = self.recording.matcher(self.start_ms);
        self.first = None;
    }

    /// Holds a message of the stream against the file.
    pub(in crate::download) fn offer(&mut self, arrival: Arrival) -> Verdict {
        if arrival.info.carries_media {
            self.first.get_or_insert(arrival.timestamp);
        }
        match self.matcher.offer(arrival) {
            Verdict::Matched(match_point) if !self.is_plausible(&match_point) => Verdict::NoMatch,
            verdict => verdict,
        }
    }

    /// The stream begins anew, on a clock of its own.
    pub(in crate::download) fn restart(&mut self) {
        self.matcher.restart();
    }

    /// Whether the stream is that of the file as far as it came.
    pub(in crate::download) fn is_running(&self) -> bool {
        self.matcher.is_running()
    }

    /// The match_point, if the stream that ends here has led up to the file's end.
    pub(in crate::download) fn finish(&mut self) -> Option<MatchPoint> {
        let match_point = self.matcher.finish()?;
        self.is_plausible(&match_point).then_some(match_point)
    }

    /// Where a picture stands still in silence, keyframe after keyframe looks alike, and a stream that
    /// begins behind the end of the file seems to begin before it. A server whose clock neither began
    /// at 0 nor has another beginning than the file's gives that away. A stream from its
    /// beginning is beyond doubt.
    fn is_plausible(&self, match_point: &MatchPoint) -> bool {
        let has_begun_at_0 = self.first.is_none_or(|first| first.0 < AT_ONCE_MS);
        let differs_by_ms = match_point.offset_ms.unsigned_abs();
        let is_suspicious = (u64::from(AT_ONCE_MS)..OTHER_CLOCK_MS).contains(&differs_by_ms);
        self.start_ms == 0 || has_begun_at_0 || !is_suspicious
    }

    /// The recording, once its end was found in the stream.
    pub(in crate::download) fn into_recording(self) -> ExistingRecording {
        self.recording
    }

    /// What the file holds.
    pub(in crate::download) fn recording(&self) -> &ExistingRecording {
        &self.recording
    }
}

/// Up to where a clock is taken for one that began at 0, or two for the same.
const AT_ONCE_MS: u32 = 1_000;

/// What a server's clock may differ by from the file's only because it is another one.
const OTHER_CLOCK_MS: u64 = 60_000;

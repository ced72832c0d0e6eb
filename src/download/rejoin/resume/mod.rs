//! Resumes a recorded stream: which position to request, and whether the stream contains the end of
//! the file.

#[cfg(any(test, fuzzing))]
pub(in crate::download) mod recorder;
#[cfg(test)]
mod tests;

pub(in crate::download) use super::scan::{ExistingRecording, ScanResult, read};
use crate::{
    core::{
        rejoin::matcher::{Arrival, MatchPoint, Matcher, Verdict},
        rtmp::message::Timestamp,
    },
    download::Resume,
};

/// A recorded file, until the stream contains its end and the recording continues.
#[derive(Debug)]
pub(in crate::download) struct RecordedRejoin {
    recording: ExistingRecording,
    start_ms: u32,
    /// The remaining start positions, the next one last.
    starts: Vec<u32>,
    matcher: Matcher,
    /// Timestamp of the first received frame.
    first: Option<Timestamp>,
}

impl RecordedRejoin {
    pub(in crate::download) fn new(recording: ExistingRecording, resume: Resume) -> Self {
        let mut starts = recording.starts(resume.skip_keyframes);
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

    /// Position from which the stream is requested, in milliseconds.
    pub(in crate::download) fn start_ms(&self) -> u32 {
        self.start_ms
    }

    /// Advances to the next start position after a stream without the end of the file. Returns
    /// `None` after position 0.
    pub(in crate::download) fn next_start(&mut self) -> Option<u32> {
        self.start_ms = self.starts.pop()?;
        self.begin_again();
        Some(self.start_ms)
    }

    /// Restarts the comparison at the same position after a lost connection.
    pub(in crate::download) fn begin_again(&mut self) {
        self.matcher = self.recording.matcher(self.start_ms);
        self.first = None;
    }

    /// Compares a message with the file.
    pub(in crate::download) fn offer(&mut self, arrival: Arrival) -> Verdict {
        if arrival.info.carries_media {
            self.first.get_or_insert(arrival.timestamp);
        }
        match self.matcher.offer(arrival) {
            Verdict::Matched(match_point) if !self.is_plausible(&match_point) => Verdict::NoMatch,
            verdict => verdict,
        }
    }

    /// The stream restarts with a new clock.
    pub(in crate::download) fn restart(&mut self) {
        self.matcher.restart();
    }

    /// Whether the stream matches the file so far.
    pub(in crate::download) fn is_running(&self) -> bool {
        self.matcher.is_running()
    }

    /// Returns the match point if the ended stream contained the end of the file.
    pub(in crate::download) fn finish(&mut self) -> Option<MatchPoint> {
        let match_point = self.matcher.finish()?;
        self.is_plausible(&match_point).then_some(match_point)
    }

    /// Whether the match fits the server's clock.
    ///
    /// In a still picture with silence all keyframes look alike, so a stream that starts after the
    /// end of the file seems to start before it. The server's clock reveals this case: it neither
    /// started at 0 nor agrees with the file. A stream requested from 0 is certain.
    fn is_plausible(&self, match_point: &MatchPoint) -> bool {
        let has_begun_at_0 = self.first.is_none_or(|first| first.0 < AT_ONCE_MS);
        let differs_by_ms = match_point.offset_ms.unsigned_abs();
        let is_suspicious = (u64::from(AT_ONCE_MS)..OTHER_CLOCK_MS).contains(&differs_by_ms);
        self.start_ms == 0 || has_begun_at_0 || !is_suspicious
    }

    /// Returns the recording after its end was found in the stream.
    pub(in crate::download) fn into_recording(self) -> ExistingRecording {
        self.recording
    }

    /// The contents of the file.
    pub(in crate::download) fn recording(&self) -> &ExistingRecording {
        &self.recording
    }
}

/// Largest distance from 0 of a clock that counts from 0, and largest difference of two clocks that
/// count as equal.
const AT_ONCE_MS: u32 = 1_000;

/// Difference between the clocks of server and file that can only mean a different clock.
const OTHER_CLOCK_MS: u64 = 60_000;

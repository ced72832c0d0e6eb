//! Pause/unpause: makes a server send the next buffer of a recorded stream at once.
//!
//! Flash Media Server sends a recorded stream up to the announced buffer length, reports Buffer
//! Empty (user control event 31), and waits until a player would have played that much. A `pause`
//! resets this state, and the following unpause makes the server send another buffer, starting at
//! the keyframe before the position that the client names.
//!
//! The server therefore repeats media. This module drops the repetition track by track, so that no
//! frame is lost or duplicated: a frame before the latest timestamp of its track is a repetition,
//! and frames at the latest timestamp are compared by fingerprint, because several frames of a
//! track may share it.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::core::{
    flv::FrameInfo,
    rtmp::message::{Kind, Message, Timestamp},
};

/// The progress of each track, which decides where to pause and which messages are repeated.
///
/// Whether a pause is in flight is part of the state of the session.
#[derive(Debug)]
pub(super) struct PauseUnpause {
    is_enabled: bool,
    is_recorded: bool,
    /// The server has refused `pause`.
    is_refused: bool,
    /// Number of tries since the last new frame.
    tries: u32,
    audio: Track,
    video: Track,
    data: Track,
}

/// Whether a message is new to the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    New,
    /// The message repeats an earlier one. A repetition that advances towards new frames shows that
    /// the server is alive.
    Repeated {
        is_progress: bool,
    },
}

/// The progress of one track.
#[derive(Debug, Default)]
struct Track {
    /// The latest timestamp of a frame.
    latest: Option<Timestamp>,
    /// The messages with that timestamp.
    at_latest: Vec<Fingerprint>,
    sequence_header: Option<Fingerprint>,
    /// The messages of `at_latest` that the server may still repeat; `None` if no repetition is
    /// expected.
    expected_repeats: Option<Vec<Fingerprint>>,
    /// The latest timestamp of a repeated frame.
    latest_repeat: Option<Timestamp>,
}

/// A hash that distinguishes messages with the same timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint(u64);

impl PauseUnpause {
    /// `is_recorded` is true if the stream is known to be recorded in advance. A live stream is
    /// never paused, because it would lose the media of the pause.
    pub(super) fn new(is_enabled: bool, is_recorded: bool) -> Self {
        Self {
            is_enabled,
            is_recorded,
            is_refused: false,
            tries: 0,
            audio: Track::default(),
            video: Track::default(),
            data: Track::default(),
        }
    }

    /// Records that the stream is recorded.
    pub(super) fn set_recorded(&mut self) {
        self.is_recorded = true;
    }

    /// Prevents further tries: the server does not support `pause`.
    pub(super) fn disable(&mut self) {
        self.is_refused = true;
    }

    /// Returns true if pause/unpause is possible and was not tried since the last new frame.
    pub(super) fn is_first_try_available(&self) -> bool {
        self.tries == 0 && self.next_position().is_some()
    }

    /// Returns the position for the next pause, if one can help. The first try names the earlier
    /// track, because the server then sends everything that either track lacks. If that brings
    /// nothing new, the buffer is shorter than the distance between the tracks, or the earlier track
    /// has ended; the second try names the later track.
    pub(super) fn next_position(&self) -> Option<Timestamp> {
        if !self.is_enabled || !self.is_recorded || self.is_refused {
            return None;
        }
        let (earlier, later) = self.positions()?;
        match self.tries {
            0 => Some(earlier),
            1 if earlier != later => Some(later),
            _ => None,
        }
    }

    /// Records that a pause was sent.
    pub(super) fn record_try(&mut self) {
        self.tries = self.tries.saturating_add(1);
    }

    /// Records that the unpause was sent: from now on the server repeats messages.
    pub(super) fn expect_repeats(&mut self) {
        for track in [&mut self.audio, &mut self.video, &mut self.data] {
            // A track without frames has no messages to repeat.
            track.expected_repeats = track.latest.map(|_| track.at_latest.clone());
            track.latest_repeat = None;
        }
    }

    /// Records a new frame, after which pause/unpause may be tried again.
    pub(super) fn record_new_frame(&mut self) {
        self.tries = 0;
    }

    /// Decides whether `message` is new or repeats an earlier one. `is_resuming` is true between the
    /// unpause and the next new frame.
    pub(super) fn classify(
        &mut self,
        message: &Message,
        info: FrameInfo,
        is_resuming: bool,
    ) -> Novelty {
        if !self.is_enabled {
            return Novelty::New;
        }
        // Script data has no sequence headers: each message of it is taken for a frame.
        let is_frame = info.carries_media || message.kind == Kind::DATA;
        let track = match message.kind {
            Kind::AUDIO => &mut self.audio,
            Kind::VIDEO => &mut self.video,
            _ => &mut self.data,
        };
        // Servers send script data with timestamps that do not count, so after the repetition any
        // script data is new.
        if message.kind == Kind::DATA && !is_resuming {
            track.expected_repeats = None;
        }
        let fingerprint = fingerprint(&message.payload);
        let is_new = if info.is_sequence_header {
            track.is_new_sequence_header(fingerprint)
        } else {
            track.is_new(is_frame, message.timestamp, fingerprint)
        };
        if !is_new {
            let is_progress = is_frame && track.record_repeat(message.timestamp);
            return Novelty::Repeated { is_progress };
        }
        Novelty::New
    }

    /// Discards all progress: the following media has a new clock.
    pub(super) fn restart(&mut self) {
        *self = Self {
            is_refused: self.is_refused,
            ..Self::new(self.is_enabled, self.is_recorded)
        };
    }

    /// Returns the latest timestamps of audio and video, the earlier one first. A track that ended
    /// long ago does not count.
    fn positions(&self) -> Option<(Timestamp, Timestamp)> {
        let either = self.audio.latest.or(self.video.latest)?;
        let audio = self.audio.latest.unwrap_or(either);
        let video = self.video.latest.unwrap_or(either);
        let (earlier, later) = match audio.since(video) {
            ..0 => (audio, video),
            _ => (video, audio),
        };
        match later.since(earlier) {
            0..=MAX_LAG_MS => Some((earlier, later)),
            // The earlier track has ended, so it must not determine the position.
            _ => Some((later, later)),
        }
    }
}

impl Track {
    fn is_new_sequence_header(&mut self, message: Fingerprint) -> bool {
        // The server repeats sequence headers too. A changed one is new even among repetitions.
        let before = self.sequence_header.replace(message);
        self.expected_repeats.is_none() || before != Some(message)
    }

    fn is_new(&mut self, is_frame: bool, timestamp: Timestamp, message: Fingerprint) -> bool {
        let step_ms = self.latest.map_or(1, |latest| timestamp.since(latest));
        match step_ms {
            0 if self.take_expected_repeat(message) => return false,
            0 => {}
            // Without a preceding unpause, a step back is reordering, and the message is new.
            ..0 if !self.is_clock_change(step_ms) => return self.expected_repeats.is_none(),
            // Only frames advance a track.
            _ if !is_frame => return true,
            // A later frame, or one on a new clock, ends the repetition.
            _ => self.advance(timestamp),
        }
        if self.at_latest.len() < MAX_AT_ONCE {
            self.at_latest.push(message);
        }
        true
    }

    /// Returns true, once, for each message at the latest timestamp that the server was expected to
    /// repeat.
    fn take_expected_repeat(&mut self, message: Fingerprint) -> bool {
        let Some(expected_repeats) = &mut self.expected_repeats else {
            return false;
        };
        let index = expected_repeats.iter().position(|this| *this == message);
        if let Some(index) = index {
            expected_repeats.swap_remove(index);
        }
        index.is_some()
    }

    /// Records a repeated frame. Returns true if it is later than all earlier repetitions.
    fn record_repeat(&mut self, timestamp: Timestamp) -> bool {
        let step_ms = self
            .latest_repeat
            .map_or(1, |latest| timestamp.since(latest));
        match step_ms {
            1.. => self.latest_repeat = Some(timestamp),
            0 => {}
            // The server has moved back once more and may repeat all messages once more.
            _ => self.expected_repeats = Some(self.at_latest.clone()),
        }
        step_ms > 0
    }

    /// Returns true if a step back is too large for reordering, or, while repetition is expected, too
    /// large for a restart at a keyframe.
    fn is_clock_change(&self, step_ms: i32) -> bool {
        let usual_ms = match self.expected_repeats {
            Some(_) => MAX_REWIND_MS,
            None => MAX_DISORDER_MS,
        };
        step_ms.saturating_neg() > usual_ms
    }

    fn advance(&mut self, timestamp: Timestamp) {
        self.latest = Some(timestamp);
        self.at_latest.clear();
        self.expected_repeats = None;
    }
}

/// Hashes the length, the start and the end of a body, where frames with the same timestamp differ.
fn fingerprint(body: &[u8]) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    body.len().hash(&mut hasher);
    let end = body.len().saturating_sub(FINGERPRINT_BYTES);
    body.get(..FINGERPRINT_BYTES)
        .unwrap_or(body)
        .hash(&mut hasher);
    body.get(end..).unwrap_or(body).hash(&mut hasher);
    Fingerprint(hasher.finish())
}

/// Largest distance between two tracks that are both active: servers interleave more closely. With a
/// larger distance, the earlier track counts as ended.
const MAX_LAG_MS: i32 = 5_000;

/// Largest distance between the named position and the keyframe at which a server may restart: the
/// longest usual keyframe interval. A larger step back is a clock change.
const MAX_REWIND_MS: i32 = 60_000;

/// Largest step back of a track that is reordering and not a clock change.
const MAX_DISORDER_MS: i32 = 1_000;

/// Largest number of messages with the same track and timestamp that are distinguished: multitrack
/// streams have several.
const MAX_AT_ONCE: usize = 64;

/// Number of bytes at either end of a message that enter its fingerprint.
const FINGERPRINT_BYTES: usize = 64;

#[cfg(test)]
mod tests;

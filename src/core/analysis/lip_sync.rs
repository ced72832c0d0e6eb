//! Offset of audio and video at the start, and its drift.

use super::{drift::DriftMeter, facts::Drift};

/// Times of the main audio and video tracks.
#[derive(Debug)]
pub(super) struct LipSync {
    audio: Start,
    video: Start,
    /// Time of the latest frame of each track.
    latest_audio_ms: Option<i64>,
    latest_video_ms: Option<i64>,
    /// Sum of the steps of the audio.
    elapsed_ms: i64,
    meter: DriftMeter,
}

/// First time of a track.
#[derive(Debug, Default, Clone, Copy)]
struct Start {
    first_ms: Option<i64>,
    frames: u64,
}

impl LipSync {
    pub(super) fn new() -> Self {
        Self {
            audio: Start::default(),
            video: Start::default(),
            latest_audio_ms: None,
            latest_video_ms: None,
            elapsed_ms: 0,
            meter: DriftMeter::new(),
        }
    }

    /// Adds a picture that is decoded and shown at these times.
    pub(super) fn picture(&mut self, time_ms: i64, shown_ms: i64, follows: bool) {
        self.video.add(shown_ms, follows);
        self.latest_video_ms = Some(time_ms);
    }

    /// Adds an audio frame.
    pub(super) fn sound(&mut self, time_ms: i64, follows: bool) {
        self.audio.add(time_ms, follows);
        let before_ms = self.latest_audio_ms.replace(time_ms);
        if follows && let Some(before_ms) = before_ms {
            let step_ms = time_ms.saturating_sub(before_ms).max(0);
            self.elapsed_ms = self.elapsed_ms.saturating_add(step_ms);
        }
        let Some(video_ms) = self.latest_video_ms else {
            return;
        };
        let offset_ms = time_ms.saturating_sub(video_ms);
        // While the clock of the server restarts, the tracks have different clocks.
        if offset_ms.unsigned_abs() <= MAX_INTERLEAVING_MS {
            self.meter
                .add(self.elapsed_ms, offset_ms.saturating_mul(1000));
        }
    }

    /// Returns the time of the first audio frame minus that of the first picture.
    pub(super) fn offset_ms(&self) -> Option<i64> {
        Some(self.audio.first_ms?.saturating_sub(self.video.first_ms?))
    }

    /// Returns the drift of the audio against the video.
    pub(super) fn drift(&self) -> Option<Drift> {
        self.meter.drift()
    }
}

impl Start {
    fn add(&mut self, time_ms: i64, follows: bool) {
        self.frames = self.frames.saturating_add(1);
        // If the second frame does not follow the first one, the time of the first one was wrong.
        if self.frames == 1 || self.frames == 2 && !follows {
            self.first_ms = Some(time_ms);
        }
    }
}

/// Largest time by which a server sends one track before the other.
const MAX_INTERLEAVING_MS: u64 = 10_000;

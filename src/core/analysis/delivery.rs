//! Health of a stream: arrival of the main tracks, and how they fit together.

use std::time::Instant;

use super::{
    arrival::{ArrivalClock, Lateness},
    facts::{Drift, Health, Jitter},
    lip_sync::LipSync,
};
use crate::core::flv::{FrameInfo, TagKind};

/// Measures the frames of the main audio and video tracks.
#[derive(Debug)]
pub(super) struct Delivery {
    first_message: Option<Instant>,
    first_frame: Option<Instant>,
    first_keyframe: Option<Instant>,
    video: ArrivalClock,
    audio: ArrivalClock,
    lip_sync: LipSync,
}

impl Delivery {
    pub(super) fn new() -> Self {
        Self {
            first_message: None,
            first_frame: None,
            first_keyframe: None,
            video: ArrivalClock::new(),
            audio: ArrivalClock::new(),
            lip_sync: LipSync::new(),
        }
    }

    /// Adds a message of any type.
    pub(super) fn message(&mut self, arrived_at: Option<Instant>) {
        self.first_message = self.first_message.or(arrived_at);
    }

    /// Adds a frame of a main track. `follows` is whether its time can be compared with that of the frame before.
    pub(super) fn frame(
        &mut self,
        info: &FrameInfo,
        arrived_at: Option<Instant>,
        time_ms: i64,
        follows: bool,
    ) {
        let composition_ms = info.sample.map_or(0, |sample| sample.composition_ms);
        let arrival = match info.track {
            TagKind::VIDEO => {
                let shown_ms = time_ms.saturating_add(composition_ms.into());
                self.lip_sync.picture(time_ms, shown_ms, follows);
                &mut self.video
            }
            _ => {
                self.lip_sync.sound(time_ms, follows);
                &mut self.audio
            }
        };
        if let Some(arrived_at) = arrived_at {
            arrival.add(arrived_at, time_ms, follows);
        }
        self.first_frame = self.first_frame.or(arrived_at);
        if info.is_keyframe {
            self.first_keyframe = self.first_keyframe.or(arrived_at);
        }
    }

    /// Returns the measured fields; the others are `None`.
    pub(super) fn health(&self) -> Health {
        let burst = self.video.burst().into_iter().chain(self.audio.burst());
        Health {
            av_offset_ms: self.lip_sync.offset_ms(),
            av_drift: self.lip_sync.drift(),
            jitter: self.jitter(),
            clock_drift: self.clock_drift(),
            burst: burst.max_by_key(|burst| burst.media_ms),
            first_frame_ms: between(self.first_message, self.first_frame),
            first_keyframe_ms: between(self.first_frame, self.first_keyframe),
            ..Health::default()
        }
    }

    fn jitter(&self) -> Option<Jitter> {
        let mut lateness = Lateness::new();
        lateness.merge(&self.video.lateness);
        lateness.merge(&self.audio.lateness);
        lateness.jitter()
    }

    /// Returns the drift of the track that was measured longer.
    fn clock_drift(&self) -> Option<Drift> {
        let drifts = [self.audio.drift(), self.video.drift()];
        drifts
            .into_iter()
            .flatten()
            .max_by_key(|drift| drift.span_ms)
    }
}

fn between(start: Option<Instant>, end: Option<Instant>) -> Option<u64> {
    let between = end?.saturating_duration_since(start?);
    u64::try_from(between.as_millis()).ok()
}

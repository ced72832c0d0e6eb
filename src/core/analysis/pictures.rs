//! Keyframes and the order of the pictures of a video track.

use super::facts::{KeyframeFacts, Reordering, Spread};

/// Keyframes of a track, and the times between them.
#[derive(Debug, Default)]
pub(super) struct Keyframes {
    count: u64,
    frames_before: u64,
    /// Time of the latest keyframe, if no jump followed it.
    latest_ms: Option<i64>,
    /// Time of the latest keyframe, or of the first frame without one.
    reference_ms: Option<i64>,
    intervals: Intervals,
}

#[derive(Debug, Default, Clone, Copy)]
struct Intervals {
    count: u64,
    sum_ms: u64,
    spread: Option<(u64, u64)>,
}

impl Keyframes {
    /// Adds a frame. `follows` is whether its time can be compared with that of the frame before.
    pub(super) fn add(&mut self, time_ms: i64, is_keyframe: bool, follows: bool) {
        if !follows {
            self.latest_ms = None;
            self.reference_ms = None;
        }
        self.reference_ms.get_or_insert(time_ms);
        if !is_keyframe {
            let is_before = u64::from(self.count == 0);
            self.frames_before = self.frames_before.saturating_add(is_before);
            return;
        }
        self.count = self.count.saturating_add(1);
        self.reference_ms = Some(time_ms);
        if let Some(latest_ms) = self.latest_ms.replace(time_ms) {
            let interval_ms = time_ms.saturating_sub(latest_ms);
            self.intervals.add(u64::try_from(interval_ms).unwrap_or(0));
        }
    }

    /// Whether a keyframe arrived.
    pub(super) fn has_keyframe(&self) -> bool {
        self.count > 0
    }

    /// Whether a complete GOP arrived.
    pub(super) fn has_interval(&self) -> bool {
        self.intervals.count > 0
    }

    /// Returns the facts. The latest frame of the track has the time `last_ms`.
    pub(super) fn facts(&self, last_ms: Option<i64>) -> KeyframeFacts {
        let since_latest = last_ms
            .zip(self.reference_ms)
            .map(|(last_ms, reference_ms)| last_ms.saturating_sub(reference_ms));
        KeyframeFacts {
            count: self.count,
            frames_before: self.frames_before,
            interval: self.intervals.spread(),
            since_latest_ms: u64::try_from(since_latest.unwrap_or(0)).unwrap_or(0),
        }
    }
}

impl Intervals {
    fn add(&mut self, interval_ms: u64) {
        self.count = self.count.saturating_add(1);
        self.sum_ms = self.sum_ms.saturating_add(interval_ms);
        let (min_ms, max_ms) = self.spread.unwrap_or((interval_ms, interval_ms));
        self.spread = Some((min_ms.min(interval_ms), max_ms.max(interval_ms)));
    }

    fn spread(&self) -> Option<Spread> {
        let (min_ms, max_ms) = self.spread?;
        let mean_ms = self.sum_ms.checked_div(self.count)?;
        Some(Spread {
            min_ms,
            mean_ms,
            max_ms,
        })
    }
}

/// Compares the order in which the frames of a track are shown with that in which they arrive.
#[derive(Debug, Default)]
pub(super) struct PictureOrder {
    facts: Reordering,
    has_frames: bool,
    /// Presentation times of the latest frames; `None` before [`WINDOW`] frames.
    shown_ms: [Option<i64>; WINDOW],
}

impl PictureOrder {
    /// Adds a frame. `follows` is whether its time can be compared with that of the frame before.
    pub(super) fn add(&mut self, time_ms: i64, composition_ms: i32, follows: bool) {
        if !follows {
            self.shown_ms = [None; WINDOW];
        }
        let shown_ms = time_ms.saturating_add(composition_ms.into());
        let later = self
            .shown_ms
            .iter()
            .flatten()
            .filter(|shown| **shown > shown_ms);
        let depth = u8::try_from(later.count()).unwrap_or(u8::MAX);
        let facts = &mut self.facts;
        facts.depth = facts.depth.max(depth);
        facts.reordered_frames = facts.reordered_frames.saturating_add((depth > 0).into());
        facts.offset_frames = facts
            .offset_frames
            .saturating_add((composition_ms != 0).into());
        if !self.has_frames {
            (facts.min_offset_ms, facts.max_offset_ms) = (composition_ms, composition_ms);
        }
        facts.min_offset_ms = facts.min_offset_ms.min(composition_ms);
        facts.max_offset_ms = facts.max_offset_ms.max(composition_ms);
        self.has_frames = true;
        self.shown_ms.rotate_left(1);
        if let Some(last) = self.shown_ms.last_mut() {
            *last = Some(shown_ms);
        }
    }

    /// Returns the facts.
    pub(super) fn facts(&self) -> Reordering {
        self.facts
    }
}

/// Number of frames whose order is compared. AVC and HEVC reorder at most 16 frames (H.264 A.3.1).
const WINDOW: usize = 16;

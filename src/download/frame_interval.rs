//! Intervals between the frames of a stream.

use crate::core::flv::TagKind;

/// Latest frame of each track and the interval before it.
#[derive(Debug, Default)]
pub(super) struct FrameInterval {
    audio: Track,
    video: Track,
    interval_ms: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Track {
    latest_ms: Option<u64>,
    interval_ms: u64,
}

impl FrameInterval {
    /// Records a frame at this output time.
    pub(super) fn record(&mut self, kind: TagKind, at_ms: u64) {
        let (track, other) = self.tracks(kind);
        if let Some(latest_ms) = track.latest_ms.replace(at_ms) {
            track.interval_ms = at_ms.saturating_sub(latest_ms).min(MAX_INTERVAL_MS);
            if other.latest_ms <= Some(at_ms) {
                self.interval_ms = track.interval_ms;
            }
        }
    }

    /// Returns the interval between two frames of the leading track, in milliseconds.
    pub(super) fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    /// Whether a frame at this output time follows the recorded frames without a gap: it is the next
    /// frame of its track, and no frame of the other track is due before it.
    pub(super) fn is_next(&self, kind: TagKind, at_ms: u64) -> bool {
        let (own, other) = match kind {
            TagKind::VIDEO => (self.video, self.audio),
            _ => (self.audio, self.video),
        };
        let is_own = own
            .latest_ms
            .zip(own.due_ms())
            .is_none_or(|(latest_ms, due_ms)| {
                latest_ms < at_ms && at_ms <= due_ms.saturating_add(MAX_UNEVENNESS_MS)
            });
        let misses_other = other.due_ms().is_some_and(|due_ms| {
            // A track that is late by more than the largest interval has ended: nothing is missing.
            let late_ms = at_ms.saturating_sub(due_ms);
            (MAX_UNEVENNESS_MS + 1..=MAX_INTERVAL_MS).contains(&late_ms)
        });
        is_own && !misses_other
    }

    fn tracks(&mut self, kind: TagKind) -> (&mut Track, Track) {
        match kind {
            TagKind::VIDEO => (&mut self.video, self.audio),
            _ => (&mut self.audio, self.video),
        }
    }
}

impl Track {
    /// Returns the output time at which the next frame is due.
    fn due_ms(&self) -> Option<u64> {
        let latest_ms = self.latest_ms?;
        Some(latest_ms.saturating_add(self.interval_ms))
    }
}

/// Largest interval between two frames, in milliseconds. A longer one is a gap.
const MAX_INTERVAL_MS: u64 = 10_000;

/// Largest deviation from an even interval, in milliseconds, because times are rounded.
const MAX_UNEVENNESS_MS: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_is_that_of_the_leading_track() {
        let mut interval = FrameInterval::default();
        for at_ms in [0, 23, 46] {
            interval.record(TagKind::AUDIO, at_ms);
        }
        assert_eq!(interval.interval_ms(), 23);
        interval.record(TagKind::VIDEO, 0);
        interval.record(TagKind::VIDEO, 40);
        assert_eq!(interval.interval_ms(), 23);
        interval.record(TagKind::VIDEO, 80);
        assert_eq!(interval.interval_ms(), 40);
        interval.record(TagKind::VIDEO, 100_000);
        assert_eq!(interval.interval_ms(), MAX_INTERVAL_MS);
    }

    #[test]
    fn next_frame_has_no_due_frame_before_it() {
        let mut interval = FrameInterval::default();
        let frames = [
            (TagKind::AUDIO, 0),
            (TagKind::VIDEO, 0),
            (TagKind::AUDIO, 23),
            (TagKind::VIDEO, 40),
            (TagKind::AUDIO, 46),
            (TagKind::AUDIO, 70),
        ];
        for (kind, at_ms) in frames {
            interval.record(kind, at_ms);
        }
        for at_ms in 71..=95 {
            assert!(
                interval.is_next(TagKind::AUDIO, at_ms) == (at_ms <= 81),
                "{at_ms}"
            );
        }
        for at_ms in 41..=130 {
            assert!(
                interval.is_next(TagKind::VIDEO, at_ms) == (at_ms <= 81),
                "{at_ms}"
            );
        }
        assert!(!interval.is_next(TagKind::AUDIO, 70));
        assert!(!interval.is_next(TagKind::VIDEO, 40));
        // Audio continues alone after the end of the video.
        for at_ms in (94..12_000).step_by(24) {
            interval.record(TagKind::AUDIO, at_ms);
        }
        assert!(interval.is_next(TagKind::AUDIO, 12_014));
        assert!(!interval.is_next(TagKind::AUDIO, 12_100));
    }
}

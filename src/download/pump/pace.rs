//! How the frames of a stream follow each other.

use crate::flv::TagKind;

/// The latest frames of both tracks, and the times between them.
#[derive(Debug, Default)]
pub(super) struct Pace {
    audio: Track,
    video: Track,
    interval_ms: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Track {
    latest_ms: Option<u64>,
    interval_ms: u64,
}

impl Pace {
    /// Takes note of a frame at this place of the output.
    pub(super) fn frame(&mut self, kind: TagKind, at_ms: u64) {
        let (track, other) = self.tracks(kind);
        if let Some(latest_ms) = track.latest_ms.replace(at_ms) {
            track.interval_ms = at_ms.saturating_sub(latest_ms).min(MAX_INTERVAL_MS);
            if other.latest_ms <= Some(at_ms) {
                self.interval_ms = track.interval_ms;
            }
        }
    }

    /// The time between two frames of the track that is ahead, in milliseconds.
    pub(super) fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    fn tracks(&mut self, kind: TagKind) -> (&mut Track, Track) {
        match kind {
            TagKind::VIDEO => (&mut self.video, self.audio),
            _ => (&mut self.audio, self.video),
        }
    }
}

/// The longest time between two frames that tells a pace; more is a gap.
const MAX_INTERVAL_MS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_track_that_is_ahead() {
        let mut pace = Pace::default();
        for at_ms in [0, 23, 46] {
            pace.frame(TagKind::AUDIO, at_ms);
        }
        assert_eq!(pace.interval_ms(), 23);
        pace.frame(TagKind::VIDEO, 0);
        pace.frame(TagKind::VIDEO, 40);
        assert_eq!(pace.interval_ms(), 23);
        pace.frame(TagKind::VIDEO, 80);
        assert_eq!(pace.interval_ms(), 40);
        pace.frame(TagKind::VIDEO, 100_000);
        assert_eq!(pace.interval_ms(), MAX_INTERVAL_MS);
    }
}

//! Output times of the latest frames.

use crate::core::flv::{FrameInfo, TagKind};

/// Output times of the latest frames of both tracks, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct LatestFrames {
    audio_ms: Option<u64>,
    video_ms: Option<u64>,
    /// Time of the latest video frame, or of the first audio frame if there was no video yet.
    without_video_since_ms: Option<u64>,
    has_video: bool,
}

impl LatestFrames {
    /// Records a message at its output time.
    pub(super) fn note(&mut self, info: FrameInfo, at_ms: u64) {
        let is_video = info.track == TagKind::VIDEO;
        self.has_video |= is_video;
        if !info.carries_media {
            return;
        }
        if is_video {
            self.video_ms = Some(at_ms);
            self.without_video_since_ms = self.without_video_since_ms.max(Some(at_ms));
        } else {
            self.audio_ms = Some(at_ms);
            self.without_video_since_ms.get_or_insert(at_ms);
        }
    }

    /// Records that the recording has video, although none has arrived.
    pub(super) fn expect_video(&mut self) {
        self.has_video = true;
    }

    /// Whether a player can start with this frame: a keyframe, or audio without video.
    ///
    /// A publisher that switches its camera off continues with audio. After [`MAX_VIDEO_PAUSE_MS`] no
    /// keyframe is expected, and any audio frame is a start.
    pub(super) fn is_start(&self, info: FrameInfo, at_ms: u64) -> bool {
        if info.track == TagKind::VIDEO {
            return info.is_keyframe;
        }
        let is_pause = |since_ms| at_ms.saturating_sub(since_ms) > MAX_VIDEO_PAUSE_MS;
        let is_audio_only = !self.has_video || self.without_video_since_ms.is_some_and(is_pause);
        info.carries_media && is_audio_only
    }

    /// Time of the latest frame of the other track.
    pub(super) fn other_than(&self, track: TagKind) -> Option<u64> {
        match track {
            TagKind::VIDEO => self.audio_ms,
            _ => self.video_ms,
        }
    }
}

/// Longest pause between two video frames.
const MAX_VIDEO_PAUSE_MS: u64 = 60_000;

//! Detects a server that sends a recorded stream from its beginning although a later start was
//! requested.
//!
//! A first timestamp of 0 proves nothing: most servers count from the requested start. The length
//! of the received stream decides. The start was ignored if all of this holds:
//!
//! 1. The first timestamp is nearer to 0 than to the requested start. Otherwise the server counts
//!    from the beginning of the stream, and the timestamp shows where it started.
//! 2. The requested start lies before the announced duration, and the received stream is as long as
//!    that duration. A stream from the requested start would be shorter.
//! 3. The stream could have started later: at a keyframe at or before the requested start. A server
//!    that starts at the keyframe before the requested start may have to start at 0.
//!
//! With an early `--stop`, the download ends before the second condition can hold, so an ignored
//! start is not detected.

use super::{Next, Pump};
use crate::{
    core::{
        flv::{FrameInfo, TagKind},
        rtmp::client::{End, Timeout},
    },
    download::outcome::{DURATION_TOLERANCE_MS, EndCause},
};

/// Positions at which the received stream could have started instead.
#[derive(Debug, Default)]
pub(super) struct StartCheck {
    /// Output time of the first frame.
    first_ms: Option<u64>,
    has_video: bool,
    /// Latest video keyframe at or before the requested start, from the first frame on.
    keyframe_ms: u64,
    /// Latest audio frame at or before the requested start, from the first frame on.
    audio_ms: u64,
}

impl StartCheck {
    /// Records a frame. `start_ms` is the requested start.
    pub(super) fn record(&mut self, info: FrameInfo, at_ms: u64, start_ms: u64) {
        let first_ms = *self.first_ms.get_or_insert(at_ms);
        let since_first_ms = at_ms.saturating_sub(first_ms);
        self.has_video |= info.track == TagKind::VIDEO;
        if since_first_ms > start_ms {
            return;
        }
        if info.is_keyframe {
            self.keyframe_ms = since_first_ms;
        } else if info.track == TagKind::AUDIO {
            self.audio_ms = since_first_ms;
        }
    }

    /// Latest position at which the server could have started.
    fn entry_ms(&self) -> u64 {
        if self.has_video {
            self.keyframe_ms
        } else {
            self.audio_ms
        }
    }
}

impl Pump<'_> {
    /// Replaces a regular end if the recording is not the requested range.
    pub(super) fn reject_ignored_start(&self, next: Next) -> Next {
        let is_end = matches!(
            next,
            Next::Finish(
                EndCause::PeerClosed { .. }
                    | EndCause::Session(
                        End::Complete(_)
                            | End::Unpublished(_)
                            | End::Closed(_)
                            | End::TimedOut(Timeout::Silence)
                    )
            )
        );
        if is_end && self.has_ignored_start() {
            let start_ms = self.range.start_ms;
            return EndCause::StartIgnored { start_ms }.into();
        }
        next
    }

    fn has_ignored_start(&self) -> bool {
        let start_ms = self.range.start_ms;
        let (Some(first_ms), Some(duration_ms)) = (self.first_timestamp_ms, self.duration_ms)
        else {
            return false;
        };
        let facts = self.facts();
        let tolerance_ms = DURATION_TOLERANCE_MS.max(2 * facts.frame_interval_ms);
        !self.is_continuation
            && u64::from(first_ms) < start_ms / 2
            && start_ms < duration_ms
            && facts.length_ms.saturating_add(tolerance_ms) >= duration_ms
            && self.start_check.entry_ms() > tolerance_ms
    }
}

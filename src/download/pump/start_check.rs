//! Detects a server that sends a recorded stream from its beginning although a later start was
//! requested.
//!
//! A first timestamp of 0 proves nothing: most servers count from the requested start. Without `--stop`,
//! the length of the received stream decides. The start was ignored if all of this holds:
//!
//! 1. The first timestamp is nearer to 0 than to the requested start. Otherwise the server counts
//!    from the beginning of the stream, and the timestamp shows where it started.
//! 2. The requested start lies before the announced duration, and the received stream is as long as
//!    that duration. A stream from the requested start would be shorter.
//! 3. The stream could have started later: at a keyframe at or before the requested start. A server
//!    that starts at the keyframe before the requested start may have to start at 0.
//!
//! With `--stop`, the download ends before the second condition can hold. Instead, rtmpull plays the
//! beginning of the stream on a second connection. The start was ignored if the recording starts with the
//! same frames, although a keyframe lies between them and the requested start, or must lie there.

use super::{Next, Pump, StreamSource};
use crate::{
    core::{
        flv::{FrameInfo, TagKind},
        rejoin::history::Content,
        rtmp::client::{End, Timeout},
    },
    download::{
        Stop,
        outcome::{DURATION_TOLERANCE_MS, EndCause},
    },
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
    beginning: Beginning,
}

/// The first frames of a stream, audio and video apart, because a server may interleave them differently.
#[derive(Debug, Default)]
struct Beginning {
    audio: Vec<Content>,
    video: Vec<Content>,
}

impl StartCheck {
    /// Records a frame. `start_ms` is the requested start.
    pub(super) fn record(&mut self, info: FrameInfo, at_ms: u64, body: &[u8], start_ms: u64) {
        if start_ms == 0 {
            return;
        }
        self.beginning.add(info, body);
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

impl Beginning {
    /// Adds a frame, and returns whether enough frames are known.
    fn add(&mut self, info: FrameInfo, body: &[u8]) -> bool {
        if !self.is_full() && info.carries_media {
            match info.track {
                TagKind::AUDIO => self.audio.push(Content::of(info, body)),
                TagKind::VIDEO => self.video.push(Content::of(info, body)),
                _ => {}
            }
        }
        self.is_full()
    }

    fn is_full(&self) -> bool {
        self.audio.len().saturating_add(self.video.len()) >= COMPARED_FRAMES
    }

    /// Whether both streams start with the same frames. A single frame proves nothing.
    fn is_like(&self, other: &Self) -> bool {
        let tracks = [(&self.audio, &other.audio), (&self.video, &other.video)];
        let pairs = || {
            tracks
                .iter()
                .flat_map(|(one, other)| one.iter().zip(*other))
        };
        pairs().count() > 1 && pairs().all(|(one, other)| one == other)
    }
}

impl Pump<'_> {
    /// Replaces a regular end if the recording is not the requested range.
    pub(super) async fn reject_ignored_start(
        &mut self,
        next: Next,
        source: &StreamSource<'_>,
        stop: &mut Stop,
    ) -> Next {
        let is_ignored = match &next {
            Next::Finish(cause) if is_end(cause) && self.has_ignored_start() => true,
            Next::Finish(cause) if is_end(cause) || matches!(cause, EndCause::Limit) => {
                // Boxed, because almost no stream needs this comparison.
                self.may_have_ignored_start() && Box::pin(self.has_beginning(source, stop)).await
            }
            _ => false,
        };
        if is_ignored {
            let start_ms = self.range.start_ms;
            return EndCause::StartIgnored { start_ms }.into();
        }
        next
    }

    /// Whether the received stream is as long as the complete one.
    pub(super) fn has_ignored_start(&self) -> bool {
        let Some(duration_ms) = self.duration_ms else {
            return false;
        };
        self.may_start_at_0()
            && self.range.start_ms < duration_ms
            && self.facts().length_ms.saturating_add(self.tolerance_ms()) >= duration_ms
            && self.start_check.entry_ms() > self.tolerance_ms()
    }

    /// Whether a comparison with the beginning of the stream can show that the start was ignored. A server
    /// that starts at the keyframe before the requested start may have to start at 0.
    fn may_have_ignored_start(&self) -> bool {
        let has_later_entry = self.start_check.entry_ms() > self.tolerance_ms();
        self.range.length_ms.is_some()
            && self.may_start_at_0()
            && (has_later_entry || self.range.start_ms >= MAX_KEYFRAME_INTERVAL_MS)
    }

    /// Whether the timestamps allow that the received stream starts at the beginning.
    fn may_start_at_0(&self) -> bool {
        let first_ms = self.first_timestamp_ms.map(u64::from);
        !self.is_continuation && first_ms.is_some_and(|first_ms| first_ms < self.range.start_ms / 2)
    }

    fn tolerance_ms(&self) -> u64 {
        DURATION_TOLERANCE_MS.max(self.facts().frame_interval_ms.saturating_mul(2))
    }

    /// Whether the recording starts with the beginning of the stream.
    async fn has_beginning(&mut self, source: &StreamSource<'_>, stop: &mut Stop) -> bool {
        tracing::info!("comparing the recording with the beginning of the stream");
        let mut beginning = Beginning::default();
        let mut tracks = self.tracks.new_filter();
        let playing = Box::pin(source.play_beginning(|mut message, info| {
            let info = tracks.select(info, &mut message.payload);
            info.is_some_and(|info| beginning.add(info, &message.payload))
        }));
        match self.flush_while(playing, stop).await {
            Ok(Some(())) => self.start_check.beginning.is_like(&beginning),
            _ => {
                tracing::warn!("cannot check whether the server honored --start");
                false
            }
        }
    }
}

/// Whether the server ended the stream.
fn is_end(cause: &EndCause) -> bool {
    matches!(
        cause,
        EndCause::PeerClosed { .. }
            | EndCause::Session(
                End::Complete(_)
                    | End::Unpublished(_)
                    | End::Closed(_)
                    | End::TimedOut(Timeout::Silence)
            )
    )
}

/// Number of frames that are compared with the beginning of the stream.
const COMPARED_FRAMES: usize = 50;

/// Largest usual distance between two keyframes, in milliseconds.
const MAX_KEYFRAME_INTERVAL_MS: u64 = 10_000;

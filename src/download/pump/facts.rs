//! Facts about the download: how far it got, and whether the stream is live.

use super::Pump;
use crate::{
    core::{
        flv::TagKind,
        rtmp::{
            client::{
                Client, End, Timeout,
                config::{Config, Encryption},
            },
            error::Error,
            handshake,
        },
    },
    download::{
        Progress,
        outcome::{EndCause, Facts},
    },
};

/// How far the latest connection got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Handshake,
    Connect,
    Connected,
    /// The server reported the start of playback.
    Playing,
    /// Audio or video arrived, perhaps only frames that the recording contains.
    Media,
}

impl Pump<'_> {
    /// Whether to retry with a plain handshake: the server disconnected during a digest handshake,
    /// which very old servers lack. Silence is not a reason, and an encrypted session never
    /// becomes a plain one.
    pub(in crate::download) fn may_need_plain_handshake(
        &self,
        cause: &EndCause,
        session: &Config,
    ) -> bool {
        self.stage == Stage::Handshake
            && session.handshake == handshake::Mode::Auto
            && session.encryption == Encryption::None
            && cause.is_disconnect()
    }

    /// Whether the session failed right after a handshake in which the two sides may have derived
    /// different keys.
    pub(in crate::download) fn may_have_mismatched_keys(
        &self,
        cause: &EndCause,
        client: &Client,
    ) -> bool {
        self.stage == Stage::Connect && client.keys_may_differ() && failed_to_communicate(cause)
    }

    /// Whether to send one command at a time on a new connection: the server did not answer
    /// `connect` in a way that can be decoded. Some servers do not expect commands before their
    /// answer to `connect`. Different keys explain such a failure better.
    pub(in crate::download) fn may_need_serial_commands(
        &self,
        cause: &EndCause,
        client: &Client,
    ) -> bool {
        self.stage == Stage::Connect && !client.keys_may_differ() && failed_to_communicate(cause)
    }

    /// Whether the connection ended before the server started playback.
    pub(in crate::download) fn has_failed_before_playing(&self) -> bool {
        matches!(self.stage, Stage::Connect | Stage::Connected)
    }

    /// Whether the connection ended before the server accepted `connect` and played.
    pub(in crate::download) fn has_failed_to_start(&self) -> bool {
        self.stage < Stage::Playing
    }

    /// Whether the connection ended after the start of playback and before any audio or video.
    pub(in crate::download) fn has_failed_before_media(&self) -> bool {
        self.stage == Stage::Playing
    }

    /// Returns the facts from which the ending is judged.
    pub(in crate::download) fn facts(&self) -> Facts {
        let first_timestamp_ms = self.first_timestamp_ms.unwrap_or(0);
        Facts {
            is_live: self.is_live() || self.behaves_like_live(),
            is_recorded: self.is_recorded,
            is_connected: self.stage >= Stage::Connected,
            is_shaking_hands: self.stage == Stage::Handshake,
            is_playing: self.stage >= Stage::Playing,
            has_media: self.has_media,
            first_timestamp_ms: self.range.stream_position_ms(first_timestamp_ms),
            length_ms: self
                .clock
                .position_ms()
                .saturating_sub(self.range.output_start_ms(first_timestamp_ms)),
            // Until the stream contains the end of the existing recording, nothing counts as
            // complete.
            duration_ms: self
                .range
                .stream_end_ms(self.duration_ms)
                .filter(|_| self.resume_target().is_none()),
            frame_interval_ms: self.frame_interval.interval_ms(),
            timeouts: self.timeouts,
        }
    }

    pub(in crate::download) fn progress(&self) -> Progress {
        Progress {
            frames: self.frames,
            video_frames: self.video_frames,
            received_bytes: self.received_bytes,
            bytes: self.output.totals().bytes,
            position_ms: match self.resume_target() {
                Some(recording) => recording.end_ms(),
                None => self.clock.position_ms(),
            },
            duration_ms: self.duration_ms,
            is_live: self.seems_live(),
            drops: self.output.drops(),
        }
    }

    pub(in crate::download) fn report_progress(&mut self) {
        while let Some(range) = self.output.take_segment() {
            self.report.segment(&range);
        }
        let opened_files = self.output.opened_files();
        if opened_files != self.opened_files
            && let Some(path) = self.output.current_file()
        {
            self.opened_files = opened_files;
            self.report.file_opened(path);
        }
        while let Some(gap) = self.output.take_gap() {
            self.report.gap(&gap);
            self.gaps.push(gap);
        }
        if self.has_media {
            let progress = self.progress();
            self.report.progress(&progress);
        }
    }

    /// A stream that the server does not call recorded counts as live once media has arrived.
    pub(super) fn is_live(&self) -> bool {
        let is_called_recorded = self.is_recorded || self.duration_ms.is_some();
        self.is_live_requested || self.has_media && !is_called_recorded
    }

    /// Whether the ending counts as that of a live stream, even if the server announces a recorded one. Some
    /// servers announce every stream as recorded, and encoders that play a file announce its duration.
    ///
    /// A recorded stream that arrives in real time from the start also counts as live, because the two
    /// cannot be distinguished.
    pub(super) fn behaves_like_live(&self) -> bool {
        let has_duration = self.duration_ms.is_some();
        self.has_media && (self.is_published || !has_duration || self.arrival_speed.is_real_time())
    }

    /// Whether the stream is live as far as is known. Without an announcement, it counts as live until it
    /// arrives faster than it plays.
    pub(super) fn seems_live(&self) -> bool {
        self.is_live() || self.is_published || !self.is_recorded && !self.arrival_speed.is_faster()
    }

    pub(in crate::download) fn has_media(&self) -> bool {
        self.has_media
    }

    /// Returns the tracks with frames that cannot be decoded.
    pub(in crate::download) fn missing_sequence_headers(&self) -> Vec<TagKind> {
        self.headers.missing()
    }
}

/// Whether the peer disconnected, sent bytes that are not chunks, or did not answer `connect`.
fn failed_to_communicate(cause: &EndCause) -> bool {
    matches!(
        cause,
        EndCause::PeerClosed { .. }
            | EndCause::Broken(_)
            | EndCause::Protocol(Error::Chunk(_))
            | EndCause::Session(End::TimedOut(Timeout::Connect))
    )
}

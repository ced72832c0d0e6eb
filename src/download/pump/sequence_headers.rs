//! Detects missing sequence headers, and fetches them for a recorded stream.
//!
//! Some servers send the sequence headers only to clients that play a recorded stream from its
//! beginning. If the first frame after `--start` lacks its header, rtmpull plays the beginning of
//! the stream on a second connection until both headers are known. Meanwhile it does not read from
//! the first connection, so TCP holds the frames and nothing needs to be buffered here.

use std::mem;

use super::{Pump, StreamSource};
use crate::{
    core::{
        flv::{FrameInfo, TagKind},
        rtmp::message::Message,
    },
    download::{Stop, outcome::EndCause},
};

/// Sequence headers that arrived, and frames that need one. All tracks of a kind count as one.
#[derive(Debug, Default)]
pub(super) struct HeaderCheck {
    video: TrackHeaders,
    audio: TrackHeaders,
    fetch: Fetch,
}

#[derive(Debug, Default)]
struct TrackHeaders {
    has_header: bool,
    /// Number of frames that need a header that has not arrived.
    frames: u32,
}

/// Search for the headers on another connection.
#[derive(Debug, Default)]
enum Fetch {
    #[default]
    NotTried,
    /// The search must start. The frame that lacks its header is handled after it.
    Due(Box<(Message, FrameInfo)>),
    Tried,
}

impl HeaderCheck {
    /// Assumes that all headers are present, because an existing recording contains them.
    pub(super) fn assume_present(&mut self) {
        self.video.has_header = true;
        self.audio.has_header = true;
    }

    /// Records a message. Warns once per track if frames continue to arrive without a header.
    pub(super) fn record(&mut self, info: FrameInfo) {
        let is_missing = self.is_missing(info);
        let Some(track) = self.track(info.track) else {
            return;
        };
        track.has_header |= info.is_sequence_header;
        if !is_missing {
            return;
        }
        track.frames = track.frames.saturating_add(1);
        if track.frames == FRAMES_BEFORE_WARNING {
            tracing::warn!(
                "no {} sequence header arrived, so players cannot decode the {0}",
                info.track
            );
        }
    }

    /// Whether a decoder needs a header for this frame and none has arrived.
    fn is_missing(&self, info: FrameInfo) -> bool {
        info.carries_media
            && !self.has_header(info.track)
            && info
                .codec
                .is_some_and(|codec| codec.needs_sequence_header())
    }

    fn has_header(&self, kind: TagKind) -> bool {
        match kind {
            TagKind::VIDEO => self.video.has_header,
            TagKind::AUDIO => self.audio.has_header,
            _ => true,
        }
    }

    /// Postpones a frame that lacks its header until the search for headers has finished.
    pub(super) fn postpone(&mut self, message: Message, info: FrameInfo) {
        self.fetch = Fetch::Due(Box::new((message, info)));
    }

    /// Returns the tracks with frames that cannot be decoded.
    pub(super) fn missing(&self) -> Vec<TagKind> {
        let tracks = [(TagKind::VIDEO, &self.video), (TagKind::AUDIO, &self.audio)];
        let missing = tracks
            .into_iter()
            .filter(|(_, track)| !track.has_header && track.frames > 0);
        missing.map(|(kind, _)| kind).collect()
    }

    fn track(&mut self, kind: TagKind) -> Option<&mut TrackHeaders> {
        match kind {
            TagKind::VIDEO => Some(&mut self.video),
            TagKind::AUDIO => Some(&mut self.audio),
            _ => None,
        }
    }

    /// Whether a search for headers must run before anything else is handled.
    pub(super) fn is_fetch_due(&self) -> bool {
        matches!(self.fetch, Fetch::Due(_))
    }
}

impl Pump<'_> {
    /// Whether the beginning of the stream may supply the header that this frame lacks.
    pub(super) fn must_fetch_headers(&self, info: FrameInfo) -> bool {
        matches!(self.headers.fetch, Fetch::NotTried)
            && self.range.start_ms > 0
            && self.rejoin.is_none()
            && self.headers.is_missing(info)
    }

    /// Searches for the headers, then continues with the postponed frame. Call it if the search is due.
    pub(super) async fn fetch_due_headers(
        &mut self,
        source: &StreamSource<'_>,
        stop: &mut Stop,
    ) -> Result<(), EndCause> {
        tracing::info!(
            "the stream has no sequence header, playing its beginning on another connection"
        );
        let reading = Box::pin(read_headers(source));
        let found = self.flush_while(reading, stop).await?;
        let now = self.check_limits()?;
        let mut found = found.unwrap_or_default();
        // Each of several tracks has a header, so the first one must not exclude the others.
        found.retain(|(_, info)| !self.headers.has_header(info.track));
        for (message, info) in found {
            if let Some((message, info)) = self.select_tracks(now, message, info) {
                self.message(now, message, info)?;
            }
        }
        if let Fetch::Due(frame) = mem::replace(&mut self.headers.fetch, Fetch::Tried) {
            self.message(now, frame.0, frame.1)?;
        }
        Ok(())
    }
}

/// Returns the headers before the first frames of the stream, or `None` if no connection works.
async fn read_headers(source: &StreamSource<'_>) -> Option<Vec<(Message, FrameInfo)>> {
    let mut found = Found::default();
    source
        .play_beginning(|message, info| found.add(message, info))
        .await?;
    Some(found.headers)
}

/// Headers at the beginning of a stream.
#[derive(Default)]
struct Found {
    headers: Vec<(Message, FrameInfo)>,
    /// Size of all headers.
    bytes: usize,
    frames: u32,
    has_video: bool,
    has_audio: bool,
}

impl Found {
    /// Adds a message, and returns whether no further header is expected. Servers send the header of a
    /// track before its first frame. A track may be missing, so the number of frames is limited too.
    fn add(&mut self, message: Message, info: FrameInfo) -> bool {
        if info.is_sequence_header
            && self.headers.len() < MAX_HEADERS
            && message.payload.len() <= MAX_HEADER_BYTES.saturating_sub(self.bytes)
        {
            self.bytes = self.bytes.saturating_add(message.payload.len());
            self.headers.push((message, info));
        } else if info.carries_media {
            self.frames = self.frames.saturating_add(1);
            self.has_video |= info.track == TagKind::VIDEO;
            self.has_audio |= info.track == TagKind::AUDIO;
        }
        self.has_video && self.has_audio || self.frames >= MAX_FRAMES
    }
}

/// Largest number of headers that are kept: those of 256 audio and 256 video tracks.
const MAX_HEADERS: usize = 512;

/// Largest size of all headers; a usual one has a few hundred bytes.
const MAX_HEADER_BYTES: usize = 1024 * 1024;

/// Number of frames after which no further track is expected at the beginning of the stream.
const MAX_FRAMES: u32 = 50;

/// Number of frames after which a header counts as missing. Some servers send it a few frames late.
const FRAMES_BEFORE_WARNING: u32 = 25;

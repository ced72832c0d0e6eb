//! The boundary between a recording and its container format.

use crate::core::{
    amf::Object,
    flv::{FrameInfo, HeadWriter, Layout, Metadata, Tag, TagKind, head, head_writer::Patch},
    payload::Payload,
};

/// Turns the messages of one file or pipe into the bytes of its container.
///
/// The caller writes [`Muxer::head`], then the units of [`Muxer::frame`] in order, and passes each unit to
/// [`Muxer::written`] once the file contains it. [`Muxer::patches`] then updates the head in place.
#[derive(Debug)]
pub(super) enum Muxer {
    Flv(HeadWriter),
}

/// A message on its way into a segment.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) info: FrameInfo,
    /// Output time in milliseconds; `None` for the start of the segment.
    pub(super) at_ms: Option<u64>,
    pub(super) payload: Payload,
}

/// One message in the form of the container. A unit is written complete or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) bytes: Vec<u8>,
    pub(super) info: FrameInfo,
    /// Output time in milliseconds.
    pub(super) at_ms: u64,
    /// Time since the start of the segment.
    timestamp_ms: u32,
}

/// Tracks of a stream, as far as they have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tracks {
    audio: bool,
    video: bool,
}

impl Muxer {
    /// Largest timestamp that the container can represent: 24 days, 20 hours, 31 minutes (FLV E.4.1).
    pub(super) const LARGEST_TIMESTAMP_MS: u64 = i32::MAX as u64;

    /// Length of the period before the largest timestamp in which a keyframe restarts the timestamps. A
    /// stream without a keyframe in this period restarts at any frame.
    pub(super) const KEYFRAME_SEARCH_MS: u64 = 60_000;

    /// Largest size of [`Muxer::head`] without the fields of the server.
    pub(super) const HEAD_BYTES: u64 = head::LENGTH as u64;

    /// Creates a muxer for a new file or pipe.
    pub(super) fn new(layout: Layout, metadata: &Metadata) -> Self {
        let mut writer = HeadWriter::new(layout);
        writer.inherit_metadata(metadata);
        Self::Flv(writer)
    }

    /// Whether [`Muxer::patches`] rewrites the head.
    pub(super) fn rewrites_head(&self) -> bool {
        let Self::Flv(writer) = self;
        writer.layout() == Layout::Seekable
    }

    /// Size of the unit for a payload of `payload` bytes.
    pub(super) fn unit_bytes(payload: usize) -> u64 {
        Tag::length(payload)
    }

    /// Returns the first bytes of the file. Must be called once, before any unit is written. A head that is
    /// not rewritten keeps the flags of `tracks`.
    pub(super) fn head(&mut self, tracks: Tracks) -> Vec<u8> {
        let Self::Flv(writer) = self;
        writer.expect_tracks(tracks.audio, tracks.video);
        writer.head()
    }

    /// Converts a message in the buffer of its payload. `start_ms` is the output time of timestamp 0.
    ///
    /// A later time than [`Muxer::LARGEST_TIMESTAMP_MS`] is written as that.
    pub(super) fn frame(&self, message: Message, start_ms: u64) -> Unit {
        let Message {
            info,
            at_ms,
            payload,
        } = message;
        let at_ms = at_ms.unwrap_or(start_ms);
        let since_start_ms = at_ms.saturating_sub(start_ms);
        let timestamp_ms = since_start_ms.min(Self::LARGEST_TIMESTAMP_MS) as u32;
        let Self::Flv(_) = self;
        Unit {
            bytes: Tag::new(info.track, timestamp_ms, payload).into_bytes(),
            info,
            at_ms,
            timestamp_ms,
        }
    }

    /// Adds a unit to the statistics, once the file contains it.
    pub(super) fn written(&mut self, unit: &Unit) {
        let Self::Flv(writer) = self;
        let payload = unit.bytes.len().saturating_sub(Tag::FRAMING);
        writer.tag_written(unit.info, unit.timestamp_ms, payload);
    }

    /// Merges fields of the server's `onMetaData` into the head.
    ///
    /// Returns false if the head can no longer change; the fields must then be written as script data.
    pub(super) fn set_metadata(&mut self, fields: &Object) -> bool {
        let Self::Flv(writer) = self;
        writer.set_metadata(fields)
    }

    /// Merges all fields that the server sent before, see [`Muxer::set_metadata`].
    pub(super) fn inherit_metadata(&mut self, metadata: &Metadata) {
        let Self::Flv(writer) = self;
        writer.inherit_metadata(metadata);
    }

    /// Returns the changes that make the head describe all written units, in the order in which they must
    /// be written.
    pub(super) fn patches(&self) -> Vec<Patch> {
        let Self::Flv(writer) = self;
        writer.patches()
    }

    /// Records that the file contains `patch`.
    pub(super) fn patched(&mut self, patch: &Patch) {
        let Self::Flv(writer) = self;
        writer.patch_written(patch);
    }

    /// Size of the head and all written units: the end of the intact file.
    pub(super) fn file_bytes(&self) -> u64 {
        let Self::Flv(writer) = self;
        writer.length()
    }

    /// Duration of the written frames in milliseconds.
    pub(super) fn duration_ms(&self) -> u32 {
        let Self::Flv(writer) = self;
        writer.duration_ms()
    }
}

impl Tracks {
    /// Records a message. An empty one does not count.
    pub(super) fn note(&mut self, message: &Message) {
        let has_data = !message.payload.is_empty();
        self.audio |= has_data && message.info.track == TagKind::AUDIO;
        self.video |= has_data && message.info.track == TagKind::VIDEO;
    }

    /// Whether both tracks have arrived.
    pub(super) fn are_both(self) -> bool {
        self.audio && self.video
    }
}

impl Unit {
    /// Wraps the head of a pipe.
    pub(super) fn head(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            info: FrameInfo::SCRIPT,
            at_ms: 0,
            timestamp_ms: 0,
        }
    }

    /// Returns the buffer as an empty payload.
    pub(super) fn into_payload(self) -> Payload {
        Payload::reuse(self.bytes)
    }
}

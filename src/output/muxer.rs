//! The boundary between a recording and its container format.

use super::{FileOptions, Format};
use crate::core::{
    amf::{Object, Value},
    flv::{FrameInfo, HeadWriter, Layout, Metadata, Tag, TagKind, head_writer::Patch},
    mp4::{self, Unsupported, writer::Frame},
    payload::Payload,
};

/// Turns the messages of one file or pipe into the bytes of its container.
///
/// The caller writes [`Muxer::head`], then the units of [`Muxer::push`] and [`Muxer::finish`] in order, and
/// passes each unit to [`Muxer::written`] once the file contains it. [`Muxer::patches`] then updates the head
/// in place.
#[derive(Debug)]
pub(super) enum Muxer {
    Flv(Box<HeadWriter>),
    Mp4(Box<mp4::Writer>),
}

/// A message on its way into a segment.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) info: FrameInfo,
    /// Output time in milliseconds; `None` for the start of the segment.
    pub(super) at_ms: Option<u64>,
    pub(super) payload: Payload,
}

/// One or more messages in the form of the container. A unit is written complete or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) bytes: Vec<u8>,
    /// Number of bytes at the start of the buffer that are not part of the unit.
    unused: usize,
    /// Facts of the first message.
    pub(super) info: FrameInfo,
    /// Output time of the first message in milliseconds.
    pub(super) at_ms: u64,
    /// Number of messages.
    pub(super) messages: u32,
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

    /// Creates a muxer for a new file. `created` is the current time in seconds since 1970.
    pub(super) fn file(options: &FileOptions, metadata: &Metadata, created: u64) -> Self {
        match options.format {
            Format::Flv => Self::flv(options.layout, metadata),
            Format::Mp4 => {
                let mut writer = mp4::Writer::new(mp4::Options {
                    layout: options.layout,
                    fragment_ms: FRAGMENT_MS,
                    leaves_out_late_tracks: false,
                    description: mp4::Description {
                        created,
                        title: metadata.text(TITLE),
                        tracks: metadata.track_descriptions(),
                    },
                });
                if let Some(rate) = metadata.number(FRAME_RATE) {
                    writer.announce_frame_rate(rate);
                }
                Self::Mp4(Box::new(writer))
            }
        }
    }

    /// Creates a muxer for a pipe.
    pub(super) fn pipe(format: Format, fragment_ms: u64) -> Self {
        match format {
            Format::Flv => Self::flv(Layout::Plain, &Metadata::default()),
            Format::Mp4 => Self::Mp4(Box::new(mp4::Writer::new(mp4::Options {
                layout: Layout::Plain,
                fragment_ms,
                leaves_out_late_tracks: true,
                description: mp4::Description::default(),
            }))),
        }
    }

    /// Creates a muxer for FLV.
    pub(super) fn flv(layout: Layout, metadata: &Metadata) -> Self {
        let mut writer = HeadWriter::new(layout);
        writer.inherit_metadata(metadata);
        Self::Flv(Box::new(writer))
    }

    /// Creates a playlist of an MP4 file with this name, which starts at a time on the wall clock (RFC 3339).
    pub(super) fn start_playlist(&mut self, file_name: &[u8], start: String) {
        if let Self::Mp4(writer) = self {
            writer.start_playlist(mp4::Playlist::new(file_name, start));
        }
    }

    /// Returns the new lines of the playlist. `is_last` means that all units are written.
    pub(super) fn take_playlist_lines(&mut self, is_last: bool) -> String {
        let Self::Mp4(writer) = self else {
            return String::new();
        };
        if is_last {
            writer.finish_playlist();
        }
        writer.take_playlist_lines()
    }

    /// Container of the file.
    pub(super) fn format(&self) -> Format {
        match self {
            Self::Flv(_) => Format::Flv,
            Self::Mp4(_) => Format::Mp4,
        }
    }

    /// Whether [`Muxer::patches`] rewrites the head. Such a head is valid before any message has arrived.
    pub(super) fn rewrites_head(&self) -> bool {
        match self {
            Self::Flv(writer) => writer.layout() == Layout::Seekable,
            Self::Mp4(_) => false,
        }
    }

    /// Returns the first bytes of the file. Must be called once, before any unit is written. A head that is
    /// not rewritten keeps the flags of `tracks`.
    pub(super) fn head(&mut self, tracks: Tracks) -> Vec<u8> {
        match self {
            Self::Flv(writer) => {
                writer.expect_tracks(tracks.audio, tracks.video);
                writer.head()
            }
            Self::Mp4(writer) => writer.head(),
        }
    }

    /// Announces a message when it arrives, before [`Muxer::push`], or returns why the container cannot hold
    /// it.
    pub(super) fn admit(&mut self, info: FrameInfo, body: &[u8]) -> Result<(), Unsupported> {
        match self {
            Self::Flv(_) => Ok(()),
            Self::Mp4(writer) => writer.admit(info, body),
        }
    }

    /// Whether the message needs tracks that the container cannot add to the file.
    pub(super) fn needs_new_setup(&self, info: FrameInfo, body: &[u8]) -> bool {
        match self {
            Self::Flv(_) => false,
            Self::Mp4(writer) => writer.needs_new_setup(info, body),
        }
    }

    /// Prepares a pipe for messages that need other tracks.
    pub(super) fn restart_setup(&mut self, units: &mut Vec<Unit>) {
        if let Self::Mp4(writer) = self {
            let mut fragments = Vec::new();
            writer.restart_setup(&mut fragments);
            units.extend(fragments.into_iter().map(Unit::from));
        }
    }

    /// Converts a message, in the buffer of its payload if possible. Units that are complete are added to
    /// `units`, payloads that are no longer used to `spent`. `start_ms` is the output time of timestamp 0.
    ///
    /// A later time than [`Muxer::LARGEST_TIMESTAMP_MS`] is written as that.
    pub(super) fn push(
        &mut self,
        message: Message,
        start_ms: u64,
        units: &mut Vec<Unit>,
        spent: &mut Vec<Payload>,
    ) {
        let Message {
            info,
            at_ms,
            payload,
        } = message;
        let at_ms = at_ms.unwrap_or(start_ms);
        let since_start_ms = at_ms.saturating_sub(start_ms);
        match self {
            Self::Flv(_) => {
                let timestamp_ms = since_start_ms.min(Self::LARGEST_TIMESTAMP_MS) as u32;
                units.push(Unit {
                    bytes: Tag::new(info.track, timestamp_ms, payload).into_bytes(),
                    unused: 0,
                    info,
                    at_ms,
                    messages: 1,
                    timestamp_ms,
                });
            }
            Self::Mp4(writer) => {
                let frame = Frame {
                    info,
                    at_ms,
                    time_ms: since_start_ms,
                    payload,
                };
                let mut fragments = Vec::new();
                writer.push(frame, &mut fragments, spent);
                units.extend(fragments.into_iter().map(Unit::from));
            }
        }
    }

    /// Adds the last units: no further message follows.
    pub(super) fn finish(&mut self, units: &mut Vec<Unit>) {
        if let Self::Mp4(writer) = self {
            let mut fragments = Vec::new();
            writer.finish(&mut fragments);
            units.extend(fragments.into_iter().map(Unit::from));
        }
    }

    /// Adds a unit to the statistics, once the file contains it.
    pub(super) fn written(&mut self, unit: &Unit) {
        match self {
            Self::Flv(writer) => {
                let payload = unit.as_bytes().len().saturating_sub(Tag::FRAMING);
                writer.tag_written(unit.info, unit.timestamp_ms, payload);
            }
            Self::Mp4(writer) => writer.written(unit.as_bytes()),
        }
    }

    /// Accepts a written unit. Its buffer is reused, as a payload or for the next unit.
    pub(super) fn recycle(&mut self, unit: Unit, spent: &mut Vec<Payload>) {
        match self {
            Self::Flv(_) => spent.push(unit.into_payload()),
            Self::Mp4(writer) => writer.recycle(unit.bytes),
        }
    }

    /// Size of the messages that wait in the muxer, and of the data that finishes the file.
    pub(super) fn pending_bytes(&self) -> u64 {
        match self {
            Self::Flv(_) => 0,
            Self::Mp4(writer) => writer.held_bytes().saturating_add(writer.tables_bytes()),
        }
    }

    /// Whether tables finish the file.
    pub(super) fn has_tables(&self) -> bool {
        match self {
            Self::Flv(_) => false,
            Self::Mp4(writer) => writer.has_tables(),
        }
    }

    /// Size of the tables that finish the file; an estimate before the first fragment.
    pub(super) fn tables_bytes(&self) -> u64 {
        match self {
            Self::Flv(_) => 0,
            // The first fragment adds the boxes around the tables.
            Self::Mp4(writer) => writer.tables_bytes().max(EMPTY_MOVIE_BYTES),
        }
    }

    /// Merges fields of the server's `onMetaData` into the head.
    ///
    /// Returns false if the head can no longer change; the fields must then be written as script data.
    pub(super) fn set_metadata(&mut self, fields: &Object) -> bool {
        match self {
            Self::Flv(writer) => writer.set_metadata(fields),
            Self::Mp4(writer) => {
                if let Some(title) = fields.get(TITLE).and_then(Value::as_text) {
                    writer.set_title(&String::from_utf8_lossy(title.as_bytes()));
                }
                writer.describe_tracks(fields);
                if let Some(rate) = fields.get(FRAME_RATE).and_then(Value::as_number) {
                    writer.announce_frame_rate(rate);
                }
                true
            }
        }
    }

    /// Merges all fields that the server sent before, see [`Muxer::set_metadata`].
    pub(super) fn inherit_metadata(&mut self, metadata: &Metadata) {
        if let Self::Flv(writer) = self {
            writer.inherit_metadata(metadata);
        }
    }

    /// Returns the changes that make the head describe all written units, in the order in which they must
    /// be written.
    pub(super) fn patches(&self) -> Vec<Patch> {
        match self {
            Self::Flv(writer) => writer.patches(),
            Self::Mp4(_) => Vec::new(),
        }
    }

    /// Records that the file contains `patch`.
    pub(super) fn patched(&mut self, patch: &Patch) {
        if let Self::Flv(writer) = self {
            writer.patch_written(patch);
        }
    }

    /// Size of the head and all written units: the end of the intact file.
    pub(super) fn file_bytes(&self) -> u64 {
        match self {
            Self::Flv(writer) => writer.length(),
            Self::Mp4(writer) => writer.length(),
        }
    }

    /// Duration of the written frames in milliseconds.
    pub(super) fn duration_ms(&self) -> u32 {
        match self {
            Self::Flv(writer) => writer.duration_ms(),
            Self::Mp4(writer) => u32::try_from(writer.duration_ms()).unwrap_or(u32::MAX),
        }
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
            unused: 0,
            info: FrameInfo::SCRIPT,
            at_ms: 0,
            messages: 1,
            timestamp_ms: 0,
        }
    }

    /// Returns the bytes to write.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.unused..).unwrap_or_default()
    }

    /// Largest number of bytes by which the unit lengthens a finished file.
    pub(super) fn file_bytes(&self) -> u64 {
        let tables = u64::from(self.messages).saturating_mul(TABLE_BYTES);
        let bytes = self.as_bytes().len() as u64;
        bytes.saturating_add(tables)
    }

    /// Returns the buffer as an empty payload.
    pub(super) fn into_payload(self) -> Payload {
        Payload::reuse(self.bytes)
    }
}

impl From<mp4::writer::Fragment> for Unit {
    fn from(fragment: mp4::writer::Fragment) -> Self {
        Self {
            bytes: fragment.buffer,
            unused: fragment.unused,
            info: fragment.info,
            at_ms: fragment.at_ms,
            messages: fragment.frames,
            timestamp_ms: 0,
        }
    }
}

/// Length of the fragments of a file, in milliseconds.
pub(super) const FRAGMENT_MS: u64 = 1000;

/// Field of `onMetaData` with the frames per second of the video.
const FRAME_RATE: &str = "framerate";

/// Largest size of the table entries of one frame of MP4: 4 bytes in `stsz` and `stss`, 8 in `stts` and `ctts`, and
/// 20 in `stsc` and `co64` if each fragment has one frame.
const TABLE_BYTES: u64 = 44;

/// Size of a `moov` box without table entries: two tracks have about 1,200 bytes.
const EMPTY_MOVIE_BYTES: u64 = 4096;

/// Field of `onMetaData` with the title of the stream.
const TITLE: &str = "title";

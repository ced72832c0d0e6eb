//! FLV: file headers, tag headers and tags.
//!
//! ```text
//! ┌─────────────┬───┐ ┌────────────┬──────┬────────┐ ┌────────────┬──────┬────────┐
//! │ file header │ 0 │ │ tag header │ body │ 11 + n │ │ tag header │ body │ 11 + n │ …
//! │ 9           │ 4 │ │ 11         │ n    │ 4      │ │            │      │        │
//! └─────────────┴───┘ └────────────┴──────┴────────┘ └────────────┴──────┴────────┘
//!                                           └── PreviousTagSize: size of header and body
//! ```
//!
//! Sections of the specification are cited as "FLV E.x" (Adobe Flash Video File Format Specification
//! 10.1, annex E) and "E-RTMP" (Enhanced RTMP v2).
//!
//! | module | contents |
//! | --- | --- |
//! | [`codec`] | bodies of audio and video tags |
//! | [`frame_info`] | the facts of a frame, parsed once |
//! | [`reader`] | reads the tags of a file |
//! | [`salvage`] | reads the tags of a damaged file |
//! | [`head`] | file header and `onMetaData`, rewritten in place |
//! | [`keyframe_index`] | table of keyframes in the head |
//! | [`head_writer`] | keeps the stats of a file and writes its head |
//! | [`track_filter`] | removes tracks from multitrack messages |
//! | `track_map` | languages and names of tracks |

use std::fmt;

use thiserror::Error;

use super::{
    payload::Payload,
    wire::{Missing, Reader, U24},
};

pub mod codec;
pub mod frame_info;
pub mod head;
pub mod head_writer;
pub mod keyframe_index;
mod metadata;
pub mod reader;
pub mod salvage;
mod stats;
pub mod track_filter;
mod track_map;

pub use self::{
    frame_info::{FrameInfo, FrameParser, SamplePosition},
    head_writer::{HeadWriter, Layout},
    metadata::{Metadata, metadata_message},
    reader::TagReader,
    salvage::SalvageReader,
    track_filter::{TrackFilter, TrackId, TrackSet},
    track_map::{AUDIO_TRACK_MAP, TrackDescription, TrackDescriptions, VIDEO_TRACK_MAP},
};

/// The first nine bytes of a file (FLV E.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// Version of the format: 1, with and without Enhanced RTMP.
    pub version: u8,
    /// Whether the file contains audio tags.
    pub has_audio: bool,
    /// Whether the file contains video tags.
    pub has_video: bool,
    /// Length of the header in bytes: 9, or more in later versions. PreviousTagSize0 and the first tag
    /// follow.
    pub data_offset: u32,
}

impl FileHeader {
    /// Length in bytes.
    pub const LENGTH: usize = 9;

    /// Creates a header of version 1.
    pub const fn new(has_audio: bool, has_video: bool) -> Self {
        Self {
            version: 1,
            has_audio,
            has_video,
            data_offset: Self::LENGTH as u32,
        }
    }

    /// Reads nine bytes. The caller must skip the bytes between them and the data offset.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let bytes = reader.array::<{ Self::LENGTH }>("file header")?;
        let [f, l, v, version, flags, a, b, c, d] = bytes;
        if [f, l, v] != SIGNATURE {
            return Err(Error::Signature([f, l, v]));
        }
        let data_offset = u32::from_be_bytes([a, b, c, d]);
        if data_offset < Self::LENGTH as u32 {
            return Err(Error::DataOffset(data_offset));
        }
        Ok(Self {
            version,
            has_audio: flags & HAS_AUDIO != 0,
            has_video: flags & HAS_VIDEO != 0,
            data_offset,
        })
    }

    /// Returns the nine bytes.
    pub const fn to_bytes(self) -> [u8; Self::LENGTH] {
        let [f, l, v] = SIGNATURE;
        let [a, b, c, d] = self.data_offset.to_be_bytes();
        [f, l, v, self.version, self.flags(), a, b, c, d]
    }

    const fn flags(self) -> u8 {
        let audio = if self.has_audio { HAS_AUDIO } else { 0 };
        let video = if self.has_video { HAS_VIDEO } else { 0 };
        audio | video
    }
}

/// Type of a tag: five bits (FLV E.4.1). Unknown types are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TagKind(pub u8);

impl TagKind {
    /// Audio (FLV E.4.2).
    pub const AUDIO: Self = Self(8);
    /// Video (FLV E.4.3).
    pub const VIDEO: Self = Self(9);
    /// Script data in AMF3, which few readers support (E-RTMP "Enhancing onMetaData").
    pub const SCRIPT_AMF3: Self = Self(15);
    /// Script data in AMF0 (FLV E.4.4).
    pub const SCRIPT: Self = Self(18);
}

impl fmt::Display for TagKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::AUDIO => f.write_str("audio"),
            Self::VIDEO => f.write_str("video"),
            Self::SCRIPT_AMF3 => f.write_str("AMF3 script"),
            Self::SCRIPT => f.write_str("script"),
            Self(kind) => write!(f, "kind {kind}"),
        }
    }
}

impl fmt::Debug for TagKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TagKind({}: {self})", self.0)
    }
}

/// The eleven bytes before the body of a tag (FLV E.4.1).
///
/// ```text
///  0     1        4           7      8           11
/// ┌─────┬────────┬───────────┬──────┬───────────┐
/// │ kind│ length │ time, low │ high │ stream id │  the stream id is always 0
/// └─────┴────────┴───────────┴──────┴───────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagHeader {
    /// Type of the tag.
    pub kind: TagKind,
    /// Whether the body is encrypted, so that it cannot be parsed.
    pub is_filtered: bool,
    /// Length of the body in bytes.
    pub length: U24,
    /// Decoding time in milliseconds, relative to the first tag. The format allows negative values.
    pub timestamp_ms: i32,
}

impl TagHeader {
    /// Length in bytes.
    pub const LENGTH: usize = 11;

    /// Reads eleven bytes. Ignores the reserved bits and the stream id.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Missing> {
        let bytes = reader.array::<{ Self::LENGTH }>("tag header")?;
        let [kind, l0, l1, l2, t1, t2, t3, t0, _, _, _] = bytes;
        Ok(Self {
            kind: TagKind(kind & KIND_BITS),
            is_filtered: kind & FILTER_BIT != 0,
            length: U24::from_be_bytes([l0, l1, l2]),
            timestamp_ms: i32::from_be_bytes([t0, t1, t2, t3]),
        })
    }

    /// Returns the eleven bytes.
    pub const fn to_bytes(self) -> [u8; Self::LENGTH] {
        let filter = if self.is_filtered { FILTER_BIT } else { 0 };
        let kind = self.kind.0 & KIND_BITS | filter;
        let [l0, l1, l2] = self.length.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp_ms.to_be_bytes();
        [kind, l0, l1, l2, t1, t2, t3, t0, 0, 0, 0]
    }

    /// Returns the value of the PreviousTagSize field after the body: the length of header and body, in
    /// bytes (FLV E.3).
    pub const fn previous_tag_size(self) -> u32 {
        self.length.get().saturating_add(Self::LENGTH as u32)
    }
}

/// The bytes of a complete tag: header, body and PreviousTagSize.
#[derive(Clone, PartialEq, Eq)]
pub struct Tag(Vec<u8>);

impl Tag {
    /// Length of header and PreviousTagSize, in bytes.
    pub const FRAMING: usize = TagHeader::LENGTH + PREVIOUS_TAG_SIZE_LENGTH;

    /// Returns the length of a tag with a body of `body` bytes.
    pub const fn length(body: usize) -> u64 {
        (body as u64).saturating_add(Self::FRAMING as u64)
    }

    /// Writes header and PreviousTagSize around `payload`, in the buffer of the payload.
    ///
    /// A timestamp above 2³¹ − 1 ms is clamped, and a payload above 2²⁴ − 1 bytes is truncated. RTMP
    /// messages and the output clock have the same limits, so neither happens in a download.
    pub fn new(kind: TagKind, timestamp_ms: u32, payload: Payload) -> Self {
        let header = TagHeader {
            kind,
            is_filtered: false,
            length: U24::saturate(u32::try_from(payload.len()).unwrap_or(u32::MAX)),
            timestamp_ms: i32::try_from(timestamp_ms).unwrap_or(i32::MAX),
        };
        let previous_tag_size = header.previous_tag_size();
        let is_too_long = payload.len() > header.length.get() as usize;
        let mut bytes = payload.into_framed(header.to_bytes(), previous_tag_size.to_be_bytes());
        if is_too_long {
            bytes.truncate(previous_tag_size as usize);
            bytes.extend_from_slice(&previous_tag_size.to_be_bytes());
        }
        Self(bytes)
    }

    /// Returns header, body and PreviousTagSize.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the buffer of the tag, for [`Payload::reuse`].
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = TagHeader::read(&mut Reader::new(&self.0));
        f.debug_tuple("Tag").field(&header).finish()
    }
}

/// Why bytes are not an FLV file, or not a tag of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// The bytes end inside a field.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The file has another format.
    #[error("it is not an FLV file: it starts with {0:02x?}")]
    Signature([u8; 3]),
    /// The data offset is less than the length of the file header.
    #[error("data offset {0} lies inside the file header")]
    DataOffset(u32),
    /// The PreviousTagSize field does not match the tag before it, so the bytes are not a tag.
    #[error("PreviousTagSize is {found} after a tag of {expected} bytes at offset {tag_offset}")]
    PreviousTagSize {
        /// Offset of the tag in the file.
        tag_offset: u64,
        /// Length of header and body, in bytes.
        expected: u32,
        /// Value of the field.
        found: u32,
    },
}

/// PreviousTagSize0, the field before the first tag: always 0 (FLV E.3).
const PREVIOUS_TAG_SIZE_0: [u8; 4] = [0; 4];

/// Length of a PreviousTagSize field, in bytes.
const PREVIOUS_TAG_SIZE_LENGTH: usize = PREVIOUS_TAG_SIZE_0.len();

const SIGNATURE: [u8; 3] = *b"FLV";

const HAS_AUDIO: u8 = 0b100;

const HAS_VIDEO: u8 = 0b001;

const KIND_BITS: u8 = 0b0001_1111;

const FILTER_BIT: u8 = 0b0010_0000;

#[cfg(test)]
mod tests;

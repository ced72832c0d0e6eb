//! FLV: tags ⇄ bytes.
//!
//! ```text
//! ┌─────────────┬───┐ ┌────────────┬──────┬────────┐ ┌────────────┬──────┬────────┐
//! │ file header │ 0 │ │ tag header │ body │ 11 + n │ │ tag header │ body │ 11 + n │ …
//! │ 9           │ 4 │ │ 11         │ n    │ 4      │ │            │      │        │
//! └─────────────┴───┘ └────────────┴──────┴────────┘ └────────────┴──────┴────────┘
//! ```
//!
//! This file has the headers. [`head_writer`] keeps the stats of a file that is being written, [`reader`]
//! walks one that was, [`salvage`] one that is damaged, [`head`] is the metadata tag that is rewritten in place, [`keyframe_index`] the table
//! of keyframes in it, [`codec`] looks into the bodies of audio and video tags, [`frame_info`] keeps what was seen
//! there beside them.

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

pub use self::{
    frame_info::{FrameInfo, FrameParser},
    head_writer::{HeadWriter, Layout},
    metadata::Metadata,
    reader::TagReader,
    salvage::SalvageReader,
};

/// The nine bytes at the start of a file (FLV E.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// 1; Enhanced RTMP left it as it is.
    pub version: u8,
    /// Whether there are audio tags.
    pub has_audio: bool,
    /// Whether there are video tags.
    pub has_video: bool,
    /// Where the header ends: 9, or more in files of later versions. Four bytes of back pointer
    /// follow there, then the first tag.
    pub data_offset: u32,
}

impl FileHeader {
    /// How many bytes are read and written.
    pub const LENGTH: usize = 9;

    /// The header that [`HeadWriter`] writes.
    pub const fn new(has_audio: bool, has_video: bool) -> Self {
        Self {
            version: 1,
            has_audio,
            has_video,
            data_offset: Self::LENGTH as u32,
        }
    }

    /// Reads nine bytes. What lies between them and the data offset is left to the caller.
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

    /// The nine bytes.
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

/// What a tag holds: five bits (FLV E.4.1). Unknown kinds are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TagKind(pub u8);

impl TagKind {
    /// Audio, FLV E.4.2.
    pub const AUDIO: Self = Self(8);
    /// Video, FLV E.4.3.
    pub const VIDEO: Self = Self(9);
    /// Script data in AMF3, which few readers know (E-RTMP "Enhancing onMetaData").
    pub const SCRIPT_AMF3: Self = Self(15);
    /// Script data in AMF0, FLV E.4.4.
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

/// The eleven bytes in front of a tag's body (FLV E.4.1).
///
/// ```text
///  0     1        4           7      8           11
/// ┌─────┬────────┬───────────┬──────┬───────────┐
/// │ kind│ length │ time, low │ high │ stream id │  the stream id is always 0
/// └─────┴────────┴───────────┴──────┴───────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagHeader {
    /// What the body is.
    pub kind: TagKind,
    /// The body is encrypted: what it is must not be read from it.
    pub is_filtered: bool,
    /// How many bytes the body has.
    pub length: U24,
    /// Milliseconds from the first tag; for video the time of decoding. Signed in the file, though
    /// nobody should write a negative one.
    pub timestamp_ms: i32,
}

impl TagHeader {
    /// How many bytes are read and written.
    pub const LENGTH: usize = 11;

    /// Reads eleven bytes. Neither the reserved bits nor the stream id are looked at.
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

    /// The eleven bytes.
    pub const fn to_bytes(self) -> [u8; Self::LENGTH] {
        let filter = if self.is_filtered { FILTER_BIT } else { 0 };
        let kind = self.kind.0 & KIND_BITS | filter;
        let [l0, l1, l2] = self.length.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp_ms.to_be_bytes();
        [kind, l0, l1, l2, t1, t2, t3, t0, 0, 0, 0]
    }

    /// The back pointer behind the body: the bytes of header and body together.
    pub const fn previous_tag_size(self) -> u32 {
        self.length.get().saturating_add(Self::LENGTH as u32)
    }
}

/// A whole tag as it stands in a file: header, body, back pointer.
#[derive(Clone, PartialEq, Eq)]
pub struct Tag(Vec<u8>);

impl Tag {
    /// What it has beside its body: header and back pointer.
    pub const FRAMING: usize = TagHeader::LENGTH + PREVIOUS_TAG_SIZE_LENGTH;

    /// How many bytes a tag takes whose body has `body` of them.
    pub const fn length(body: usize) -> u64 {
        (body as u64).saturating_add(Self::FRAMING as u64)
    }

    /// Frames `payload` where it is, in its own buffer.
    ///
    /// A timestamp above 2³¹ − 1 ms is written as that, and a payload above 2²⁴ − 1 bytes is cut
    /// there; neither comes out of a session, whose messages have the same limit.
    pub fn new(kind: TagKind, timestamp_ms: u32, payload: Payload) -> Self {
        let header = TagHeader {
            kind,
            is_filtered: false,
            length: U24::saturate(u32::try_from(payload.len()).unwrap_or(u32::MAX)),
            timestamp_ms: i32::try_from(timestamp_ms).unwrap_or(i32::MAX),
        };
        let back_pointer = header.previous_tag_size();
        let is_cut = payload.len() > header.length.get() as usize;
        let mut bytes = payload.into_framed(header.to_bytes(), back_pointer.to_be_bytes());
        if is_cut {
            bytes.truncate(back_pointer as usize);
            bytes.extend_from_slice(&back_pointer.to_be_bytes());
        }
        Self(bytes)
    }

    /// Header, body and back pointer.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The tag's own buffer. [`Payload::reuse`] takes it back.
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

/// What is wrong with bytes that ought to be an FLV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// The bytes end too early.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A file of another format.
    #[error("no FLV file: it starts with {0:02x?}")]
    Signature([u8; 3]),
    /// The header says that it ends inside itself.
    #[error("data offset {0} lies inside the file header")]
    DataOffset(u32),
    /// The four bytes behind a tag are not the tag's size: what looks like a tag is none.
    #[error("back pointer {found} behind a tag of {expected} bytes at offset {tag_offset}")]
    PreviousTagSize {
        /// Where in the file the tag begins.
        tag_offset: u64,
        /// Eleven more than the length of its body.
        expected: u32,
        /// What the file has.
        found: u32,
    },
}

/// The back pointer in front of the first tag, which no tag precedes.
const PREVIOUS_TAG_SIZE_0: [u8; 4] = [0; 4];

/// How many bytes a back pointer has.
const PREVIOUS_TAG_SIZE_LENGTH: usize = PREVIOUS_TAG_SIZE_0.len();

const SIGNATURE: [u8; 3] = *b"FLV";

const HAS_AUDIO: u8 = 0b100;

const HAS_VIDEO: u8 = 0b001;

const KIND_BITS: u8 = 0b0001_1111;

const FILTER_BIT: u8 = 0b0010_0000;

#[cfg(test)]
mod tests;

//! Bodies of audio and video tags: legacy FLV and Enhanced RTMP.
//!
//! [`VideoTag::parse`] and [`AudioTag::parse`] read the header of a body and borrow the rest. A tag has
//! one track, or several if it is multitrack (E-RTMP "Multitrack"). Nothing here allocates, and unknown
//! codes are not errors: a body that cannot be parsed can still be recorded.
//!
//! The modules of the codecs parse their configuration records and frame headers: keyframes, and the properties
//! in [`VideoDescription`] and [`AudioDescription`].

pub mod audio;
mod bits;
mod codes;
mod description;
mod enhanced;
mod four_cc;
mod picture_size;
pub mod video;

use thiserror::Error;

use super::TagKind;
use crate::core::wire::Missing;

pub use audio::{AudioCodec, AudioFormat, AudioPacket, AudioTag, AudioTrack};
pub use description::{
    AudioDescription, ChromaFormat, Color, Hdr, Level, Profile, Speakers, TrackProperties,
    VideoDescription,
};
pub(super) use enhanced::DEFAULT_TRACK;
pub use enhanced::Multitrack;
pub use four_cc::FourCc;
pub use picture_size::PictureSize;
pub use video::{FrameType, VideoCodec, VideoPacket, VideoTag, VideoTrack};

/// Appends a multitrack body to `out` with only those tracks for which `new_id` returns an id, and returns
/// their number. A main track that remains alone is written without multitrack.
pub(super) fn put_tracks(
    kind: TagKind,
    body: &[u8],
    new_id: impl Fn(u8) -> Option<u8>,
    out: &mut Vec<u8>,
) -> Result<usize, Error> {
    let multitrack = match kind {
        TagKind::VIDEO => VideoPacket::MULTITRACK.0,
        _ => AudioPacket::MULTITRACK.0,
    };
    enhanced::put_tracks(body, multitrack, new_id, out)
}

/// Why the body of a tag cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// The body is empty. In audio this is an old signal of silence.
    #[error("empty body")]
    Empty,
    /// The body ends inside its header or inside a track.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A multitrack tag contains another one, which E-RTMP forbids.
    #[error("nested multitrack")]
    NestedMultitrack,
    /// The tag has one track without an id.
    #[error("not multitrack")]
    NoMultitrack,
    /// The multitrack type is not defined in E-RTMP.
    #[error("unknown multitrack type {0}")]
    UnknownMultitrack(u8),
    /// The header has more than 16 ModEx packets.
    #[error("more than {} ModEx packets in a row", enhanced::MAX_MOD_EX)]
    TooManyModEx,
}

#[cfg(test)]
mod tests;

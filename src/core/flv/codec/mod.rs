//! What stands inside the body of an audio or video tag: legacy FLV and Enhanced RTMP.
//!
//! [`VideoTag::parse`] and [`AudioTag::parse`] read the head of a body and borrow the rest. A tag has
//! one track, or several where the sender multiplexes them (E-RTMP, "Multitrack"); each says by
//! itself whether it is configuration, media or a keyframe. Nothing here allocates, and nothing is
//! rejected because it is unknown: an error only says that a body cannot be looked into, it can be
//! recorded all the same.
//!
//! The modules below read the codecs' own records and frame headers, as far as a recorder has to:
//! what is a keyframe, how large is the picture, how fast the sound.

pub mod audio;
mod bits;
mod enhanced;
mod four_cc;
pub mod video;

use thiserror::Error;

use crate::core::wire::Missing;

pub use audio::{AudioCodec, AudioPacket, AudioTag, AudioTrack, Sound};
pub(super) use enhanced::DEFAULT_TRACK;
pub use enhanced::Multitrack;
pub use four_cc::FourCc;
pub use video::{FrameType, PictureSize, VideoCodec, VideoPacket, VideoTag, VideoTrack};

/// Why the body of a tag cannot be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// No bytes at all; as audio, an old signal of silence.
    #[error("empty body")]
    Empty,
    /// The body ends inside its head, or a track is longer than what is left of it.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// Multitrack inside Multitrack, which E-RTMP forbids.
    #[error("nested multitrack")]
    NestedMultitrack,
    /// A way of multiplexing tracks that E-RTMP does not know.
    #[error("unknown multitrack type {0}")]
    UnknownMultitrack(u8),
    /// A chain of ModEx that nobody sends in good faith.
    #[error("more than {} ModEx packets in a row", enhanced::MAX_MOD_EX)]
    TooManyModEx,
}

/// A byte whose values have names, and which keeps those that have none.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$code_doc:meta])* $constant:ident = $value:literal, $text:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub u8);

        impl $name {
            $($(#[$code_doc])* pub const $constant: Self = Self($value);)*
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.0 {
                    $($value => f.write_str($text),)*
                    other => write!(f, "{other}"),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}
use codes;

#[cfg(test)]
mod tests;

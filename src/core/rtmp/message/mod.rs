//! Messages (RTMP 6.1) and the payloads of protocol control messages (RTMP 5.4).

mod aggregate;
mod control;

use std::fmt;

pub use self::{
    aggregate::{Aggregate, AggregateUnpacker, SubMessage},
    control::{
        Abort, Acknowledgement, SetChunkSize, SetPeerBandwidth, UserControl,
        WindowAcknowledgementSize,
    },
};
use crate::core::payload::Payload;

/// A complete message, assembled from the chunks of one chunk stream (RTMP 6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The chunk stream that carried it. It has no meaning above the chunk layer.
    pub chunk_stream: u32,
    /// The message type, which defines the format of the payload.
    pub kind: Kind,
    /// The message stream id; 0 is the NetConnection.
    pub message_stream: u32,
    /// The time on the clock of its message stream.
    pub timestamp: Timestamp,
    /// The payload.
    pub payload: Payload,
}

impl Message {
    /// Returns the messages inside an [aggregate](Kind::AGGREGATE).
    pub fn aggregate(&self) -> Aggregate<'_> {
        Aggregate::new(&self.payload, self.timestamp)
    }
}

/// A message type id (RTMP 5.4, 6.2, 7.1). Unknown ids are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// [`SetChunkSize`].
    pub const SET_CHUNK_SIZE: Self = Self(1);
    /// [`Abort`].
    pub const ABORT: Self = Self(2);
    /// [`Acknowledgement`].
    pub const ACKNOWLEDGEMENT: Self = Self(3);
    /// [`UserControl`].
    pub const USER_CONTROL: Self = Self(4);
    /// [`WindowAcknowledgementSize`].
    pub const WINDOW_ACKNOWLEDGEMENT_SIZE: Self = Self(5);
    /// [`SetPeerBandwidth`].
    pub const SET_PEER_BANDWIDTH: Self = Self(6);
    /// The body of an FLV audio tag (RTMP 7.1.4).
    pub const AUDIO: Self = Self(8);
    /// The body of an FLV video tag (RTMP 7.1.5).
    pub const VIDEO: Self = Self(9);
    /// A format selector, then the same as [`DATA`](Self::DATA) (RTMP 7.1.2).
    pub const DATA_AMF3: Self = Self(15);
    /// A format selector, then the same as [`SHARED_OBJECT`](Self::SHARED_OBJECT) (RTMP 7.1.3).
    pub const SHARED_OBJECT_AMF3: Self = Self(16);
    /// A format selector, then the same as [`COMMAND`](Self::COMMAND) (RTMP 7.1.1).
    pub const COMMAND_AMF3: Self = Self(17);
    /// A handler's name and values, in AMF0 (RTMP 7.1.2).
    pub const DATA: Self = Self(18);
    /// Events of a shared object, in AMF0 (RTMP 7.1.3).
    pub const SHARED_OBJECT: Self = Self(19);
    /// Name, transaction id, command object and arguments, in AMF0 (RTMP 7.1.1).
    pub const COMMAND: Self = Self(20);
    /// [`Aggregate`].
    pub const AGGREGATE: Self = Self(22);

    /// Returns whether a specification defines the type.
    pub fn is_known(self) -> bool {
        matches!(self.0, 1..=6 | 8 | 9 | 15..=20 | 22)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::SET_CHUNK_SIZE => "set chunk size",
            Self::ABORT => "abort",
            Self::ACKNOWLEDGEMENT => "acknowledgement",
            Self::USER_CONTROL => "user control",
            Self::WINDOW_ACKNOWLEDGEMENT_SIZE => "window acknowledgement size",
            Self::SET_PEER_BANDWIDTH => "set peer bandwidth",
            Self::AUDIO => "audio",
            Self::VIDEO => "video",
            Self::DATA_AMF3 => "data (amf3)",
            Self::SHARED_OBJECT_AMF3 => "shared object (amf3)",
            Self::COMMAND_AMF3 => "command (amf3)",
            Self::DATA => "data",
            Self::SHARED_OBJECT => "shared object",
            Self::COMMAND => "command",
            Self::AGGREGATE => "aggregate",
            Self(code) => return write!(f, "message type {code}"),
        })
    }
}

/// A time in milliseconds on a 32-bit clock that wraps after 49.7 days (RTMP 5.3.1).
///
/// It does not implement `Ord`: on a wrapping clock only [`Timestamp::since`] can decide which of
/// two timestamps is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// Returns the timestamp `delta_ms` later, wrapping at 2^32.
    #[must_use]
    pub const fn wrapping_add(self, delta_ms: u32) -> Self {
        Self(self.0.wrapping_add(delta_ms))
    }

    /// Returns the milliseconds from `earlier` to `self` by serial arithmetic (RFC 1982): the
    /// shorter way around the clock, negative if `earlier` is later than `self`.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use super::*;

    /// Returns all test vectors of `area`.
    pub(in crate::core::rtmp) fn vectors(area: &str) -> Vec<Value> {
        let file = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/vectors/vectors.json"
        ));
        let file = serde_json::from_str::<Value>(file).unwrap();
        let vectors = file["vectors"].as_array().unwrap().iter();
        vectors
            .filter(|vector| vector["area"] == area)
            .cloned()
            .collect()
    }

    pub(in crate::core::rtmp) fn from_hex(hex: &Value) -> Vec<u8> {
        let digits = hex.as_str().unwrap().as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    pub(in crate::core::rtmp) fn number(value: &Value) -> u32 {
        value.as_u64().unwrap().try_into().unwrap()
    }

    #[test]
    fn unknown_message_types_are_printed_as_numbers() {
        assert_eq!(Kind(99).to_string(), "message type 99");
        assert_eq!(Kind::DATA_AMF3.to_string(), "data (amf3)");
    }

    #[test]
    fn timestamp_arithmetic_wraps_in_both_directions() {
        let late = Timestamp(0xFFFF_FFF0);
        let wrapped = late.wrapping_add(0x20);
        assert_eq!(wrapped, Timestamp(0x10));
        assert_eq!(wrapped.since(late), 0x20);
        assert_eq!(late.since(wrapped), -0x20);
    }
}

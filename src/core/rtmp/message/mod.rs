//! Messages (RTMP 6.1), and what stands in those of the protocol itself.

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

/// A whole message as it came off a chunk stream (RTMP 6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The chunk stream that carried it; means nothing beyond that.
    pub chunk_stream: u32,
    /// What the payload is.
    pub kind: Kind,
    /// The message stream that it belongs to, 0 for the connection itself.
    pub message_stream: u32,
    /// When it is due on its stream's clock.
    pub timestamp: Timestamp,
    /// The message's bytes.
    pub payload: Payload,
}

impl Message {
    /// The messages inside an [aggregate](Kind::AGGREGATE).
    pub fn aggregate(&self) -> Aggregate<'_> {
        Aggregate::new(&self.payload, self.timestamp)
    }
}

/// A message type id (RTMP 5.4, 6.2, 7.1). Unknown ones are kept.
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
    /// A format selector and then as [`DATA`](Self::DATA) (RTMP 7.1.2).
    pub const DATA_AMF3: Self = Self(15);
    /// A format selector and then as [`SHARED_OBJECT`](Self::SHARED_OBJECT) (RTMP 7.1.3).
    pub const SHARED_OBJECT_AMF3: Self = Self(16);
    /// A format selector and then as [`COMMAND`](Self::COMMAND) (RTMP 7.1.1).
    pub const COMMAND_AMF3: Self = Self(17);
    /// A handler's name and values, in AMF0 (RTMP 7.1.2).
    pub const DATA: Self = Self(18);
    /// Events of a shared object, in AMF0 (RTMP 7.1.3).
    pub const SHARED_OBJECT: Self = Self(19);
    /// Name, transaction id, command object and arguments, in AMF0 (RTMP 7.1.1).
    pub const COMMAND: Self = Self(20);
    /// [`Aggregate`].
    pub const AGGREGATE: Self = Self(22);
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

/// Milliseconds on a clock of 32 bits that wraps after 49.7 days (RTMP 5.3.1).
///
/// Deliberately without an order: which of two is the later one is told by [`Timestamp::since`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// This much later, past the end of the 32 bits to their beginning.
    #[must_use]
    pub const fn wrapping_add(self, delta_ms: u32) -> Self {
        Self(self.0.wrapping_add(delta_ms))
    }

    /// Milliseconds from `earlier` to here by serial arithmetic: the shorter way round, negative
    /// where `earlier` is the later one.
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

    /// The vectors of one area, as many as the file has.
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
    fn unknown_kinds_are_named_by_number() {
        assert_eq!(Kind(99).to_string(), "message type 99");
        assert_eq!(Kind::DATA_AMF3.to_string(), "data (amf3)");
    }

    #[test]
    fn time_wraps_both_ways() {
        let late = Timestamp(0xFFFF_FFF0);
        let wrapped = late.wrapping_add(0x20);
        assert_eq!(wrapped, Timestamp(0x10));
        assert_eq!(wrapped.since(late), 0x20);
        assert_eq!(late.since(wrapped), -0x20);
    }
}

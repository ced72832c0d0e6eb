//! Chunk headers (RTMP 5.3.1). A failed read leaves the reader inside the header, so read with a
//! clone.

use bytes::{BufMut, BytesMut};

use crate::core::{
    rtmp::message::Kind,
    wire::{Missing, Reader, U24},
};

/// Reads the basic header and the message header. Returns the chunk stream id and the message
/// header.
pub(super) fn read(input: &mut Reader<'_>) -> Result<(u32, MessageHeader), Missing> {
    let BasicHeader {
        format,
        chunk_stream,
    } = BasicHeader::read(input)?;
    let header = MessageHeader::read(format, input)?;
    Ok((chunk_stream, header))
}

/// The chunk type, "fmt": which fields of the message header are present (RTMP 5.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// All fields (RTMP 5.3.1.2.1).
    Type0,
    /// All fields except the message stream id (RTMP 5.3.1.2.2).
    Type1,
    /// Only the timestamp delta (RTMP 5.3.1.2.3).
    Type2,
    /// No fields (RTMP 5.3.1.2.4).
    Type3,
}

/// The basic header: chunk type and chunk stream id (RTMP 5.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BasicHeader {
    pub(super) format: Format,
    pub(super) chunk_stream: u32,
}

impl BasicHeader {
    /// Reads one to three bytes. An id may be encoded in more than one form.
    #[inline]
    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, Missing> {
        let first = input.u8("basic header")?;
        let chunk_stream = match first & ID_BITS {
            TWO_BYTES => u32::from(input.u8("basic header")?).saturating_add(FIRST_LONG_ID),
            // The specification's own formula makes the id little-endian, against its general byte
            // order (RTMP 5.3.1.1).
            THREE_BYTES => u32::from(u16::from_le_bytes(input.array("basic header")?))
                .saturating_add(FIRST_LONG_ID),
            id => u32::from(id),
        };
        let format = match first >> 6 {
            0 => Format::Type0,
            1 => Format::Type1,
            2 => Format::Type2,
            _ => Format::Type3,
        };
        Ok(Self {
            format,
            chunk_stream,
        })
    }

    /// Writes the shortest form of the chunk stream id, which must be between 2 and
    /// [`MAX_CHUNK_STREAM`].
    pub(super) fn write(self, out: &mut BytesMut) {
        let format = (self.format as u8) << 6;
        let long_id = self.chunk_stream.wrapping_sub(FIRST_LONG_ID);
        if let Ok(id @ ..=ID_BITS) = u8::try_from(self.chunk_stream) {
            out.put_u8(format | id);
        } else if let Ok(id) = u8::try_from(long_id) {
            out.put_slice(&[format | TWO_BYTES, id]);
        } else {
            let [low, high, ..] = long_id.to_le_bytes();
            out.put_slice(&[format | THREE_BYTES, low, high]);
        }
    }
}

/// The message header with its extended timestamp (RTMP 5.3.1.2, 5.3.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageHeader {
    /// 11 bytes (RTMP 5.3.1.2.1).
    Type0 {
        timestamp: Time,
        length: U24,
        kind: Kind,
        message_stream: u32,
    },
    /// 7 bytes (RTMP 5.3.1.2.2).
    Type1 {
        delta: Time,
        length: U24,
        kind: Kind,
    },
    /// 3 bytes (RTMP 5.3.1.2.3).
    Type2 { delta: Time },
    /// 0 bytes. Whether an extended timestamp follows depends on the state of the chunk stream.
    Type3,
}

impl MessageHeader {
    /// Reads the fields that `format` announces.
    fn read(format: Format, input: &mut Reader<'_>) -> Result<Self, Missing> {
        if format == Format::Type3 {
            return Ok(Self::Type3);
        }
        let time = input.u24("timestamp")?;
        if format == Format::Type2 {
            let delta = Time::read(time, input)?;
            return Ok(Self::Type2 { delta });
        }
        let length = input.u24("message length")?;
        let kind = Kind(input.u8("message type id")?);
        if format == Format::Type1 {
            let delta = Time::read(time, input)?;
            return Ok(Self::Type1 {
                delta,
                length,
                kind,
            });
        }
        let message_stream = input.u32_le("message stream id")?;
        let timestamp = Time::read(time, input)?;
        Ok(Self::Type0 {
            timestamp,
            length,
            kind,
            message_stream,
        })
    }

    /// Writes all fields, including the extended timestamp.
    pub(super) fn write(self, out: &mut BytesMut) {
        let Some(time) = self.time() else { return };
        out.put_slice(&time.field().to_be_bytes());
        if let Self::Type0 { length, kind, .. } | Self::Type1 { length, kind, .. } = self {
            out.put_slice(&length.to_be_bytes());
            out.put_u8(kind.0);
        }
        if let Self::Type0 { message_stream, .. } = self {
            out.put_u32_le(message_stream);
        }
        if let Some(extended) = time.extended() {
            out.put_u32(extended);
        }
    }

    /// Returns the timestamp or the timestamp delta.
    pub(super) fn time(self) -> Option<Time> {
        match self {
            Self::Type0 { timestamp, .. } => Some(timestamp),
            Self::Type1 { delta, .. } | Self::Type2 { delta } => Some(delta),
            Self::Type3 => None,
        }
    }

    /// Returns true if the header has a message length, so that it needs no previous header.
    pub(super) fn has_length(self) -> bool {
        matches!(self, Self::Type0 { .. } | Self::Type1 { .. })
    }

    pub(super) fn format(self) -> Format {
        match self {
            Self::Type0 { .. } => Format::Type0,
            Self::Type1 { .. } => Format::Type1,
            Self::Type2 { .. } => Format::Type2,
            Self::Type3 => Format::Type3,
        }
    }
}

/// A timestamp or timestamp delta in milliseconds, written in 24 bits or, extended, in 32 bits
/// (RTMP 5.3.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    value_ms: u32,
    is_extended: bool,
}

impl Time {
    /// Creates a time that uses the 24-bit form if the value fits.
    pub(super) fn new(value_ms: u32) -> Self {
        Self {
            value_ms,
            is_extended: U24::saturate(value_ms) == U24::MAX,
        }
    }

    /// Reads the extended timestamp if `field` is 0xFFFFFF. The extended value also counts if 24
    /// bits would have been enough.
    fn read(field: U24, input: &mut Reader<'_>) -> Result<Self, Missing> {
        let is_extended = field == U24::MAX;
        let value_ms = if is_extended {
            input.u32("extended timestamp")?
        } else {
            field.get()
        };
        Ok(Self {
            value_ms,
            is_extended,
        })
    }

    pub(super) fn value_ms(self) -> u32 {
        self.value_ms
    }

    pub(super) fn extended(self) -> Option<u32> {
        self.is_extended.then_some(self.value_ms)
    }

    fn field(self) -> U24 {
        U24::saturate(self.value_ms)
    }
}

/// Lowest chunk stream id that can be encoded.
pub(super) const MIN_CHUNK_STREAM: u32 = 2;

/// Highest chunk stream id that three bytes can encode.
pub(super) const MAX_CHUNK_STREAM: u32 = 65_599;

/// The low bits of the first byte: the chunk stream id, or the marker of a longer form.
const ID_BITS: u8 = 0x3F;
const TWO_BYTES: u8 = 0;
const THREE_BYTES: u8 = 1;

/// Offset of the two-byte and three-byte forms.
const FIRST_LONG_ID: u32 = 64;

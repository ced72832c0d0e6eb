//! The headers of a chunk (RTMP 5.3.1). A read that fails leaves its reader somewhere inside the
//! header: read ahead with a copy.

use bytes::{BufMut, BytesMut};

use crate::core::{
    rtmp::message::Kind,
    wire::{Missing, Reader, U24},
};

/// Reads basic and message header: the chunk stream's id and what is said of its message.
pub(super) fn read(input: &mut Reader<'_>) -> Result<(u32, MessageHeader), Missing> {
    let BasicHeader {
        format,
        chunk_stream,
    } = BasicHeader::read(input)?;
    let header = MessageHeader::read(format, input)?;
    Ok((chunk_stream, header))
}

/// How much of the message header is there, "fmt" (RTMP 5.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// All of it.
    Type0,
    /// All but the message stream id.
    Type1,
    /// A timestamp delta alone.
    Type2,
    /// None of it.
    Type3,
}

/// Format and chunk stream (RTMP 5.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BasicHeader {
    pub(super) format: Format,
    pub(super) chunk_stream: u32,
}

impl BasicHeader {
    /// Reads one to three bytes. The same id may come in several forms.
    #[inline]
    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, Missing> {
        let first = input.u8("basic header")?;
        let chunk_stream = match first & ID_BITS {
            TWO_BYTES => u32::from(input.u8("basic header")?).saturating_add(FIRST_LONG_ID),
            // Low byte first, unlike nearly everything else (ERR).
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

    /// Writes the shortest form of an id within 2 to [`MAX_CHUNK_STREAM`].
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
    /// 11 bytes.
    Type0 {
        timestamp: Time,
        length: U24,
        kind: Kind,
        message_stream: u32,
    },
    /// 7 bytes.
    Type1 {
        delta: Time,
        length: U24,
        kind: Kind,
    },
    /// 3 bytes.
    Type2 { delta: Time },
    /// No byte; whether an extended timestamp follows, only the chunk stream's state can tell.
    Type3,
}

impl MessageHeader {
    /// Reads what the basic header announced.
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

    /// Writes it all, the extended timestamp too.
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

    /// Timestamp or delta.
    pub(super) fn time(self) -> Option<Time> {
        match self {
            Self::Type0 { timestamp, .. } => Some(timestamp),
            Self::Type1 { delta, .. } | Self::Type2 { delta } => Some(delta),
            Self::Type3 => None,
        }
    }

    /// Whether it stands for itself, but for the message stream.
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

/// A timestamp or delta in milliseconds, in 24 bits or, extended, in 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    value_ms: u32,
    is_extended: bool,
}

impl Time {
    /// In the shorter form if it fits.
    pub(super) fn new(value_ms: u32) -> Self {
        Self {
            value_ms,
            is_extended: U24::saturate(value_ms) == U24::MAX,
        }
    }

    /// Reads the extended field if `field` says that there is one. It counts also where 24 bits
    /// would have done.
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

/// The lowest id that can be written.
pub(super) const MIN_CHUNK_STREAM: u32 = 2;

/// The highest id that three bytes can hold.
pub(super) const MAX_CHUNK_STREAM: u32 = 65_599;

/// The low bits of the first byte: an id of its own or one of the two below.
const ID_BITS: u8 = 0x3F;
const TWO_BYTES: u8 = 0;
const THREE_BYTES: u8 = 1;

/// What the longer forms count from.
const FIRST_LONG_ID: u32 = 64;

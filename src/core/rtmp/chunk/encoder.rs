use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use thiserror::Error;

use super::{
    DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE,
    header::{BasicHeader, Format, MAX_CHUNK_STREAM, MIN_CHUNK_STREAM, MessageHeader, Time},
    to_usize,
};
use crate::core::{
    rtmp::message::{Kind, Timestamp},
    wire::U24,
};

/// Splits messages into chunks, with the smallest headers that all receivers interpret in the same
/// way.
///
/// A type 3 chunk never starts the message after a type 0 header, because some receivers add the
/// timestamp of the type 0 header and others add nothing. A negative step, or one that needs an
/// extended delta, is sent as an absolute timestamp.
#[derive(Debug)]
pub struct Encoder {
    chunk_size: usize,
    sent: BTreeMap<u32, SentHeader>,
}

/// A message that cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The length does not fit into 24 bits.
    #[error("message of {0} bytes is longer than 16777215 bytes")]
    MessageTooLong(usize),
    /// The chunk stream id cannot be encoded.
    #[error("chunk stream {0} is not between {MIN_CHUNK_STREAM} and {MAX_CHUNK_STREAM}")]
    ChunkStream(u32),
}

impl Encoder {
    /// Creates an encoder with the default chunk size.
    pub fn new() -> Self {
        Self {
            chunk_size: to_usize(DEFAULT_CHUNK_SIZE),
            sent: BTreeMap::new(),
        }
    }

    /// Sets the largest chunk payload; 0 is treated as 1. Call it after the Set Chunk Size message
    /// that announces the size has been encoded.
    pub fn set_chunk_size(&mut self, chunk_size: u32) {
        self.chunk_size = to_usize(chunk_size.clamp(1, MAX_CHUNK_SIZE));
    }

    /// Appends the chunks of one message to `out`.
    pub fn encode(
        &mut self,
        chunk_stream: u32,
        kind: Kind,
        message_stream: u32,
        timestamp: Timestamp,
        payload: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|length| *length <= U24::MAX.get())
            .map(U24::truncate)
            .ok_or(EncodeError::MessageTooLong(payload.len()))?;
        if !(MIN_CHUNK_STREAM..=MAX_CHUNK_STREAM).contains(&chunk_stream) {
            return Err(EncodeError::ChunkStream(chunk_stream));
        }
        let message = SentHeader {
            kind,
            message_stream,
            length,
            timestamp,
            delta_ms: None,
        };
        let header = self.header(chunk_stream, message);
        self.write(chunk_stream, header, payload, out);
        Ok(())
    }

    /// Chooses the shortest header and stores its fields.
    fn header(&mut self, chunk_stream: u32, message: SentHeader) -> MessageHeader {
        // RTMP 5.3.1.2.1: only a type 0 header contains the message stream id.
        let before = self
            .sent
            .get(&chunk_stream)
            .filter(|before| before.message_stream == message.message_stream);
        let delta_ms = before.and_then(|before| short_delta(before.timestamp, message.timestamp));
        let header = match (before, delta_ms) {
            (Some(before), Some(delta_ms)) => message.header_after(before, delta_ms),
            _ => MessageHeader::Type0 {
                timestamp: Time::new(message.timestamp.0),
                length: message.length,
                kind: message.kind,
                message_stream: message.message_stream,
            },
        };
        self.sent.insert(
            chunk_stream,
            SentHeader {
                delta_ms,
                ..message
            },
        );
        header
    }

    fn write(&self, chunk_stream: u32, header: MessageHeader, payload: &[u8], out: &mut BytesMut) {
        out.reserve(payload.len());
        let format = header.format();
        BasicHeader {
            format,
            chunk_stream,
        }
        .write(out);
        header.write(out);
        let (first, rest) = payload
            .split_at_checked(self.chunk_size)
            .unwrap_or((payload, &[]));
        out.put_slice(first);
        for chunk in rest.chunks(self.chunk_size) {
            BasicHeader {
                format: Format::Type3,
                chunk_stream,
            }
            .write(out);
            // RTMP 5.3.1.3: type 3 chunks repeat the extended timestamp.
            if let Some(extended) = header.time().and_then(Time::extended) {
                out.put_u32(extended);
            }
            out.put_slice(chunk);
        }
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The fields of the last header sent on a chunk stream.
#[derive(Debug, Clone, Copy)]
struct SentHeader {
    kind: Kind,
    message_stream: u32,
    length: U24,
    timestamp: Timestamp,
    /// `None` after a type 0 header.
    delta_ms: Option<u32>,
}

impl SentHeader {
    fn header_after(self, before: &Self, delta_ms: u32) -> MessageHeader {
        let delta = Time::new(delta_ms);
        if (before.length, before.kind) != (self.length, self.kind) {
            return MessageHeader::Type1 {
                delta,
                length: self.length,
                kind: self.kind,
            };
        }
        if before.delta_ms != Some(delta_ms) {
            return MessageHeader::Type2 { delta };
        }
        MessageHeader::Type3
    }
}

/// Returns the step from one timestamp to the next if it is not negative and fits into 24 bits.
fn short_delta(from: Timestamp, to: Timestamp) -> Option<u32> {
    let step = u32::try_from(to.since(from)).ok()?;
    // RTMP 5.3.1.3: 0xFFFFFF announces an extended timestamp.
    (step < U24::MAX.get()).then_some(step)
}

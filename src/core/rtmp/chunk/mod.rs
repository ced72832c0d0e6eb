//! The chunk layer: splits messages into chunks and assembles them (RTMP 5.3).
//!
//! The chunks of several chunk streams are interleaved. Each chunk has this layout:
//!
//! ```text
//! ┌──────────────┬────────────────┬────────────────────┬─────────────────┐
//! │ basic header │ message header │ extended timestamp │ payload         │
//! │ 1 to 3 bytes │ 11, 7, 3 or 0  │ 4 or 0             │ ≤ chunk size    │
//! └──────────────┴────────────────┴────────────────────┴─────────────────┘
//! ```
//!
//! A header field that is omitted has the value of the previous header of the same chunk stream.

mod decoder;
mod encoder;
mod header;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use self::{
    decoder::{Decoder, Piece},
    encoder::{EncodeError, Encoder},
};
use crate::core::wire::Missing;

/// A violation of the chunk layer. The position of the next chunk is unknown, or a limit is
/// exceeded, so that the connection cannot continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// A header without a message length on a chunk stream that has no previous header.
    #[error("chunk stream {chunk_stream} starts with a type {format} chunk")]
    NoHeader {
        /// The chunk stream's id.
        chunk_stream: u32,
        /// The chunk type, 2 or 3.
        format: u8,
    },
    /// A Set Chunk Size message with size 0 or with the top bit set (RTMP 5.4.1).
    #[error("chunk size {0} is not between 1 and 2147483647")]
    ChunkSize(u32),
    /// A Set Chunk Size message shorter than four bytes.
    #[error("set chunk size {0}")]
    NoChunkSize(Missing),
    /// More chunk streams than [`MAX_CHUNK_STREAMS`].
    #[error("more than {MAX_CHUNK_STREAMS} chunk streams")]
    TooManyChunkStreams,
    /// More than [`MAX_UNFINISHED_BYTES`] in unfinished messages.
    #[error("more than {MAX_UNFINISHED_BYTES} bytes of unfinished messages")]
    TooMuchUnfinished,
}

/// Converts a length of the protocol.
pub(super) fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Chunk size of both directions until Set Chunk Size changes it (RTMP 5.4.1).
pub const DEFAULT_CHUNK_SIZE: u32 = 128;

/// Largest chunk size: the top bit of the field is zero (RTMP 5.4.1).
pub const MAX_CHUNK_SIZE: u32 = 0x7FFF_FFFF;

/// Largest number of chunk streams whose headers are stored, including the 64 lowest ids, which
/// always have an entry. Servers use about ten; the limit bounds the memory that a peer can claim.
pub const MAX_CHUNK_STREAMS: usize = 4096;

/// Largest total size of unfinished messages over all chunk streams: four messages of the maximum
/// size. Real servers have one or two messages in flight.
pub const MAX_UNFINISHED_BYTES: usize = 64 << 20;

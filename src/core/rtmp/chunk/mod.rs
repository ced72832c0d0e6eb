//! Chunks ⇄ messages (RTMP 5.3).
//!
//! Messages of several chunk streams travel interleaved, each cut into chunks:
//!
//! ```text
//! ┌──────────────┬────────────────┬────────────────────┬─────────────────┐
//! │ basic header │ message header │ extended timestamp │ payload         │
//! │ 1 to 3 bytes │ 11, 7, 3 or 0  │ 4 or 0             │ ≤ chunk size    │
//! └──────────────┴────────────────┴────────────────────┴─────────────────┘
//! ```
//!
//! What a header leaves out is taken from the header before it on the same chunk stream.

mod decoder;
mod encoder;
mod header;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use self::{
    decoder::Decoder,
    encoder::{EncodeError, Encoder},
};
use crate::core::wire::Missing;

/// What the peer did that no chunk stream can go on from: the place where the next chunk begins is
/// lost, or a limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// A header that leaves out the message's length, with none before it to take it from.
    #[error("chunk stream {chunk_stream} begins with a type {format} chunk")]
    NoHeader {
        /// The chunk stream's id.
        chunk_stream: u32,
        /// 2 or 3.
        format: u8,
    },
    /// A Set Chunk Size message with 0 or the top bit set.
    #[error("chunk size {0} is not within 1 to 2147483647")]
    ChunkSize(u32),
    /// A Set Chunk Size message of less than four bytes.
    #[error("set chunk size {0}")]
    NoChunkSize(Missing),
    /// Headers on more chunk streams than we remember.
    #[error("more than {MAX_CHUNK_STREAMS} chunk streams")]
    TooManyChunkStreams,
    /// Messages begun, not ended, and too large in sum.
    #[error("more than {MAX_UNFINISHED_BYTES} bytes of unfinished messages")]
    TooMuchUnfinished,
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The chunk size of both directions until Set Chunk Size changes it (RTMP 5.4.1).
pub const DEFAULT_CHUNK_SIZE: u32 = 128;

/// The largest chunk size: the field's top bit is zero (RTMP 5.4.1).
pub const MAX_CHUNK_SIZE: u32 = 0x7FFF_FFFF;

/// Chunk streams whose headers are remembered, the 64 with the lowest ids always among them:
/// servers use ten or so, and each costs memory.
pub const MAX_CHUNK_STREAMS: usize = 4096;

/// Bytes of messages that have begun and not ended, over all chunk streams: four of the largest
/// messages at once, where real servers have one or two under way.
pub const MAX_UNFINISHED_BYTES: usize = 64 << 20;

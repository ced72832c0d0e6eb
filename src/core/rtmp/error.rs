//! Errors that end a session.

use thiserror::Error;

use super::{chunk, handshake};

/// A protocol violation by the peer. The connection can no longer be used.
#[derive(Debug, Error)]
pub enum Error {
    /// The peer's bytes are not a handshake, or not one that the client supports.
    #[error(transparent)]
    Handshake(#[from] handshake::Error),
    /// The peer's bytes are not a chunk stream.
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    /// The peer sends requests and does not read the answers; holds the number of unsent bytes.
    #[error("the server sends requests but does not read the answers ({0} bytes are unsent)")]
    AnswersUnread(usize),
}

//! What ends a session that the server did not end itself.

use thiserror::Error;

use super::{chunk, handshake};

/// What the peer did wrong, in the protocol's words. The connection is of no use any more.
#[derive(Debug, Error)]
pub enum Error {
    /// Not a handshake, or not one that we can answer.
    #[error(transparent)]
    Handshake(#[from] handshake::Error),
    /// Bytes that are no chunk stream.
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    /// More requests than answers that the server reads.
    #[error("the server asks for answers and does not read them ({0} bytes wait to be sent)")]
    AnswersUnread(usize),
}

//! The encryption of a session, on the bytes that wait at either end.

use crate::core::rtmp::handshake::encryption::Streams;

/// How far each direction of an encrypted session is.
#[derive(Debug)]
pub(super) struct Encrypted {
    streams: Streams,
    /// Bytes at the front of the inbox that are decrypted already.
    opened: usize,
    /// Bytes at the front of what is to be sent that go as they are.
    sealed: usize,
}

impl Encrypted {
    /// Encrypts all that comes behind `clear` bytes which are still to be sent.
    pub(super) fn new(streams: Streams, clear: usize) -> Self {
        Self {
            streams,
            opened: 0,
            sealed: clear,
        }
    }

    /// Decrypts in place what has come since [`Encrypted::keep`].
    pub(super) fn open(&mut self, inbox: &mut [u8]) {
        let fresh = inbox.get_mut(self.opened..).unwrap_or_default();
        self.streams.incoming.apply(fresh);
        self.opened = inbox.len();
    }

    /// So many bytes are left of what was decrypted.
    pub(super) fn keep(&mut self, left: usize) {
        self.opened = left;
    }

    /// Encrypts in place what is to be sent now.
    pub(super) fn seal(&mut self, outgoing: &mut [u8]) {
        let clear = outgoing.get_mut(self.sealed..).unwrap_or_default();
        self.streams.outgoing.apply(clear);
        self.sealed = 0;
    }
}

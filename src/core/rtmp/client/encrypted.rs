//! Encryption of a session, applied in place to the inbox and the outgoing bytes.

use crate::core::rtmp::handshake::encryption::Ciphers;

/// The ciphers of an encrypted session and their positions in both buffers.
#[derive(Debug)]
pub(super) struct SessionCipher {
    ciphers: Ciphers,
    /// Number of bytes at the front of the inbox that are already decrypted.
    decrypted: usize,
    /// Number of bytes at the front of the outgoing bytes that are sent unencrypted: C2.
    clear: usize,
}

impl SessionCipher {
    /// Encrypts everything after the first `clear` outgoing bytes.
    pub(super) fn new(ciphers: Ciphers, clear: usize) -> Self {
        Self {
            ciphers,
            decrypted: 0,
            clear,
        }
    }

    /// Decrypts in place the bytes that arrived since the last call of
    /// [`SessionCipher::set_decrypted_len`].
    pub(super) fn decrypt_new(&mut self, inbox: &mut [u8]) {
        let fresh = inbox.get_mut(self.decrypted..).unwrap_or_default();
        self.ciphers.incoming.apply(fresh);
        self.decrypted = inbox.len();
    }

    /// Records that `left` decrypted bytes remain in the inbox.
    pub(super) fn set_decrypted_len(&mut self, left: usize) {
        self.decrypted = left;
    }

    /// Encrypts the outgoing bytes in place.
    pub(super) fn encrypt_pending(&mut self, outgoing: &mut [u8]) {
        let pending = outgoing.get_mut(self.clear..).unwrap_or_default();
        self.ciphers.outgoing.apply(pending);
        self.clear = 0;
    }
}

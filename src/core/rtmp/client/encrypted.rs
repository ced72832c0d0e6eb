//! The encryption of a session, on the bytes that wait at either end.

use crate::core::rtmp::handshake::encryption::Ciphers;

/// How far each direction of an encrypted session is.
#[derive(Debug)]
pub(super) struct SessionCipher {
    ciphers: Ciphers,
    /// Bytes at the front of the inbox that are decrypted already.
    decrypted: usize,
    /// Bytes at the front of what is to be sent that go as they are.
    clear: usize,
}

impl SessionCipher {
    /// Encrypts all that comes behind `clear` bytes which are still to be sent.
    pub(super) fn new(ciphers: Ciphers, clear: usize) -> Self {
        Self {
            ciphers,
            decrypted: 0,
            clear,
        }
    }

    /// Decrypts in place what has come since [`SessionCipher::keep`].
    pub(super) fn decrypt_new(&mut self, inbox: &mut [u8]) {
        let fresh = inbox.get_mut(self.decrypted..).unwrap_or_default();
        self.ciphers.incoming.apply(fresh);
        self.decrypted = inbox.len();
    }

    /// So many bytes are left of what was decrypted.
    pub(super) fn set_decrypted_len(&mut self, left: usize) {
        self.decrypted = left;
    }

    /// Encrypts in place what is to be sent now.
    pub(super) fn encrypt_pending(&mut self, outgoing: &mut [u8]) {
        let pending = outgoing.get_mut(self.clear..).unwrap_or_default();
        self.ciphers.outgoing.apply(pending);
        self.clear = 0;
    }
}

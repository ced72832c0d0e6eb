//! Observation of the bytes of a session.

use std::fmt;

/// Receives a copy of all bytes of a session, without its encryption.
pub trait Observer: fmt::Debug {
    /// Handles bytes that the server sent.
    fn received(&mut self, bytes: &[u8]);

    /// Handles bytes that the client will send.
    fn sent(&mut self, bytes: &[u8]);
}

/// An observer, and the position up to which it has seen the inbox.
#[derive(Debug)]
pub(super) struct Observation {
    observer: Box<dyn Observer>,
    /// Number of bytes at the front of the inbox that were observed.
    observed: usize,
}

impl Observation {
    pub(super) fn new(observer: Box<dyn Observer>) -> Self {
        Self {
            observer,
            observed: 0,
        }
    }

    /// Observes the bytes of a handshake that left the last `left` bytes of `inbox`. After the handshake these
    /// bytes may be encrypted.
    pub(super) fn handshake_received(&mut self, inbox: &[u8], left: usize, is_done: bool) {
        let consumed = inbox.len().saturating_sub(left);
        let clear = if is_done { consumed } else { inbox.len() };
        self.observer
            .received(inbox.get(self.observed..clear).unwrap_or_default());
        self.observed = clear.saturating_sub(consumed);
    }

    /// Observes the bytes that arrived since the last call of [`Observation::set_left`].
    pub(super) fn received(&mut self, inbox: &[u8]) {
        self.observer
            .received(inbox.get(self.observed..).unwrap_or_default());
    }

    /// Records that `left` observed bytes remain in the inbox.
    pub(super) fn set_left(&mut self, left: usize) {
        self.observed = left;
    }

    pub(super) fn sent(&mut self, bytes: &[u8]) {
        self.observer.sent(bytes);
    }
}

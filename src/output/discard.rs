//! An output that writes nothing: it counts the messages, and returns their buffers at once.

use super::{Format, Totals};
use crate::core::payload::Payload;

/// A recording that is discarded. Its size is that of an FLV file without metadata.
#[derive(Debug, Default)]
pub(crate) struct Discard {
    totals: Totals,
    /// Payloads whose buffers can be reused.
    spent: Vec<Payload>,
}

impl Discard {
    /// Counts a message and discards it.
    pub(super) fn message(&mut self, payload: Payload) {
        self.totals = Totals {
            bytes: self.bytes_with(&payload),
            tags: self.totals.tags.saturating_add(1),
        };
        self.spent.push(payload);
    }

    /// Returns the size of the recording if this message were written.
    pub(super) fn bytes_with(&self, payload: &Payload) -> u64 {
        let head = match self.totals.bytes {
            0 => Format::Flv.head_bytes(),
            bytes => bytes,
        };
        head.saturating_add(Format::Flv.message_bytes(payload.len()))
    }

    /// Bytes and tags that a file would contain.
    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// Accepts a payload that must not be written.
    pub(super) fn recycle(&mut self, payload: Payload) {
        self.spent.push(payload);
    }

    /// Returns the buffer of a discarded payload.
    pub(super) fn take_spent(&mut self) -> Option<Payload> {
        self.spent.pop()
    }
}

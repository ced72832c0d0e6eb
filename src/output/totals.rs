//! Bytes and tags of a recording.

use super::muxer::Unit;

/// Number of bytes and tags in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) bytes: u64,
    /// Tags after the heads.
    pub(crate) tags: u64,
}

impl Totals {
    pub(super) fn add_units(&mut self, units: &[Unit]) {
        let bytes = units.iter().map(|unit| unit.as_bytes().len() as u64);
        self.bytes = self.bytes.saturating_add(bytes.sum());
        let messages = units.iter().map(|unit| u64::from(unit.messages));
        self.tags = self.tags.saturating_add(messages.sum());
    }

    /// Returns the sum of both totals.
    pub(super) fn saturating_add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            tags: self.tags.saturating_add(other.tags),
        }
    }
}

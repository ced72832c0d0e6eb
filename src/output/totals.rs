//! Bytes and tags of a recording.

use std::ops::{Add, AddAssign};

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
        self.bytes += bytes.sum::<u64>();
        let messages = units.iter().map(|unit| u64::from(unit.messages));
        self.tags += messages.sum::<u64>();
    }
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            tags: self.tags + other.tags,
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

//! How much an output has, and had before.

use std::ops::Add;

use super::muxer::Unit;

/// How much went into an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) bytes: u64,
    /// Those behind the heads.
    pub(crate) tags: u64,
}

impl Totals {
    pub(super) fn add(&mut self, units: &[Unit]) {
        self.bytes += units
            .iter()
            .map(|unit| unit.bytes.len() as u64)
            .sum::<u64>();
        self.tags += units.len() as u64;
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

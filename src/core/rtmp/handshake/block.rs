//! The 1536-byte blocks C1, C2, S1 and S2.

use std::fmt;

use rand::Rng;

use crate::core::wire::{Missing, Reader};

/// C1, C2, S1 or S2 (RTMP 5.2.3, 5.2.4).
///
/// ```text
/// ┌────────┬─────────┬──────────────────────┐
/// │ time   │ version │ random bytes         │
/// │ 4      │ 4       │ 1528                 │
/// └────────┴─────────┴──────────────────────┘
/// ```
///
/// RTMP 5.2.3 calls the version field "zero" and requires zero. Peers that put a digest into the
/// random bytes set it.
#[derive(Clone, PartialEq, Eq)]
pub struct Block(Box<[u8; Self::LEN]>);

impl Block {
    /// Length in bytes.
    pub const LEN: usize = 1536;

    /// Creates a block of random bytes, for a C2 or S2 that is signed later.
    pub fn random(rng: &mut (impl Rng + ?Sized)) -> Self {
        let mut bytes = Box::new([0; Self::LEN]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// Creates a C1 or S1: `time_ms` and `version`, then random bytes.
    pub fn with_header(time_ms: u32, version: [u8; 4], rng: &mut (impl Rng + ?Sized)) -> Self {
        let mut block = Self::random(rng);
        block.put(0, time_ms.to_be_bytes());
        block.put(VERSION_AT, version);
        block
    }

    /// Reads a block; `what` names it in the error.
    pub fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, Missing> {
        reader.array(what).map(Self::from)
    }

    /// Returns all bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Returns the sender's clock in milliseconds, with any origin.
    pub fn time_ms(&self) -> u32 {
        u32::from_be_bytes(self.field(0))
    }

    /// Returns the version field.
    pub fn version(&self) -> [u8; 4] {
        self.field(VERSION_AT)
    }

    /// Returns the `N` bytes at `position`, which must be a constant or bounded by the layout.
    /// Returns zeros beyond the end.
    pub(in crate::core::rtmp) fn field<const N: usize>(&self, position: usize) -> [u8; N] {
        let field = self.0.get(position..).and_then(<[u8]>::first_chunk);
        field.copied().unwrap_or([0; N])
    }

    /// Writes `field` at `position`, which must be a constant or bounded by the layout. Writes
    /// nothing beyond the end.
    pub(in crate::core::rtmp) fn put<const N: usize>(&mut self, position: usize, field: [u8; N]) {
        let target = self.0.get_mut(position..);
        if let Some(target) = target.and_then(<[u8]>::first_chunk_mut) {
            *target = field;
        }
    }
}

impl From<[u8; Self::LEN]> for Block {
    fn from(bytes: [u8; Self::LEN]) -> Self {
        Self(Box::new(bytes))
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("time_ms", &self.time_ms())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

/// Position of the version field.
const VERSION_AT: usize = 4;

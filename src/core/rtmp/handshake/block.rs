//! The 1536 bytes that C1, C2, S1 and S2 each are.

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
/// RTMP calls the version field "zero"; whoever puts a digest among the random bytes fills it.
#[derive(Clone, PartialEq, Eq)]
pub struct Block(Box<[u8; Self::LEN]>);

impl Block {
    /// How many bytes it has.
    pub const LEN: usize = 1536;

    /// Random bytes only: a C2 or S2 that is going to be signed.
    pub fn random(rng: &mut (impl Rng + ?Sized)) -> Self {
        let mut bytes = Box::new([0; Self::LEN]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// A C1 or S1: `time_ms` and `version`, then random bytes.
    pub fn with_header(time_ms: u32, version: [u8; 4], rng: &mut (impl Rng + ?Sized)) -> Self {
        let mut block = Self::random(rng);
        block.put(0, time_ms.to_be_bytes());
        block.put(VERSION_AT, version);
        block
    }

    /// Reads one; `what` names it.
    pub fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self, Missing> {
        reader.array(what).map(Self::from)
    }

    /// All its bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The sender's clock in milliseconds, from wherever it counts.
    pub fn time_ms(&self) -> u32 {
        u32::from_be_bytes(self.field(0))
    }

    /// The version field.
    pub fn version(&self) -> [u8; 4] {
        self.field(VERSION_AT)
    }

    /// The `N` bytes at `position`, which is a constant or bounded by the layout; zeros behind the
    /// end.
    pub(in crate::core::rtmp) fn field<const N: usize>(&self, position: usize) -> [u8; N] {
        let field = self.0.get(position..).and_then(<[u8]>::first_chunk);
        field.copied().unwrap_or([0; N])
    }

    /// Writes `field` at `position`, which is a constant or bounded by the layout; nothing behind
    /// the end.
    pub(in crate::core::rtmp) fn put<const N: usize>(&mut self, position: usize, field: [u8; N]) {
        let place = self.0.get_mut(position..);
        if let Some(place) = place.and_then(<[u8]>::first_chunk_mut) {
            *place = field;
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

/// Where the version field stands.
const VERSION_AT: usize = 4;

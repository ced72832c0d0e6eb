//! FLAC: the configuration record.

use super::{super::bits::Bits, Sound};

/// A STREAMINFO block (RFC 9639 8.2), read up to the size of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// Samples per second.
    pub rate_hz: u32,
    /// 1 to 8.
    pub channels: u8,
    /// Bits in a sample, 4 to 32.
    pub sample_bits: u8,
}

impl StreamInfo {
    /// Reads the block behind stream marker and block header, as E-RTMP has it, or bare, as ffmpeg
    /// and MediaMTX send it.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let block = match record.strip_prefix(MARKER) {
            Some(blocks) => blocks.get(4..)?,
            None => record,
        };
        let mut bits = Bits::new(block.get(10..)?);
        Some(Self {
            rate_hz: bits.u32(20)?,
            channels: bits.u8(3)?.saturating_add(1),
            sample_bits: bits.u8(5)?.saturating_add(1),
        })
    }

    /// What comes out of the decoder.
    pub fn sound(&self) -> Sound {
        Sound {
            rate_hz: self.rate_hz,
            channels: self.channels,
        }
    }
}

const MARKER: &[u8] = b"fLaC";

//! FLAC: the configuration record.

use super::{super::bits::BitReader, AudioFormat};

/// A STREAMINFO block (RFC 9639 8.2) up to the sample size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// Samples per second.
    pub rate_hz: u32,
    /// Number of channels, 1 to 8.
    pub channels: u8,
    /// Bits per sample, 4 to 32.
    pub sample_bits: u8,
}

impl StreamInfo {
    /// Parses a record: the block after stream marker and block header as in E-RTMP, or the block alone,
    /// as ffmpeg and MediaMTX send it.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let block = match record.strip_prefix(MARKER) {
            Some(blocks) => blocks.get(4..)?,
            None => record,
        };
        let mut bits = BitReader::new(block.get(10..)?);
        Some(Self {
            rate_hz: bits.u32(20)?,
            channels: bits.u8(3)?.saturating_add(1),
            sample_bits: bits.u8(5)?.saturating_add(1),
        })
    }

    /// Returns the output format of a decoder.
    pub fn format(&self) -> AudioFormat {
        AudioFormat {
            rate_hz: self.rate_hz,
            channels: self.channels,
        }
    }
}

/// Stream marker.
const MARKER: &[u8] = b"fLaC";

//! Opus: the configuration record.

use super::AudioFormat;
use crate::core::wire::{Missing, Reader};

/// An OpusHead (RFC 7845 5.1) up to the input sample rate. Numbers are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of channels.
    pub channels: u8,
    /// Number of samples at 48 kHz to drop at the start.
    pub pre_skip: u16,
    /// Sample rate before encoding in Hz. It does not affect decoding.
    pub input_rate_hz: u32,
}

impl Head {
    /// Parses a record, which starts with the magic signature.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let rest = record.strip_prefix(b"OpusHead")?;
        Self::read(&mut Reader::new(rest)).ok()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Missing> {
        reader.u8("version")?;
        Ok(Self {
            channels: reader.u8("channel count")?,
            pre_skip: reader.array("pre-skip").map(u16::from_le_bytes)?,
            input_rate_hz: reader.u32_le("input sample rate")?,
        })
    }

    /// Returns the output format of a decoder, which is always 48 kHz.
    pub fn format(&self) -> AudioFormat {
        AudioFormat {
            rate_hz: 48_000,
            channels: self.channels,
        }
    }
}

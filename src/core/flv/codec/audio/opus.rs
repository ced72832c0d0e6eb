//! Opus: the configuration record.

use super::Sound;

/// An OpusHead (RFC 7845 5.1), which is little-endian, read up to the rate of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many channels.
    pub channels: u8,
    /// Samples of 48 kHz to drop at the start.
    pub pre_skip: u16,
    /// How fast the sound was sampled before it was coded; says nothing of how it is decoded.
    pub input_rate_hz: u32,
}

impl Head {
    /// Reads the record, magic signature first.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let (_version, rest) = record.strip_prefix(b"OpusHead")?.split_first()?;
        let (&channels, rest) = rest.split_first()?;
        let (pre_skip, rest) = rest.split_first_chunk()?;
        let (rate, _) = rest.split_first_chunk()?;
        Some(Self {
            channels,
            pre_skip: u16::from_le_bytes(*pre_skip),
            input_rate_hz: u32::from_le_bytes(*rate),
        })
    }

    /// What comes out of the decoder, whatever went into the encoder.
    pub fn sound(&self) -> Sound {
        Sound {
            rate_hz: 48_000,
            channels: self.channels,
        }
    }
}

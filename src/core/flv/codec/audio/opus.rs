//! Opus: the configuration record.

use super::{
    super::description::{AudioDescription, Speakers},
    AudioFormat,
};
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
    /// Whether the channels have the order of RFC 7845 5.1.1.1 or 5.1.1.2: the families 0 and 1.
    pub has_usual_order: bool,
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
            has_usual_order: reader.take(2, "output gain").is_ok()
                && matches!(reader.u8("channel mapping family"), Ok(0 | 1)),
        })
    }

    /// Returns the output format of a decoder, which is always 48 kHz.
    pub fn format(&self) -> AudioFormat {
        AudioFormat {
            rate_hz: RATE_HZ,
            channels: self.channels,
        }
    }

    /// Returns the properties of the track.
    pub fn description(&self) -> AudioDescription {
        AudioDescription {
            core_rate_hz: Some(RATE_HZ),
            rate_hz: Some(RATE_HZ),
            channels: Some(self.channels),
            speakers: match self.has_usual_order {
                true => surround(self.channels),
                false => None,
            },
            delay_samples: Some(self.pre_skip.into()),
            ..AudioDescription::default()
        }
    }
}

/// Returns the properties that a packet contains.
pub(super) fn describe_packet(packet: &[u8]) -> AudioDescription {
    AudioDescription {
        core_rate_hz: Some(RATE_HZ),
        rate_hz: Some(RATE_HZ),
        frame_samples: packet_samples(packet),
        ..AudioDescription::default()
    }
}

/// Returns the samples per channel of a packet at 48 kHz, from its first bytes (RFC 6716 3.1 and 3.2).
pub fn packet_samples(packet: &[u8]) -> Option<u32> {
    let (toc, rest) = packet.split_first()?;
    let config = toc >> 3;
    let frame: u32 = match (config, config & 3) {
        (0..=11, size @ 0..=2) => 480_u32.checked_shl(size.into())?,
        (0..=11, _) => 2880,
        (12..=15, size) => 480_u32.checked_shl((size & 1).into())?,
        (_, size) => 120_u32.checked_shl(size.into())?,
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3F),
    };
    // RFC 6716 3.2.5: a packet has at most 120 ms.
    frame
        .checked_mul(frames)
        .filter(|samples| (1..=5760).contains(samples))
}

/// Returns the speakers of one to eight channels (RFC 7845 5.1.1.2).
pub(super) fn surround(channels: u8) -> Option<Speakers> {
    let bits = match channels {
        1 => 0x4,
        2 => 0x3,
        3 => 0x7,
        4 => 0x33,
        5 => 0x37,
        6 => 0x3F,
        7 => 0x70F,
        8 => 0x63F,
        _ => return None,
    };
    Some(Speakers(bits))
}

/// Samples per second of decoded Opus.
pub const RATE_HZ: u32 = 48_000;

//! FLAC: the configuration record.

use super::{
    super::{bits::BitReader, description::AudioDescription},
    AudioFormat,
    opus::surround,
};

/// A STREAMINFO block (RFC 9639 8.2) up to the sample size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// Samples per second.
    pub rate_hz: u32,
    /// Number of channels, 1 to 8.
    pub channels: u8,
    /// Bits per sample, 4 to 32.
    pub sample_bits: u8,
    /// Samples per channel in a frame, if all frames but the last have the same number.
    pub frame_samples: Option<u16>,
}

impl StreamInfo {
    /// Parses a record: the block after stream marker and block header as in E-RTMP, or the block alone,
    /// as ffmpeg and MediaMTX send it.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let block = match record.strip_prefix(MARKER) {
            Some(blocks) => blocks.get(4..)?,
            None => record,
        };
        let [least_high, least_low, most_high, most_low, ..] = block else {
            return None;
        };
        let least = u16::from_be_bytes([*least_high, *least_low]);
        let most = u16::from_be_bytes([*most_high, *most_low]);
        let mut bits = BitReader::new(block.get(10..)?);
        Some(Self {
            rate_hz: bits.u32(20)?,
            channels: bits.u8(3)?.saturating_add(1),
            sample_bits: bits.u8(5)?.saturating_add(1),
            frame_samples: (least == most).then_some(least),
        })
    }

    /// Returns the properties of the track. The order of channels is that of Opus (RFC 9639 9.1.3).
    pub fn description(&self) -> AudioDescription {
        AudioDescription {
            core_rate_hz: Some(self.rate_hz),
            rate_hz: Some(self.rate_hz),
            channels: Some(self.channels),
            speakers: surround(self.channels),
            sample_bits: Some(self.sample_bits),
            frame_samples: self.frame_samples.map(u32::from),
            ..AudioDescription::default()
        }
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

//! MP3: frame headers.

use super::{
    super::{
        bits::BitReader,
        description::{AudioDescription, Profile, Speakers},
    },
    AudioFormat,
};

/// Header of an MPEG audio frame (ISO 11172-3 2.4.1.3, ISO 13818-3 2.4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Layer, 1 to 3.
    pub layer: u8,
    /// Samples per second.
    pub rate_hz: u32,
    /// Number of channels, 1 or 2.
    pub channels: u8,
}

impl FrameHeader {
    /// Parses the four bytes at the start of a frame; `None` if they are not a frame header.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(frame.get(..4)?);
        if bits.u32(11)? != SYNC_WORD {
            return None;
        }
        let version = bits.u8(2)?;
        let layer = 4_u8.checked_sub(bits.u8(2)?).filter(|layer| *layer < 4)?;
        bits.skip(1 + 4)?; // protection, bitrate
        let rate_hz = match bits.u8(2)? {
            0 => 44_100_u32,
            1 => 48_000,
            2 => 32_000,
            _ => return None,
        };
        let halvings = match version {
            MPEG_1 => 0,
            MPEG_2 => 1,
            MPEG_2_5 => 2,
            _ => return None,
        };
        bits.skip(1 + 1)?; // padding, private
        let channels = if bits.u8(2)? == SINGLE_CHANNEL { 1 } else { 2 };
        Some(Self {
            layer,
            rate_hz: rate_hz.checked_shr(halvings)?,
            channels,
        })
    }

    /// Returns the samples per channel of a frame (ISO 11172-3 2.4.2.1, ISO 13818-3 2.4.2.1).
    pub fn samples(&self) -> u16 {
        // MPEG-2 and MPEG-2.5 have rates up to 24 kHz, and half of the samples in layer 3.
        let is_mpeg_1 = self.rate_hz > 24_000;
        match (self.layer, is_mpeg_1) {
            (1, _) => 384,
            (3, false) => 576,
            _ => 1152,
        }
    }

    /// Returns the properties of the track.
    pub fn description(&self) -> AudioDescription {
        AudioDescription {
            profile: Some(Profile::named(
                self.layer,
                &[(1, "Layer I"), (2, "Layer II"), (3, "Layer III")],
            )),
            core_rate_hz: Some(self.rate_hz),
            rate_hz: Some(self.rate_hz),
            channels: Some(self.channels),
            speakers: Speakers::front(self.channels),
            frame_samples: Some(self.samples().into()),
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

/// The first eleven bits of a frame.
const SYNC_WORD: u32 = 0x7FF;

/// Versions; 1 is reserved.
const MPEG_2_5: u8 = 0;
const MPEG_2: u8 = 2;
const MPEG_1: u8 = 3;

/// The mode with one channel; all others have two.
const SINGLE_CHANNEL: u8 = 3;

#[cfg(test)]
mod tests {
    use super::{super::super::tests::when_cut, *};

    #[test]
    fn mpeg_2_and_2_5_halve_the_rate() {
        for (header, rate_hz, channels) in [
            ([0xFF, 0xFB, 0x50, 0x04], 44_100, 2),
            ([0xFF, 0xF3, 0x70, 0x00], 22_050, 2),
            ([0xFF, 0xE3, 0x38, 0xC0], 8_000, 1),
        ] {
            let expected = FrameHeader {
                layer: 3,
                rate_hz,
                channels,
            };
            assert_eq!(when_cut(&header, FrameHeader::parse), Some(expected));
        }
    }

    #[test]
    fn frames_of_all_layers_have_their_length() {
        let samples = |header: [u8; 4]| FrameHeader::parse(&header).unwrap().description();
        let found = samples([0xFF, 0xFB, 0x50, 0x04]);
        assert_eq!(found.frame_samples, Some(1152));
        assert_eq!(found.profile.unwrap().to_string(), "Layer III");
        assert_eq!(found.speakers.unwrap().to_string(), "stereo");
        assert_eq!(samples([0xFF, 0xF3, 0x70, 0xC0]).frame_samples, Some(576));
        assert_eq!(samples([0xFF, 0xFD, 0x50, 0x04]).frame_samples, Some(1152));
        assert_eq!(samples([0xFF, 0xFF, 0x50, 0x04]).frame_samples, Some(384));
    }

    #[test]
    fn reserved_values_are_rejected() {
        for header in [
            [0xFF, 0xDB, 0x50, 0xC4], // sync word
            [0xFF, 0xEB, 0x50, 0xC4], // version
            [0xFF, 0xF9, 0x50, 0xC4], // layer
            [0xFF, 0xFB, 0x5C, 0xC4], // rate
        ] {
            assert_eq!(FrameHeader::parse(&header), None, "{header:x?}");
        }
    }
}

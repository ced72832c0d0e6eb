//! AAC: the configuration record.

use super::{super::bits::Bits, Sound};

/// An AudioSpecificConfig (ISO 14496-3 1.6.2.1), read up to the number of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// Which AAC: 2 is AAC-LC, 5 has spectral band replication, 29 also parametric stereo.
    pub object_type: u8,
    /// Samples per second, before any spectral band replication.
    pub rate_hz: u32,
    /// How channels stand, by number; 0 where a program configuration lists them.
    pub channel_configuration: u8,
    /// How many channels there are, unless the configuration is a reserved one.
    pub channels: Option<u8>,
    /// What spectral band replication extends.
    pub extension: Option<Extension>,
}

/// Spectral band replication, as the object types 5 and 29 announce it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// Samples per second that come out of the decoder.
    pub rate_hz: u32,
    /// The object type that is extended.
    pub object_type: u8,
}

impl AudioSpecificConfig {
    /// Reads the record; `None` if it ends early or its rate is reserved.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(record);
        let object_type = read_object_type(&mut bits)?;
        let rate_hz = read_rate(&mut bits)?;
        let channel_configuration = bits.u8(4)?;
        let extension = match object_type {
            SPECTRAL_BAND_REPLICATION | PARAMETRIC_STEREO => Some(Extension {
                rate_hz: read_rate(&mut bits)?,
                object_type: read_object_type(&mut bits)?,
            }),
            _ => None,
        };
        let channels = match channel_configuration {
            0 => read_program_channels(&mut bits),
            1..=6 => Some(channel_configuration),
            7 | 12 | 14 => Some(8),
            11 => Some(7),
            13 => Some(24),
            _ => None,
        };
        Some(Self {
            object_type,
            rate_hz,
            channel_configuration,
            channels,
            extension,
        })
    }

    /// What comes out of the decoder.
    pub fn sound(&self) -> Option<Sound> {
        let channels = match (self.object_type, self.channels?) {
            (PARAMETRIC_STEREO, 1) => 2,
            (_, channels) => channels,
        };
        Some(Sound {
            rate_hz: self
                .extension
                .map_or(self.rate_hz, |extension| extension.rate_hz),
            channels,
        })
    }
}

fn read_object_type(bits: &mut Bits<'_>) -> Option<u8> {
    match bits.u8(5)? {
        31 => Some(bits.u8(6)?.saturating_add(32)),
        short => Some(short),
    }
}

fn read_rate(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.u8(4)? {
        15 => bits.u32(24),
        index => RATES_HZ.get(usize::from(index)).copied(),
    }
}

/// Reads GASpecificConfig (ISO 14496-3 4.4.1) and the program configuration element in it (4.5.1.2),
/// and counts its channels.
fn read_program_channels(bits: &mut Bits<'_>) -> Option<u8> {
    bits.skip(1)?; // length of frames
    if bits.bit()? {
        bits.skip(14)?; // delay of the core coder
    }
    bits.skip(1)?; // extension
    bits.skip(4 + 2 + 4)?; // id, object type, rate
    let main_elements = bits
        .u8(4)?
        .saturating_add(bits.u8(4)?)
        .saturating_add(bits.u8(4)?);
    let low_frequency_channels = bits.u8(2)?;
    bits.skip(3 + 4)?; // associated data, coupling channels
    for mixdown_bits in [4, 4, 3] {
        if bits.bit()? {
            bits.skip(mixdown_bits)?;
        }
    }
    let mut channels = low_frequency_channels;
    for _ in 0..main_elements {
        let is_pair = bits.bit()?;
        bits.skip(4)?; // tag
        channels = channels.saturating_add(if is_pair { 2 } else { 1 });
    }
    (channels > 0).then_some(channels)
}

/// Audio object types (ISO 14496-3 table 1.17).
const SPECTRAL_BAND_REPLICATION: u8 = 5;
const PARAMETRIC_STEREO: u8 = 29;

/// ISO 14496-3 table 1.18.
const RATES_HZ: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            bits::tests::bytes,
            tests::{hex, when_cut},
        },
        *,
    };

    fn sound(record: &[u8]) -> Option<(u32, u8)> {
        let sound = when_cut(record, |record| AudioSpecificConfig::parse(record)?.sound())?;
        Some((sound.rate_hz, sound.channels))
    }

    #[test]
    fn channels_have_numbers_that_are_not_always_theirs() {
        assert_eq!(sound(&hex("11b0")), Some((48_000, 6)));
        assert_eq!(sound(&hex("11b8")), Some((48_000, 8)));
        assert_eq!(sound(&hex("11d8")), Some((48_000, 7)));
        assert_eq!(sound(&hex("11c0")), None);
    }

    #[test]
    fn a_program_configuration_lists_channels() {
        // Two in front, two at the back, as ffmpeg writes quadraphonic sound.
        let record = hex("118004c4040021100d4c61766335392e33372e31303056e500");
        assert_eq!(sound(&record), Some((48_000, 4)));
    }

    #[test]
    fn rates_and_object_types_may_be_written_out() {
        let record = bytes("11111 001010 1111 000000001011101110000000 0001");
        let config = when_cut(&record, AudioSpecificConfig::parse);
        assert_eq!(
            config.map(|config| (config.object_type, config.rate_hz)),
            Some((42, 48_000))
        );
        assert_eq!(AudioSpecificConfig::parse(&bytes("00010 1101 0010")), None);
    }

    #[test]
    fn parametric_stereo_makes_two_channels_of_one() {
        let record = bytes("11101 0111 0001 0100 00010 00");
        assert_eq!(sound(&record), Some((44_100, 2)));
    }
}

//! AAC: the configuration record.

use super::{super::bits::BitReader, AudioFormat};

/// An AudioSpecificConfig (ISO 14496-3 1.6.2.1) up to the number of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// Audio object type: 2 is AAC-LC, 5 is HE-AAC (with SBR), 29 is HE-AAC v2 (with SBR and PS).
    pub object_type: u8,
    /// Samples per second, before spectral band replication (SBR).
    pub rate_hz: u32,
    /// Channel configuration; 0 if a program config element lists the channels.
    pub channel_configuration: u8,
    /// Number of channels; `None` if the channel configuration is reserved.
    pub channels: Option<u8>,
    /// SBR extension, if the object type is 5 or 29.
    pub extension: Option<Extension>,
}

/// SBR extension of an AudioSpecificConfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// Samples per second after SBR.
    pub rate_hz: u32,
    /// Audio object type that is extended.
    pub object_type: u8,
}

impl AudioSpecificConfig {
    /// Parses a record; `None` if it is too short or its sample rate is reserved.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(record);
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

    /// Returns the output format of a decoder; `None` if the channels are not known.
    pub fn format(&self) -> Option<AudioFormat> {
        let channels = match (self.object_type, self.channels?) {
            (PARAMETRIC_STEREO, 1) => 2,
            (_, channels) => channels,
        };
        let rate_hz = self.extension.map_or(self.rate_hz, |sbr| sbr.rate_hz);
        Some(AudioFormat { rate_hz, channels })
    }
}

fn read_object_type(bits: &mut BitReader<'_>) -> Option<u8> {
    match bits.u8(5)? {
        31 => Some(bits.u8(6)?.saturating_add(32)),
        short => Some(short),
    }
}

fn read_rate(bits: &mut BitReader<'_>) -> Option<u32> {
    match bits.u8(4)? {
        15 => bits.u32(24),
        index => RATES_HZ.get(usize::from(index)).copied(),
    }
}

/// Reads GASpecificConfig (ISO 14496-3 4.4.1) and its program config element (4.5.1.2), and counts the
/// channels.
fn read_program_channels(bits: &mut BitReader<'_>) -> Option<u8> {
    bits.skip(1)?; // frameLengthFlag
    if bits.bit()? {
        bits.skip(14)?; // coreCoderDelay
    }
    bits.skip(1)?; // extensionFlag
    bits.skip(4 + 2 + 4)?; // element_instance_tag, object_type, sampling_frequency_index
    let main_elements = bits
        .u8(4)?
        .saturating_add(bits.u8(4)?)
        .saturating_add(bits.u8(4)?);
    let low_frequency_channels = bits.u8(2)?;
    bits.skip(3 + 4)?; // num_assoc_data_elements, num_valid_cc_elements
    for mixdown_bits in [4, 4, 3] {
        if bits.bit()? {
            bits.skip(mixdown_bits)?;
        }
    }
    let mut channels = low_frequency_channels;
    for _ in 0..main_elements {
        let is_pair = bits.bit()?;
        bits.skip(4)?; // element_tag_select
        channels = channels.saturating_add(if is_pair { 2 } else { 1 });
    }
    (channels > 0).then_some(channels)
}

/// Audio object types (ISO 14496-3 table 1.17).
const SPECTRAL_BAND_REPLICATION: u8 = 5;
const PARAMETRIC_STEREO: u8 = 29;

/// Sample rates by index (ISO 14496-3 table 1.18).
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

    fn format(record: &[u8]) -> Option<(u32, u8)> {
        let format = when_cut(record, |record| {
            AudioSpecificConfig::parse(record)?.format()
        })?;
        Some((format.rate_hz, format.channels))
    }

    #[test]
    fn channel_configuration_is_mapped_to_channels() {
        assert_eq!(format(&hex("11b0")), Some((48_000, 6)));
        assert_eq!(format(&hex("11b8")), Some((48_000, 8)));
        assert_eq!(format(&hex("11d8")), Some((48_000, 7)));
        assert_eq!(format(&hex("11c0")), None);
    }

    #[test]
    fn program_config_element_lists_channels() {
        // Two front and two back channels, as ffmpeg writes quadraphonic sound.
        let record = hex("118004c4040021100d4c61766335392e33372e31303056e500");
        assert_eq!(format(&record), Some((48_000, 4)));
    }

    #[test]
    fn escaped_rates_and_object_types_are_read() {
        let record = bytes("11111 001010 1111 000000001011101110000000 0001");
        let config = when_cut(&record, AudioSpecificConfig::parse);
        assert_eq!(
            config.map(|config| (config.object_type, config.rate_hz)),
            Some((42, 48_000))
        );
        assert_eq!(AudioSpecificConfig::parse(&bytes("00010 1101 0010")), None);
    }

    #[test]
    fn parametric_stereo_doubles_a_mono_channel() {
        let record = bytes("11101 0111 0001 0100 00010 00");
        assert_eq!(format(&record), Some((44_100, 2)));
    }
}

//! AAC: the configuration record.

use super::{
    super::{
        bits::BitReader,
        description::{AudioDescription, Profile, Speakers},
    },
    AudioFormat,
};

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
    /// Samples per channel in a frame at `rate_hz`; `None` if the object type does not determine them.
    pub frame_samples: Option<u16>,
    /// Extension that decoders without SBR do not read.
    pub compatible_extension: Option<CompatibleExtension>,
}

/// SBR extension of an AudioSpecificConfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// Samples per second after SBR.
    pub rate_hz: u32,
    /// Audio object type that is extended.
    pub object_type: u8,
}

/// Extension at the end of an AudioSpecificConfig, after which decoders without SBR stop (ISO 14496-3 1.6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompatibleExtension {
    /// Samples per second after SBR.
    pub rate_hz: u32,
    /// Whether parametric stereo (PS) makes two channels of one.
    pub has_parametric_stereo: bool,
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
        let core = extension.map_or(object_type, |extension: Extension| extension.object_type);
        if extension.is_some() && core == ER_BSAC {
            bits.skip(4)?; // extensionChannelConfiguration
        }
        let frame_samples = frame_samples(core, bits.clone());
        let compatible_extension = match extension {
            None if channel_configuration > 0 => read_compatible_extension(core, bits.clone()),
            _ => None,
        };
        let channels = match channel_configuration {
            0 if is_general_audio(core) => read_program_channels(&mut bits),
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
            frame_samples,
            compatible_extension,
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

    /// Returns the properties of the track. A compatible extension counts.
    pub fn description(&self) -> AudioDescription {
        let extension = self.compatible_extension;
        let has_parametric_stereo = extension.is_some_and(|found| found.has_parametric_stereo);
        let (object_type, channels) = match (extension, self.format()) {
            (Some(_), _) if has_parametric_stereo => (PARAMETRIC_STEREO, Some(2)),
            (Some(_), format) => (
                SPECTRAL_BAND_REPLICATION,
                format.map(|format| format.channels),
            ),
            (None, format) => (self.object_type, format.map(|format| format.channels)),
        };
        let rate_hz = self.extension.map(|found| found.rate_hz);
        let rate_hz = rate_hz.or_else(|| extension.map(|found| found.rate_hz));
        AudioDescription {
            profile: Some(Profile::named(object_type, &PROFILE_NAMES)),
            core_rate_hz: Some(self.rate_hz),
            rate_hz: rate_hz.or(Some(self.rate_hz)),
            channels,
            speakers: match channels {
                Some(2) => Some(Speakers::STEREO),
                _ => speakers(self.channel_configuration),
            },
            frame_samples: self.frame_samples.map(u32::from),
            ..AudioDescription::default()
        }
    }
}

/// Returns the speakers of a channel configuration (ISO 14496-3 table 1.19).
fn speakers(channel_configuration: u8) -> Option<Speakers> {
    let bits = match channel_configuration {
        1 => 0x4,
        2 => 0x3,
        3 => 0x7,
        4 => 0x107,
        5 => 0x37,
        6 => 0x3F,
        7 => 0xFF,
        11 => 0x13F,
        12 => 0x63F,
        14 => 0x503F,
        _ => return None,
    };
    Some(Speakers(bits))
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

/// Returns the samples in a frame of this object type. `bits` starts at its specific configuration; a missing
/// one has the usual length.
fn frame_samples(object_type: u8, mut bits: BitReader<'_>) -> Option<u16> {
    match object_type {
        ER_LOW_DELAY | ER_ENHANCED_LOW_DELAY => {
            let is_short = bits.bit().unwrap_or(false); // frameLengthFlag
            Some(if is_short { 480 } else { 512 })
        }
        UNIFIED_SPEECH_AND_AUDIO => read_unified_frame_samples(&mut bits),
        _ if is_general_audio(object_type) => {
            let is_short = bits.bit().unwrap_or(false); // frameLengthFlag
            Some(if is_short { 960 } else { 1024 })
        }
        _ => None,
    }
}

/// Reads UsacConfig (ISO 23003-3 5.2) up to the length of the frames, which is that after SBR.
fn read_unified_frame_samples(bits: &mut BitReader<'_>) -> Option<u16> {
    let rate = bits.u8(5)?;
    if rate == 0x1F {
        bits.skip(24)?; // usacSamplingFrequency
    }
    match bits.u8(3)? {
        0 => Some(768),
        1 => Some(1024),
        2 | 3 => Some(2048),
        4 => Some(4096),
        _ => None,
    }
}

/// Reads the extension after GASpecificConfig (ISO 14496-3 1.6.2.1). `bits` starts at GASpecificConfig, whose
/// channel configuration is not 0.
fn read_compatible_extension(
    object_type: u8,
    mut bits: BitReader<'_>,
) -> Option<CompatibleExtension> {
    if !matches!(object_type, 1..=4) {
        return None;
    }
    bits.skip(1)?; // frameLengthFlag
    if bits.bit()? {
        bits.skip(14)?; // coreCoderDelay
    }
    if bits.bit()? {
        bits.skip(1)?; // extensionFlag3
    }
    if bits.u32(11)? != SYNC_EXTENSION || read_object_type(&mut bits)? != SPECTRAL_BAND_REPLICATION
    {
        return None;
    }
    let has_replication = bits.bit()?;
    if !has_replication {
        return None;
    }
    Some(CompatibleExtension {
        rate_hz: read_rate(&mut bits)?,
        has_parametric_stereo: bits.u32(11) == Some(SYNC_STEREO) && bits.bit() == Some(true),
    })
}

/// Returns whether the specific configuration of an object type is GASpecificConfig (ISO 14496-3 1.6.2.1).
fn is_general_audio(object_type: u8) -> bool {
    matches!(object_type, 1..=4 | 6 | 7 | 17 | 19..=23)
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

/// Values of syncExtensionType (ISO 14496-3 1.6.2.1).
const SYNC_EXTENSION: u32 = 0x2B7;
const SYNC_STEREO: u32 = 0x548;

/// Usual names of the profiles that consist of an audio object type and those below it.
const PROFILE_NAMES: [(u8, &str); 13] = [
    (1, "Main"),
    (2, "LC"),
    (3, "SSR"),
    (4, "LTP"),
    (SPECTRAL_BAND_REPLICATION, "HE-AAC"),
    (6, "Scalable"),
    (17, "ER LC"),
    (19, "ER LTP"),
    (20, "ER Scalable"),
    (ER_LOW_DELAY, "LD"),
    (PARAMETRIC_STEREO, "HE-AACv2"),
    (ER_ENHANCED_LOW_DELAY, "ELD"),
    (UNIFIED_SPEECH_AND_AUDIO, "xHE-AAC"),
];

/// Audio object types (ISO 14496-3 table 1.17).
const SPECTRAL_BAND_REPLICATION: u8 = 5;
const ER_BSAC: u8 = 22;
const ER_LOW_DELAY: u8 = 23;
const PARAMETRIC_STEREO: u8 = 29;
const ER_ENHANCED_LOW_DELAY: u8 = 39;
const UNIFIED_SPEECH_AND_AUDIO: u8 = 42;

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

    fn frame_samples(record: &[u8]) -> Option<u16> {
        AudioSpecificConfig::parse(record)?.frame_samples
    }

    #[test]
    fn frame_length_flag_shortens_frames() {
        // AAC-LC at 48 kHz, stereo, with 1,024 and 960 samples.
        assert_eq!(frame_samples(&hex("1190")), Some(1024));
        assert_eq!(frame_samples(&hex("1194")), Some(960));
        // ER AAC LD and ER AAC ELD.
        assert_eq!(frame_samples(&bytes("10111 0011 0010 0")), Some(512));
        assert_eq!(frame_samples(&bytes("10111 0011 0010 1")), Some(480));
        assert_eq!(frame_samples(&bytes("11111 000111 0011 0010 0")), Some(512));
        assert_eq!(frame_samples(&bytes("11111 000111 0011 0010 1")), Some(480));
        // HE-AAC and HE-AAC v2: the flag follows the object type of the core.
        assert_eq!(
            frame_samples(&bytes("00101 0110 0010 0011 00010 0")),
            Some(1024)
        );
        assert_eq!(
            frame_samples(&bytes("00101 0110 0010 0011 00010 1")),
            Some(960)
        );
        assert_eq!(
            frame_samples(&bytes("11101 0110 0001 0011 00010 1")),
            Some(960)
        );
    }

    #[test]
    fn frame_length_of_unified_speech_and_audio_has_an_index() {
        let record = |index| bytes(&format!("11111 001010 0011 0010 00011 {index} 00010"));
        let samples =
            ["000", "001", "010", "011", "100", "101"].map(|index| frame_samples(&record(index)));
        let expected = [
            Some(768),
            Some(1024),
            Some(2048),
            Some(2048),
            Some(4096),
            None,
        ];
        assert_eq!(samples, expected);
        let escaped = bytes("11111 001010 0011 0010 11111 000000001011101110000000 100");
        assert_eq!(frame_samples(&escaped), Some(4096));
    }

    #[test]
    fn descriptions_have_the_rates_before_and_after_replication() {
        let describe = |record: &[u8]| {
            let found = AudioSpecificConfig::parse(record).unwrap().description();
            let rates = (found.core_rate_hz, found.rate_hz, found.channels);
            (
                found.profile.unwrap().to_string(),
                rates,
                found.frame_samples,
            )
        };
        // AAC-LC, HE-AAC and HE-AAC v2 with a hierarchical or a compatible extension.
        assert_eq!(
            describe(&hex("1190")),
            (
                "LC".to_owned(),
                (Some(48_000), Some(48_000), Some(2)),
                Some(1024)
            )
        );
        assert_eq!(
            describe(&bytes("00101 0110 0010 0011 00010 000")),
            (
                "HE-AAC".to_owned(),
                (Some(24_000), Some(48_000), Some(2)),
                Some(1024)
            )
        );
        assert_eq!(
            describe(&bytes("00010 0110 0010 000 01010110111 00101 1 0011")),
            (
                "HE-AAC".to_owned(),
                (Some(24_000), Some(48_000), Some(2)),
                Some(1024)
            )
        );
        assert_eq!(
            describe(&bytes(
                "00010 0110 0001 000 01010110111 00101 1 0011 10101001000 1"
            )),
            (
                "HE-AACv2".to_owned(),
                (Some(24_000), Some(48_000), Some(2)),
                Some(1024)
            )
        );
        assert_eq!(
            describe(&bytes("00010 0110 0001 000 01010110111 00101 0")).0,
            "LC"
        );
        let surround = AudioSpecificConfig::parse(&hex("11b0"))
            .unwrap()
            .description();
        assert_eq!(surround.speakers.unwrap().to_string(), "5.1");
    }

    #[test]
    fn implicit_extension_does_not_change_the_rate_of_frames() {
        // AAC-LC at 24 kHz, stereo, then the sync word 0x2B7, SBR, and 48 kHz.
        let record = bytes("00010 0110 0010 000 01010110111 00101 1 0011");
        let config = AudioSpecificConfig::parse(&record).expect("a record");
        assert_eq!((config.rate_hz, config.frame_samples), (24_000, Some(1024)));
        assert_eq!(config.format().map(|format| format.channels), Some(2));
    }

    #[test]
    fn program_config_element_has_at_most_93_channels() {
        // Fifteen pairs in each of the three groups, and three channels for low frequencies.
        let groups = format!("1111 1111 1111 11 000 0000 000 {}", "10000".repeat(45));
        let record = bytes(&format!("00010 0011 0000 000 0000 01 0011 {groups}"));
        assert_eq!(format(&record), Some((48_000, 93)));
    }

    #[test]
    fn program_config_element_follows_the_extension() {
        // HE-AAC: one front pair, one low-frequency channel.
        let record = bytes(
            "00101 0110 0000 0011 00010 000 0000 01 0110 0001 0000 0000 01 000 0000 000 10000 0000",
        );
        assert_eq!(format(&record), Some((48_000, 3)));
    }

    #[test]
    fn other_object_types_have_no_program_config_element() {
        // ER AAC ELD and CELP.
        assert_eq!(
            format(&bytes(&format!(
                "11111 000111 0011 0000 {}",
                "1".repeat(300)
            ))),
            None
        );
        let celp = bytes(&format!("01000 0011 0000 {}", "1".repeat(300)));
        assert_eq!(format(&celp), None);
        assert_eq!(frame_samples(&celp), None);
    }
}

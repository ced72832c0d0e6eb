//! AC-3 and E-AC-3: frame headers.

use super::{
    super::{
        bits::BitReader,
        description::{AudioDescription, Speakers},
    },
    AudioFormat,
};

/// Returns sample rate and channels of an AC-3 or E-AC-3 frame (ETSI TS 102 366 4.3 and E.1.2). In E-AC-3
/// they are those of the first substream.
pub fn format(frame: &[u8]) -> Option<AudioFormat> {
    let [0x0B, 0x77, _, _, rate_and_channels, version, ..] = frame else {
        return None;
    };
    if version >> 3 > HIGHEST_AC_3 {
        read_enhanced(*rate_and_channels)
    } else {
        read_plain(frame.get(4..)?)
    }
}

/// Returns the properties of an AC-3 or E-AC-3 sample: of E-AC-3 the first independent substream, with the
/// channels that dependent substreams add to it.
pub fn description(sample: &[u8]) -> Option<AudioDescription> {
    let AudioFormat { rate_hz, channels } = format(sample)?;
    let plain = AudioDescription {
        core_rate_hz: Some(rate_hz),
        rate_hz: Some(rate_hz),
        ..AudioDescription::default()
    };
    let Some(first) = EnhancedFrame::parse(sample) else {
        // Every AC-3 frame has six blocks of 256 samples (ETSI TS 102 366 4.1).
        let mode = sample.get(6)? >> 5;
        return Some(AudioDescription {
            channels: Some(channels),
            speakers: speakers(mode, mode_map(mode, channels > self::channels(mode, false))),
            frame_samples: Some(6 * 256),
            ..plain
        });
    };
    let (mut is_first, mut blocks, mut map) = (true, 0_u32, first.channel_map);
    for frame in EnhancedFrame::all(sample) {
        match frame.is_dependent {
            true if is_first => map |= frame.channel_map,
            true => {}
            false => {
                is_first = frame.substream == first.substream;
                let added = if is_first { frame.blocks } else { 0 };
                blocks = blocks.saturating_add(added.into());
            }
        }
    }
    Some(AudioDescription {
        channels: Some(mapped_channels(map)),
        speakers: speakers(first.mode, map),
        frame_samples: Some(blocks.saturating_mul(256)),
        ..plain
    })
}

/// Returns the properties in an AC3SpecificBox (ETSI TS 102 366 F.4).
pub fn dac3_description(body: &[u8]) -> Option<AudioDescription> {
    let mut bits = BitReader::new(body);
    let rate_hz = rate_hz(bits.u8(2)?)?;
    bits.skip(5 + 3)?; // bsid, bsmod
    let (mode, has_low_frequencies) = (bits.u8(3)?, bits.bit()?);
    Some(AudioDescription {
        core_rate_hz: Some(rate_hz),
        rate_hz: Some(rate_hz),
        channels: Some(channels(mode, has_low_frequencies)),
        speakers: speakers(mode, mode_map(mode, has_low_frequencies)),
        frame_samples: Some(6 * 256),
        ..AudioDescription::default()
    })
}

/// Returns the properties of the first program in an EC3SpecificBox (ETSI TS 102 366 F.6).
pub fn dec3_description(body: &[u8]) -> Option<AudioDescription> {
    let mut bits = BitReader::new(body);
    bits.skip(13 + 3)?; // data_rate, num_ind_sub
    // The box lacks fscod2, so halved rates are unknown.
    let rate_hz = rate_hz(bits.u8(2)?);
    bits.skip(5 + 1 + 1 + 3)?; // bsid, reserved, asvc, bsmod
    let (mode, has_low_frequencies) = (bits.u8(3)?, bits.bit()?);
    bits.skip(3)?; // reserved
    let mut map = mode_map(mode, has_low_frequencies);
    if bits.u8(4)? > 0 {
        // chan_loc has the bits of chanmap from Lc/Rc to Vhc in reverse, after that of LFE2 (table F.6.1).
        let has_second_low_frequencies = bits.bit()?;
        let locations = bits.u8(8)?.reverse_bits();
        map |= u16::from(locations) << 3 | u16::from(has_second_low_frequencies) << 1;
    }
    Some(AudioDescription {
        core_rate_hz: rate_hz,
        rate_hz,
        channels: Some(mapped_channels(map)),
        speakers: speakers(mode, map),
        ..AudioDescription::default()
    })
}

/// Returns the speakers of the bits of chanmap; `None` if it has speakers that [`Speakers`] lacks, or the two
/// channels are independent.
fn speakers(mode: u8, map: u16) -> Option<Speakers> {
    if mode == DUAL_MONO {
        return None;
    }
    let known = SPEAKERS.iter().filter(|(bit, _)| map & bit != 0);
    let (found, bits) = known.fold((0, 0), |(found, bits), (bit, speaker)| {
        (found | bit, bits | speaker)
    });
    (found == map).then_some(Speakers(bits))
}

/// Header of an E-AC-3 frame (ETSI TS 102 366 E.1.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnhancedFrame {
    /// Whether the frame adds channels to the independent substream before it.
    pub is_dependent: bool,
    /// Id of the substream: 0 to 7 of each kind.
    pub substream: u8,
    /// Length of the frame in bytes.
    pub length: usize,
    /// The field fscod: 0 to 2 are rates, 3 are halved rates.
    pub rate_code: u8,
    /// Samples per second and channel.
    pub rate_hz: u32,
    /// Number of blocks of 256 samples.
    pub blocks: u8,
    /// The field acmod.
    pub mode: u8,
    /// The field lfeon.
    pub has_low_frequencies: bool,
    /// The field bsid.
    pub version: u8,
    /// Channels of the frame, in the bits of the field chanmap (table E.1.4). If the frame has no such field,
    /// the bits are those of `mode`.
    pub channel_map: u16,
}

impl EnhancedFrame {
    /// Parses the header of the frame at the start of `bytes`; `None` if it is AC-3 or has reserved values.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(bytes.strip_prefix(&[0x0B, 0x77])?);
        let is_dependent = match bits.u8(2)? {
            INDEPENDENT | CONVERTED => false,
            DEPENDENT => true,
            _ => return None,
        };
        let substream = bits.u8(3)?;
        let words = usize::try_from(bits.u32(11)?).ok()?;
        let rate_code = bits.u8(2)?;
        let blocks_code = bits.u8(2)?;
        let (rate_hz, blocks) = match rate_code {
            // fscod2 replaces the number of blocks, and the rates are halved.
            HALVED_RATE => (rate_hz(blocks_code)?.checked_shr(1)?, 6),
            code => (
                rate_hz(code)?,
                BLOCKS.get(usize::from(blocks_code)).copied()?,
            ),
        };
        let mode = bits.u8(3)?;
        let has_low_frequencies = bits.bit()?;
        let version = bits.u8(5)?;
        if version <= HIGHEST_AC_3 {
            return None;
        }
        let mut frame = Self {
            is_dependent,
            substream,
            length: words.saturating_add(1).saturating_mul(2),
            rate_code,
            rate_hz,
            blocks,
            mode,
            has_low_frequencies,
            version,
            channel_map: mode_map(mode, has_low_frequencies),
        };
        if is_dependent && let Some(map) = read_channel_map(&mut bits, mode)? {
            frame.channel_map = map;
        }
        Some(frame)
    }

    /// Returns the frames of a sample, up to the first one without a valid header. The last frame may be cut.
    pub fn all(sample: &[u8]) -> impl Iterator<Item = Self> {
        let mut rest = sample;
        std::iter::from_fn(move || {
            let frame = Self::parse(rest)?;
            rest = rest.get(frame.length..).unwrap_or_default();
            Some(frame)
        })
        .take(MAX_FRAMES)
    }
}

/// Reads the fields of a dependent frame after bsid up to chanmap. Returns `Some(None)` without chanmap.
fn read_channel_map(bits: &mut BitReader<'_>, mode: u8) -> Option<Option<u16>> {
    let programs = if mode == DUAL_MONO { 2 } else { 1 };
    for _ in 0..programs {
        bits.skip(5)?; // dialnorm
        if bits.bit()? {
            bits.skip(8)?; // compr
        }
    }
    if !bits.bit()? {
        return Some(None);
    }
    u16::try_from(bits.u32(16)?).ok().map(Some)
}

/// Returns the channels of a frame without chanmap.
fn mode_map(mode: u8, has_low_frequencies: bool) -> u16 {
    let full_range = match mode {
        MONO => CENTER,
        DUAL_MONO | STEREO => LEFT_RIGHT,
        3 => LEFT_RIGHT | CENTER,
        4 => LEFT_RIGHT | CENTER_SURROUND,
        5 => LEFT_RIGHT | CENTER | CENTER_SURROUND,
        6 => LEFT_RIGHT | SURROUND,
        _ => LEFT_RIGHT | CENTER | SURROUND,
    };
    full_range
        | if has_low_frequencies {
            LOW_FREQUENCIES
        } else {
            0
        }
}

/// Returns the number of channels in the bits of the field chanmap.
pub fn mapped_channels(map: u16) -> u8 {
    let pairs = map & CHANNEL_PAIRS;
    u8::try_from(map.count_ones().saturating_add(pairs.count_ones())).unwrap_or(u8::MAX)
}

fn read_plain(syncinfo: &[u8]) -> Option<AudioFormat> {
    let mut bits = BitReader::new(syncinfo);
    let rate_hz = rate_hz(bits.u8(2)?)?;
    bits.skip(6 + 5 + 3)?; // frmsizecod, bsid, bsmod
    let mode = bits.u8(3)?;
    if mode & 1 != 0 && mode != MONO {
        bits.skip(2)?; // cmixlev
    }
    if mode & 4 != 0 {
        bits.skip(2)?; // surmixlev
    }
    if mode == STEREO {
        bits.skip(2)?; // dsurmod
    }
    Some(AudioFormat {
        rate_hz,
        channels: channels(mode, bits.bit()?),
    })
}

fn read_enhanced(byte: u8) -> Option<AudioFormat> {
    let rate_hz = match byte >> 6 {
        // fscod2 replaces the number of blocks, and the rates are halved.
        HALVED_RATE => rate_hz(byte >> 4 & 3)?.checked_shr(1)?,
        code => rate_hz(code)?,
    };
    Some(AudioFormat {
        rate_hz,
        channels: channels(byte >> 1 & 7, byte & 1 == 1),
    })
}

fn rate_hz(code: u8) -> Option<u32> {
    match code {
        0 => Some(48_000),
        1 => Some(44_100),
        2 => Some(32_000),
        _ => None,
    }
}

/// Returns the number of channels (ETSI TS 102 366 table 4.3).
fn channels(mode: u8, has_low_frequencies: bool) -> u8 {
    let full_range: u8 = match mode {
        MONO => 1,
        DUAL_MONO | STEREO => 2,
        3 | 4 => 3,
        5 | 6 => 4,
        _ => 5,
    };
    full_range.saturating_add(u8::from(has_low_frequencies))
}

/// Largest bsid of AC-3; larger ones are E-AC-3.
const HIGHEST_AC_3: u8 = 10;

/// Values of strmtyp (ETSI TS 102 366 E.1.3.1.1).
const INDEPENDENT: u8 = 0;
const DEPENDENT: u8 = 1;
const CONVERTED: u8 = 2;

/// Value of fscod after which fscod2 follows.
const HALVED_RATE: u8 = 3;

/// Numbers of blocks by numblkscod.
const BLOCKS: [u8; 4] = [1, 2, 3, 6];

/// Largest number of frames in a sample: six of one block, each with eight independent and eight dependent
/// substreams.
const MAX_FRAMES: usize = 6 * (8 + 8);

/// Bits of chanmap (ETSI TS 102 366 table E.1.4). The standard numbers them from the most significant bit.
const LEFT_RIGHT: u16 = 1 << 15 | 1 << 13;
const CENTER: u16 = 1 << 14;
const SURROUND: u16 = 1 << 12 | 1 << 11;
const CENTER_SURROUND: u16 = 1 << 8;
const LOW_FREQUENCIES: u16 = 1;

/// Bits of chanmap and of [`Speakers`].
const SPEAKERS: [(u16, u32); 14] = [
    (1 << 15, 0x1),
    (CENTER, 0x4),
    (1 << 13, 0x2),
    (1 << 12, 0x200),
    (1 << 11, 0x400),
    (1 << 10, 0xC0),
    (1 << 9, 0x30),
    (CENTER_SURROUND, 0x100),
    (1 << 7, 0x800),
    (1 << 4, 0x5000),
    (1 << 3, 0x2000),
    (1 << 2, 0x18_0000),
    (1 << 1, 0x4_0000),
    (LOW_FREQUENCIES, 0x8),
];

/// Bits of chanmap that stand for two channels: Lc/Rc, Lrs/Rrs, Lsd/Rsd, Lw/Rw, Lvh/Rvh and Lts/Rts.
const CHANNEL_PAIRS: u16 = 1 << 10 | 1 << 9 | 1 << 6 | 1 << 5 | 1 << 4 | 1 << 2;

/// Values of acmod.
const DUAL_MONO: u8 = 0;
const MONO: u8 = 1;
const STEREO: u8 = 2;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            bits::tests::bytes,
            tests::{hex, when_cut},
        },
        *,
    };

    #[test]
    fn frames_of_ac_3_and_e_ac_3() {
        for (frame, rate_hz, channels) in [
            ("0b772fde8c402f", 32_000, 1),
            ("0b77d0f81e40eb", 48_000, 6),
            ("0b7703ce7f87c0", 44_100, 6),
            ("0b7703cedf87c0", 22_050, 6),
        ] {
            let expected = Some(AudioFormat { rate_hz, channels });
            assert_eq!(when_cut(&hex(frame), format), expected, "{frame}");
        }
    }

    #[test]
    fn reserved_rates_and_other_sync_words_are_rejected() {
        assert_eq!(format(&hex("0b772fdecc402f")), None);
        assert_eq!(format(&hex("0b7703ceff87c0")), None);
        assert_eq!(format(&hex("770b2fde8c402f")), None);
    }

    #[test]
    fn descriptions_have_speakers_and_frame_length() {
        let found = description(&hex("0b77d0f81e40eb")).unwrap();
        assert_eq!(found.frame_samples, Some(1536));
        assert_eq!(found.speakers.unwrap().to_string(), "5.1(side)");
        let found = description(&hex("0b772fde8c402f")).unwrap();
        assert_eq!(found.speakers.unwrap().to_string(), "mono");
        // A frame of 5.1 and a dependent frame that adds two back channels.
        let first = hex("0b7700053f870000000000 00".replace(' ', "").as_str());
        let second = bytes(
            "00001011 01110111 01 000 00000000101 00 11 010 0 10000 11111 0 1 0000001000000000",
        );
        let found = description(&[first, second].concat()).unwrap();
        assert_eq!((found.channels, found.frame_samples), (Some(8), Some(1536)));
        assert_eq!(found.speakers.unwrap().to_string(), "7.1");
    }

    #[test]
    fn descriptions_of_boxes() {
        // 48 kHz, bsid 8, 3/2 with LFE.
        let found = dac3_description(&bytes("00 01000 000 111 1 00000 00000")).unwrap();
        assert_eq!((found.rate_hz, found.channels), (Some(48_000), Some(6)));
        let body = bytes("0000000000000 000 00 10000 0 0 000 111 1 000 0001 0 00000010 00000000");
        let found = dec3_description(&body).unwrap();
        assert_eq!((found.rate_hz, found.channels), (Some(48_000), Some(8)));
        assert_eq!(found.speakers.unwrap().to_string(), "7.1");
        for cut in 0..4 {
            assert_eq!(dec3_description(&body[..cut]), None);
        }
    }

    #[test]
    fn dependent_frames_have_a_channel_map() {
        let frame = hex("0b7740053c87d1a000");
        let parsed = when_cut(&frame, EnhancedFrame::parse);
        assert_eq!(
            parsed,
            Some(EnhancedFrame {
                is_dependent: true,
                substream: 0,
                length: 12,
                rate_code: 0,
                rate_hz: 48_000,
                blocks: 6,
                mode: 6,
                has_low_frequencies: false,
                version: 16,
                channel_map: 0x1A00,
            })
        );
    }

    #[test]
    fn fields_before_the_channel_map_are_skipped() {
        let map = |fields: &str| {
            let head = "00001011 01110111 01 000 00000000101 00 11 ";
            let frame = when_cut(&bytes(&format!("{head}{fields}")), EnhancedFrame::parse);
            frame.map(|frame| (frame.channel_map, mapped_channels(frame.channel_map)))
        };
        let back = "1 0000001000000000";
        // acmod, lfeon, bsid, then dialnorm and compr.
        assert_eq!(
            map(&format!("010 0 10000 11111 1 00000000 {back}")),
            Some((0x0200, 2))
        );
        let second = "11111 1 00000000";
        let mono = format!("000 0 10000 11111 0 {second} {back}");
        assert_eq!(map(&mono), Some((0x0200, 2)));
        // Without chanmap, acmod determines the channels: left, right, center surround.
        assert_eq!(map("100 0 10000 11111 0 0"), Some((0xA100, 3)));
        assert_eq!(map("100 0 01010 11111 0 0"), None);
    }

    #[test]
    fn channel_pairs_count_twice() {
        let counts = (0..16)
            .map(|bit| mapped_channels(1 << bit))
            .collect::<Vec<_>>();
        assert_eq!(counts, [1, 1, 2, 1, 2, 2, 2, 1, 1, 2, 2, 1, 1, 1, 1, 1]);
        assert_eq!(mapped_channels(mode_map(7, true)), 6);
    }
}

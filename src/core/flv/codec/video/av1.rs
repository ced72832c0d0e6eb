//! AV1: configuration record, sequence headers, keyframes.

use super::super::{
    PictureSize,
    bits::BitReader,
    description::{ChromaFormat, Color, Level, Profile, VideoDescription},
};

/// An AV1CodecConfigurationRecord (AV1 in ISOBMFF 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigurationRecord<'a> {
    /// Profile: 0 main, 1 high, 2 professional.
    pub profile: u8,
    /// Open bitstream units: in most records a sequence header, and metadata.
    pub units: &'a [u8],
}

impl<'a> ConfigurationRecord<'a> {
    /// Parses a record of version 1, the only one.
    pub fn parse(record: &'a [u8]) -> Option<Self> {
        let [MARKER_AND_VERSION, profile_and_level, _, _, units @ ..] = record else {
            return None;
        };
        Some(Self {
            profile: profile_and_level >> 5,
            units,
        })
    }
}

/// Returns the properties of the stream, from an AV1CodecConfigurationRecord.
pub fn record_description(record: &[u8]) -> Option<VideoDescription> {
    let parsed = ConfigurationRecord::parse(record)?;
    let [_, profile_and_level, format, ..] = record else {
        return None;
    };
    let mut known = description(parsed.units).unwrap_or_default();
    // AV1 in ISOBMFF 2.3.4: the fields of the record are those of the sequence header.
    let is_set = |mask| format & mask != 0;
    known.fill_from(&VideoDescription {
        profile: Some(profile_of(profile_and_level >> 5)),
        level: level_of(profile_and_level & 0x1F, is_set(0x80)),
        bit_depth: Some(match (is_set(0x40), is_set(0x20)) {
            (false, _) => 8,
            (true, false) => 10,
            (true, true) => 12,
        }),
        chroma: Some(match is_set(0x10) {
            true => ChromaFormat::Monochrome,
            false => ChromaFormat::of_subsampling(is_set(0x08), is_set(0x04)),
        }),
        ..VideoDescription::default()
    });
    Some(known)
}

/// Returns the properties of the stream, from the sequence header and the metadata before a keyframe; `None`
/// without a sequence header.
pub fn description(units: &[u8]) -> Option<VideoDescription> {
    let mut known = None;
    for unit in Units::new(units) {
        match (unit.kind, &mut known) {
            (SEQUENCE_HEADER, None) => {
                let mut description = VideoDescription {
                    // A temporal unit shows one picture, so the order never differs (AV1 7.5).
                    max_reordered_frames: Some(0),
                    is_interlaced: Some(false),
                    ..VideoDescription::default()
                };
                // A header that is cut describes the stream up to the cut.
                let _cut = read_sequence_header(unit.payload, &mut description);
                known = Some(description);
            }
            // AV1 5.8.1: metadata_type is a leb128 number. These two have one byte.
            (METADATA, Some(known)) => match unit.payload.first() {
                Some(&CONTENT_LIGHT) => known.has_content_light = true,
                Some(&MASTERING_DISPLAY) => known.has_mastering_display = true,
                _ => {}
            },
            _ => {}
        }
    }
    known
}

/// Returns whether a temporal unit starts a sequence: a sequence header, then a key frame.
pub fn is_keyframe(units: &[u8]) -> bool {
    let mut is_still = None;
    for unit in Units::new(units) {
        match (unit.kind, is_still) {
            (SEQUENCE_HEADER, _) => is_still = Some(is_reduced_still_picture(unit.payload)),
            (FRAME_HEADER | FRAME, Some(is_still)) => {
                return is_still || is_key_frame(unit.payload);
            }
            _ => {}
        }
    }
    false
}

/// Reads a sequence header (AV1 5.5.1).
fn read_sequence_header(payload: &[u8], description: &mut VideoDescription) -> Option<()> {
    let mut bits = BitReader::new(payload);
    let profile = bits.u8(3)?;
    description.profile = Some(profile_of(profile));
    bits.skip(1)?; // still_picture
    let is_reduced = bits.bit()?;
    if is_reduced {
        description.level = level_of(bits.u8(5)?, false);
    } else {
        read_operating_points(&mut bits, description)?;
    }
    let width_bits = bits.u8(4)?.saturating_add(1);
    let height_bits = bits.u8(4)?.saturating_add(1);
    let width = bits.u32(width_bits)?.saturating_add(1);
    let height = bits.u32(height_bits)?.saturating_add(1);
    description.picture_size = PictureSize::new(width, height);
    description.coded_size = description.picture_size;
    skip_tools(&mut bits, is_reduced)?;
    read_color_config(&mut bits, profile, description)
}

/// Skips the fields between the size of the picture and the colors.
fn skip_tools(bits: &mut BitReader<'_>, is_reduced: bool) -> Option<()> {
    if !is_reduced && bits.bit()? {
        bits.skip(4 + 3)?; // lengths of frame ids
    }
    bits.skip(1 + 1 + 1)?; // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    if !is_reduced {
        bits.skip(1 + 1 + 1 + 1)?; // interintra and masked compound, warped motion, dual filter
        let has_order_hint = bits.bit()?;
        if has_order_hint {
            bits.skip(1 + 1)?; // enable_jnt_comp, enable_ref_frame_mvs
        }
        let chooses_screen_content_tools = bits.bit()?;
        let may_use_screen_content_tools = chooses_screen_content_tools || bits.bit()?;
        if may_use_screen_content_tools && !bits.bit()? {
            bits.skip(1)?; // seq_force_integer_mv
        }
        if has_order_hint {
            bits.skip(3)?; // order_hint_bits_minus_1
        }
    }
    bits.skip(1 + 1 + 1) // enable_superres, enable_cdef, enable_restoration
}

/// Reads color_config (AV1 5.5.2).
fn read_color_config(
    bits: &mut BitReader<'_>,
    profile: u8,
    description: &mut VideoDescription,
) -> Option<()> {
    let has_high_depth = bits.bit()?;
    let has_twelve_bits = profile == PROFESSIONAL && has_high_depth && bits.bit()?;
    description.bit_depth = Some(match (has_high_depth, has_twelve_bits) {
        (_, true) => 12,
        (true, _) => 10,
        _ => 8,
    });
    let is_monochrome = profile != HIGH && bits.bit()?;
    let color = match bits.bit()? {
        true => Color {
            primaries: bits.u8(8)?,
            transfer: bits.u8(8)?,
            matrix: bits.u8(8)?,
        },
        false => Color::UNSPECIFIED,
    };
    description.color = color.specified();
    let (is_full_range, chroma) = if is_monochrome {
        (bits.bit()?, ChromaFormat::Monochrome)
    } else if color == SRGB {
        (true, ChromaFormat::Yuv444)
    } else {
        let is_full_range = bits.bit()?;
        let chroma = match (profile, has_twelve_bits) {
            (0, _) => ChromaFormat::Yuv420,
            (HIGH, _) => ChromaFormat::Yuv444,
            (_, false) => ChromaFormat::Yuv422,
            (_, true) => {
                let columns = bits.bit()?;
                ChromaFormat::of_subsampling(columns, columns && bits.bit()?)
            }
        };
        (is_full_range, chroma)
    };
    description.is_full_range = Some(is_full_range);
    description.chroma = Some(chroma);
    Some(())
}

/// Reads timing and operating points of a sequence header that is not reduced (AV1 5.5.1). The level of the
/// stream is that of the first operating point, which includes all others.
fn read_operating_points(
    bits: &mut BitReader<'_>,
    description: &mut VideoDescription,
) -> Option<()> {
    let mut delay_bits = None;
    if bits.bit()? {
        description.frames_per_second = read_timing(bits)?;
        if bits.bit()? {
            delay_bits = Some(read_decoder_model(bits)?);
        }
    }
    let has_display_delays = bits.bit()?;
    for point in 0..=bits.u8(5)? {
        bits.skip(12)?; // operating_point_idc
        let level = bits.u8(5)?;
        let is_high_tier = level > HIGHEST_LEVEL_WITHOUT_TIERS && bits.bit()?;
        if point == 0 {
            description.level = level_of(level, is_high_tier);
        }
        if let Some(delay_bits) = delay_bits
            && bits.bit()?
        {
            bits.skip(delay_bits)?; // decoder_buffer_delay
            bits.skip(delay_bits)?; // encoder_buffer_delay
            bits.skip(1)?; // low_delay_mode_flag
        }
        if has_display_delays && bits.bit()? {
            bits.skip(4)?; // initial_display_delay_minus_1
        }
    }
    Some(())
}

/// Reads timing_info (AV1 5.5.3), and returns the frame rate if it is constant.
fn read_timing(bits: &mut BitReader<'_>) -> Option<Option<f64>> {
    let units = bits.u32(32)?; // num_units_in_display_tick
    let time_scale = bits.u32(32)?;
    let is_constant = bits.bit()?;
    if !is_constant {
        return Some(None);
    }
    let ticks = f64::from(bits.ue()?) + 1.0; // num_ticks_per_picture_minus_1
    let rate = f64::from(time_scale) / f64::from(units) / ticks;
    Some(Some(rate).filter(|rate| rate.is_finite() && *rate > 0.0))
}

/// Reads decoder_model_info (AV1 5.5.4) and returns the number of bits of the buffer delays.
fn read_decoder_model(bits: &mut BitReader<'_>) -> Option<u32> {
    let delay_bits = bits.u32(5)?.saturating_add(1);
    // num_units_in_decoding_tick, and the lengths of two fields of frame headers
    bits.skip(32 + 5 + 5)?;
    Some(delay_bits)
}

/// Returns reduced_still_picture_header (AV1 5.5.1).
fn is_reduced_still_picture(sequence_header: &[u8]) -> bool {
    matches!(sequence_header, [first, ..] if first & 0x08 != 0)
}

/// Returns whether show_existing_frame and frame_type are 0 (AV1 5.9.2).
fn is_key_frame(frame_header: &[u8]) -> bool {
    matches!(frame_header, [first, ..] if first & 0xE0 == 0)
}

fn profile_of(number: u8) -> Profile {
    Profile::named(
        number,
        &[(0, "Main"), (HIGH, "High"), (PROFESSIONAL, "Professional")],
    )
}

/// Returns the level of seq_level_idx (AV1 A.3); `None` if it does not limit the stream, which is 31.
fn level_of(number: u8, is_high_tier: bool) -> Option<Level> {
    let tenths = (number >> 2).saturating_add(2).saturating_mul(10);
    (number < 31).then_some(Level {
        number,
        tenths: tenths.saturating_add(number & 3),
        is_high_tier: Some(is_high_tier),
    })
}

/// Iterator over the open bitstream units of a record or a temporal unit (AV1 5.3). Ends at the first damaged
/// unit, and after [`MAX_UNITS`].
struct Units<'a> {
    rest: &'a [u8],
    left: u16,
}

struct Unit<'a> {
    kind: u8,
    payload: &'a [u8],
}

impl<'a> Units<'a> {
    fn new(units: &'a [u8]) -> Self {
        Self {
            rest: units,
            left: MAX_UNITS,
        }
    }

    fn read(&mut self) -> Option<Unit<'a>> {
        let (header, mut rest) = self.rest.split_first()?;
        if header & HAS_EXTENSION != 0 {
            rest = rest.split_first()?.1;
        }
        let size = if header & HAS_SIZE != 0 {
            read_leb128(&mut rest)?
        } else {
            rest.len()
        };
        let (payload, rest) = rest.split_at_checked(size)?;
        self.rest = rest;
        Some(Unit {
            kind: header >> 3 & 0x0F,
            payload,
        })
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = Unit<'a>;

    fn next(&mut self) -> Option<Unit<'a>> {
        self.left = self.left.checked_sub(1)?;
        self.read()
    }
}

/// Reads a size with seven bits per byte, lowest bits first, in at most eight bytes (AV1 4.10.5).
fn read_leb128(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0_u64;
    for shift in [0_u32, 7, 14, 21, 28, 35, 42, 49] {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return usize::try_from(value).ok();
        }
    }
    None
}

/// First byte of a configuration record.
const MARKER_AND_VERSION: u8 = 0x81;

/// Values of obu_type (AV1 6.2.2).
const SEQUENCE_HEADER: u8 = 1;
const FRAME_HEADER: u8 = 3;
const METADATA: u8 = 5;
const FRAME: u8 = 6;

/// Values of metadata_type (AV1 6.7.1).
const CONTENT_LIGHT: u8 = 1;
const MASTERING_DISPLAY: u8 = 2;

/// Profiles other than 0 (AV1 6.4.1).
const HIGH: u8 = 1;
const PROFESSIONAL: u8 = 2;

/// Colors that are always in full range and without subsampling (AV1 5.5.2).
const SRGB: Color = Color {
    primaries: 1,
    transfer: 13,
    matrix: 0,
};

/// Bits of obu_extension_flag and obu_has_size_field (AV1 5.3.2).
const HAS_EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;

/// Levels above 3.3 have a tier (AV1 5.5.1).
const HIGHEST_LEVEL_WITHOUT_TIERS: u8 = 7;

/// Largest number of units parsed in one message. A temporal unit has a few, or hundreds with tile
/// groups. A message of 16 MiB could contain eight million empty ones.
const MAX_UNITS: u16 = 4096;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            bits::tests::bytes,
            tests::{hex, pixels, video_when_cut, when_cut},
        },
        *,
    };

    fn picture_size(units: &[u8]) -> Option<PictureSize> {
        description(units)?.picture_size
    }

    /// A temporal delimiter, a sequence header, and the start of a key frame.
    const AOM: &str = "12000a0d200000043d06d4daf92021a00432021000";

    #[test]
    fn sequence_headers_of_three_encoders() {
        let aom = hex(AOM);
        let svt = hex("12000a0b000000043d06d4fbf90040");
        let rav1e = hex("12000a0d200000fa1e836a210ad0202025");
        for units in [aom, svt, rav1e] {
            assert_eq!(when_cut(&units, picture_size), pixels(322, 182));
        }
    }

    /// As SVT-AV1 writes it: 10 bits in BT.2020 with PQ.
    #[test]
    fn description_of_a_record_is_complete() {
        let record = hex("81004c000a0e0200000521e836a017c284880482");
        let found = video_when_cut(&record, record_description).unwrap();
        assert_eq!(found.profile.unwrap().to_string(), "Main");
        assert_eq!(found.level.unwrap().to_string(), "2.0");
        assert_eq!(found.picture_size, pixels(322, 182));
        assert_eq!(
            (found.bit_depth, found.chroma),
            (Some(10), Some(ChromaFormat::Yuv420))
        );
        let color = found.color.unwrap();
        assert_eq!((color.primaries, color.transfer, color.matrix), (9, 16, 9));
        assert_eq!(found.is_full_range, Some(false));
        assert_eq!(found.max_reordered_frames, Some(0));
        let metadata = [
            record,
            vec![
                METADATA << 3 | HAS_SIZE,
                1,
                2,
                METADATA << 3 | HAS_SIZE,
                1,
                1,
            ],
        ]
        .concat();
        let found = record_description(&metadata).unwrap();
        assert!(found.has_mastering_display && found.has_content_light);
    }

    #[test]
    fn fields_of_a_record_count_without_a_sequence_header() {
        // High profile, level 4.0 in the high tier, 12 bits, 4:4:4.
        let found = record_description(&[0x81, 0x28, 0xE0, 0]).unwrap();
        assert_eq!(found.profile.unwrap().to_string(), "High");
        let level = found.level.unwrap();
        assert_eq!(
            (level.to_string().as_str(), level.is_high_tier),
            ("4.0", Some(true))
        );
        assert_eq!(
            (found.bit_depth, found.chroma),
            (Some(12), Some(ChromaFormat::Yuv444))
        );
        assert_eq!(level_of(31, false), None);
    }

    #[test]
    fn still_picture_has_a_reduced_header_and_is_a_keyframe() {
        let still = hex("12000a093821e836ad2021a00432021000");
        assert_eq!(when_cut(&still, picture_size), pixels(322, 182));
        assert!(is_keyframe(&still));
    }

    #[test]
    fn timing_and_operating_points_are_skipped() {
        let payload = bytes(
            "000 0 0                profile 0, a moving picture with a full header
             1                      timing:
             00000000000000000000000000000001
             00000000000000000000000000011001
             1 010                  2 ticks in a picture
             1                      decoder model: delays of 4 bits
             00011 00000000000000000000000000000001 00011 00011
             1                      display delays
             00001                  two operating points
             000000000011 01000 1   level 4.0, high tier
             1 0101 0101 1          delays, low delay
             1 0011                 display delay
             000000000001 00111     level 3.3, which has no tier
             0 0                    no delays
             0111 0110              sizes have 8 and 7 bits
             11111111               256
             1111011                by 124",
        );
        let mut units = vec![SEQUENCE_HEADER << 3 | HAS_SIZE, payload.len() as u8];
        units.extend(payload);
        assert_eq!(when_cut(&units, picture_size), pixels(256, 124));
    }

    #[test]
    fn keyframe_has_a_sequence_header_and_a_frame_of_type_0() {
        let mut unit = hex(AOM);
        assert!(is_keyframe(&unit));
        let frame = unit.len() - 2;
        unit[frame] = 0x30; // an inter frame
        assert!(!is_keyframe(&unit));
        unit[frame] = 0x80; // show_existing_frame
        assert!(!is_keyframe(&unit));
        assert!(!is_keyframe(&hex("120032021000")));
    }

    #[test]
    fn units_have_optional_extensions_and_sizes() {
        let units: Vec<(u8, usize)> = Units::new(&[
            0x16, 0x08, 0x00, // temporal delimiter with extension
            0x2A, 0x81, 0x00, 0xEE, // metadata; a size in more bytes than needed
            0x30, 1, 2, 3, // frame without size
        ])
        .map(|unit| (unit.kind, unit.payload.len()))
        .collect();
        assert_eq!(units, [(2, 0), (5, 1), (6, 3)]);
    }

    #[test]
    fn damaged_sizes_end_the_units_and_their_number_is_limited() {
        assert_eq!(
            Units::new(&[0x0A, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]).count(),
            0
        );
        assert_eq!(Units::new(&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]).count(), 0);
        assert_eq!(
            Units::new(&[0x12, 0].repeat(1 << 16)).count(),
            usize::from(MAX_UNITS)
        );
    }
}

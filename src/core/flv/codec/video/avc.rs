//! AVC (H.264): configuration record, sequence parameter set, keyframes.

use super::{
    super::{
        PictureSize,
        bits::BitReader,
        description::{ChromaFormat, Level, Profile, VideoDescription},
    },
    nal::{self, CHROMA_4_4_4},
    usability,
};
use crate::core::wire::Reader;

/// Returns the size of NAL unit lengths in bytes, from an AVCDecoderConfigurationRecord
/// (ISO 14496-15 5.3.3.1).
pub fn nal_length_size(record: &[u8]) -> Option<u8> {
    let [1, _, _, _, sizes, ..] = record else {
        return None;
    };
    Some(nal::length_size(*sizes))
}

/// Returns the properties of the stream, from the first sequence parameter set of an
/// AVCDecoderConfigurationRecord. Without one, the record contains profile and level.
pub fn description(record: &[u8]) -> Option<VideoDescription> {
    let [1, profile, constraints, level, _, ..] = record else {
        return None;
    };
    let mut description = VideoDescription {
        profile: Some(profile_of(*profile, *constraints)),
        level: Some(level_of(*profile, *constraints, *level)),
        ..VideoDescription::default()
    };
    if let Some(mut bits) = parameter_set(record) {
        // A set that is cut describes the stream up to the cut.
        let _cut = read_parameter_set(&mut bits, &mut description);
    }
    Some(description)
}

fn parameter_set(record: &[u8]) -> Option<BitReader<'_>> {
    let [1, _, _, _, _, counts, sets @ ..] = record else {
        return None;
    };
    if counts & 0x1F == 0 {
        return None;
    }
    let [header, payload @ ..] = nal::read_parameter_set(&mut Reader::new(sets)).ok()? else {
        return None;
    };
    if header & 0x1F != SEQUENCE_PARAMETER_SET {
        return None;
    }
    Some(BitReader::of_nal_unit(payload))
}

/// Returns whether a frame has a slice of an IDR picture, with which a decoder can start.
pub fn is_keyframe(frame: &[u8], nal_length_size: u8) -> bool {
    nal::units(frame, nal_length_size)
        .any(|unit| matches!(unit, [header, ..] if header & 0x1F == IDR_SLICE))
}

/// Reads a sequence parameter set (H.264 7.3.2.1.1).
fn read_parameter_set(bits: &mut BitReader<'_>, description: &mut VideoDescription) -> Option<()> {
    let (profile, constraints, level) = (bits.u8(8)?, bits.u8(8)?, bits.u8(8)?);
    description.profile = Some(profile_of(profile, constraints));
    description.level = Some(level_of(profile, constraints, level));
    bits.ue()?; // seq_parameter_set_id
    let (chroma_format, bit_depth) = match HIGH_PROFILES.contains(&profile) {
        true => read_high_profile(bits)?,
        false => (CHROMA_4_2_0, 8),
    };
    description.chroma = ChromaFormat::of_code(chroma_format);
    description.bit_depth = Some(bit_depth);
    bits.ue()?; // log2_max_frame_num
    let order_count_type = read_picture_order_count(bits)?;
    bits.ue()?; // max_num_ref_frames
    bits.skip(1)?; // gaps_in_frame_num_value_allowed_flag
    let width = bits.ue()?.checked_add(1)?.checked_mul(MACROBLOCK)?;
    let map_units = bits.ue()?.checked_add(1)?;
    let is_frame_only = bits.bit()?;
    if !is_frame_only {
        bits.skip(1)?; // mb_adaptive_frame_field_flag
    }
    bits.skip(1)?; // direct_8x8_inference_flag
    // Without frame_mbs_only_flag a map unit covers two fields (H.264 7-18).
    let fields = if is_frame_only { 1 } else { 2 };
    let height = map_units.checked_mul(fields)?.checked_mul(MACROBLOCK)?;
    description.is_interlaced = Some(!is_frame_only);
    description.coded_size = PictureSize::new(width, height);
    if never_reorders(profile, constraints, order_count_type) {
        description.max_reordered_frames = Some(0);
    }
    let (horizontal, vertical) = nal::subsampling(chroma_format);
    let vertical = vertical.checked_mul(fields)?;
    let size = nal::read_cropped_size(bits, (width, height), (horizontal, vertical))?;
    description.picture_size = Some(size);
    match bits.bit()? {
        true => read_usability(bits, description),
        false => Some(()),
    }
}

/// Whether all streams with these parameters have the same decoding and presentation order: the baseline
/// profiles have no B slices, the intra profiles no other frames, and order count type 2 forbids reordering
/// (H.264 8.2.1.3).
fn never_reorders(profile: u8, constraints: u8, order_count_type: u32) -> bool {
    let is_intra = INTRA_PROFILES.contains(&profile) && constraints & CONSTRAINT_SET_3 != 0;
    profile == BASELINE || profile == CAVLC_INTRA || is_intra || order_count_type == 2
}

/// Reads the fields that only the high profiles have, and returns chroma_format_idc and the bit depth of luma.
fn read_high_profile(bits: &mut BitReader<'_>) -> Option<(u32, u8)> {
    let chroma_format = bits.ue()?;
    if chroma_format == CHROMA_4_4_4 {
        bits.skip(1)?; // separate_colour_plane_flag
    }
    let bit_depth = nal::read_bit_depth(bits)?;
    bits.ue()?; // bit_depth_chroma_minus8
    bits.skip(1)?; // qpprime_y_zero_transform_bypass_flag
    let has_scaling_lists = bits.bit()?;
    if has_scaling_lists {
        let lists = if chroma_format == CHROMA_4_4_4 { 12 } else { 8 };
        for list in 0..lists {
            if bits.bit()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some((chroma_format, bit_depth))
}

/// Skips a scaling list. It contains differences until a scale becomes 0 (H.264 7.3.2.1.1.1).
fn skip_scaling_list(bits: &mut BitReader<'_>, size: u8) -> Option<()> {
    let mut scale = 8_i32;
    for _ in 0..size {
        scale = scale.wrapping_add(bits.se()?) & 0xFF;
        if scale == 0 {
            break;
        }
    }
    Some(())
}

/// Reads the fields of the picture order count, and returns its type.
fn read_picture_order_count(bits: &mut BitReader<'_>) -> Option<u32> {
    let order_count_type = bits.ue()?;
    match order_count_type {
        0 => bits.ue().map(drop)?, // log2_max_pic_order_cnt_lsb_minus4
        1 => {
            bits.skip(1)?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            // H.264 7.4.2.1.1: num_ref_frames_in_pic_order_cnt_cycle is in the range of 0 to 255.
            let frames = u8::try_from(bits.ue()?).ok()?;
            (0..frames).try_for_each(|_| bits.se().map(drop))?;
        }
        _ => {}
    }
    Some(order_count_type)
}

/// Reads vui_parameters (H.264 E.1.1).
fn read_usability(bits: &mut BitReader<'_>, description: &mut VideoDescription) -> Option<()> {
    usability::read_start(bits, description)?;
    if bits.bit()? {
        // A tick is the time of a field (H.264 D-2).
        description.frames_per_second = usability::read_frame_rate(bits, 2.0)?;
        bits.skip(1)?; // fixed_frame_rate_flag
    }
    let has_nal_parameters = bits.bit()?;
    if has_nal_parameters {
        skip_reference_decoder(bits)?;
    }
    let has_vcl_parameters = bits.bit()?;
    if has_vcl_parameters {
        skip_reference_decoder(bits)?;
    }
    if has_nal_parameters || has_vcl_parameters {
        bits.skip(1)?; // low_delay_hrd_flag
    }
    bits.skip(1)?; // pic_struct_present_flag
    if bits.bit()? {
        bits.skip(1)?; // motion_vectors_over_pic_boundaries_flag
        for _ in 0..4 {
            bits.ue()?; // max_bytes_per_pic_denom to log2_max_mv_length_vertical
        }
        description.max_reordered_frames = u8::try_from(bits.ue()?).ok();
    }
    Some(())
}

/// Skips hrd_parameters (H.264 E.1.2).
fn skip_reference_decoder(bits: &mut BitReader<'_>) -> Option<()> {
    let buffers = bits.ue()?;
    // H.264 E.2.2: cpb_cnt_minus1 is in the range of 0 to 31.
    if buffers > 31 {
        return None;
    }
    bits.skip(4 + 4)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..=buffers {
        bits.ue()?; // bit_rate_value_minus1
        bits.ue()?; // cpb_size_value_minus1
        bits.skip(1)?; // cbr_flag
    }
    bits.skip(5 + 5 + 5 + 5) // lengths of delays and offsets
}

/// Returns the profile for profile_idc and the constraint flags (H.264 A.2).
fn profile_of(number: u8, constraints: u8) -> Profile {
    let is_constrained = number == BASELINE && constraints & CONSTRAINT_SET_1 != 0;
    let is_intra = INTRA_PROFILES.contains(&number) && constraints & CONSTRAINT_SET_3 != 0;
    match (is_constrained, is_intra) {
        (true, _) => Profile {
            number,
            name: Some("Constrained Baseline"),
        },
        (_, true) => Profile::named(number, &INTRA_NAMES),
        _ => Profile::named(number, &PROFILE_NAMES),
    }
}

/// Returns the level for level_idc. In the oldest profiles, constraint_set3_flag makes level 1.1 to 1b
/// (H.264 A.3.1).
fn level_of(profile: u8, constraints: u8, number: u8) -> Level {
    let is_old = matches!(profile, BASELINE | MAIN | EXTENDED);
    let is_1b = is_old && number == 11 && constraints & CONSTRAINT_SET_3 != 0;
    Level {
        number,
        tenths: if is_1b { 9 } else { number },
        is_high_tier: None,
    }
}

/// NAL unit types (H.264 table 7-1).
const IDR_SLICE: u8 = 5;
const SEQUENCE_PARAMETER_SET: u8 = 7;

/// Profiles whose sequence parameter sets contain chroma_format_idc (H.264 7.3.2.1.1).
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Values of profile_idc (H.264 A.2).
const BASELINE: u8 = 66;
const MAIN: u8 = 77;
const EXTENDED: u8 = 88;
const CAVLC_INTRA: u8 = 44;

/// Profiles that constraint_set3_flag turns into intra profiles.
const INTRA_PROFILES: [u8; 3] = [110, 122, 244];

const PROFILE_NAMES: [(u8, &str); 14] = [
    (BASELINE, "Baseline"),
    (MAIN, "Main"),
    (EXTENDED, "Extended"),
    (100, "High"),
    (110, "High 10"),
    (122, "High 4:2:2"),
    (244, "High 4:4:4 Predictive"),
    (CAVLC_INTRA, "CAVLC 4:4:4 Intra"),
    (83, "Scalable Baseline"),
    (86, "Scalable High"),
    (118, "Multiview High"),
    (128, "Stereo High"),
    (138, "Multiview Depth High"),
    (139, "Enhanced Multiview Depth High"),
];

const INTRA_NAMES: [(u8, &str); 3] = [
    (110, "High 10 Intra"),
    (122, "High 4:2:2 Intra"),
    (244, "High 4:4:4 Intra"),
];

/// Bits of constraint_set1_flag and constraint_set3_flag (H.264 7.3.2.1.1).
const CONSTRAINT_SET_1: u8 = 0x40;
const CONSTRAINT_SET_3: u8 = 0x10;

/// Chroma format 4:2:0 (H.264 table 6-1).
const CHROMA_4_2_0: u32 = 1;

/// Width and height of a macroblock in pixels.
const MACROBLOCK: u32 = 16;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            bits::tests::bytes,
            tests::{hex, pixels, video_when_cut, when_cut},
        },
        *,
    };

    /// Builds a record with one sequence parameter set.
    fn record(set: &[u8]) -> Vec<u8> {
        let mut record = vec![1, set[1], set[2], set[3], 0xFF, 0xE1, 0, set.len() as u8];
        record.extend_from_slice(set);
        record
    }

    fn size_of(set: &[u8]) -> Option<PictureSize> {
        when_cut(&record(set), |record| description(record)?.picture_size)
    }

    #[test]
    fn cropping_depends_on_the_chroma_format() {
        for (chroma, set) in [
            (
                "4:2:0",
                "6742c00dda05467889b011000003000100000300320f142aa0",
            ),
            (
                "4:2:2",
                "677a000db6cb40a8cf111780880000030008000003019078a155",
            ),
            (
                "4:4:4",
                "67f4000d919681519e3e2f011000000300100000030320f142aa",
            ),
            (
                "monochrome",
                "6764000df2d02a33c7c5e02d9000000300100000030320f142aa",
            ),
        ] {
            assert_eq!(size_of(&hex(set)), pixels(322, 182), "{chroma}");
        }
    }

    #[test]
    fn interlaced_picture_has_two_fields() {
        let set = hex("67f40028919d00f0089f97011000000300100000030321f162ea");
        assert_eq!(size_of(&set), pixels(1920, 1080));
    }

    #[test]
    fn scaling_lists_and_order_counts_are_skipped() {
        let set = bytes(
            "0110 0111                 sequence parameter set
             0110 0100 0000 0000 0001 1110 1
             010 1 1 0                 4:2:0, 8 bits, not lossless
             1                         with scaling lists:
             1 000010001               the first ends at once: 8 - 8 = 0
             1 1111111111111111        the second has sixteen
             000000                    the other six are omitted
             1                         log2_max_frame_num
             010 0 1 1 011 010 010     order count type 1 with two frames
             1 0                       reference frames, no gaps
             00101 00110 1 1 0         5 by 6 macroblocks, frames only, not cropped",
        );
        assert_eq!(size_of(&set), pixels(80, 96));
    }

    #[test]
    fn usability_has_aspect_and_frame_rate() {
        // As x264 writes it: 25 frames per second, square pixels.
        let usability = |set: &[u8]| video_when_cut(&record(set), description);
        let set = hex("6764000cacd941419f9f0110000003001000000303 20f1429960"
            .replace(' ', "")
            .as_str());
        let read = usability(&set).unwrap();
        assert_eq!(read.frames_per_second, Some(25.0));
        assert_eq!(read.pixel_aspect, Some((1, 1)));
        let set = |aspect: &str| {
            bytes(&format!(
                "0110 0111                 sequence parameter set
                 0100 0010 0000 0000 0001 1110 1
                 1 1 1                     log2_max_frame_num, order count type 0
                 1 0                       reference frames, no gaps
                 00101 00110 1 1 0         5 by 6 macroblocks, frames only, not cropped
                 1 1 {aspect}
                 11 1 000 1 1 000000010000000100000001  overscan, colors
                 1 1 1                     chroma location
                 1 00000000000000000000001111101001
                 00000000000000001110101001100000"
            ))
        };
        let read = usability(&set("1111 1111 0000000001000000 0000000000100001")).unwrap();
        assert_eq!(read.pixel_aspect, Some((64, 33)));
        assert!((read.frames_per_second.unwrap() - 29.97).abs() < 0.001);
        assert_eq!(
            usability(&set("0000 1110")).unwrap().pixel_aspect,
            Some((4, 3))
        );
        assert_eq!(usability(&set("0000 0000")).unwrap().pixel_aspect, None);
        assert_eq!(usability(&set("0111 1111")).unwrap().pixel_aspect, None);
    }

    /// As x264 writes it: BT.709 in full range, pixels of 10 to 11, B-frames, and the parameters of a reference
    /// decoder.
    #[test]
    fn description_is_complete() {
        let set = hex(
            "67640014acd941519e226c0db808080a000007d20001d4c0c08001e848003d09498600f142996 0"
                .replace(' ', "")
                .as_str(),
        );
        let found = video_when_cut(&record(&set), description).unwrap();
        assert_eq!(found.profile.unwrap().to_string(), "High");
        assert_eq!(found.level.unwrap().to_string(), "2.0");
        assert_eq!(found.picture_size, pixels(322, 182));
        assert_eq!(found.coded_size, pixels(336, 192));
        assert_eq!(found.pixel_aspect, Some((10, 11)));
        assert_eq!(
            (found.bit_depth, found.chroma),
            (Some(8), Some(ChromaFormat::Yuv420))
        );
        let color = found.color.unwrap();
        assert_eq!((color.primaries, color.transfer, color.matrix), (1, 1, 1));
        assert_eq!((found.is_full_range, found.hdr()), (Some(true), None));
        assert!((found.frames_per_second.unwrap() - 29.97).abs() < 0.001);
        assert_eq!(found.max_reordered_frames, Some(2));
        assert_eq!(found.is_interlaced, Some(false));
    }

    #[test]
    fn profiles_and_levels_depend_on_the_constraints() {
        let name = |number, constraints| profile_of(number, constraints).to_string();
        assert_eq!(name(66, 0x40), "Constrained Baseline");
        assert_eq!(name(66, 0x80), "Baseline");
        assert_eq!(name(110, 0x10), "High 10 Intra");
        assert_eq!(name(100, 0x10), "High");
        assert_eq!(name(1, 0), "profile 1");
        let level =
            |profile, constraints, number| level_of(profile, constraints, number).to_string();
        assert_eq!(level(66, 0x10, 11), "1b");
        assert_eq!(level(100, 0x10, 11), "1.1");
        assert_eq!(level(100, 0, 9), "1b");
        assert!(never_reorders(66, 0, 0) && never_reorders(100, 0, 2));
        assert!(!never_reorders(100, 0x10, 0) && never_reorders(122, 0x10, 0));
    }

    #[test]
    fn keyframes_have_idr_slices() {
        let frame = [0, 0, 0, 2, 0x09, 0xF0, 0, 0, 0, 2, 0x65, 0x88];
        assert!(is_keyframe(&frame, 4));
        assert!(!is_keyframe(&frame[..frame.len() - 1], 4));
        assert!(!is_keyframe(&[0, 0, 0, 2, 0x41, 0x9A], 4));
        assert!(is_keyframe(&[0, 2, 0x65, 0x88], 2));
        assert!(!is_keyframe(&[0, 2, 0x65, 0x88], 4));
    }

    #[test]
    fn record_without_a_parameter_set_has_a_length_size() {
        assert_eq!(nal_length_size(&[1, 100, 0, 13, 0xFD, 0xE0, 0]), Some(2));
        let description = description(&[1, 100, 0, 13, 0xFD, 0xE0, 0]).unwrap();
        assert_eq!(description.picture_size, None);
        assert_eq!(description.level.map(|level| level.tenths), Some(13));
        assert_eq!(nal_length_size(&[0, 0, 0, 1, 0x67]), None);
    }
}

//! AVC (H.264): configuration record, sequence parameter set, keyframes.

use super::{
    super::{PictureSize, bits::BitReader},
    nal::{self, CHROMA_4_4_4},
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

/// Usability information of a sequence parameter set (H.264 E.1.1), as far as files repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usability {
    /// Width and height of a pixel, relative to each other; `None` if they are unspecified.
    pub pixel_aspect: Option<(u16, u16)>,
    /// Frame rate, if the stream has one.
    pub frames_per_second: Option<f64>,
}

/// Returns the size of the picture, from the first sequence parameter set of an
/// AVCDecoderConfigurationRecord.
pub fn picture_size(record: &[u8]) -> Option<PictureSize> {
    read_picture_size(&mut parameter_set(record)?)
}

/// Returns the usability information of the first sequence parameter set of an
/// AVCDecoderConfigurationRecord.
pub fn usability(record: &[u8]) -> Option<Usability> {
    let mut bits = parameter_set(record)?;
    read_picture_size(&mut bits)?;
    match bits.bit()? {
        true => read_usability(&mut bits),
        false => Some(Usability::default()),
    }
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

/// Reads a sequence parameter set up to the cropping (H.264 7.3.2.1.1).
fn read_picture_size(bits: &mut BitReader<'_>) -> Option<PictureSize> {
    let profile = bits.u8(8)?;
    bits.skip(8 + 8)?; // constraint flags, level_idc
    bits.ue()?; // seq_parameter_set_id
    let chroma_format = match HIGH_PROFILES.contains(&profile) {
        true => read_high_profile(bits)?,
        false => CHROMA_4_2_0,
    };
    bits.ue()?; // log2_max_frame_num_minus4
    skip_picture_order_count(bits)?;
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
    let (horizontal, vertical) = nal::subsampling(chroma_format);
    let vertical = vertical.checked_mul(fields)?;
    nal::read_cropped_size(bits, (width, height), (horizontal, vertical))
}

/// Reads the fields that only the high profiles have, and returns chroma_format_idc.
fn read_high_profile(bits: &mut BitReader<'_>) -> Option<u32> {
    let chroma_format = bits.ue()?;
    if chroma_format == CHROMA_4_4_4 {
        bits.skip(1)?; // separate_colour_plane_flag
    }
    bits.ue()?; // bit_depth_luma_minus8
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
    Some(chroma_format)
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

fn skip_picture_order_count(bits: &mut BitReader<'_>) -> Option<()> {
    match bits.ue()? {
        0 => bits.ue().map(drop), // log2_max_pic_order_cnt_lsb_minus4
        1 => {
            bits.skip(1)?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            // H.264 7.4.2.1.1: num_ref_frames_in_pic_order_cnt_cycle is in the range of 0 to 255.
            let frames = u8::try_from(bits.ue()?).ok()?;
            (0..frames).try_for_each(|_| bits.se().map(drop))
        }
        _ => Some(()),
    }
}

/// Reads vui_parameters up to the timing (H.264 E.1.1).
fn read_usability(bits: &mut BitReader<'_>) -> Option<Usability> {
    let mut pixel_aspect = None;
    if bits.bit()? {
        pixel_aspect = match bits.u8(8)? {
            EXTENDED_SAR => Some((bits.u32(16)?, bits.u32(16)?)).and_then(|(width, height)| {
                Some((width.try_into().ok()?, height.try_into().ok()?))
            }),
            index => PIXEL_ASPECTS.get(usize::from(index)).copied(),
        };
    }
    if bits.bit()? {
        bits.skip(1)?; // overscan_appropriate_flag
    }
    if bits.bit()? {
        bits.skip(3 + 1)?; // video_format, video_full_range_flag
        if bits.bit()? {
            bits.skip(8 + 8 + 8)?; // colour_description
        }
    }
    if bits.bit()? {
        bits.ue()?; // chroma_sample_loc_type_top_field
        bits.ue()?; // chroma_sample_loc_type_bottom_field
    }
    let mut frames_per_second = None;
    if bits.bit()? {
        let (units, scale) = (bits.u32(32)?, bits.u32(32)?);
        // A tick is the time of a field (H.264 D-2).
        let rate = f64::from(scale) / f64::from(units) / 2.0;
        frames_per_second = Some(rate).filter(|rate| rate.is_finite());
    }
    Some(Usability {
        pixel_aspect: pixel_aspect.filter(|(width, height)| *width > 0 && *height > 0),
        frames_per_second,
    })
}

/// NAL unit types (H.264 table 7-1).
const IDR_SLICE: u8 = 5;
const SEQUENCE_PARAMETER_SET: u8 = 7;

/// Profiles whose sequence parameter sets contain chroma_format_idc (H.264 7.3.2.1.1).
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Sample aspect ratios by index (H.264 table E-1); the first is unspecified.
const PIXEL_ASPECTS: [(u16, u16); 17] = [
    (0, 0),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// Index of a sample aspect ratio that follows.
const EXTENDED_SAR: u8 = 255;

/// Chroma format 4:2:0 (H.264 table 6-1).
const CHROMA_4_2_0: u32 = 1;

/// Width and height of a macroblock in pixels.
const MACROBLOCK: u32 = 16;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            bits::tests::bytes,
            tests::{hex, pixels, when_cut},
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
        when_cut(&record(set), picture_size)
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
        let usability = |set: &[u8]| when_cut(&record(set), usability);
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
        assert_eq!(picture_size(&[1, 100, 0, 13, 0xFD, 0xE0, 0]), None);
        assert_eq!(nal_length_size(&[0, 0, 0, 1, 0x67]), None);
    }
}

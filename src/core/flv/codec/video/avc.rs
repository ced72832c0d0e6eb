//! AVC (H.264): the configuration record, the sequence parameter set in it, keyframes.

use super::{super::bits::Bits, PictureSize, nal};
use crate::core::wire::Reader;

/// How many bytes hold a NAL unit's length, from an AVCDecoderConfigurationRecord
/// (ISO 14496-15 5.3.3.1).
pub fn nal_length_size(record: &[u8]) -> Option<u8> {
    let [1, _, _, _, sizes, ..] = record else {
        return None;
    };
    Some(nal::length_size(*sizes))
}

/// The size of the picture, from the first sequence parameter set of an
/// AVCDecoderConfigurationRecord.
pub fn picture_size(record: &[u8]) -> Option<PictureSize> {
    let [1, _, _, _, _, counts, sets @ ..] = record else {
        return None;
    };
    if counts & 0x1F == 0 {
        return None;
    }
    let [header, payload @ ..] = nal::read_parameter_set(&mut Reader::new(sets))? else {
        return None;
    };
    if header & 0x1F != SEQUENCE_PARAMETER_SET {
        return None;
    }
    read_picture_size(&mut Bits::of_nal_unit(payload))
}

/// Whether a frame has a slice of an IDR picture, with which decoding can start.
pub fn is_key(frame: &[u8], nal_length_size: u8) -> bool {
    nal::units(frame, nal_length_size).any(|unit| {
        unit.first()
            .is_some_and(|header| header & 0x1F == IDR_SLICE)
    })
}

/// Reads a sequence parameter set up to the cropping (H.264 7.3.2.1.1).
fn read_picture_size(bits: &mut Bits<'_>) -> Option<PictureSize> {
    let profile = bits.u8(8)?;
    bits.skip(8 + 8)?; // constraints, level
    bits.ue()?; // id
    let chroma_format = if HIGH_PROFILES.contains(&profile) {
        read_high_profile(bits)?
    } else {
        CHROMA_4_2_0
    };
    bits.ue()?; // log2_max_frame_num
    skip_picture_order_count(bits)?;
    bits.ue()?; // max_num_ref_frames
    bits.skip(1)?; // gaps in frame_num
    let width = bits.ue()?.checked_add(1)?.checked_mul(MACROBLOCK)?;
    let map_units = bits.ue()?.checked_add(1)?;
    let fields = if bits.bit()? { 1 } else { 2 };
    if fields == 2 {
        bits.skip(1)?; // mb_adaptive_frame_field
    }
    bits.skip(1)?; // direct_8x8_inference
    let height = map_units.checked_mul(fields)?.checked_mul(MACROBLOCK)?;
    let (horizontal, vertical) = nal::subsampling(chroma_format);
    nal::read_cropping(
        bits,
        (width, height),
        (horizontal, vertical.checked_mul(fields)?),
    )
}

/// Reads what only the high profiles have, and returns how chroma is subsampled.
fn read_high_profile(bits: &mut Bits<'_>) -> Option<u32> {
    let chroma_format = bits.ue()?;
    if chroma_format == CHROMA_4_4_4 {
        bits.skip(1)?; // separate colour planes
    }
    bits.ue()?; // bit depth of luma
    bits.ue()?; // bit depth of chroma
    bits.skip(1)?; // lossless bypass
    if bits.bit()? {
        let lists = if chroma_format == CHROMA_4_4_4 { 12 } else { 8 };
        for list in 0..lists {
            if bits.bit()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(chroma_format)
}

/// Passes over a scaling list: it has differences until a scale becomes 0 (H.264 7.3.2.1.1.1).
fn skip_scaling_list(bits: &mut Bits<'_>, size: u8) -> Option<()> {
    let mut scale = 8_i32;
    for _ in 0..size {
        scale = scale.wrapping_add(bits.se()?) & 0xFF;
        if scale == 0 {
            break;
        }
    }
    Some(())
}

fn skip_picture_order_count(bits: &mut Bits<'_>) -> Option<()> {
    match bits.ue()? {
        0 => bits.ue().map(drop), // log2_max_pic_order_cnt_lsb
        1 => {
            bits.skip(1)?; // delta_pic_order_always_zero
            bits.se()?; // offset for non-reference pictures
            bits.se()?; // offset from top to bottom field
            let frames = bits.ue()?;
            // num_ref_frames_in_pic_order_cnt_cycle is in the range of 0 to 255.
            if frames > 255 {
                return None;
            }
            (0..frames).try_for_each(|_| bits.se().map(drop))
        }
        _ => Some(()),
    }
}

/// NAL unit types (H.264 table 7-1).
const IDR_SLICE: u8 = 5;
const SEQUENCE_PARAMETER_SET: u8 = 7;

/// The profiles whose parameter sets say how chroma is subsampled (H.264 7.3.2.1.1).
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

const CHROMA_4_2_0: u32 = 1;
const CHROMA_4_4_4: u32 = 3;

/// The side of a macroblock, in pixels.
const MACROBLOCK: u32 = 16;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            bits::tests::bytes,
            tests::{hex, when_cut},
        },
        *,
    };

    /// A record with one sequence parameter set.
    fn record(set: &[u8]) -> Vec<u8> {
        let mut record = vec![1, set[1], set[2], set[3], 0xFF, 0xE1, 0, set.len() as u8];
        record.extend_from_slice(set);
        record
    }

    fn size_of(set: &[u8]) -> Option<PictureSize> {
        when_cut(&record(set), picture_size)
    }

    #[test]
    fn baseline_4_2_0() {
        let set = hex("6742c00dda05467889b011000003000100000300320f142aa0");
        assert_eq!(size_of(&set), PictureSize::new(322_u32, 182_u32));
    }

    #[test]
    fn high_4_2_2_with_ten_bits() {
        let set = hex("677a000db6cb40a8cf111780880000030008000003019078a155");
        assert_eq!(size_of(&set), PictureSize::new(322_u32, 182_u32));
    }

    #[test]
    fn high_4_4_4_crops_by_single_pixels() {
        let set = hex("67f4000d919681519e3e2f011000000300100000030320f142aa");
        assert_eq!(size_of(&set), PictureSize::new(322_u32, 182_u32));
    }

    #[test]
    fn monochrome() {
        let set = hex("6764000df2d02a33c7c5e02d9000000300100000030320f142aa");
        assert_eq!(size_of(&set), PictureSize::new(322_u32, 182_u32));
    }

    #[test]
    fn interlaced_pictures_have_two_fields() {
        let set = hex("67f40028919d00f0089f97011000000300100000030321f162ea");
        assert_eq!(size_of(&set), PictureSize::new(1920_u32, 1080_u32));
    }

    #[test]
    fn scaling_lists_and_order_counts_are_passed_over() {
        let set = bytes(
            "0110 0111                 sequence parameter set
             0110 0100 0000 0000 0001 1110 1
             010 1 1 0                 4:2:0, 8 bits, not lossless
             1                         with scaling lists:
             1 000010001               the first ends at once, its scale being 8 less 8
             1 1111111111111111        the second has sixteen
             000000                    the other six are left out
             1                         log2_max_frame_num
             010 0 1 1 011 010 010     order count type 1 with two frames
             1 0                       reference frames, no gaps
             00101 00110 1 1 0         5 by 6 macroblocks of whole frames, not cropped",
        );
        assert_eq!(size_of(&set), PictureSize::new(80_u32, 96_u32));
    }

    #[test]
    fn keyframes_have_idr_slices() {
        let frame = [0, 0, 0, 2, 0x09, 0xF0, 0, 0, 0, 2, 0x65, 0x88];
        assert!(is_key(&frame, 4));
        assert!(!is_key(&frame[..frame.len() - 1], 4));
        assert!(!is_key(&[0, 0, 0, 2, 0x41, 0x9A], 4));
        assert!(is_key(&[0, 2, 0x65, 0x88], 2));
        assert!(!is_key(&[0, 2, 0x65, 0x88], 4));
    }

    #[test]
    fn a_record_without_a_parameter_set_has_a_length_size_all_the_same() {
        assert_eq!(nal_length_size(&[1, 100, 0, 13, 0xFD, 0xE0, 0]), Some(2));
        assert_eq!(picture_size(&[1, 100, 0, 13, 0xFD, 0xE0, 0]), None);
        assert_eq!(nal_length_size(&[0, 0, 0, 1, 0x67]), None);
    }
}

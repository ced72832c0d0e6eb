//! HEVC (H.265): configuration record, sequence parameter set, keyframes.

use std::ops::RangeInclusive;

use super::{
    super::{PictureSize, bits::BitReader},
    nal::{self, CHROMA_4_4_4},
};
use crate::core::wire::Reader;

/// Returns the size of NAL unit lengths in bytes, from an HEVCDecoderConfigurationRecord
/// (ISO 14496-15 8.3.3.1).
pub fn nal_length_size(record: &[u8]) -> Option<u8> {
    let (head, _) = split(record)?;
    Some(nal::length_size(*head.last()?))
}

/// Returns the size of the picture, from the first sequence parameter set of an
/// HEVCDecoderConfigurationRecord.
pub fn picture_size(record: &[u8]) -> Option<PictureSize> {
    let (_, arrays) = split(record)?;
    let mut arrays = Reader::new(arrays);
    let unit = nal::find_parameter_set(&mut arrays, 0x3F, &[], SEQUENCE_PARAMETER_SET)?;
    read_picture_size(&mut BitReader::of_nal_unit(unit.get(2..)?))
}

/// Returns whether a frame has a slice of an IRAP picture, with which a decoder can start.
pub fn is_keyframe(frame: &[u8], nal_length_size: u8) -> bool {
    nal::units(frame, nal_length_size)
        .any(|unit| matches!(unit, [header, ..] if IRAP.contains(&(header >> 1 & 0x3F))))
}

/// Splits a record into its head, which ends with lengthSizeMinusOne, and its arrays of parameter sets.
fn split(record: &[u8]) -> Option<(&[u8; HEAD], &[u8])> {
    let version = record.first()?;
    // Version 1. Records from before the standard was final have 0.
    if *version > 1 {
        return None;
    }
    record.split_first_chunk()
}

/// Reads a sequence parameter set up to the conformance window (H.265 7.3.2.2.1).
fn read_picture_size(bits: &mut BitReader<'_>) -> Option<PictureSize> {
    bits.skip(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.u8(3)?;
    bits.skip(1)?; // sps_temporal_id_nesting_flag
    skip_profile_tier_level(bits, sub_layers)?;
    bits.ue()?; // sps_seq_parameter_set_id
    let chroma_format = bits.ue()?;
    if chroma_format == CHROMA_4_4_4 {
        bits.skip(1)?; // separate_colour_plane_flag
    }
    let coded_size = (bits.ue()?, bits.ue()?);
    nal::read_cropped_size(bits, coded_size, nal::subsampling(chroma_format))
}

/// Skips profile, tier and level of the stream and of `sub_layers` lower sub-layers (H.265 7.3.3).
fn skip_profile_tier_level(bits: &mut BitReader<'_>, sub_layers: u8) -> Option<()> {
    bits.skip(PROFILE_BITS + LEVEL_BITS)?;
    if sub_layers == 0 {
        return Some(());
    }
    // Two presence flags for each of eight sub-layers, whether or not they exist.
    let mut flags = bits.clone();
    bits.skip(2 * 8)?;
    for _ in 0..sub_layers {
        if flags.bit()? {
            bits.skip(PROFILE_BITS)?;
        }
        if flags.bit()? {
            bits.skip(LEVEL_BITS)?;
        }
    }
    Some(())
}

/// NAL unit types (H.265 table 7-1).
const IRAP: RangeInclusive<u8> = 16..=23;
const SEQUENCE_PARAMETER_SET: u8 = 33;

/// Length of a configuration record before its arrays, in bytes.
const HEAD: usize = 22;

/// Bits of a profile with its tier, and of a level.
const PROFILE_BITS: u32 = 88;
const LEVEL_BITS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            bits::tests::bytes,
            tests::{hex, pixels, when_cut},
        },
        *,
    };

    /// Builds a record with lengths of two bytes, one video parameter set and one sequence parameter set.
    fn record(set: &[u8]) -> Vec<u8> {
        let mut record = vec![0; 22];
        record[0] = 1;
        record[21] = 0xFD;
        record.extend([2, 32, 0, 1, 0, 2, 0x40, 0x01]);
        record.extend([33 | 0x80, 0, 1, 0, set.len() as u8]);
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
                "monochrome",
                "4201010408000003009fc800000300003cc029202e73de5959a4932bc05b02",
            ),
            (
                "4:2:2",
                "4201010408000003009d0800000300003cb00a480b9c9796566924caf01680",
            ),
            (
                "4:4:4",
                "4201010408000003009e0800000300003c90014901739ef2cacd24995e02d010",
            ),
        ] {
            assert_eq!(size_of(&hex(set)), pixels(322, 182), "{chroma}");
        }
    }

    #[test]
    fn profiles_and_levels_of_sub_layers_are_skipped() {
        let mut lines =
            String::from("0000 010 1               video parameter set 0, 3 layers, nested\n");
        lines += &"1".repeat(96);
        lines += "\n11 01 000000000000        profile and level of layer 0, level of layer 1\n";
        lines += &"1".repeat(88 + 8 + 8);
        lines += "\n1 010                    set 0, 4:2:0
                    00000000101000001       320 by
                    000000010110101         by 180 pixels
                    1 1 010 1 00101        cropped: 1 unit on the right, 4 below";
        let mut set = vec![0x42, 0x01];
        set.extend(bytes(&lines));
        assert_eq!(size_of(&set), pixels(318, 172));
    }

    #[test]
    fn keyframes_have_irap_slices() {
        for kind in 0..64 {
            let frame = [0, 0, 0, 2, 0x46, 0x01, 0, 0, 0, 3, kind << 1, 0x01, 0xAF];
            assert_eq!(is_keyframe(&frame, 4), (16..=23).contains(&kind), "{kind}");
        }
    }

    #[test]
    fn record_without_arrays_has_a_length_size() {
        let record = record(&[]);
        assert_eq!(when_cut(&record[..22], nal_length_size), Some(2));
        assert_eq!(picture_size(&record[..23]), None);
        assert_eq!(nal_length_size(&[3; 23]), None);
    }
}

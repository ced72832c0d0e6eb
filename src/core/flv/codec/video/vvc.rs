//! VVC (H.266): configuration record, sequence parameter set, keyframes.

use std::ops::RangeInclusive;

use super::{
    super::{
        PictureSize,
        bits::BitReader,
        description::{ChromaFormat, Level, Profile, VideoDescription},
    },
    nal,
};
use crate::core::wire::{Missing, Reader};

/// Returns the size of NAL unit lengths in bytes, from a VvcDecoderConfigurationRecord
/// (ISO 14496-15 11.2.4.2).
pub fn nal_length_size(record: &[u8]) -> Option<u8> {
    let (first, _) = split(record)?;
    Some(nal::length_size(first >> 1))
}

/// Returns whether a VvcDecoderConfigurationRecord contains all fields before its parameter sets.
pub fn has_all_fields(record: &[u8]) -> bool {
    split(record).is_some_and(|(first, mut reader)| {
        let has_profile_tier_level = first & 1 == 1;
        let has_fields = !has_profile_tier_level || read_fields(&mut reader).is_ok();
        has_fields && reader.u8("number of arrays").is_ok()
    })
}

/// Returns the properties of the stream, from the first sequence parameter set of a
/// VvcDecoderConfigurationRecord, or else from its own fields. Its size is then the largest of all pictures.
pub fn description(record: &[u8]) -> Option<VideoDescription> {
    let (first, mut reader) = split(record)?;
    let mut description = VideoDescription::default();
    let has_profile_tier_level = first & 1 == 1;
    if has_profile_tier_level {
        description = read_fields(&mut reader).ok()?;
    }
    let mut sets = nal::parameter_sets(reader, 0x1F, &SINGLE_UNITS);
    let set = sets.find(|(kind, _)| *kind == SEQUENCE_PARAMETER_SET);
    if let Some(set) = set.and_then(|(_, unit)| unit.get(2..)) {
        // A set that is cut describes the stream up to the cut.
        let _cut = read_parameter_set(&mut BitReader::of_nal_unit(set), &mut description);
    }
    Some(description)
}

/// Returns whether a frame has a slice of an IDR or CRA picture, with which a decoder can start at once.
pub fn is_keyframe(frame: &[u8], nal_length_size: u8) -> bool {
    nal::units(frame, nal_length_size)
        .any(|unit| matches!(unit, [_, header, ..] if IRAP.contains(&(header >> 3))))
}

/// Returns the first byte of a record and a reader for the rest.
fn split(record: &[u8]) -> Option<(u8, Reader<'_>)> {
    let (first, rest) = record.split_first()?;
    (first & RESERVED == RESERVED).then_some((*first, Reader::new(rest)))
}

/// Reads the part of a record with profile, tier and level. It ends with the largest size of a picture and the
/// average frame rate, which are unknown if they are 0.
fn read_fields(reader: &mut Reader<'_>) -> Result<VideoDescription, Missing> {
    let [high, low, depth] = reader.array("ols_idx")?;
    let sub_layers = low >> 4 & 7;
    let has_constant_rate = u16::from_be_bytes([high, low]) >> 2 & 3 == 1;
    let constraints = usize::from(reader.u8("num_bytes_constraint_info")? & 0x3F);
    let [profile, level] = reader.array("profile and level")?;
    reader.take(constraints.max(1), "constraint info")?;
    if sub_layers > 1 {
        let flags = reader.u8("sub-layer level flags")?;
        reader.take(flags.count_ones() as usize, "sub-layer levels")?;
    }
    for _ in 0..reader.u8("number of sub-profiles")? {
        reader.u32("sub-profile")?;
    }
    let (width, height) = (reader.u16("width")?, reader.u16("height")?);
    // The field counts frames in 256 seconds.
    let rate = f64::from(reader.u16("frame rate")?) / 256.0;
    Ok(VideoDescription {
        profile: Some(profile_of(profile)),
        level: Some(level_of(profile, level)),
        picture_size: PictureSize::new(width, height),
        frames_per_second: (has_constant_rate && rate > 0.0).then_some(rate),
        chroma: ChromaFormat::of_code(u32::from(low & 3)),
        bit_depth: Some((depth >> 5).saturating_add(8)),
        ..VideoDescription::default()
    })
}

/// Reads a sequence parameter set up to the sizes of the picture buffer (H.266 7.3.2.4).
fn read_parameter_set(bits: &mut BitReader<'_>, description: &mut VideoDescription) -> Option<()> {
    bits.skip(4 + 4)?; // sps_seq_parameter_set_id, sps_video_parameter_set_id
    let sub_layers = bits.u8(3)?;
    let chroma_format = bits.u32(2)?;
    bits.skip(2)?; // sps_log2_ctu_size_minus5
    let has_profile_tier_level = bits.bit()?;
    if has_profile_tier_level {
        read_profile_tier_level(bits, sub_layers, description)?;
    }
    bits.skip(1)?; // sps_gdr_enabled_flag
    let may_resample = bits.bit()?;
    if may_resample {
        bits.skip(1)?; // sps_res_change_in_clvs_allowed_flag
    }
    let coded_size = (bits.ue()?, bits.ue()?);
    let size = nal::read_cropped_size(bits, coded_size, nal::subsampling(chroma_format))?;
    description.chroma = ChromaFormat::of_code(chroma_format);
    description.coded_size = PictureSize::new(coded_size.0, coded_size.1);
    description.picture_size = Some(size);
    let has_subpictures = bits.bit()?;
    if has_subpictures {
        // The record has the bit depth too. Streams with subpictures are rare.
        return Some(());
    }
    description.bit_depth = Some(nal::read_bit_depth(bits)?);
    if has_profile_tier_level {
        description.max_reordered_frames = Some(read_reordering(bits, sub_layers)?);
    }
    Some(())
}

/// Reads a sequence parameter set from the bit depth to the sizes of the picture buffer, and returns
/// dpb_max_num_reorder_pics of the highest sub-layer.
fn read_reordering(bits: &mut BitReader<'_>, sub_layers: u8) -> Option<u8> {
    bits.skip(1 + 1 + 4)?; // entropy coding, entry points, sps_log2_max_pic_order_cnt_lsb_minus4
    if bits.bit()? {
        bits.ue()?; // sps_poc_msb_cycle_len_minus1
    }
    for _ in 0..2 {
        let extra_bytes = bits.u32(2)?;
        bits.skip(extra_bytes.saturating_mul(8))?; // presence of extra bits in headers
    }
    let has_all_layers = sub_layers > 0 && bits.bit()?;
    let mut reordered = 0;
    for _ in 0..=if has_all_layers { sub_layers } else { 0 } {
        bits.ue()?; // dpb_max_dec_pic_buffering_minus1
        reordered = bits.ue()?;
        bits.ue()?; // dpb_max_latency_increase_plus1
    }
    u8::try_from(reordered).ok()
}

/// Reads profile, tier and level, and skips the levels of `sub_layers` lower sub-layers (H.266 7.3.3.1).
fn read_profile_tier_level(
    bits: &mut BitReader<'_>,
    sub_layers: u8,
    description: &mut VideoDescription,
) -> Option<()> {
    let (profile, level) = (bits.u8(8)?, bits.u8(8)?);
    description.profile = Some(profile_of(profile));
    description.level = Some(level_of(profile, level));
    bits.skip(1 + 1)?; // ptl_frame_only_constraint_flag, ptl_multilayer_enabled_flag
    let has_constraints = bits.bit()?;
    if has_constraints {
        bits.skip(CONSTRAINT_BITS)?;
        let additional = bits.u8(8)?;
        bits.skip(additional.into())?;
    }
    bits.align();
    let mut levels = 0;
    for _ in 0..sub_layers {
        levels = u32::from(bits.bit()?).saturating_add(levels);
    }
    bits.align();
    bits.skip(levels.saturating_mul(8))?;
    let sub_profiles = bits.u32(8)?;
    bits.skip(sub_profiles.saturating_mul(32))
}

/// Returns the profile. The high seven bits of `byte` are general_profile_idc (H.266 A.3).
fn profile_of(byte: u8) -> Profile {
    Profile::named(byte >> 1, &PROFILE_NAMES)
}

/// Returns the level. The low bit of `profile` is general_tier_flag; general_level_idc has steps of 3 for a
/// tenth and 16 for a full level (H.266 A.4.1).
fn level_of(profile: u8, number: u8) -> Level {
    Level {
        number,
        tenths: (number >> 4)
            .saturating_mul(10)
            .saturating_add((number & 0x0F) / 3),
        is_high_tier: Some(profile & 1 != 0),
    }
}

/// Profiles for decoders of this version of the standard (H.266 A.3).
const PROFILE_NAMES: [(u8, &str); 6] = [
    (1, "Main 10"),
    (17, "Multilayer Main 10"),
    (33, "Main 10 4:4:4"),
    (49, "Multilayer Main 10 4:4:4"),
    (65, "Main 10 Still Picture"),
    (97, "Main 10 4:4:4 Still Picture"),
];

/// Bits of the first byte of a record that are always set.
const RESERVED: u8 = 0xF8;

/// NAL unit types (H.266 table 5): IDR with and without leading pictures, and CRA.
const IRAP: RangeInclusive<u8> = 7..=9;
const OPERATING_POINTS: u8 = 12;
const DECODING_CAPABILITIES: u8 = 13;
const SEQUENCE_PARAMETER_SET: u8 = 15;

/// Types whose arrays in a record have one NAL unit and no count (ISO 14496-15 11.2.4.2).
const SINGLE_UNITS: [u8; 2] = [OPERATING_POINTS, DECODING_CAPABILITIES];

/// Bits of general_constraints_info, from gci_intra_only_constraint_flag to
/// gci_no_virtual_boundaries_constraint_flag (H.266 7.3.3.2).
const CONSTRAINT_BITS: u32 = 71;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            bits::tests::bytes,
            tests::{hex, pixels, when_cut},
        },
        *,
    };

    fn picture_size(record: &[u8]) -> Option<PictureSize> {
        description(record)?.picture_size
    }

    /// A sequence parameter set of 328 by 184 pixels in 4:2:0, of which 322 by 182 are displayed.
    const SET: &str = "
        0000 0000               nuh_layer_id 0
        01111 001               sequence parameter set
        0000 0000 001           ids, two layers
        01 00                   4:2:0, smallest tree units
        1                       profile, tier and level:
        0000001 0 00110011      Main 10, main tier, level 3.1
        1 0                     frames only, one layer
        0 00000                 no constraints, aligned
        1 0000000 00110000      level of layer 0, aligned
        00000001                one sub-profile
        01010101 01010101 01010101 01010101
        0                       no gradual decoding refresh
        1 0                     reference pictures are resampled, not within a sequence
        00000000101001001       328
        000000010111001         by 184 pixels
        1                       cropped:
        1 00100                 3 units on the right
        1 010                   1 unit below
        1                       next field";

    fn record(head: &[u8]) -> Vec<u8> {
        let set = bytes(SET);
        let mut record = head.to_vec();
        record.push(3); // arrays
        record.extend([0x80 | OPERATING_POINTS, 0, 2, 0, 0x61]);
        record.extend([0x80 | 14, 0, 1, 0, 2, 0, 0x71]); // video parameter set
        record.extend([0x80 | SEQUENCE_PARAMETER_SET, 0, 1, 0, set.len() as u8]);
        record.extend(set);
        record
    }

    /// Start of a record with profile, tier and level of two sub-layers, and a largest picture of 640 by 360.
    fn head_with_largest_size() -> Vec<u8> {
        bytes(
            "11111 11 1             lengths in 4 bytes, with profile, tier and level
             000000000 010 01 01    all layers, two sub-layers, constant rate, 4:2:0
             010 11111              bit depth 8 + 2
             00 000001              one byte of constraints
             0000001 0 00110011     Main 10, level 3.1
             1 0 000000             frames only, one layer
             1 0000000 00110000     level of layer 0
             00000001               one sub-profile
             00000000 00000000 00000011 00000001
             0000001010000000       640
             0000000101101000       by 360
             0000000000000000       no frame rate",
        )
    }

    #[test]
    fn parameter_set_has_the_displayed_size() {
        let size = pixels(322, 182);
        assert_eq!(when_cut(&record(&[0xFE]), picture_size), size);
        assert_eq!(picture_size(&record(&head_with_largest_size())), size);
    }

    #[test]
    fn largest_size_is_used_without_a_parameter_set() {
        let mut record = head_with_largest_size();
        record.push(0);
        assert_eq!(when_cut(&record, picture_size), pixels(640, 360));
        assert_eq!(nal_length_size(&record), Some(4));
        assert_eq!(nal_length_size(&[0x01]), None);
    }

    /// The start of the record of VVenC, without the fields after the size of the coding tree of the set.
    #[test]
    fn description_has_the_fields_of_the_record_and_the_set() {
        let found = description(&record(&head_with_largest_size())).unwrap();
        assert_eq!(found.profile.unwrap().to_string(), "Main 10");
        assert_eq!(found.level.unwrap().to_string(), "3.1");
        assert_eq!(found.bit_depth, Some(10));
        assert_eq!(found.coded_size, pixels(328, 184));
        // By VVenC at 30000/1001 frames per second.
        let record = hex(
            "ff00655f010220800000014800b80000028f000100ee007900ab02208000008029202e7251a801cdffeb084d958c10209c004c404104108184210b110859210b5085e8f56a4bc926a4b2445a88bc449a88914911264889351962210b24216a10bc2126a10914908499210975242121222109144421262210975110848a32109319084ba8c8428105842080c442064883520133041041610020b100808408040542040203484080405881008088201016410080908040c80808840405908080910103408092040e08188042c81022102059081024408341024820e106408b4209210e21a12e472a041610020b1008084080405420402043304671400000fa40001d4c0620900001000b0081000014901722241f41",
        );
        let found = description(&record).unwrap();
        assert_eq!(found.profile.unwrap().to_string(), "Main 10");
        assert_eq!(found.picture_size, pixels(322, 182));
        assert_eq!(
            (found.bit_depth, found.chroma),
            (Some(10), Some(ChromaFormat::Yuv420))
        );
    }

    #[test]
    fn record_without_parameter_sets_is_complete_after_its_fields() {
        let head = head_with_largest_size();
        let record = [&head[..], &[0]].concat();
        assert!(has_all_fields(&record));
        for cut in 0..record.len() {
            assert!(!has_all_fields(&record[..cut]), "cut at {cut}");
        }
        assert!(has_all_fields(&[0xFE, 0]));
        assert!(!has_all_fields(&[0xFE]));
        assert!(!has_all_fields(&[0, 0]));
    }

    #[test]
    fn keyframes_have_irap_slices() {
        for kind in 0..32 {
            let frame = [0, 3, 0, kind << 3 | 1, 0x80];
            assert_eq!(is_keyframe(&frame, 2), (7..=9).contains(&kind), "{kind}");
        }
    }
}

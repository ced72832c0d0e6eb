//! HEVC (H.265): configuration record, sequence parameter set, keyframes.

use std::ops::RangeInclusive;

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

/// Returns the size of NAL unit lengths in bytes, from an HEVCDecoderConfigurationRecord
/// (ISO 14496-15 8.3.3.1).
pub fn nal_length_size(record: &[u8]) -> Option<u8> {
    let (head, _) = split(record)?;
    Some(nal::length_size(*head.last()?))
}

/// Returns the properties of the stream, from the head, the first sequence parameter set and the
/// supplemental information of an HEVCDecoderConfigurationRecord.
pub fn description(record: &[u8]) -> Option<VideoDescription> {
    let (head, arrays) = split(record)?;
    let mut description = describe_head(head);
    let mut has_set = false;
    for (kind, unit) in nal::parameter_sets(Reader::new(arrays), 0x3F, &[]) {
        let mut bits = BitReader::of_nal_unit(unit.get(2..).unwrap_or_default());
        // A unit that is cut describes the stream up to the cut.
        let _cut = match kind {
            SEQUENCE_PARAMETER_SET if !has_set => {
                has_set = true;
                read_parameter_set(&mut bits, &mut description)
            }
            SUPPLEMENTAL_INFORMATION => read_messages(&mut bits, &mut description),
            _ => None,
        };
    }
    Some(description)
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

/// Returns the properties in the head of a record.
fn describe_head(head: &[u8; HEAD]) -> VideoDescription {
    let [_, profile, ..] = *head;
    let [.., level, _, _, _, chroma, depth, _, rate_high, rate_low, _] = *head;
    // avgFrameRate counts frames in 256 seconds; 0 is unspecified.
    let rate = f64::from(u16::from_be_bytes([rate_high, rate_low])) / 256.0;
    VideoDescription {
        profile: Some(profile_of(profile)),
        level: Some(level_of(profile, level)),
        chroma: ChromaFormat::of_code(u32::from(chroma & 3)),
        bit_depth: Some((depth & 7).saturating_add(8)),
        frames_per_second: (rate > 0.0).then_some(rate),
        ..VideoDescription::default()
    }
}

/// Reads a sequence parameter set up to the usability information (H.265 7.3.2.2.1).
fn read_parameter_set(bits: &mut BitReader<'_>, description: &mut VideoDescription) -> Option<()> {
    bits.skip(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.u8(3)?;
    bits.skip(1)?; // sps_temporal_id_nesting_flag
    read_profile_tier_level(bits, sub_layers, description)?;
    bits.ue()?; // sps_seq_parameter_set_id
    let chroma_format = bits.ue()?;
    if chroma_format == CHROMA_4_4_4 {
        bits.skip(1)?; // separate_colour_plane_flag
    }
    description.chroma = ChromaFormat::of_code(chroma_format);
    let coded_size = (bits.ue()?, bits.ue()?);
    description.coded_size = PictureSize::new(coded_size.0, coded_size.1);
    let size = nal::read_cropped_size(bits, coded_size, nal::subsampling(chroma_format))?;
    description.picture_size = Some(size);
    description.bit_depth = Some(nal::read_bit_depth(bits)?);
    bits.ue()?; // bit_depth_chroma_minus8
    let order_bits = u8::try_from(bits.ue()?).ok()?.checked_add(4)?;
    // H.265 7.4.3.2.1: log2_max_pic_order_cnt_lsb_minus4 is in the range of 0 to 12.
    if order_bits > 16 {
        return None;
    }
    description.max_reordered_frames = Some(read_reordering(bits, sub_layers)?);
    for _ in 0..6 {
        bits.ue()?; // sizes of coding and transform blocks, and their depths
    }
    let has_scaling_lists = bits.bit()? && bits.bit()?;
    if has_scaling_lists {
        skip_scaling_lists(bits)?;
    }
    bits.skip(1 + 1)?; // amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.bit()? {
        bits.skip(4 + 4)?; // pcm_sample_bit_depth_luma_minus1, pcm_sample_bit_depth_chroma_minus1
        bits.ue()?; // log2_min_pcm_luma_coding_block_size_minus3
        bits.ue()?; // log2_diff_max_min_pcm_luma_coding_block_size
        bits.skip(1)?; // pcm_loop_filter_disabled_flag
    }
    skip_reference_sets(bits)?;
    if bits.bit()? {
        let pictures = bits.ue()?;
        // H.265 7.4.3.2.1: num_long_term_ref_pics_sps is in the range of 0 to 32.
        if pictures > 32 {
            return None;
        }
        for _ in 0..pictures {
            bits.skip(u32::from(order_bits).saturating_add(1))?;
        }
    }
    bits.skip(1 + 1)?; // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    match bits.bit()? {
        true => read_usability(bits, description),
        false => Some(()),
    }
}

/// Reads the sizes of the picture buffer, and returns sps_max_num_reorder_pics of the highest sub-layer.
fn read_reordering(bits: &mut BitReader<'_>, sub_layers: u8) -> Option<u8> {
    let layers = if bits.bit()? { sub_layers } else { 0 };
    let mut reordered = 0;
    for _ in 0..=layers {
        bits.ue()?; // sps_max_dec_pic_buffering_minus1
        reordered = bits.ue()?;
        bits.ue()?; // sps_max_latency_increase_plus1
    }
    u8::try_from(reordered).ok()
}

/// Skips scaling_list_data (H.265 7.3.4).
fn skip_scaling_lists(bits: &mut BitReader<'_>) -> Option<()> {
    for (lists, coefficients, has_first) in
        [(6, 16, false), (6, 64, false), (6, 64, true), (2, 64, true)]
    {
        for _ in 0..lists {
            if !bits.bit()? {
                bits.ue()?; // scaling_list_pred_matrix_id_delta
                continue;
            }
            if has_first {
                bits.se()?; // scaling_list_dc_coef_minus8
            }
            for _ in 0..coefficients {
                bits.se()?;
            }
        }
    }
    Some(())
}

/// Skips all st_ref_pic_set of a sequence parameter set (H.265 7.3.7).
fn skip_reference_sets(bits: &mut BitReader<'_>) -> Option<()> {
    let sets = bits.ue()?;
    // H.265 7.4.3.2.1: num_short_term_ref_pic_sets is in the range of 0 to 64.
    if sets > 64 {
        return None;
    }
    let mut pictures = 0;
    for set in 0..sets {
        let is_predicted = set > 0 && bits.bit()?;
        pictures = match is_predicted {
            true => skip_predicted_set(bits, pictures)?,
            false => skip_listed_set(bits)?,
        };
        if pictures > MAX_REFERENCES {
            return None;
        }
    }
    Some(())
}

/// Skips a set that is predicted from one with `pictures`, and returns the number of its pictures.
fn skip_predicted_set(bits: &mut BitReader<'_>, pictures: u32) -> Option<u32> {
    bits.skip(1)?; // delta_rps_sign
    bits.ue()?; // abs_delta_rps_minus1
    let mut kept: u32 = 0;
    for _ in 0..=pictures {
        let is_used = bits.bit()?;
        // use_delta_flag is 1 if it is absent.
        if is_used || bits.bit()? {
            kept = kept.saturating_add(1);
        }
    }
    Some(kept)
}

fn skip_listed_set(bits: &mut BitReader<'_>) -> Option<u32> {
    let pictures = bits.ue()?.checked_add(bits.ue()?)?;
    if pictures > MAX_REFERENCES {
        return None;
    }
    for _ in 0..pictures {
        bits.ue()?; // delta_poc_minus1
        bits.skip(1)?; // used_by_curr_pic_flag
    }
    Some(pictures)
}

/// Reads vui_parameters up to the timing (H.265 E.2.1).
fn read_usability(bits: &mut BitReader<'_>, description: &mut VideoDescription) -> Option<()> {
    usability::read_start(bits, description)?;
    bits.skip(1)?; // neutral_chroma_indication_flag
    let has_fields = bits.bit()?;
    if has_fields {
        description.is_interlaced = Some(true);
    }
    bits.skip(1)?; // frame_field_info_present_flag
    if bits.bit()? {
        for _ in 0..4 {
            bits.ue()?; // default display window
        }
    }
    if bits.bit()? {
        // A tick is the time of a picture, which may be a field (H.265 E.3.1).
        let ticks = if has_fields { 2.0 } else { 1.0 };
        description.frames_per_second = usability::read_frame_rate(bits, ticks)?;
    }
    Some(())
}

/// Reads supplemental enhancement information (H.265 7.3.5).
fn read_messages(bits: &mut BitReader<'_>, description: &mut VideoDescription) -> Option<()> {
    loop {
        let (kind, size) = (read_message_number(bits)?, read_message_number(bits)?);
        match kind {
            MASTERING_DISPLAY => description.has_mastering_display = true,
            CONTENT_LIGHT => description.has_content_light = true,
            _ => {}
        }
        bits.skip(size.checked_mul(8)?)?;
    }
}

fn read_message_number(bits: &mut BitReader<'_>) -> Option<u32> {
    let mut number = 0_u32;
    loop {
        let byte = bits.u32(8)?;
        number = number.checked_add(byte)?;
        if byte != 0xFF {
            return Some(number);
        }
    }
}

/// Reads profile, tier and level of the stream, and skips those of `sub_layers` lower sub-layers (H.265 7.3.3).
fn read_profile_tier_level(
    bits: &mut BitReader<'_>,
    sub_layers: u8,
    description: &mut VideoDescription,
) -> Option<()> {
    let profile = bits.u8(8)?;
    bits.skip(32)?; // general_profile_compatibility_flag
    let (is_progressive, is_interlaced) = (bits.bit()?, bits.bit()?);
    bits.skip(PROFILE_BITS.saturating_sub(8 + 32 + 2))?;
    let level = bits.u8(8)?;
    description.profile = Some(profile_of(profile));
    description.level = Some(level_of(profile, level));
    // H.265 7.4.4: if both flags are equal, the scan is unknown or differs between pictures.
    if is_progressive != is_interlaced {
        description.is_interlaced = Some(is_interlaced);
    }
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

/// Returns the profile. The low five bits of `byte` are general_profile_idc (H.265 A.3).
fn profile_of(byte: u8) -> Profile {
    Profile::named(byte & 0x1F, &PROFILE_NAMES)
}

/// Returns the level. Bit 5 of `profile` is general_tier_flag; general_level_idc is 30 times the level
/// (H.265 A.4.1).
fn level_of(profile: u8, number: u8) -> Level {
    Level {
        number,
        tenths: number / 3,
        is_high_tier: Some(profile & 0x20 != 0),
    }
}

/// NAL unit types (H.265 table 7-1).
const IRAP: RangeInclusive<u8> = 16..=23;
const SEQUENCE_PARAMETER_SET: u8 = 33;
const SUPPLEMENTAL_INFORMATION: u8 = 39;

/// Kinds of supplemental information (H.265 D.2.1).
const MASTERING_DISPLAY: u32 = 137;
const CONTENT_LIGHT: u32 = 144;

/// Largest number of pictures in a set (H.265 A.4.2: a buffer holds at most 16).
const MAX_REFERENCES: u32 = 16;

const PROFILE_NAMES: [(u8, &str); 11] = [
    (1, "Main"),
    (2, "Main 10"),
    (3, "Main Still Picture"),
    (4, "Rext"),
    (5, "High Throughput"),
    (6, "Multiview Main"),
    (7, "Scalable Main"),
    (8, "3D Main"),
    (9, "Screen-Extended"),
    (10, "Scalable Rext"),
    (11, "High Throughput Screen-Extended"),
];

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
            description::Hdr,
            tests::{hex, pixels, video_when_cut, when_cut},
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
        when_cut(&record(set), |record| description(record)?.picture_size)
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

    /// As x265 writes it: Main 10 in BT.2020 with PQ, pixels of 4 to 3, 30000/1001 frames per second with the
    /// parameters of a reference decoder, scaling lists, and messages of the brightness and the display.
    #[test]
    fn description_of_hdr_video_is_complete() {
        let set = hex(
            "42010102200000030090000003000003003ca00a880c1c44cd965654a4e1787350910090400000fa40001d4c1805259b8003d090007a122022",
        );
        let light = hex("4e01900403e8019080");
        let display = hex("4e01891833c286c41d4c0bb884d03e803d1340420098968000000300018000");
        let mut record = hex("0102200000009000000000003cf000fcfdfafa00000f02a1");
        record.extend([0, 1, 0, set.len() as u8]);
        record.extend(set);
        record.extend([39, 0, 2, 0, light.len() as u8]);
        record.extend(light);
        record.extend([0, display.len() as u8]);
        record.extend(display);
        let found = video_when_cut(&record, description).unwrap();
        assert_eq!(found.profile.unwrap().to_string(), "Main 10");
        assert_eq!(found.level.unwrap().to_string(), "2.0");
        assert_eq!(found.level.unwrap().is_high_tier, Some(false));
        assert_eq!(found.picture_size, pixels(322, 182));
        assert_eq!(found.coded_size, pixels(336, 192));
        assert_eq!(found.chroma, Some(ChromaFormat::Yuv420));
        assert_eq!(found.bit_depth, Some(10));
        assert_eq!(found.pixel_aspect, Some((4, 3)));
        let color = found.color.unwrap();
        assert_eq!((color.primaries, color.transfer, color.matrix), (9, 16, 9));
        assert_eq!(found.hdr(), Some(Hdr::Pq));
        assert_eq!(found.is_full_range, Some(false));
        assert!((found.frames_per_second.unwrap() - 29.97).abs() < 0.001);
        assert_eq!(found.max_reordered_frames, Some(2));
        assert_eq!(found.is_interlaced, Some(false));
        assert!(found.has_mastering_display && found.has_content_light);
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
        let description = description(&record[..23]).unwrap();
        assert_eq!(description.picture_size, None);
        assert_eq!(nal_length_size(&[3; 23]), None);
    }
}

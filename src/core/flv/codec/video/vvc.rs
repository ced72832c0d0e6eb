//! VVC (H.266): the configuration record, the sequence parameter set in it, keyframes.

use super::{super::bits::Bits, PictureSize, nal};
use crate::core::wire::Reader;

/// How many bytes hold a NAL unit's length, from a VvcDecoderConfigurationRecord
/// (ISO 14496-15 11.2.4.2).
pub fn nal_length_size(record: &[u8]) -> Option<u8> {
    let first = record
        .first()
        .filter(|first| **first & RESERVED == RESERVED)?;
    Some(nal::length_size(first >> 1))
}

/// The size of the picture, from the first sequence parameter set of a
/// VvcDecoderConfigurationRecord, or else the largest that the record announces.
pub fn picture_size(record: &[u8]) -> Option<PictureSize> {
    let (first, rest) = record.split_first()?;
    if first & RESERVED != RESERVED {
        return None;
    }
    let mut reader = Reader::new(rest);
    let mut largest = None;
    if first & 1 == 1 {
        largest = read_largest_size(&mut reader)?;
    }
    find_sequence_parameter_set(&mut reader)
        .and_then(|unit| read_picture_size(&mut Bits::of_nal_unit(unit.get(2..)?)))
        .or(largest)
}

/// Whether a frame has a slice of a picture at which decoding can start at once (IRAP, H.266
/// table 5), not only bit by bit.
pub fn is_key(frame: &[u8], nal_length_size: u8) -> bool {
    nal::units(frame, nal_length_size).any(|unit| {
        unit.get(1)
            .is_some_and(|header| IRAP.contains(&(header >> 3)))
    })
}

/// Reads what a record has that tells profile, tier and level: its last part is the largest picture.
/// The inner option is empty where that has no pixels.
fn read_largest_size(reader: &mut Reader<'_>) -> Option<Option<PictureSize>> {
    let [high, low, _] = reader.array("ols_idx").ok()?;
    let sub_layers = u16::from_be_bytes([high, low]) >> 4 & 7;
    let constraints = usize::from(reader.u8("num_bytes_constraint_info").ok()? & 0x3F);
    reader.take(2, "profile and level").ok()?;
    reader.take(constraints.max(1), "constraint info").ok()?;
    if sub_layers > 1 {
        let flags = reader.u8("sub-layer level flags").ok()?;
        reader
            .take(flags.count_ones() as usize, "sub-layer levels")
            .ok()?;
    }
    for _ in 0..reader.u8("number of sub-profiles").ok()? {
        reader.u32("sub-profile").ok()?;
    }
    let width = reader.u16("width").ok()?;
    let height = reader.u16("height").ok()?;
    reader.u16("frame rate").ok()?;
    Some(PictureSize::new(width, height))
}

fn find_sequence_parameter_set<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    for _ in 0..reader.u8("number of arrays").ok()? {
        let kind = reader.u8("NAL unit type").ok()? & 0x1F;
        let units = match kind {
            OPERATING_POINTS | DECODING_CAPABILITIES => 1,
            _ => reader.u16("number of NAL units").ok()?,
        };
        for _ in 0..units {
            let unit = nal::read_parameter_set(reader)?;
            if kind == SEQUENCE_PARAMETER_SET {
                return Some(unit);
            }
        }
    }
    None
}

/// Reads a sequence parameter set up to the conformance window (H.266 7.3.2.4).
fn read_picture_size(bits: &mut Bits<'_>) -> Option<PictureSize> {
    bits.skip(4 + 4)?; // ids of this and the video parameter set
    let sub_layers = bits.u8(3)?;
    let chroma_format = bits.u32(2)?;
    bits.skip(2)?; // size of coding tree units
    if bits.bit()? {
        skip_profile_tier_level(bits, sub_layers)?;
    }
    bits.skip(1)?; // gradual decoding refresh
    if bits.bit()? {
        bits.skip(1)?; // resolution may change within a sequence
    }
    let coded = (bits.ue()?, bits.ue()?);
    nal::read_cropping(bits, coded, nal::subsampling(chroma_format))
}

/// Passes over profile, tier and level, with the levels of `sub_layers` below the highest
/// (H.266 7.3.3.1).
fn skip_profile_tier_level(bits: &mut Bits<'_>, sub_layers: u8) -> Option<()> {
    bits.skip(7 + 1 + 8)?; // profile, tier, level
    bits.skip(1 + 1)?; // frame only, multilayer
    if bits.bit()? {
        bits.skip(CONSTRAINTS)?;
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

/// The bits of a record's first byte that are always set.
const RESERVED: u8 = 0xF8;

/// NAL unit types (H.266 table 5): IDR with and without leading pictures, and CRA.
const IRAP: std::ops::RangeInclusive<u8> = 7..=9;
const OPERATING_POINTS: u8 = 12;
const DECODING_CAPABILITIES: u8 = 13;
const SEQUENCE_PARAMETER_SET: u8 = 15;

/// Bits of general_constraints_info, from gci_intra_only_constraint_flag to
/// gci_no_virtual_boundaries_constraint_flag (H.266 7.3.3.2).
const CONSTRAINTS: u32 = 71;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{bits::tests::bytes, tests::when_cut},
        *,
    };

    /// 328 by 184 pixels of 4:2:0, of which 322 by 182 are shown.
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
        1                       and so on";

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

    /// A head with profile, tier and level of two layers, and a largest picture of 640 by 360.
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
    fn the_parameter_set_knows_what_is_shown() {
        let size = PictureSize::new(322_u32, 182_u32);
        assert_eq!(when_cut(&record(&[0xFE]), picture_size), size);
        assert_eq!(picture_size(&record(&head_with_largest_size())), size);
    }

    #[test]
    fn without_a_parameter_set_the_largest_picture_has_to_do() {
        let mut record = head_with_largest_size();
        record.push(0);
        assert_eq!(
            when_cut(&record, picture_size),
            PictureSize::new(640_u32, 360_u32)
        );
        assert_eq!(nal_length_size(&record), Some(4));
        assert_eq!(nal_length_size(&[0x01]), None);
    }

    #[test]
    fn keyframes_have_irap_slices() {
        for kind in 0..32 {
            let frame = [0, 3, 0, kind << 3 | 1, 0x80];
            assert_eq!(is_key(&frame, 2), (7..=9).contains(&kind), "{kind}");
        }
    }
}

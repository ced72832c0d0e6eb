//! NAL units and parameter sets of AVC, HEVC and VVC.

use super::super::{PictureSize, bits::BitReader};
use crate::core::wire::{Missing, Reader};

/// Returns the NAL units of a frame, each after its length (ISO 14496-15 5.3.3). Ends at the first incomplete
/// unit, and after [`MAX_UNITS`].
pub(super) fn units(frame: &[u8], length_size: u8) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(frame);
    std::iter::from_fn(move || read_unit(&mut reader, length_size).ok()).take(MAX_UNITS)
}

/// Whether NAL units, each after its length, fill a frame exactly (ISO 14496-15 5.3.3).
pub(super) fn fill(frame: &[u8], length_size: u8) -> bool {
    let mut reader = Reader::new(frame);
    while !reader.is_empty() {
        if read_unit(&mut reader, length_size).is_err() {
            return false;
        }
    }
    true
}

fn read_unit<'a>(reader: &mut Reader<'a>, length_size: u8) -> Result<&'a [u8], Missing> {
    let length = match length_size {
        1 => reader.u8(LENGTH)?.into(),
        2 => reader.u16(LENGTH)?.into(),
        3 => reader.u24(LENGTH)?.get(),
        _ => reader.u32(LENGTH)?,
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    reader.take(length, "NAL unit")
}

/// Reads a NAL unit of a configuration record, after its length of two bytes.
pub(super) fn read_parameter_set<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Missing> {
    read_unit(reader, 2)
}

/// Returns the NAL units in the arrays of a configuration record (ISO 14496-15 8.3.3.1 and 11.2.4.2), each with
/// its type. The low bits of `type_mask` are the type of an array; arrays of the types in `single` have one unit
/// and no count. Ends at the first incomplete unit.
pub(super) fn parameter_sets<'a>(
    mut reader: Reader<'a>,
    type_mask: u8,
    single: &'static [u8],
) -> impl Iterator<Item = (u8, &'a [u8])> {
    let mut arrays = reader.u8("number of arrays").unwrap_or(0);
    let (mut kind, mut count) = (0, 0_u16);
    std::iter::from_fn(move || {
        while count == 0 {
            arrays = arrays.checked_sub(1)?;
            kind = reader.u8("NAL unit type").ok()? & type_mask;
            count = match single.contains(&kind) {
                true => 1,
                false => reader.u16("number of NAL units").ok()?,
            };
        }
        count = count.saturating_sub(1);
        Some((kind, read_parameter_set(&mut reader).ok()?))
    })
}

/// Returns the size of NAL unit lengths in bytes, from the two low bits of `bits`.
pub(super) fn length_size(bits: u8) -> u8 {
    (bits & 3).saturating_add(1)
}

/// Returns the horizontal and vertical number of luma samples per chroma sample (H.264 table 6-1); 1 without
/// chroma.
pub(super) fn subsampling(chroma_format: u32) -> (u32, u32) {
    match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    }
}

/// Reads a bit depth, which is stored minus 8. It is at most 16 (H.264 7.4.2.1.1, H.265 7.4.3.2.1).
pub(super) fn read_bit_depth(bits: &mut BitReader<'_>) -> Option<u8> {
    let depth = u8::try_from(bits.ue()?).ok()?.checked_add(8)?;
    (depth <= 16).then_some(depth)
}

/// Reads the cropping of a sequence parameter set, in units of `(horizontal, vertical)` pixels, and returns
/// the size of the cropped picture.
pub(super) fn read_cropped_size(
    bits: &mut BitReader<'_>,
    (width, height): (u32, u32),
    (horizontal, vertical): (u32, u32),
) -> Option<PictureSize> {
    if !bits.bit()? {
        return PictureSize::new(width, height);
    }
    let mut read_pair = |unit: u32| bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit);
    let left_and_right = read_pair(horizontal)?;
    let top_and_bottom = read_pair(vertical)?;
    PictureSize::new(
        width.checked_sub(left_and_right)?,
        height.checked_sub(top_and_bottom)?,
    )
}

const LENGTH: &str = "NAL unit length";

/// Chroma format 4:4:4 (H.264 table 6-1, H.265 table 6-1).
pub(super) const CHROMA_4_4_4: u32 = 3;

/// Largest number of NAL units parsed in one frame. Encoders produce far fewer slices, but a message of
/// 16 MiB could contain four million empty units.
const MAX_UNITS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::{super::super::bits::tests::bytes, *};

    #[test]
    fn lengths_of_one_to_four_bytes_are_read() {
        let frames: [(&[u8], u8); 4] = [
            (&[2, 0xAA, 0xBB, 1, 0xCC], 1),
            (&[0, 2, 0xAA, 0xBB, 0, 1, 0xCC], 2),
            (&[0, 0, 2, 0xAA, 0xBB, 0, 0, 1, 0xCC], 3),
            (&[0, 0, 0, 2, 0xAA, 0xBB, 0, 0, 0, 1, 0xCC], 4),
        ];
        for (frame, size) in frames {
            let read: Vec<&[u8]> = units(frame, size).collect();
            assert_eq!(read, [&[0xAA, 0xBB][..], &[0xCC]]);
            let cut: Vec<&[u8]> = units(&frame[..frame.len() - 1], size).collect();
            assert_eq!(cut, [[0xAA, 0xBB]]);
        }
    }

    #[test]
    fn number_of_units_in_a_frame_is_limited() {
        assert_eq!(units(&vec![0; 1 << 20], 1).count(), MAX_UNITS);
    }

    #[test]
    fn cropping_larger_than_the_picture_is_rejected() {
        // cropped: 0 left, 7 right, 0 above and below
        let cropping = bytes("1 1 0001000 1 1");
        let read = |width| read_cropped_size(&mut BitReader::new(&cropping), (width, 16), (2, 2));
        assert_eq!(read(16), PictureSize::new(2_u32, 16_u32));
        assert_eq!(read(14), None);
        assert_eq!(read(12), None);
    }
}

//! NAL units, which AVC, HEVC and VVC have in common.

use super::{super::bits::Bits, PictureSize};
use crate::core::wire::Reader;

/// The NAL units of a frame, each behind its length (ISO 14496-15 5.3.3). Ends at the first that the
/// frame does not hold whole, and after as many as one frame can need.
pub(super) fn units(frame: &[u8], length_size: u8) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(frame);
    std::iter::from_fn(move || read_unit(&mut reader, length_size)).take(MAX_UNITS)
}

fn read_unit<'a>(reader: &mut Reader<'a>, length_size: u8) -> Option<&'a [u8]> {
    let length = match length_size {
        1 => reader.u8(LENGTH).ok()?.into(),
        2 => reader.u16(LENGTH).ok()?.into(),
        3 => reader.u24(LENGTH).ok()?.get(),
        _ => reader.u32(LENGTH).ok()?,
    };
    reader.take(usize::try_from(length).ok()?, "NAL unit").ok()
}

/// Reads one NAL unit of a configuration record, behind its length in two bytes.
pub(super) fn read_parameter_set<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    read_unit(reader, 2)
}

/// How many bytes hold a length, from the two bits of a configuration record that say so.
pub(super) fn length_size(bits: u8) -> u8 {
    (bits & 3).saturating_add(1)
}

/// How many pixels of luma one sample of chroma stands for, horizontally and vertically
/// (H.264 table 6-1); 1 without chroma.
pub(super) fn subsampling(chroma_format: u32) -> (u32, u32) {
    match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    }
}

/// Reads the margins that a sequence parameter set cuts off a coded picture, in units of
/// `(horizontal, vertical)` pixels, and returns what is left of it.
pub(super) fn read_cropping(
    bits: &mut Bits<'_>,
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

/// NAL units looked at in one frame: many more than encoders make slices. A message of 16 MiB could
/// hold four million empty ones.
const MAX_UNITS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_stand_behind_lengths_of_one_to_four_bytes() {
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
    fn a_frame_of_empty_units_has_an_end() {
        assert_eq!(units(&vec![0; 1 << 20], 1).count(), MAX_UNITS);
    }

    #[test]
    fn margins_larger_than_the_picture_leave_none() {
        // cropped; 0 left, 7 right, 0 above and below
        let margins = super::super::super::bits::tests::bytes("1 1 0001000 1 1");
        let read = |width| read_cropping(&mut Bits::new(&margins), (width, 16), (2, 2));
        assert_eq!(read(16), PictureSize::new(2_u32, 16_u32));
        assert_eq!(read(14), None);
        assert_eq!(read(12), None);
    }
}

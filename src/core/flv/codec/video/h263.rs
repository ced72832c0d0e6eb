//! Sorenson H.263: picture headers (FLV E.4.3.1, "H263VIDEOPACKET").

use super::super::{PictureSize, bits::BitReader};

/// Header at the start of each picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureHeader {
    /// Version of the format, 0 or 1.
    pub version: u8,
    /// Size of the picture.
    pub size: PictureSize,
    /// Picture type: 0 is a keyframe, 1 an inter frame, 2 a disposable inter frame.
    pub picture_type: u8,
}

impl PictureHeader {
    /// Parses a header up to the picture type.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(frame);
        if bits.u32(17)? != START_CODE {
            return None;
        }
        let version = bits.u8(5)?;
        bits.skip(8)?; // TemporalReference
        Some(Self {
            version,
            size: read_size(&mut bits)?,
            picture_type: bits.u8(2)?,
        })
    }
}

/// Returns whether a frame is a keyframe.
pub fn is_keyframe(frame: &[u8]) -> bool {
    PictureHeader::parse(frame).is_some_and(|header| header.picture_type == 0)
}

fn read_size(bits: &mut BitReader<'_>) -> Option<PictureSize> {
    match bits.u8(3)? {
        0 => PictureSize::new(bits.u8(8)?, bits.u8(8)?),
        1 => PictureSize::new(bits.u32(16)?, bits.u32(16)?),
        2 => PictureSize::new(352_u32, 288_u32),
        3 => PictureSize::new(176_u32, 144_u32),
        4 => PictureSize::new(128_u32, 96_u32),
        5 => PictureSize::new(320_u32, 240_u32),
        6 => PictureSize::new(160_u32, 120_u32),
        _ => None,
    }
}

/// First 17 bits of a picture.
const START_CODE: u32 = 1;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            bits::tests::bytes,
            tests::{pixels, when_cut},
        },
        *,
    };

    #[test]
    fn size_codes_are_mapped() {
        for (code, (width, height)) in [
            ("000 00100000 00010000", (32, 16)),
            ("001 0000001000000000 0000000100000000", (512, 256)),
            ("010", (352, 288)),
            ("011", (176, 144)),
            ("100", (128, 96)),
            ("101", (320, 240)),
            ("110", (160, 120)),
        ] {
            let frame = bytes(&format!("00000000000000001 00001 11111111 {code} 01"));
            let header = when_cut(&frame, PictureHeader::parse);
            let size = pixels(width, height);
            assert_eq!(header.map(|header| header.size), size);
            assert_eq!(header.map(|header| header.picture_type), Some(1));
            assert!(!is_keyframe(&frame));
        }
    }

    #[test]
    fn other_start_codes_and_reserved_sizes_are_rejected() {
        assert_eq!(
            PictureHeader::parse(&bytes("00000000000000011 00001 00000000 011 00 0")),
            None
        );
        assert_eq!(
            PictureHeader::parse(&bytes("00000000000000001 00001 00000000 111 00 0")),
            None
        );
    }
}

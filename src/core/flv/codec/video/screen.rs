//! Screen video, both versions: frame headers (FLV E.4.3.1, "SCREENVIDEOPACKET").

use super::super::PictureSize;

/// Header at the start of each frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Size of a block, 16 to 256 pixels.
    pub block: PictureSize,
    /// Size of the picture.
    pub size: PictureSize,
}

impl Header {
    /// Parses a header: four bits of block size and twelve of picture size, for width and height.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let [width_high, width_low, height_high, height_low, ..] = frame else {
            return None;
        };
        let width = u16::from_be_bytes([*width_high, *width_low]);
        let height = u16::from_be_bytes([*height_high, *height_low]);
        let block = |field: u16| (field >> 12).saturating_add(1).saturating_mul(16);
        Some(Self {
            block: PictureSize::new(block(width), block(height))?,
            size: PictureSize::new(width & 0x0FFF, height & 0x0FFF)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::tests::{pixels, when_cut},
        *,
    };

    #[test]
    fn block_and_picture_size_are_read() {
        let header = when_cut(&[0x01, 0x40, 0xF0, 0xF0, 0x00], Header::parse);
        let block = pixels(16, 256);
        assert_eq!(header.map(|header| header.size), pixels(320, 240));
        assert_eq!(header.map(|header| header.block), block);
        assert_eq!(Header::parse(&[0x30, 0, 0x30, 0]), None);
    }
}

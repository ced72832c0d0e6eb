//! VP8: frame headers (RFC 6386 9.1).

use super::PictureSize;

/// Whether a frame needs no other.
pub fn is_key(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 1 == 0)
}

/// The size of the picture, which only keyframes have.
pub fn picture_size(frame: &[u8]) -> Option<PictureSize> {
    let [
        _,
        _,
        _,
        0x9D,
        0x01,
        0x2A,
        width_low,
        width_high,
        height_low,
        height_high,
        ..,
    ] = frame
    else {
        return None;
    };
    if !is_key(frame) {
        return None;
    }
    let pixels = |low: u8, high: u8| u16::from_le_bytes([low, high]) & WITHOUT_SCALE;
    PictureSize::new(
        pixels(*width_low, *width_high),
        pixels(*height_low, *height_high),
    )
}

/// The two bits above the size ask for upscaling.
const WITHOUT_SCALE: u16 = 0x3FFF;

#[cfg(test)]
mod tests {
    use super::{super::super::tests::when_cut, *};

    #[test]
    fn the_size_is_told_without_its_scale() {
        let frame = [0xD0, 0x01, 0x00, 0x9D, 0x01, 0x2A, 0x42, 0x41, 0xB6, 0xC0];
        assert_eq!(
            when_cut(&frame, picture_size),
            PictureSize::new(322_u32, 182_u32)
        );
    }

    #[test]
    fn inter_frames_are_not_key_and_have_no_size() {
        let frame = [0xD1, 0x01, 0x00, 0x9D, 0x01, 0x2A, 0x42, 0x01, 0xB6, 0x00];
        assert!(!is_key(&frame));
        assert_eq!(picture_size(&frame), None);
        assert!(!is_key(&[]));
    }
}

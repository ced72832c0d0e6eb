//! VP8: frame headers (RFC 6386 9.1).

use super::{
    super::{
        PictureSize,
        description::{ChromaFormat, Profile, VideoDescription},
    },
    vp9::UNORDERED,
};

/// Returns whether a frame is a keyframe.
pub fn is_keyframe(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 1 == 0)
}

/// Returns the properties of the stream; `None` unless the frame is a keyframe.
pub fn description(frame: &[u8]) -> Option<VideoDescription> {
    let size = picture_size(frame)?;
    Some(VideoDescription {
        // RFC 6386 9.1: three bits of the first byte.
        profile: frame.first().map(|first| Profile {
            number: first >> 1 & 7,
            name: None,
        }),
        picture_size: Some(size),
        coded_size: Some(size),
        bit_depth: Some(8),
        chroma: Some(ChromaFormat::Yuv420),
        ..UNORDERED
    })
}

/// Returns the size of the picture; `None` unless the frame is a keyframe.
pub fn picture_size(frame: &[u8]) -> Option<PictureSize> {
    let sizes = frame.get(3..)?.strip_prefix(START_CODE)?;
    let [w0, w1, h0, h1, ..] = sizes else {
        return None;
    };
    if !is_keyframe(frame) {
        return None;
    }
    let pixels = |low: u8, high: u8| u16::from_le_bytes([low, high]) & SIZE_BITS;
    PictureSize::new(pixels(*w0, *w1), pixels(*h0, *h1))
}

/// Bytes after the frame tag of a keyframe.
const START_CODE: &[u8] = &[0x9D, 0x01, 0x2A];

/// Mask of width and height; the two bits above are the upscaling.
const SIZE_BITS: u16 = 0x3FFF;

#[cfg(test)]
mod tests {
    use super::{
        super::super::tests::{pixels, when_cut},
        *,
    };

    #[test]
    fn upscaling_bits_are_not_part_of_the_size() {
        let frame = [0xD0, 0x01, 0x00, 0x9D, 0x01, 0x2A, 0x42, 0x41, 0xB6, 0xC0];
        assert_eq!(when_cut(&frame, picture_size), pixels(322, 182));
    }

    #[test]
    fn inter_frames_have_no_size() {
        let frame = [0xD1, 0x01, 0x00, 0x9D, 0x01, 0x2A, 0x42, 0x01, 0xB6, 0x00];
        assert!(!is_keyframe(&frame));
        assert_eq!(picture_size(&frame), None);
        assert!(!is_keyframe(&[]));
    }
}

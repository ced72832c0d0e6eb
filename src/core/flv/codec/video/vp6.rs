//! VP6 with and without alpha: frames as in FLV E.4.3.1, "VP6FLVVIDEOPACKET".

use super::super::PictureSize;

/// Start of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whether the frame is a keyframe.
    pub is_keyframe: bool,
    /// Pixels to cut off on the right (high four bits) and at the bottom (low four bits).
    adjustment: u8,
    data: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Parses the body of a VP6 packet.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let [adjustment, data @ ..] = body else {
            return None;
        };
        Self::new(*adjustment, data)
    }

    /// Parses the body of a VP6 packet with alpha, in which an offset of three bytes precedes the frame.
    pub fn parse_with_alpha(body: &'a [u8]) -> Option<Self> {
        let [adjustment, _, _, _, data @ ..] = body else {
            return None;
        };
        Self::new(*adjustment, data)
    }

    fn new(adjustment: u8, data: &'a [u8]) -> Option<Self> {
        Some(Self {
            is_keyframe: data.first()? & 0x80 == 0,
            adjustment,
            data,
        })
    }

    /// Returns the size of the picture; `None` unless the frame is a keyframe.
    pub fn picture_size(&self) -> Option<PictureSize> {
        self.size(self.adjustment)
    }

    /// Returns the size of the picture before cropping; `None` unless the frame is a keyframe.
    pub fn coded_size(&self) -> Option<PictureSize> {
        self.size(0)
    }

    fn size(&self, adjustment: u8) -> Option<PictureSize> {
        let [first, profile, rest @ ..] = self.data else {
            return None;
        };
        if !self.is_keyframe {
            return None;
        }
        // The offset of the second partition is present if coefficients are separate, or in the simple profile.
        let has_offset = first & 1 != 0 || profile & 0x06 == 0;
        let sizes = if has_offset { rest.get(2..)? } else { rest };
        let [rows, columns, ..] = sizes else {
            return None;
        };
        let pixels = |blocks: u8, cut: u8| {
            let pixels = u32::from(blocks).saturating_mul(MACROBLOCK);
            pixels.saturating_sub(cut.into())
        };
        PictureSize::new(
            pixels(*columns, adjustment >> 4),
            pixels(*rows, adjustment & 0x0F),
        )
    }
}

/// Width and height of a macroblock in pixels.
const MACROBLOCK: u32 = 16;

#[cfg(test)]
mod tests {
    use super::{
        super::super::tests::{pixels, when_cut},
        *,
    };

    #[test]
    fn offset_of_alpha_precedes_the_frame() {
        let body = [0xEA, 0, 0x10, 0, 0x00, 0x46, 0x0B, 0x15, 0x0B, 0x15];
        let size = when_cut(&body, |body| Frame::parse_with_alpha(body)?.picture_size());
        assert_eq!(size, pixels(322, 166));
        assert!(Frame::parse_with_alpha(&body).is_some_and(|frame| frame.is_keyframe));
    }

    #[test]
    fn inter_frames_have_no_size() {
        let frame = Frame::parse(&[0xEA, 0x80, 0x46, 0x0B, 0x15, 0x0B, 0x15]).expect("a frame");
        assert!(!frame.is_keyframe);
        assert_eq!(frame.picture_size(), None);
        assert_eq!(Frame::parse(&[0xEA]), None);
    }

    #[test]
    fn picture_smaller_than_its_adjustment_is_rejected() {
        let frame = Frame::parse(&[0xFF, 0x00, 0x46, 0, 0]).expect("a frame");
        assert_eq!(frame.picture_size(), None);
    }
}

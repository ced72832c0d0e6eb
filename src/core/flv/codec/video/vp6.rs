//! VP6, with and without alpha: frames as FLV wraps them (FLV E.4.3.1, "VP6FLVVIDEOPACKET").

use super::PictureSize;

/// Whether a frame needs no other.
pub fn is_key(body: &[u8]) -> bool {
    split(body).is_some_and(|(_, frame)| starts_with_a_key_frame(frame))
}

/// [`is_key`] of a frame that comes with an alpha channel.
pub fn is_key_with_alpha(body: &[u8]) -> bool {
    split_with_alpha(body).is_some_and(|(_, frame)| starts_with_a_key_frame(frame))
}

/// The size of the picture, which only keyframes have.
pub fn picture_size(body: &[u8]) -> Option<PictureSize> {
    let (adjustment, frame) = split(body)?;
    read_picture_size(adjustment, frame)
}

/// [`picture_size`] of a frame that comes with an alpha channel.
pub fn picture_size_with_alpha(body: &[u8]) -> Option<PictureSize> {
    let (adjustment, frame) = split_with_alpha(body)?;
    read_picture_size(adjustment, frame)
}

/// The margins, and the frame behind them.
fn split(body: &[u8]) -> Option<(u8, &[u8])> {
    let (adjustment, frame) = body.split_first()?;
    Some((*adjustment, frame))
}

/// As [`split`]; between the two stands how far off the alpha channel is.
fn split_with_alpha(body: &[u8]) -> Option<(u8, &[u8])> {
    let [adjustment, _, _, _, frame @ ..] = body else {
        return None;
    };
    Some((*adjustment, frame))
}

fn starts_with_a_key_frame(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 0x80 == 0)
}

/// `adjustment` is how many pixels are cut off on the right and below, four bits each.
fn read_picture_size(adjustment: u8, frame: &[u8]) -> Option<PictureSize> {
    let [first, profile, rest @ ..] = frame else {
        return None;
    };
    if !starts_with_a_key_frame(frame) {
        return None;
    }
    // The offset of the second partition is left out where there is none.
    let has_offset = first & 1 != 0 || profile & 0x06 == 0;
    let sizes = if has_offset { rest.get(2..)? } else { rest };
    let [rows, columns, ..] = sizes else {
        return None;
    };
    let pixels = |blocks: u8, cut: u8| {
        u32::from(blocks)
            .saturating_mul(MACROBLOCK)
            .saturating_sub(cut.into())
    };
    PictureSize::new(
        pixels(*columns, adjustment >> 4),
        pixels(*rows, adjustment & 0x0F),
    )
}

/// The side of a macroblock, in pixels.
const MACROBLOCK: u32 = 16;

#[cfg(test)]
mod tests {
    use super::{super::super::tests::when_cut, *};

    #[test]
    fn alpha_has_an_offset_before_the_frame() {
        let body = [0xEA, 0, 0x10, 0, 0x00, 0x46, 0x0B, 0x15, 0x0B, 0x15];
        let size = when_cut(&body, picture_size_with_alpha);
        assert_eq!(size, PictureSize::new(322_u32, 166_u32));
        assert!(is_key_with_alpha(&body));
    }

    #[test]
    fn inter_frames_are_not_key_and_have_no_size() {
        let body = [0xEA, 0x80, 0x46, 0x0B, 0x15, 0x0B, 0x15];
        assert!(!is_key(&body));
        assert_eq!(picture_size(&body), None);
        assert!(!is_key(&[0xEA]));
    }

    #[test]
    fn a_picture_smaller_than_its_margins_is_none() {
        assert_eq!(picture_size(&[0xFF, 0x00, 0x46, 0, 0]), None);
    }
}

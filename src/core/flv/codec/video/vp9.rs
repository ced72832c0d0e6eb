//! VP9: configuration record and frame headers.

use super::super::{PictureSize, bits::BitReader};

/// A VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding 2.2). It does not contain the size of
/// the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigurationRecord {
    /// Profile, 0 to 3.
    pub profile: u8,
    /// Level times ten.
    pub level: u8,
    /// Bits per sample: 8, 10 or 12.
    pub bit_depth: u8,
}

impl ConfigurationRecord {
    /// Parses a record: eight bytes, alone or after the version and flags of an ISO box, as most senders
    /// write it, or after the version only.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let ([profile, level, depth_and_chroma, _, _, _, _, _]
        | [1, profile, level, depth_and_chroma, _, _, _, _, _]
        | [1, 0, 0, 0, profile, level, depth_and_chroma, _, _, _, _, _]) = record
        else {
            return None;
        };
        let bit_depth = depth_and_chroma >> 4;
        matches!(bit_depth, 8 | 10 | 12).then_some(Self {
            profile: *profile,
            level: *level,
            bit_depth,
        })
    }
}

/// Returns whether a frame is a keyframe.
pub fn is_keyframe(frame: &[u8]) -> bool {
    read_keyframe_profile(&mut BitReader::new(frame)).is_some()
}

/// Returns the size of the picture; `None` unless the frame is a keyframe.
pub fn picture_size(frame: &[u8]) -> Option<PictureSize> {
    let mut bits = BitReader::new(frame);
    let profile = read_keyframe_profile(&mut bits)?;
    bits.skip(1 + 1)?; // show_frame, error_resilient_mode
    if bits.u32(24)? != SYNC_CODE {
        return None;
    }
    skip_color_config(&mut bits, profile)?;
    let width = bits.u32(16)?.saturating_add(1);
    let height = bits.u32(16)?.saturating_add(1);
    PictureSize::new(width, height)
}

/// Reads the start of a frame header (VP9 6.2) and returns the profile if the frame is a keyframe.
fn read_keyframe_profile(bits: &mut BitReader<'_>) -> Option<u8> {
    if bits.u8(2)? != FRAME_MARKER {
        return None;
    }
    let (low, high) = (bits.u8(1)?, bits.u8(1)?);
    let profile = high << 1 | low;
    if profile == 3 {
        bits.skip(1)?;
    }
    let shows_existing_frame = bits.bit()?;
    let is_inter = bits.bit()?;
    (!shows_existing_frame && !is_inter).then_some(profile)
}

/// Skips color_config (VP9 6.2.2).
fn skip_color_config(bits: &mut BitReader<'_>, profile: u8) -> Option<()> {
    if profile >= 2 {
        bits.skip(1)?; // ten_or_twelve_bit
    }
    let has_subsampling = profile & 1 == 1;
    match (bits.u8(3)?, has_subsampling) {
        (RGB, true) => bits.skip(1),           // reserved
        (RGB, false) => Some(()),              // always 4:4:4, full range
        (_, true) => bits.skip(1 + 1 + 1 + 1), // range, subsampling twice, reserved
        (_, false) => bits.skip(1),            // range
    }
}

/// First two bits of each frame.
const FRAME_MARKER: u8 = 2;

/// Bytes after the flags of a keyframe.
const SYNC_CODE: u32 = 0x49_8342;

/// Color space without subsampling.
const RGB: u8 = 7;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            bits::tests::bytes,
            tests::{hex, pixels, when_cut},
        },
        *,
    };

    #[test]
    fn sizes_of_all_profiles() {
        for frame in [
            "824983420014100b5608", // 0
            "a2498342000282016ac0", // 1, 4:4:4
            "a2498342e014100b5608", // 1, RGB
            "92498342000a0805ab03", // 2, 10 bits
        ] {
            let size = when_cut(&hex(frame), picture_size);
            assert_eq!(size, pixels(322, 182), "{frame}");
        }
    }

    #[test]
    fn inter_frames_and_repeated_frames_are_not_keyframes() {
        assert!(is_keyframe(&bytes("10 00 0 0")));
        assert!(is_keyframe(&bytes("10 11 0 0 0")));
        assert!(!is_keyframe(&bytes("10 00 0 1")));
        assert!(!is_keyframe(&bytes("10 00 1 0")));
        assert!(!is_keyframe(&bytes("11 00 0 0")));
        assert_eq!(picture_size(&hex("824983430014100b5608")), None);
    }

    #[test]
    fn records_of_8_9_and_12_bytes_are_equal() {
        let expected = Some(ConfigurationRecord {
            profile: 2,
            level: 41,
            bit_depth: 10,
        });
        for record in [
            "0229a20202020000",
            "010229a20202020000",
            "010000000229a20202020000",
        ] {
            assert_eq!(
                when_cut(&hex(record), ConfigurationRecord::parse),
                expected,
                "{record}"
            );
        }
        assert_eq!(
            ConfigurationRecord::parse(&hex("000000000000000000000000")),
            None
        );
    }
}

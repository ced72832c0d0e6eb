//! VP9: the configuration record and frame headers.

use super::{super::bits::Bits, PictureSize};

/// A VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding 2.2). It does not say how
/// large the picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configuration {
    /// 0 to 3.
    pub profile: u8,
    /// Ten times the level.
    pub level: u8,
    /// 8, 10 or 12.
    pub bit_depth: u8,
}

impl Configuration {
    /// Reads a record: the bare eight bytes, or behind the four of an ISO box's version and flags,
    /// which most senders leave in front, or behind the version alone.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let bare = match record {
            [1, 0, 0, 0, bare @ ..] if bare.len() == BARE => bare,
            [1, bare @ ..] if bare.len() == BARE => bare,
            bare if bare.len() == BARE => bare,
            _ => return None,
        };
        let [profile, level, depth_and_chroma, ..] = bare else {
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

/// Whether a frame needs no other.
pub fn is_key(frame: &[u8]) -> bool {
    read_key_profile(&mut Bits::new(frame)).is_some()
}

/// The size of the picture, which only keyframes have.
pub fn picture_size(frame: &[u8]) -> Option<PictureSize> {
    let mut bits = Bits::new(frame);
    let profile = read_key_profile(&mut bits)?;
    bits.skip(1 + 1)?; // show frame, error resilience
    if bits.u32(24)? != SYNC_CODE {
        return None;
    }
    skip_colours(&mut bits, profile)?;
    let width = bits.u32(16)?.saturating_add(1);
    let height = bits.u32(16)?.saturating_add(1);
    PictureSize::new(width, height)
}

/// Reads the header's start (VP9 6.2) and returns the profile, if the frame is a keyframe.
fn read_key_profile(bits: &mut Bits<'_>) -> Option<u8> {
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

/// Passes over color_config (VP9 6.2.2).
fn skip_colours(bits: &mut Bits<'_>, profile: u8) -> Option<()> {
    if profile >= 2 {
        bits.skip(1)?; // 10 or 12 bits
    }
    let says_subsampling = profile & 1 == 1;
    match (bits.u8(3)?, says_subsampling) {
        (RGB, true) => bits.skip(1),           // reserved
        (RGB, false) => Some(()),              // always 4:4:4, full range
        (_, true) => bits.skip(1 + 1 + 1 + 1), // range, subsampling twice, reserved
        (_, false) => bits.skip(1),            // range
    }
}

/// Bytes of a record without an ISO box's version and flags.
const BARE: usize = 8;

/// The first two bits of each frame.
const FRAME_MARKER: u8 = 2;

/// What follows the flags of a keyframe.
const SYNC_CODE: u32 = 0x49_8342;

/// The colour space that is not subsampled.
const RGB: u8 = 7;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            bits::tests::bytes,
            tests::{hex, when_cut},
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
            assert_eq!(size, PictureSize::new(322_u32, 182_u32), "{frame}");
        }
    }

    #[test]
    fn keyframes_are_neither_inter_nor_shown_before() {
        assert!(is_key(&bytes("10 00 0 0")));
        assert!(is_key(&bytes("10 11 0 0 0")));
        assert!(!is_key(&bytes("10 00 0 1")));
        assert!(!is_key(&bytes("10 00 1 0")));
        assert!(!is_key(&bytes("11 00 0 0")));
        assert_eq!(picture_size(&hex("824983430014100b5608")), None);
    }

    #[test]
    fn records_of_8_9_and_12_bytes_are_one() {
        let expected = Some(Configuration {
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
                when_cut(&hex(record), Configuration::parse),
                expected,
                "{record}"
            );
        }
        assert_eq!(Configuration::parse(&hex("000000000000000000000000")), None);
    }
}

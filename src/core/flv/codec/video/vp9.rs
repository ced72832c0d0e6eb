//! VP9: configuration record and frame headers.

use super::super::{
    PictureSize,
    bits::BitReader,
    description::{ChromaFormat, Color, Level, Profile, VideoDescription},
};

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
    /// Position and number of the chroma samples: 0 and 1 are 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma: u8,
    /// Whether samples use the full range of values.
    pub is_full_range: bool,
    /// Colors.
    pub color: Color,
}

impl ConfigurationRecord {
    /// Parses a record: eight bytes, alone or after the version and flags of an ISO box, as most senders
    /// write it, or after the version only.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let ([profile, level, format, primaries, transfer, matrix, _, _]
        | [1, profile, level, format, primaries, transfer, matrix, _, _]
        | [
            1,
            0,
            0,
            0,
            profile,
            level,
            format,
            primaries,
            transfer,
            matrix,
            _,
            _,
        ]) = record
        else {
            return None;
        };
        let bit_depth = format >> 4;
        matches!(bit_depth, 8 | 10 | 12).then_some(Self {
            profile: *profile,
            level: *level,
            bit_depth,
            chroma: format >> 1 & 7,
            is_full_range: format & 1 != 0,
            color: Color {
                primaries: *primaries,
                transfer: *transfer,
                matrix: *matrix,
            },
        })
    }

    /// Returns the properties of the stream. Level and colors of 0 are unknown: rtmpull and other programs
    /// write them for VP8, which has none.
    pub fn description(&self) -> VideoDescription {
        VideoDescription {
            profile: Some(profile_of(self.profile)),
            level: (self.level > 0).then_some(Level {
                number: self.level,
                tenths: self.level,
                is_high_tier: None,
            }),
            bit_depth: Some(self.bit_depth),
            chroma: match self.chroma {
                0 | 1 => Some(ChromaFormat::Yuv420),
                2 => Some(ChromaFormat::Yuv422),
                3 => Some(ChromaFormat::Yuv444),
                _ => None,
            },
            color: self.color.specified(),
            is_full_range: Some(self.is_full_range),
            ..UNORDERED
        }
    }
}

/// Returns whether a frame is a keyframe.
pub fn is_keyframe(frame: &[u8]) -> bool {
    read_keyframe_profile(&mut BitReader::new(frame)).is_some()
}

/// Returns the properties of the stream; `None` unless the frame is a keyframe.
pub fn description(frame: &[u8]) -> Option<VideoDescription> {
    let mut bits = BitReader::new(frame);
    let profile = read_keyframe_profile(&mut bits)?;
    bits.skip(1 + 1)?; // show_frame, error_resilient_mode
    if bits.u32(24)? != SYNC_CODE {
        return None;
    }
    let mut description = VideoDescription {
        profile: Some(profile_of(profile)),
        ..UNORDERED
    };
    read_color_config(&mut bits, profile, &mut description)?;
    let width = bits.u32(16)?.saturating_add(1);
    let height = bits.u32(16)?.saturating_add(1);
    description.picture_size = PictureSize::new(width, height);
    description.coded_size = description.picture_size;
    Some(description)
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

/// Reads color_config (VP9 6.2.2).
fn read_color_config(
    bits: &mut BitReader<'_>,
    profile: u8,
    description: &mut VideoDescription,
) -> Option<()> {
    let has_twelve_bits = profile >= 2 && bits.bit()?;
    description.bit_depth = Some(match (profile, has_twelve_bits) {
        (_, true) => 12,
        (2.., _) => 10,
        _ => 8,
    });
    let has_subsampling = profile & 1 == 1;
    let space = bits.u8(3)?;
    if space == RGB {
        description.is_full_range = Some(true);
        description.chroma = Some(ChromaFormat::Yuv444);
        if has_subsampling {
            bits.skip(1)?; // reserved_zero
        }
    } else {
        description.is_full_range = Some(bits.bit()?);
        description.chroma = Some(ChromaFormat::Yuv420);
        if has_subsampling {
            let (columns, rows) = (bits.bit()?, bits.bit()?);
            description.chroma = Some(ChromaFormat::of_subsampling(columns, rows));
            bits.skip(1)?; // reserved_zero
        }
    }
    Some(())
}

fn profile_of(number: u8) -> Profile {
    Profile::named(
        number,
        &[
            (0, "Profile 0"),
            (1, "Profile 1"),
            (2, "Profile 2"),
            (3, "Profile 3"),
        ],
    )
}

/// Properties of all VP8 and VP9 streams.
pub(super) const UNORDERED: VideoDescription = VideoDescription {
    max_reordered_frames: Some(0),
    is_interlaced: Some(false),
    ..VideoDescription::EMPTY
};

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

    fn picture_size(frame: &[u8]) -> Option<PictureSize> {
        description(frame)?.picture_size
    }

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
    fn descriptions_of_records_and_frames() {
        let found = ConfigurationRecord::parse(&hex("01000000010b870202020000"))
            .unwrap()
            .description();
        assert_eq!(found.profile.unwrap().to_string(), "Profile 1");
        assert_eq!(found.level.unwrap().to_string(), "1.1");
        assert_eq!(
            (found.bit_depth, found.chroma),
            (Some(8), Some(ChromaFormat::Yuv444))
        );
        assert_eq!((found.is_full_range, found.color), (Some(true), None));
        let found = description(&hex("92498342000a0805ab03")).unwrap();
        assert_eq!(
            (found.bit_depth, found.chroma),
            (Some(10), Some(ChromaFormat::Yuv420))
        );
        let found = description(&hex("a2498342e014100b5608")).unwrap();
        assert_eq!(
            (found.is_full_range, found.chroma),
            (Some(true), Some(ChromaFormat::Yuv444))
        );
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
            chroma: 1,
            is_full_range: false,
            color: Color::UNSPECIFIED,
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

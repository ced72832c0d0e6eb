//! Properties of tracks, from their sequence headers and frames.

use std::fmt;

use super::PictureSize;

/// Properties of a video track. A property is `None` if the setup or frame does not contain it, or is damaged
/// before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoDescription {
    /// Profile.
    pub profile: Option<Profile>,
    /// Level.
    pub level: Option<Level>,
    /// Displayed size of the picture.
    pub picture_size: Option<PictureSize>,
    /// Size of the picture before cropping.
    pub coded_size: Option<PictureSize>,
    /// Width and height of a pixel, relative to each other; never 0.
    pub pixel_aspect: Option<(u16, u16)>,
    /// Frame rate, if the stream announces a constant one.
    pub frames_per_second: Option<f64>,
    /// Bits per luma sample.
    pub bit_depth: Option<u8>,
    /// Chroma format.
    pub chroma: Option<ChromaFormat>,
    /// Colors; `None` if the stream does not describe them.
    pub color: Option<Color>,
    /// Whether samples use the full range of values (in 8 bits 0 to 255) instead of the limited one (16 to 235).
    pub is_full_range: Option<bool>,
    /// Whether the setup describes the display on which the video was mastered.
    pub has_mastering_display: bool,
    /// Whether the setup contains the brightness of the brightest pixel and frame.
    pub has_content_light: bool,
    /// Largest number of frames that precede a frame in decoding order and follow it in presentation order.
    /// 0 means that the stream has no B-frames.
    pub max_reordered_frames: Option<u8>,
    /// Whether pictures may consist of two fields.
    pub is_interlaced: Option<bool>,
}

impl VideoDescription {
    /// Description without any property.
    pub const EMPTY: Self = Self {
        profile: None,
        level: None,
        picture_size: None,
        coded_size: None,
        pixel_aspect: None,
        frames_per_second: None,
        bit_depth: None,
        chroma: None,
        color: None,
        is_full_range: None,
        has_mastering_display: false,
        has_content_light: false,
        max_reordered_frames: None,
        is_interlaced: None,
    };

    /// Returns the transfer function if it is one of HDR.
    pub fn hdr(&self) -> Option<Hdr> {
        self.color?.hdr()
    }

    /// Sets the properties that are not known yet to those of another description of the same track.
    pub fn fill_from(&mut self, other: &Self) {
        self.profile = self.profile.or(other.profile);
        self.level = self.level.or(other.level);
        self.picture_size = self.picture_size.or(other.picture_size);
        self.coded_size = self.coded_size.or(other.coded_size);
        self.pixel_aspect = self.pixel_aspect.or(other.pixel_aspect);
        self.frames_per_second = self.frames_per_second.or(other.frames_per_second);
        self.bit_depth = self.bit_depth.or(other.bit_depth);
        self.chroma = self.chroma.or(other.chroma);
        self.color = self.color.or(other.color);
        self.is_full_range = self.is_full_range.or(other.is_full_range);
        self.has_mastering_display |= other.has_mastering_display;
        self.has_content_light |= other.has_content_light;
        self.max_reordered_frames = self.max_reordered_frames.or(other.max_reordered_frames);
        self.is_interlaced = self.is_interlaced.or(other.is_interlaced);
    }
}

impl Default for VideoDescription {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Properties of an audio track. A property is `None` if the setup or frame does not contain it, or is damaged
/// before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AudioDescription {
    /// Profile.
    pub profile: Option<Profile>,
    /// Samples per second and channel of the core codec, before spectral band replication.
    pub core_rate_hz: Option<u32>,
    /// Samples per second and channel that a decoder returns.
    pub rate_hz: Option<u32>,
    /// Number of channels that a decoder returns, including low-frequency channels.
    pub channels: Option<u8>,
    /// Speakers of the channels.
    pub speakers: Option<Speakers>,
    /// Bits per sample of PCM and lossless codecs.
    pub sample_bits: Option<u8>,
    /// Samples per channel in a frame, at `core_rate_hz`.
    pub frame_samples: Option<u32>,
    /// Samples per channel, at `rate_hz`, that a decoder drops at the start.
    pub delay_samples: Option<u32>,
}

impl AudioDescription {
    /// Sets the properties that are not known yet to those of another description of the same track.
    pub fn fill_from(&mut self, other: &Self) {
        self.profile = self.profile.or(other.profile);
        self.core_rate_hz = self.core_rate_hz.or(other.core_rate_hz);
        self.rate_hz = self.rate_hz.or(other.rate_hz);
        self.channels = self.channels.or(other.channels);
        self.speakers = self.speakers.or(other.speakers);
        self.sample_bits = self.sample_bits.or(other.sample_bits);
        self.frame_samples = self.frame_samples.or(other.frame_samples);
        self.delay_samples = self.delay_samples.or(other.delay_samples);
    }
}

/// Properties of the track in a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TrackProperties {
    /// Audio track.
    Audio(AudioDescription),
    /// Video track.
    Video(VideoDescription),
}

/// Profile of a codec. Prints its name, or its number if it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Number in the stream: profile_idc of video, the audio object type of AAC, the layer of MPEG audio.
    pub number: u8,
    /// Name in the specification of the codec.
    pub name: Option<&'static str>,
}

impl Profile {
    /// Creates a profile with a name from a table of numbers and names.
    pub(super) fn named(number: u8, names: &[(u8, &'static str)]) -> Self {
        let name = names.iter().find(|(known, _)| *known == number);
        Self {
            number,
            name: name.map(|(_, name)| *name),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "profile {}", self.number),
        }
    }
}

/// Level of a video codec. Prints it as in the specification, such as 4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Number in the stream.
    pub number: u8,
    /// The level times ten. 9 is level 1b of AVC.
    pub tenths: u8,
    /// Whether the stream has the high tier; `None` if the codec has no tiers.
    pub is_high_tier: Option<bool>,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tenths {
            9 => f.write_str("1b"),
            tenths => write!(f, "{}.{}", tenths / 10, tenths % 10),
        }
    }
}

/// Number of chroma samples relative to luma samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChromaFormat {
    /// No chroma.
    Monochrome,
    /// A quarter: half of the columns and half of the rows.
    Yuv420,
    /// Half of the columns.
    Yuv422,
    /// Half of the rows.
    Yuv440,
    /// Equal numbers.
    Yuv444,
}

impl ChromaFormat {
    /// Returns the format of chroma_format_idc (H.264 table 6-1).
    pub(super) fn of_code(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::Monochrome),
            1 => Some(Self::Yuv420),
            2 => Some(Self::Yuv422),
            3 => Some(Self::Yuv444),
            _ => None,
        }
    }

    /// Returns the format with these halvings of columns and rows.
    pub(super) fn of_subsampling(columns: bool, rows: bool) -> Self {
        match (columns, rows) {
            (true, true) => Self::Yuv420,
            (true, false) => Self::Yuv422,
            (false, true) => Self::Yuv440,
            (false, false) => Self::Yuv444,
        }
    }
}

impl fmt::Display for ChromaFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Monochrome => "monochrome",
            Self::Yuv420 => "4:2:0",
            Self::Yuv422 => "4:2:2",
            Self::Yuv440 => "4:4:0",
            Self::Yuv444 => "4:4:4",
        })
    }
}

/// Code points of colors (ISO 23091-2 8.1 to 8.3). 2 is unspecified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color {
    /// Color primaries, such as 1 for BT.709 and 9 for BT.2020.
    pub primaries: u8,
    /// Transfer characteristics.
    pub transfer: u8,
    /// Matrix coefficients.
    pub matrix: u8,
}

impl Color {
    /// Colors that a stream does not specify.
    pub const UNSPECIFIED: Self = Self {
        primaries: 2,
        transfer: 2,
        matrix: 2,
    };

    /// Returns the transfer function if it is one of HDR.
    pub fn hdr(self) -> Option<Hdr> {
        match self.transfer {
            16 => Some(Hdr::Pq),
            18 => Some(Hdr::Hlg),
            _ => None,
        }
    }

    /// Returns the colors, or `None` if all values are unspecified.
    pub(super) fn specified(self) -> Option<Self> {
        (self != Self::UNSPECIFIED).then_some(self)
    }
}

/// Transfer function of HDR video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hdr {
    /// Perceptual quantizer (SMPTE ST 2084), as in HDR10.
    Pq,
    /// Hybrid log-gamma (ARIB STD-B67).
    Hlg,
}

impl fmt::Display for Hdr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pq => "PQ",
            Self::Hlg => "HLG",
        })
    }
}

/// Set of speakers: one bit each, of which bit 0 is front left (E-RTMP "AudioChannelMask").
///
/// Prints the usual name of the set, or the short names of its speakers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speakers(pub u32);

impl Speakers {
    /// Front center.
    pub const MONO: Self = Self(0x4);
    /// Front left and front right.
    pub const STEREO: Self = Self(0x3);

    /// Returns one or two front speakers.
    pub(super) fn front(channels: u8) -> Option<Self> {
        match channels {
            1 => Some(Self::MONO),
            2 => Some(Self::STEREO),
            _ => None,
        }
    }
}

impl fmt::Display for Speakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, name)) = SPEAKER_SETS.iter().find(|(bits, _)| *bits == self.0) {
            return f.write_str(name);
        }
        let mut rest = self.0;
        let mut separator = "";
        for name in SPEAKER_NAMES {
            if rest & 1 == 1 {
                write!(f, "{separator}{name}")?;
                separator = "+";
            }
            rest >>= 1;
        }
        match rest {
            0 => Ok(()),
            _ => write!(f, "{separator}others"),
        }
    }
}

/// Usual names of sets of speakers.
const SPEAKER_SETS: [(u32, &str); 17] = [
    (0x4, "mono"),
    (0x3, "stereo"),
    (0xB, "2.1"),
    (0x7, "3.0"),
    (0x103, "3.0(back)"),
    (0xF, "3.1"),
    (0x107, "4.0"),
    (0x33, "quad"),
    (0x603, "quad(side)"),
    (0x607, "5.0(side)"),
    (0x37, "5.0"),
    (0x3F, "5.1"),
    (0x60F, "5.1(side)"),
    (0x70F, "6.1"),
    (0x13F, "6.1(back)"),
    (0x63F, "7.1"),
    (0xFF, "7.1(wide)"),
];

/// Short names of speakers in the order of the bits.
const SPEAKER_NAMES: [&str; 24] = [
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR",
    "TBL", "TBC", "TBR", "LFE2", "TSL", "TSR", "BFC", "BFL", "BFR",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printed_as_in_the_specifications() {
        let level = |tenths| Level {
            number: 0,
            tenths,
            is_high_tier: None,
        };
        assert_eq!(level(41).to_string(), "4.1");
        assert_eq!(level(9).to_string(), "1b");
        let profile = |number| Profile::named(number, &[(100, "High")]).to_string();
        assert_eq!(profile(100), "High");
        assert_eq!(profile(101), "profile 101");
        assert_eq!(
            ChromaFormat::of_subsampling(true, false).to_string(),
            "4:2:2"
        );
    }

    #[test]
    fn speakers_have_the_name_of_their_set_or_are_listed() {
        assert_eq!(Speakers::STEREO.to_string(), "stereo");
        assert_eq!(Speakers(0x3F).to_string(), "5.1");
        assert_eq!(Speakers(0x5).to_string(), "FL+FC");
        assert_eq!(Speakers(0x8000_0001).to_string(), "FL+others");
        assert_eq!(Speakers(0).to_string(), "");
    }

    #[test]
    fn only_missing_properties_are_filled() {
        let mut first = AudioDescription {
            rate_hz: Some(48_000),
            ..AudioDescription::default()
        };
        first.fill_from(&AudioDescription {
            rate_hz: Some(44_100),
            frame_samples: Some(960),
            ..AudioDescription::default()
        });
        assert_eq!(
            (first.rate_hz, first.frame_samples),
            (Some(48_000), Some(960))
        );
        let mut first = VideoDescription {
            bit_depth: Some(10),
            ..VideoDescription::default()
        };
        first.fill_from(&VideoDescription {
            bit_depth: Some(8),
            has_content_light: true,
            color: Some(Color {
                transfer: 16,
                ..Color::UNSPECIFIED
            }),
            ..VideoDescription::default()
        });
        assert_eq!((first.bit_depth, first.hdr()), (Some(10), Some(Hdr::Pq)));
        assert!(first.has_content_light && !first.has_mastering_display);
    }
}

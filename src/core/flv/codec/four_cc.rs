//! Names of codecs with four characters.

use std::fmt;

/// Name of a codec in Enhanced RTMP. Unknown names are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// AVC, also called H.264.
    pub const AVC1: Self = Self(*b"avc1");
    /// HEVC, also called H.265.
    pub const HVC1: Self = Self(*b"hvc1");
    /// VVC, also called H.266.
    pub const VVC1: Self = Self(*b"vvc1");
    /// AV1.
    pub const AV01: Self = Self(*b"av01");
    /// VP8.
    pub const VP08: Self = Self(*b"vp08");
    /// VP9.
    pub const VP09: Self = Self(*b"vp09");
    /// AAC.
    pub const MP4A: Self = Self(*b"mp4a");
    /// MP3.
    pub const MP3: Self = Self(*b".mp3");
    /// Opus.
    pub const OPUS: Self = Self(*b"Opus");
    /// FLAC.
    pub const FLAC: Self = Self(*b"fLaC");
    /// AC-3.
    pub const AC_3: Self = Self(*b"ac-3");
    /// E-AC-3.
    pub const EC_3: Self = Self(*b"ec-3");

    /// Returns the four bytes as a big-endian number, the form that onMetaData uses (E-RTMP).
    pub const fn to_u32(self) -> u32 {
        u32::from_be_bytes(self.0)
    }
}

/// Prints the characters, or hexadecimal digits if they are not printable ASCII.
impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match str::from_utf8(&self.0) {
            Ok(text) if self.0.iter().all(u8::is_ascii_graphic) => f.write_str(text),
            _ => write!(f, "{:#010x}", self.to_u32()),
        }
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FourCc({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_four_bytes_are_printed_and_have_a_number() {
        assert_eq!(FourCc::HVC1.to_string(), "hvc1");
        assert_eq!(FourCc::AC_3.to_string(), "ac-3");
        assert_eq!(FourCc(*b"a\x1b[m").to_string(), "0x611b5b6d");
        assert_eq!(FourCc([0, 0, 0, 7]).to_string(), "0x00000007");
        assert_eq!(FourCc::AV01.to_u32(), 1_635_135_537);
        assert_eq!(FourCc::MP3.to_u32(), 778_924_083);
    }
}

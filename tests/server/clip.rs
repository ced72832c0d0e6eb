//! An FLV file in memory, tag by tag: what the server serves.
//!
//! Read here by hand and not by `rtmpull::core::flv`: what a test expects must not come out of the code
//! that it tests.

use std::{fs, path::Path};

/// The tags of an FLV file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Clip {
    /// In the file's order, script data included.
    pub tags: Vec<Tag>,
}

/// One tag.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// 8 audio, 9 video, 18 script data: RTMP's message types too.
    pub kind: u8,
    pub timestamp_ms: u32,
    pub body: Vec<u8>,
}

impl Clip {
    /// Three seconds of H.264 with B-frames and AAC: a test picture and a tone.
    ///
    /// `clip.flv` was made by ffmpeg 5.1: `ffmpeg -f lavfi -i testsrc=size=320x180:rate=25:duration=3
    /// -f lavfi -i sine=frequency=440:sample_rate=44100:duration=3 -pix_fmt yuv420p -c:v libx264
    /// -preset veryslow -g 25 -c:a aac -b:a 48k -fflags +bitexact -flags:v +bitexact
    /// -flags:a +bitexact clip.flv`
    pub fn sample() -> Self {
        Self::parse(include_bytes!("clip.flv"))
    }

    /// 2,048 ms of H.264 in one group of pictures and AAC, 16 frames each of 100 bytes or so: for
    /// streams that last days.
    ///
    /// `thin.flv` was made by ffmpeg 5.1: `ffmpeg -f lavfi -i testsrc=size=64x48:rate=125/16:duration=2.048
    /// -f lavfi -i sine=frequency=440:sample_rate=8000:duration=2.048 -pix_fmt yuv420p -c:v libx264
    /// -preset veryslow -crf 45 -bf 0 -bsf:v filter_units=remove_types=6 -c:a aac -b:a 6k
    /// -fflags +bitexact -flags:v +bitexact -flags:a +bitexact thin.flv`. The frame of audio before the
    /// first of video is left out, and so is the mark at the end.
    pub fn thin() -> Self {
        let mut clip = Self::parse(include_bytes!("thin.flv"));
        let is_wanted = |tag: &Tag| tag.body.len() > 5 && tag.timestamp_ms > 0;
        clip.tags
            .retain(|tag| tag.kind == Tag::SCRIPT || tag.is_sequence_header() || is_wanted(tag));
        clip
    }

    /// Reads an FLV file.
    pub fn read(file: &Path) -> Self {
        let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self::parse(&bytes)
    }

    /// Reads an FLV file's bytes (FLV E.2 to E.4.1); panics where they are none or end inside a tag.
    pub fn parse(bytes: &[u8]) -> Self {
        assert_eq!(bytes[..3], *b"FLV");
        let mut rest = &bytes[u32::from_be_bytes(bytes[5..9].try_into().unwrap()) as usize + 4..];
        let mut tags = Vec::new();
        while !rest.is_empty() {
            let number = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
            let length = (number(0) & 0xFF_FFFF) as usize;
            tags.push(Tag {
                kind: rest[0],
                timestamp_ms: number(4) >> 8 | u32::from(rest[7]) << 24,
                body: rest[11..11 + length].to_vec(),
            });
            assert_eq!(
                number(11 + length) as usize,
                11 + length,
                "a tag's back pointer"
            );
            rest = &rest[11 + length + 4..];
        }
        Self { tags }
    }

    /// The body of the clip's `onMetaData`.
    pub fn metadata(&self) -> Option<&Tag> {
        self.tags.iter().find(|tag| tag.kind == Tag::SCRIPT)
    }

    /// All tags but `onMetaData`: audio and video, codec configuration included, and other script
    /// data.
    pub fn tags_after_metadata(&self) -> impl Iterator<Item = &Tag> {
        let metadata = self.tags.iter().position(|tag| tag.kind == Tag::SCRIPT);
        let tags = self.tags.iter().enumerate();
        tags.filter(move |(index, _)| Some(*index) != metadata)
            .map(|(_, tag)| tag)
    }

    /// Audio and video, codec configuration included.
    pub fn media(&self) -> impl Iterator<Item = &Tag> {
        self.tags.iter().filter(|tag| tag.kind != Tag::SCRIPT)
    }

    /// The timestamp of the last tag.
    pub fn last_timestamp_ms(&self) -> u32 {
        self.media().map(|tag| tag.timestamp_ms).max().unwrap_or(0)
    }
}

impl Tag {
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const SCRIPT: u8 = 18;

    /// Whether it configures a decoder: AAC's and AVC's sequence headers, and those of Enhanced RTMP.
    pub fn is_sequence_header(&self) -> bool {
        match (self.kind, self.body.first(), self.body.get(1)) {
            (Self::AUDIO, Some(0x90), _) => true,
            (Self::AUDIO, Some(first), Some(0)) => first >> 4 == 10,
            (Self::VIDEO, Some(first), _) if first & 0x80 != 0 => first & 0x0F == 0,
            (Self::VIDEO, Some(first), Some(0)) => first & 0x0F == 7,
            _ => false,
        }
    }

    /// Whether a player can start here. The end of an AVC sequence calls itself a keyframe, and is
    /// nothing but a header.
    pub fn is_keyframe(&self) -> bool {
        let frame = self.body.first().map_or(0, |first| first >> 4 & 7);
        let has_picture = self.body.len() > 5 && !self.is_sequence_header();
        self.kind == Self::VIDEO && frame == 1 && has_picture
    }
}

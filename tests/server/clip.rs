//! In-memory FLV clips, served by the test server and compared with recordings.
//!
//! The parser here is independent of `rtmpull::core::flv`, so that expected values do not come from
//! the tested code.

use std::{fs, path::Path};

/// Tags of an FLV file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Clip {
    /// All tags in file order, including script data.
    pub tags: Vec<Tag>,
}

/// FLV tag.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// Tag type, equal to the RTMP message type: 8 audio, 9 video, 18 script data.
    pub kind: u8,
    pub timestamp_ms: u32,
    pub body: Vec<u8>,
}

impl Clip {
    /// Returns three seconds of H.264 with B-frames (a test picture) and AAC (a tone).
    ///
    /// `clip.flv` was created with ffmpeg 5.1: `ffmpeg -f lavfi -i
    /// testsrc=size=320x180:rate=25:duration=3
    /// -f lavfi -i sine=frequency=440:sample_rate=44100:duration=3 -pix_fmt yuv420p -c:v libx264
    /// -preset veryslow -g 25 -c:a aac -b:a 48k -fflags +bitexact -flags:v +bitexact
    /// -flags:a +bitexact clip.flv`
    pub fn sample() -> Self {
        Self::parse(include_bytes!("clip.flv"))
    }

    /// Returns 2,048 ms of H.264 (one GOP) and AAC with 16 frames each of about 100 bytes, for
    /// streams that last for days.
    ///
    /// `thin.flv` was created with ffmpeg 5.1: `ffmpeg -f lavfi -i
    /// testsrc=size=64x48:rate=125/16:duration=2.048
    /// -f lavfi -i sine=frequency=440:sample_rate=8000:duration=2.048 -pix_fmt yuv420p -c:v libx264
    /// -preset veryslow -crf 45 -bf 0 -bsf:v filter_units=remove_types=6 -c:a aac -b:a 6k
    /// -fflags +bitexact -flags:v +bitexact -flags:a +bitexact thin.flv`. The audio frame before
    /// the first video frame and the end-of-sequence tag are removed.
    pub fn thin() -> Self {
        let mut clip = Self::parse(include_bytes!("thin.flv"));
        let is_wanted = |tag: &Tag| tag.body.len() > 5 && tag.timestamp_ms > 0;
        clip.tags
            .retain(|tag| tag.kind == Tag::SCRIPT || tag.is_sequence_header() || is_wanted(tag));
        clip
    }

    /// Returns the media of the sample `rounds` times; see [`Self::repeated`].
    pub fn repeated_sample(rounds: u32, round_ms: u32) -> Self {
        Self::sample().repeated(rounds, round_ms)
    }

    /// Returns the media `rounds` times, one round every `round_ms` milliseconds.
    ///
    /// The sequence headers occur only in the first round, and the clip has no metadata.
    pub fn repeated(&self, rounds: u32, round_ms: u32) -> Self {
        let round = |number: u32| {
            let tags = self.media_with_content();
            let tags = tags.filter(move |tag| number == 0 || !tag.is_sequence_header());
            tags.map(move |tag| Tag {
                timestamp_ms: tag.timestamp_ms + number * round_ms,
                ..tag.clone()
            })
        };
        Self {
            tags: (0..rounds).flat_map(round).collect(),
        }
    }

    /// Reads an FLV file.
    ///
    /// # Panics
    ///
    /// Panics if the file is not FLV or does not end after a complete tag.
    pub fn read(file: &Path) -> Self {
        let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self::parse(&bytes)
    }

    /// Parses an FLV file (FLV E.2 to E.4.1).
    ///
    /// # Panics
    ///
    /// Panics if the bytes are not FLV or do not end after a complete tag.
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
            assert_eq!(number(11 + length) as usize, 11 + length, "PreviousTagSize");
            rest = &rest[11 + length + 4..];
        }
        Self { tags }
    }

    /// Returns the part of an FLV file before its first incomplete tag.
    pub fn complete_part(file: &[u8]) -> &[u8] {
        let mut end = 13;
        while let Some([_, a, b, c]) = file.get(end..end + 4) {
            let next = end + 15 + u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if next > file.len() {
                break;
            }
            end = next;
        }
        &file[..end]
    }

    /// Returns the `onMetaData` tag.
    pub fn metadata(&self) -> Option<&Tag> {
        self.tags.iter().find(|tag| tag.kind == Tag::SCRIPT)
    }

    /// Returns all tags except `onMetaData`: audio, video, sequence headers and other script data.
    pub fn tags_after_metadata(&self) -> impl Iterator<Item = &Tag> {
        let metadata = self.tags.iter().position(|tag| tag.kind == Tag::SCRIPT);
        let tags = self.tags.iter().enumerate();
        tags.filter(move |(index, _)| Some(*index) != metadata)
            .map(|(_, tag)| tag)
    }

    /// Returns the audio and video tags, including sequence headers.
    pub fn media(&self) -> impl Iterator<Item = &Tag> {
        self.tags.iter().filter(|tag| tag.kind != Tag::SCRIPT)
    }

    /// Returns the audio and video tags without the end-of-sequence tag, which carries nothing.
    pub fn media_with_content(&self) -> impl Iterator<Item = &Tag> {
        self.media().filter(|tag| !tag.is_end_of_sequence())
    }

    /// Returns the largest timestamp of the audio and video tags.
    pub fn last_timestamp_ms(&self) -> u32 {
        self.media().map(|tag| tag.timestamp_ms).max().unwrap_or(0)
    }
}

impl Tag {
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const SCRIPT: u8 = 18;

    /// Returns whether the tag is a sequence header of AAC, AVC or an Enhanced RTMP codec.
    pub fn is_sequence_header(&self) -> bool {
        match (self.kind, self.body.first(), self.body.get(1)) {
            (Self::AUDIO, Some(0x90), _) => true,
            (Self::AUDIO, Some(first), Some(0)) => first >> 4 == 10,
            (Self::VIDEO, Some(first), _) if first & 0x80 != 0 => first & 0x0F == 0,
            (Self::VIDEO, Some(first), Some(0)) => first & 0x0F == 7,
            _ => false,
        }
    }

    /// Returns whether the tag is the AVC end-of-sequence tag, which only has a header.
    pub fn is_end_of_sequence(&self) -> bool {
        self.kind == Self::VIDEO && self.body.len() <= 5
    }

    /// Returns whether a decoder can start at this tag. The AVC end-of-sequence tag has the frame
    /// type of a keyframe but contains no picture.
    pub fn is_keyframe(&self) -> bool {
        let frame = self.body.first().map_or(0, |first| first >> 4 & 7);
        let has_picture = self.body.len() > 5 && !self.is_sequence_header();
        self.kind == Self::VIDEO && frame == 1 && has_picture
    }
}

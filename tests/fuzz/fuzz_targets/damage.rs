//! FLV files built from operations, and damage to them.

use arbitrary::Arbitrary;
use rtmpull::core::flv::{FrameParser, HeadWriter, Layout, Tag, TagKind};

/// Tag of a file.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) struct Frame<'a> {
    pub(crate) track: Track,
    pub(crate) step_ms: u8,
    pub(crate) body: &'a [u8],
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Track {
    Audio,
    Keyframe,
    Video,
    Script,
}

impl Frame<'_> {
    pub(crate) fn kind(&self) -> TagKind {
        match self.track {
            Track::Audio => TagKind::AUDIO,
            Track::Keyframe | Track::Video => TagKind::VIDEO,
            Track::Script => TagKind::SCRIPT,
        }
    }

    /// Body with the first bytes of AAC or AVC, so that the tag is a frame of its track. `number` makes it
    /// unique.
    pub(crate) fn body(&self, number: usize) -> Vec<u8> {
        let first: &[u8] = match self.track {
            Track::Audio => &[0xAF, 1],
            Track::Keyframe => &[0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65],
            Track::Video => &[0x27, 1, 0, 0, 0, 0, 0, 0, 1, 0x41],
            Track::Script => &[2, 0, 1, b'c'],
        };
        [first, &(number as u32).to_be_bytes(), self.body].concat()
    }
}

/// File with a head of rtmpull or of another program, and these tags.
pub(crate) fn file(has_own_head: bool, frames: &[Frame<'_>]) -> Vec<u8> {
    let layout = match has_own_head {
        true => Layout::Seekable,
        false => Layout::Plain,
    };
    let mut writer = HeadWriter::new(layout);
    let mut bytes = writer.head();
    let mut parser = FrameParser::new();
    let mut at_ms = 0;
    for (number, frame) in frames.iter().enumerate() {
        at_ms += u32::from(frame.step_ms);
        let body = frame.body(number);
        let tag = Tag::new(frame.kind(), at_ms, body.as_slice().into());
        bytes.extend_from_slice(tag.as_bytes());
        writer.tag_written(parser.parse(frame.kind(), &body), at_ms, body.len());
    }
    for patch in writer.patches() {
        let start = patch.offset as usize;
        bytes[start..start + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    bytes
}

/// Change to a file.
#[derive(Debug, Arbitrary)]
pub(crate) enum Damage<'a> {
    Cut {
        from_end: u16,
    },
    Append(&'a [u8]),
    Overwrite {
        at: Position,
        bytes: &'a [u8],
    },
    Insert {
        at: Position,
        bytes: &'a [u8],
    },
    Remove {
        at: Position,
        count: u16,
    },
    /// Repeats a piece at the end, as in a file that an earlier run left longer.
    Repeat {
        at: Position,
        count: u16,
    },
}

/// Position in a file, from its start, from its end, or as a fraction of its length.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Position {
    Start(u16),
    End(u16),
    Fraction(u16),
}

impl Position {
    fn in_file(self, length: usize) -> usize {
        match self {
            Self::Start(offset) => usize::from(offset).min(length),
            Self::End(offset) => length.saturating_sub(offset.into()),
            Self::Fraction(part) => length * usize::from(part) / (usize::from(u16::MAX) + 1),
        }
    }
}

impl Damage<'_> {
    pub(crate) fn apply(&self, file: &mut Vec<u8>) {
        let length = file.len();
        match *self {
            Self::Cut { from_end } => file.truncate(length.saturating_sub(from_end.into())),
            Self::Append(bytes) => file.extend_from_slice(bytes),
            Self::Overwrite { at, bytes } => {
                let at = at.in_file(length);
                let count = bytes.len().min(length - at);
                file[at..at + count].copy_from_slice(&bytes[..count]);
            }
            Self::Insert { at, bytes } => {
                let at = at.in_file(length);
                file.splice(at..at, bytes.iter().copied());
            }
            Self::Remove { at, count } => {
                let at = at.in_file(length);
                file.drain(at..(at + usize::from(count)).min(length));
            }
            Self::Repeat { at, count } => {
                let at = at.in_file(length);
                file.extend_from_within(at..(at + usize::from(count)).min(length));
            }
        }
    }
}

/// Path of the only file of this process, in memory if possible.
pub(crate) fn scratch_file() -> std::path::PathBuf {
    let memory = std::path::Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => memory.to_owned(),
        false => std::env::temp_dir(),
    };
    folder.join(format!("rtmpull-fuzz-{}.flv", std::process::id()))
}

//! Reads the tags of a file that may be damaged anywhere.
//!
//! A tag is intact if its PreviousTagSize field (FLV E.3) equals the size of the tag. After damage, the
//! reader searches for the next bytes that look like a tag of audio, video or script data and end with
//! the right PreviousTagSize: 62 bits that do not agree by chance. Some writers never set the field
//! correctly, so a tag with a wrong field is accepted if a plausible tag follows it.
//!
//! A file without an FLV header starts at the first intact tag that two more intact tags follow directly.

mod window;

pub use self::window::{Piece, SalvageWindow};
use super::{Error, FileHeader, PREVIOUS_TAG_SIZE_LENGTH, TagHeader, TagKind, reader::TagView};
use crate::core::wire::{Missing, Reader};

/// Reads the intact tags of a damaged file and reports the bytes between them.
///
/// Like [`super::TagReader`], it does not store bytes: the caller must be able to hold
/// [`MAX_TAG_LENGTH`] bytes, and three times as many in a file without an FLV header.
#[derive(Debug, Clone, Default)]
pub struct SalvageReader {
    position: u64,
    start: Start,
    /// Whether the reader is searching for the next tag after damage.
    is_lost: bool,
    /// Whether the last tag had a wrong PreviousTagSize. The writer of this file then never sets the
    /// field correctly, so a wrong one is also accepted at the end of the file.
    last_size_was_wrong: bool,
}

/// The next part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Salvaged<'a> {
    /// An intact tag.
    Tag(TagView<'a>),
    /// A complete tag whose PreviousTagSize field is wrong.
    WrongPreviousTagSize(TagView<'a>),
    /// Number of bytes that do not belong to a tag.
    Garbage(u64),
}

impl SalvageReader {
    /// Creates a reader that starts at the first byte of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the offset in the file of the first byte that was not read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads the next part of the file and removes its bytes from the front of `input`.
    ///
    /// Returns `None` if `input` is too short to decide. The caller then appends more bytes of the file
    /// and calls again. If `is_end`, no bytes follow `input`, and `None` means the end of the file.
    ///
    /// # Errors
    ///
    /// Returns an error at the end of the file if it has neither an FLV header nor a run of tags.
    pub fn read<'a>(
        &mut self,
        input: &mut &'a [u8],
        is_end: bool,
    ) -> Result<Option<Salvaged<'a>>, Error> {
        if matches!(self.start, Start::Unread) && !self.pass_header(input, is_end) {
            return Ok(None);
        }
        if let Start::Missing(error) = self.start {
            match find_start(input, is_end) {
                None if is_end => return Err(error),
                None => return Ok(None),
                Some(0) => self.start = Start::Found,
                Some(count) => return Ok(Some(self.pass(input, count))),
            }
        }
        if input.is_empty() {
            return Ok(None);
        }
        if self.is_lost {
            return Ok(self.resync(input, is_end));
        }
        match self.following_tag(input, is_end) {
            Some(Following::Tag(found)) => return Ok(Some(found)),
            None if !is_end => return Ok(None),
            Some(Following::No) | None => self.is_lost = true,
        }
        // The next tag may begin at any of the following bytes.
        Ok(Some(self.pass(input, 1)))
    }

    /// Skips the file header. A header with an impossible data offset is taken for one of the usual
    /// length. Returns false if `input` is too short.
    fn pass_header(&mut self, input: &mut &[u8], is_end: bool) -> bool {
        let length = match FileHeader::read(&mut Reader::new(input)) {
            Ok(header) if header.data_offset <= MAX_DATA_OFFSET => header.data_offset as usize,
            Ok(_) | Err(Error::DataOffset(_)) => FileHeader::LENGTH,
            Err(Error::Missing(_)) if !is_end => return false,
            Err(error) => {
                self.start = Start::Missing(error);
                return true;
            }
        };
        let length = length.saturating_add(PREVIOUS_TAG_SIZE_LENGTH);
        if input.len() < length && !is_end {
            return false;
        }
        self.pass(input, length.min(input.len()));
        self.start = Start::Found;
        true
    }

    /// Reads the tag that directly follows the previous one; `None` if `input` is too short to decide.
    fn following_tag<'a>(&mut self, input: &mut &'a [u8], is_end: bool) -> Option<Following<'a>> {
        let ParsedTag { tag, is_intact } = parse_tag(self.position, input).ok()?;
        if !is_intact && !self.is_complete(tag, input, is_end)? {
            return Some(Following::No);
        }
        self.last_size_was_wrong = !is_intact;
        self.pass(input, tag.length());
        Some(Following::Tag(if is_intact {
            Salvaged::Tag(tag)
        } else {
            Salvaged::WrongPreviousTagSize(tag)
        }))
    }

    /// Returns whether a tag with a wrong PreviousTagSize is complete; `None` if `input` is too short to
    /// decide.
    fn is_complete(&self, tag: TagView<'_>, input: &[u8], is_end: bool) -> Option<bool> {
        let end = tag.length();
        let rest = input.get(end..).unwrap_or_default();
        let is_followed = match rest.get(..TagHeader::LENGTH) {
            Some(next) => is_plausible(next) && may_follow(&tag, next),
            None if is_end => rest.is_empty() && self.last_size_was_wrong,
            None => return None,
        };
        if !is_followed || !is_plausible(input) {
            return Some(false);
        }
        // The tag may be torn, and later tags may happen to end where it would have ended.
        match find_tag(input, 1, end, is_end) {
            Search::Found(_) => Some(false),
            Search::Undecided(_) => None,
            Search::NotFound => Some(true),
        }
    }

    /// Reads the tag at the start of `input`, or skips to the next offset at which a tag may begin.
    fn resync<'a>(&mut self, input: &mut &'a [u8], is_end: bool) -> Option<Salvaged<'a>> {
        let skipped = match find_tag(input, 0, input.len(), is_end) {
            Search::Found(0) => {
                self.is_lost = false;
                self.last_size_was_wrong = false;
                let tag = parse_tag(self.position, input).ok()?.tag;
                self.pass(input, tag.length());
                return Some(Salvaged::Tag(tag));
            }
            Search::Found(at) | Search::Undecided(at) => at,
            Search::NotFound => input.len(),
        };
        (skipped > 0).then(|| self.pass(input, skipped))
    }

    fn pass<'a>(&mut self, input: &mut &'a [u8], count: usize) -> Salvaged<'a> {
        *input = input.get(count..).unwrap_or_default();
        self.position = self.position.saturating_add(count as u64);
        Salvaged::Garbage(count as u64)
    }
}

/// Returns whether `bytes` contain an intact tag of audio, video or script data at any offset.
pub fn contains_tag(bytes: &[u8]) -> bool {
    matches!(find_tag(bytes, 0, bytes.len(), true), Search::Found(_))
}

/// Result of [`SalvageReader::following_tag`].
enum Following<'a> {
    Tag(Salvaged<'a>),
    No,
}

#[derive(Debug, Clone, Default)]
enum Start {
    /// No byte has been read.
    #[default]
    Unread,
    /// The file has no FLV header, for this reason, and no run of tags has been found.
    Missing(Error),
    /// The file header or a run of tags has been found.
    Found,
}

struct ParsedTag<'a> {
    tag: TagView<'a>,
    /// Whether the PreviousTagSize field equals the size of the tag.
    is_intact: bool,
}

/// Result of [`find_tag`].
enum Search {
    /// An intact tag begins at this offset.
    Found(usize),
    /// A tag may begin at this offset; the input is too short to decide.
    Undecided(usize),
    NotFound,
}

/// Returns the number of bytes before the first run of tags in a file without a header. If the run is not
/// found yet, returns the number of bytes that cannot be part of it. `None` if `input` is too short to
/// decide, or if it is the end of the file.
fn find_start(input: &[u8], is_end: bool) -> Option<usize> {
    let mut from = 0;
    loop {
        let (at, is_run) = match find_tag(input, from, input.len(), is_end) {
            Search::Found(at) => (at, is_run(input.get(at..)?, is_end)),
            Search::Undecided(at) => (at, None),
            Search::NotFound => (input.len(), None),
        };
        match is_run {
            Some(true) => return Some(at),
            // A single tag, or bytes that resemble one.
            Some(false) => from = at.saturating_add(1),
            // No run begins before `at`, so the caller may drop the bytes before it.
            None => return (at > 0).then_some(at),
        }
    }
}

/// Returns whether `input` begins with [`MIN_RUN`] intact tags; `None` if it is too short to decide.
fn is_run(mut input: &[u8], is_end: bool) -> Option<bool> {
    for _ in 0..MIN_RUN {
        if input.len() >= TagHeader::LENGTH && !is_plausible(input) {
            return Some(false);
        }
        match parse_tag(0, input) {
            Ok(ParsedTag { tag, is_intact }) if is_intact => input = input.get(tag.length()..)?,
            Ok(_) => return Some(false),
            Err(Missing(_)) => return is_end.then_some(false),
        }
    }
    Some(true)
}

/// Finds the first intact tag that begins in `from..until`.
fn find_tag(input: &[u8], from: usize, until: usize, is_end: bool) -> Search {
    let mut at = from;
    while at < until {
        let rest = input.get(at..until).unwrap_or_default();
        let Some(next) = rest.iter().position(|byte| KINDS.contains(byte)) else {
            break;
        };
        at = at.saturating_add(next);
        let rest = input.get(at..).unwrap_or_default();
        let is_candidate = rest.len() < TagHeader::LENGTH || is_plausible(rest);
        match is_candidate.then(|| parse_tag(0, rest)) {
            Some(Ok(parsed)) if parsed.is_intact => return Search::Found(at),
            Some(Err(Missing(_))) if !is_end => return Search::Undecided(at),
            _ => at = at.saturating_add(1),
        }
    }
    Search::NotFound
}

/// Parses `bytes` as a tag and its PreviousTagSize.
fn parse_tag(offset: u64, bytes: &[u8]) -> Result<ParsedTag<'_>, Missing> {
    let (tag, previous_tag_size) = TagView::parse(offset, bytes)?;
    Ok(ParsedTag {
        tag,
        is_intact: previous_tag_size == tag.header.previous_tag_size(),
    })
}

/// Returns whether `bytes` begin like a tag that a program would write: a known type, not encrypted,
/// stream id 0 (FLV E.4.1).
fn is_plausible(bytes: &[u8]) -> bool {
    let Some([kind, _, _, _, _, _, _, _, 0, 0, 0]) = bytes.first_chunk::<{ TagHeader::LENGTH }>()
    else {
        return false;
    };
    KINDS.contains(kind)
}

/// Returns whether the timestamp of `next`, a tag header, is close to the one of `tag`.
fn may_follow(tag: &TagView<'_>, next: &[u8]) -> bool {
    TagHeader::read(&mut Reader::new(next))
        .is_ok_and(|next| next.timestamp_ms.abs_diff(tag.header.timestamp_ms) <= MAX_STEP_MS)
}

/// Largest size of a tag with its PreviousTagSize, in bytes.
pub const MAX_TAG_LENGTH: usize = TagHeader::LENGTH + 0xFF_FFFF + PREVIOUS_TAG_SIZE_LENGTH;

/// Largest plausible data offset. A file header has 9 bytes; a larger value than this is damage.
pub const MAX_DATA_OFFSET: u32 = 4096;

/// First bytes of the tags that are not encrypted.
const KINDS: [u8; 4] = [
    TagKind::AUDIO.0,
    TagKind::VIDEO.0,
    TagKind::SCRIPT_AMF3.0,
    TagKind::SCRIPT.0,
];

/// Number of successive tags that prove a file to be FLV without its header. A file of another format may
/// contain a single tag.
const MIN_RUN: usize = 3;

/// Largest difference between the timestamps of a tag with a wrong PreviousTagSize and the next tag, if
/// the next tag shows that the first one is complete.
const MAX_STEP_MS: u32 = 60_000;

#[cfg(test)]
mod tests;

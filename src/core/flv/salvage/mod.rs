//! Walking the tags of a file that may be damaged anywhere.

use super::{Error, FileHeader, PREVIOUS_TAG_SIZE_LENGTH, TagHeader, TagKind, reader::TagView};
use crate::core::wire::{Missing, Reader};

/// Reads whatever tags a file still has, and knows what lies between them.
///
/// A tag is intact where its back pointer is right, whatever it is. Where it is not, the next place
/// is looked for that begins like a tag of audio, video or script data and has the right back pointer
/// behind it: 62 bits that do not agree by chance. A tag whose back pointer alone is wrong is intact
/// too if the next one follows it, as in the files of some writers.
///
/// Like [`super::Reader`] it keeps no bytes. A caller must be able to hold [`MAX_TAG_LENGTH`] bytes.
#[derive(Debug, Clone, Default)]
pub struct SalvageReader {
    position: u64,
    has_header: bool,
    /// Whether what stands at `position` is known to be no tag that follows another.
    is_lost: bool,
    last_size_was_wrong: bool,
}

/// What stands next in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Salvaged<'a> {
    /// A tag that is whole.
    Tag(TagView<'a>),
    /// A tag that is whole, but for its back pointer.
    WrongPreviousTagSize(TagView<'a>),
    /// So many bytes that belong to no tag.
    Garbage(u64),
}

impl SalvageReader {
    /// Starts at the first byte of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where in the file the bytes that come next stand.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Finds what stands next and moves `input` behind it. `None` where `input` ends before that can be
    /// told; more bytes are then to be appended, or `is_end` says that there are none: then `None` is
    /// the end of the file.
    ///
    /// An error says that this is no FLV at all.
    pub fn read<'a>(
        &mut self,
        input: &mut &'a [u8],
        is_end: bool,
    ) -> Result<Option<Salvaged<'a>>, Error> {
        if !self.has_header && !self.pass_header(input, is_end)? {
            return Ok(None);
        }
        if input.is_empty() {
            return Ok(None);
        }
        if !self.is_lost {
            match self.following_tag(input, is_end) {
                Some(Following::Tag(found)) => return Ok(Some(found)),
                Some(Following::No) => self.is_lost = true,
                None if is_end => self.is_lost = true,
                None => return Ok(None),
            }
            // Not a tag where one should be: it may begin at any place behind.
            return Ok(Some(self.pass(input, 1)));
        }
        Ok(self.resync(input, is_end))
    }

    /// Reads the file header and goes to where it ends; an impossible one is taken for the usual one.
    fn pass_header(&mut self, input: &mut &[u8], is_end: bool) -> Result<bool, Error> {
        let length = match FileHeader::read(&mut Reader::new(input)) {
            Ok(header) if header.data_offset <= MAX_DATA_OFFSET => header.data_offset as usize,
            Ok(_) | Err(Error::DataOffset(_)) => FileHeader::LENGTH,
            Err(Error::Missing(_)) if !is_end => return Ok(false),
            Err(error) => return Err(error),
        };
        let length = length.saturating_add(PREVIOUS_TAG_SIZE_LENGTH);
        if input.len() < length && !is_end {
            return Ok(false);
        }
        self.pass(input, length.min(input.len()));
        self.has_header = true;
        self.is_lost = false;
        Ok(true)
    }

    /// Looks at what stands where a tag should begin.
    fn following_tag<'a>(&mut self, input: &mut &'a [u8], is_end: bool) -> Option<Following<'a>> {
        let candidate = read_tag(self.position, input).ok()?;
        if !candidate.has_right_size && !self.is_complete(candidate.tag, input, is_end)? {
            return Some(Following::No);
        }
        self.last_size_was_wrong = !candidate.has_right_size;
        self.pass(input, candidate.tag.length());
        Some(Following::Tag(if self.last_size_was_wrong {
            Salvaged::WrongPreviousTagSize(candidate.tag)
        } else {
            Salvaged::Tag(candidate.tag)
        }))
    }

    /// Whether a tag whose back pointer is wrong is whole all the same; `None` where `input` ends too
    /// early to tell.
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
        // It may have been torn, and others written behind that only happen to end where it would.
        match find_tag(input, 1, end, is_end) {
            Search::Tag(_) => Some(false),
            Search::Unknown(_) => None,
            Search::None => Some(true),
        }
    }

    /// Goes to the next place where a tag begins, or reads it if it is here.
    fn resync<'a>(&mut self, input: &mut &'a [u8], is_end: bool) -> Option<Salvaged<'a>> {
        let passed = match find_tag(input, 0, input.len(), is_end) {
            Search::Tag(0) => {
                self.is_lost = false;
                self.last_size_was_wrong = false;
                let tag = read_tag(self.position, input).ok()?.tag;
                self.pass(input, tag.length());
                return Some(Salvaged::Tag(tag));
            }
            Search::Tag(at) | Search::Unknown(at) => at,
            Search::None => input.len(),
        };
        (passed > 0).then(|| self.pass(input, passed))
    }

    fn pass<'a>(&mut self, input: &mut &'a [u8], count: usize) -> Salvaged<'a> {
        *input = input.get(count..).unwrap_or_default();
        self.position = self.position.saturating_add(count as u64);
        Salvaged::Garbage(count as u64)
    }
}

/// The most bytes that a tag has.
pub const MAX_TAG_LENGTH: usize = TagHeader::LENGTH + 0xFF_FFFF + PREVIOUS_TAG_SIZE_LENGTH;

/// Whether a tag of audio, video or script data stands anywhere in `bytes`, whole and with the right
/// back pointer.
pub fn contains_tag(bytes: &[u8]) -> bool {
    matches!(find_tag(bytes, 0, bytes.len(), true), Search::Tag(_))
}

enum Following<'a> {
    Tag(Salvaged<'a>),
    No,
}

struct ParsedTag<'a> {
    tag: TagView<'a>,
    has_right_size: bool,
}

enum Search {
    /// A tag that is pointed back at begins here.
    Tag(usize),
    /// Perhaps one begins here: the bytes end too early.
    Unknown(usize),
    None,
}

/// The first tag with the right back pointer that begins in `input` from `from` on and before `until`.
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
        match is_candidate.then(|| read_tag(0, rest)) {
            Some(Ok(candidate)) if candidate.has_right_size => return Search::Tag(at),
            Some(Err(Missing(_))) if !is_end => return Search::Unknown(at),
            _ => at = at.saturating_add(1),
        }
    }
    Search::None
}

/// What the bytes are if a tag begins with the first of them.
fn read_tag(offset: u64, bytes: &[u8]) -> Result<ParsedTag<'_>, Missing> {
    let mut reader = Reader::new(bytes);
    let header = TagHeader::read(&mut reader)?;
    let body = reader.take(header.length.get() as usize, "tag body")?;
    let back_pointer = reader.u32("back pointer")?;
    Ok(ParsedTag {
        tag: TagView {
            offset,
            header,
            body,
        },
        has_right_size: back_pointer == header.previous_tag_size(),
    })
}

/// Whether the bytes begin as a tag does that anybody writes: a known kind that is not encrypted, and
/// the stream id 0.
fn is_plausible(bytes: &[u8]) -> bool {
    let Some([kind, _, _, _, _, _, _, _, 0, 0, 0]) = bytes.first_chunk::<{ TagHeader::LENGTH }>()
    else {
        return false;
    };
    KINDS.contains(kind)
}

/// Whether `next`, the header of a tag, has a time that may follow that of `tag`.
fn may_follow(tag: &TagView<'_>, next: &[u8]) -> bool {
    TagHeader::read(&mut Reader::new(next))
        .is_ok_and(|next| next.timestamp_ms.abs_diff(tag.header.timestamp_ms) <= MAX_STEP_MS)
}

/// The first byte of all tags that are not encrypted.
const KINDS: [u8; 4] = [
    TagKind::AUDIO.0,
    TagKind::VIDEO.0,
    TagKind::SCRIPT_AMF3.0,
    TagKind::SCRIPT.0,
];

/// A file header has nine bytes. One that claims more than any version could have is damaged.
pub const MAX_DATA_OFFSET: u32 = 4096;

/// How far a tag and the next are apart where nothing but the time speaks for the first being whole.
const MAX_STEP_MS: u32 = 60_000;

#[cfg(test)]
mod tests;

//! Walking the tags of a file that may be damaged anywhere.

use super::{BACK_POINTER, Error, FileHeader, TagHeader, TagKind, reader::TagRead};
use crate::core::wire::{Missing, Reader as Cursor};

/// Reads whatever tags a file still has, and knows what lies between them.
///
/// A tag is intact where its back pointer is right, whatever it is. Where it is not, the next place
/// is looked for that begins like a tag of audio, video or script data and has the right back pointer
/// behind it: 62 bits that do not agree by chance. A tag whose back pointer alone is wrong is intact
/// too if the next one follows it, as in the files of some writers.
///
/// Like [`super::Reader`] it keeps no bytes. A caller must be able to hold [`MAX_TAG`] bytes.
#[derive(Debug, Clone, Default)]
pub struct Salvage {
    position: u64,
    has_header: bool,
    /// Whether what stands at `position` is known to be no tag that follows another.
    is_lost: bool,
    is_mending: bool,
}

/// What stands next in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// A tag that is whole.
    Tag(TagRead<'a>),
    /// A tag that is whole, but for its back pointer.
    Mended(TagRead<'a>),
    /// So many bytes that belong to no tag.
    Garbage(u64),
}

impl Salvage {
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
    ) -> Result<Option<Found<'a>>, Error> {
        if !self.has_header && !self.pass_header(input, is_end)? {
            return Ok(None);
        }
        if input.is_empty() {
            return Ok(None);
        }
        if !self.is_lost {
            match self.following_tag(input, is_end) {
                Some(Look::Tag(found)) => return Ok(Some(found)),
                Some(Look::No) => self.is_lost = true,
                None if is_end => self.is_lost = true,
                None => return Ok(None),
            }
            // Not a tag where one should be: it may begin at any place behind.
            return Ok(Some(self.pass(input, 1)));
        }
        Ok(self.lost_tag(input, is_end))
    }

    /// Reads the file header and goes to where it ends; an impossible one is taken for the usual one.
    fn pass_header(&mut self, input: &mut &[u8], is_end: bool) -> Result<bool, Error> {
        let length = match FileHeader::read(&mut Cursor::new(input)) {
            Ok(header) if header.data_offset <= MAX_DATA_OFFSET => header.data_offset as usize,
            Ok(_) | Err(Error::DataOffset(_)) => FileHeader::LENGTH,
            Err(Error::Missing(_)) if !is_end => return Ok(false),
            Err(error) => return Err(error),
        };
        let length = length.saturating_add(BACK_POINTER);
        if input.len() < length && !is_end {
            return Ok(false);
        }
        self.pass(input, length.min(input.len()));
        self.has_header = true;
        self.is_lost = false;
        Ok(true)
    }

    /// Looks at what stands where a tag should begin.
    fn following_tag<'a>(&mut self, input: &mut &'a [u8], is_end: bool) -> Option<Look<'a>> {
        let candidate = read_tag(self.position, input).ok()?;
        if !candidate.is_pointed_back_at && !self.is_whole(candidate.tag, input, is_end)? {
            return Some(Look::No);
        }
        self.is_mending = !candidate.is_pointed_back_at;
        self.pass(input, candidate.tag.length());
        Some(Look::Tag(if self.is_mending {
            Found::Mended(candidate.tag)
        } else {
            Found::Tag(candidate.tag)
        }))
    }

    /// Whether a tag whose back pointer is wrong is whole all the same; `None` where `input` ends too
    /// early to tell.
    fn is_whole(&self, tag: TagRead<'_>, input: &[u8], is_end: bool) -> Option<bool> {
        let end = tag.length();
        let rest = input.get(end..).unwrap_or_default();
        let is_followed = match rest.get(..TagHeader::LENGTH) {
            Some(next) => is_plausible(next) && is_soon_after(&tag, next),
            None if is_end => rest.is_empty() && self.is_mending,
            None => return None,
        };
        if !is_followed || !is_plausible(input) {
            return Some(false);
        }
        // It may have been torn, and others written behind that only happen to end where it would.
        match next_tag(input, 1, end, is_end) {
            Next::Tag(_) => Some(false),
            Next::Unknown(_) => None,
            Next::None => Some(true),
        }
    }

    /// Goes to the next place where a tag begins, or reads it if it is here.
    fn lost_tag<'a>(&mut self, input: &mut &'a [u8], is_end: bool) -> Option<Found<'a>> {
        let passed = match next_tag(input, 0, input.len(), is_end) {
            Next::Tag(0) => {
                self.is_lost = false;
                self.is_mending = false;
                let tag = read_tag(self.position, input).ok()?.tag;
                self.pass(input, tag.length());
                return Some(Found::Tag(tag));
            }
            Next::Tag(at) | Next::Unknown(at) => at,
            Next::None => input.len(),
        };
        (passed > 0).then(|| self.pass(input, passed))
    }

    fn pass<'a>(&mut self, input: &mut &'a [u8], count: usize) -> Found<'a> {
        *input = input.get(count..).unwrap_or_default();
        self.position = self.position.saturating_add(count as u64);
        Found::Garbage(count as u64)
    }
}

/// The most bytes that a tag has.
pub const MAX_TAG: usize = TagHeader::LENGTH + 0xFF_FFFF + BACK_POINTER;

/// Whether a tag of audio, video or script data stands anywhere in `bytes`, whole and with the right
/// back pointer.
pub fn has_tag(bytes: &[u8]) -> bool {
    matches!(next_tag(bytes, 0, bytes.len(), true), Next::Tag(_))
}

enum Look<'a> {
    Tag(Found<'a>),
    No,
}

struct Candidate<'a> {
    tag: TagRead<'a>,
    is_pointed_back_at: bool,
}

enum Next {
    /// A tag that is pointed back at begins here.
    Tag(usize),
    /// Perhaps one begins here: the bytes end too early.
    Unknown(usize),
    None,
}

/// The first tag with the right back pointer that begins in `input` from `from` on and before `until`.
fn next_tag(input: &[u8], from: usize, until: usize, is_end: bool) -> Next {
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
            Some(Ok(candidate)) if candidate.is_pointed_back_at => return Next::Tag(at),
            Some(Err(Missing(_))) if !is_end => return Next::Unknown(at),
            _ => at = at.saturating_add(1),
        }
    }
    Next::None
}

/// What the bytes are if a tag begins with the first of them.
fn read_tag(offset: u64, bytes: &[u8]) -> Result<Candidate<'_>, Missing> {
    let mut cursor = Cursor::new(bytes);
    let header = TagHeader::read(&mut cursor)?;
    let body = cursor.take(header.length.get() as usize, "tag body")?;
    let back_pointer = cursor.u32("back pointer")?;
    Ok(Candidate {
        tag: TagRead {
            offset,
            header,
            body,
        },
        is_pointed_back_at: back_pointer == header.previous_tag_size(),
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
fn is_soon_after(tag: &TagRead<'_>, next: &[u8]) -> bool {
    TagHeader::read(&mut Cursor::new(next))
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

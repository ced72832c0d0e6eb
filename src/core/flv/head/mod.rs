//! The head of a seekable file: file header and `onMetaData`. Its length is constant, so that it can be
//! rewritten in place, and it stays readable if a rewrite is interrupted.
//!
//! ```text
//!      0 ┌──────────────────────────────────────────────────────────────────┐
//!        │ file header, tag header, "onMetaData", ECMA array of 73          │
//!     42 │ metadatacreator "rtmpull …"                                      │
//!        │ own fields: duration, filesize, codecs, flags …       20 members │
//!        │ padding                                                1 member  │
//!   2007 │ keyframes {                                            1 member  │
//!   2031 │   times:          2,048 numbers                                  │
//!  20483 │   filepositions:  2,048 numbers                                  │
//!  38915 │ }                                                                │
//!        │ padding                                                1 member  │
//!  40960 ├──────────────────────────────────────────────────────────────────┤
//!        │ server fields                                         24 members │
//!        │ padding                                                1 member  │
//!  45056 ├──────────────────────────────────────────────────────────────────┤
//!        │ server fields                                         24 members │
//!        │ padding                                                1 member  │
//!  49152 ├──────────────────────────────────────────────────────────────────┤
//!        │ end of the array, PreviousTagSize                                │
//!  49159 └──────────────────────────────────────────────────────────────────┘ first tag
//! ```
//!
//! # Interrupted rewrites
//!
//! An interrupted rewrite leaves a mix of old and new pages of 4,096 bytes. Everything that can change
//! its length is therefore inside one page, and the length and the number of members of a page are
//! constant: unused members are empty objects named `_`, and the rest of the page is an array of
//! spaces, also named `_`. The keyframes span ten pages, but each number has nine bytes and a fixed
//! offset. Any mix of old and new pages is therefore an array of 73 members.
//!
//! A number that crosses a page border could combine bytes of two numbers. The offsets of the arrays are
//! chosen so that this does no harm: the border is either directly after the marker, or so late in the
//! number that the bytes after it do not matter. In `filepositions` at most two bytes follow the border,
//! and these are 0 in integers below 2³⁷ (128 GiB). In `times` at most five bytes follow it, which change
//! the time by less than 1/4096. This is why `times` is the first array and why the padding before it
//! ends at 2,007.
//!
//! # Keyframes in a mix of pages
//!
//! Each slot holds its old or its new value, and both are those of a keyframe in the file. A rewrite
//! never moves an earlier keyframe into a slot, whether it adds keyframes or drops every second one.
//! Pages are written from the last to the first, so after a kill the new pages follow the old ones, and
//! the slots still ascend. After a power failure any of the pages may be new; the slots then ascend
//! within each page, which is enough for players that sort them.

use bytes::Bytes;

use super::{
    FileHeader, PREVIOUS_TAG_SIZE_0, PREVIOUS_TAG_SIZE_LENGTH, TagHeader, TagKind,
    keyframe_index::{Entry, KeyframeIndex},
    metadata::{Capacity, Field, Metadata},
};
use crate::core::{
    amf::{Object, amf0},
    payload::Payload,
    wire::U24,
};

/// Length of the head in bytes, which is the offset of the first tag after it.
pub const LENGTH: usize = SERVER_PAGES_END + OBJECT_END.len() + PREVIOUS_TAG_SIZE_LENGTH;

/// Returns whether `start`, the first bytes of a file, belong to a head written by rtmpull, which may be
/// rewritten in place. 128 bytes are enough.
pub fn is_rewritable(start: &[u8]) -> bool {
    let mut expected = Vec::new();
    begin(FileHeader::new(false, false), &mut expected);
    expected.extend(CREATOR_BEGIN);
    let Some((front, creator)) = start.split_at_checked(expected.len()) else {
        return false;
    };
    let mut front = front.to_vec();
    // Before the creator, heads differ only in the flags.
    if let Some(flags) = front.get_mut(FLAGS_AT) {
        *flags = 0;
    }
    let name = creator.get(STRING_LENGTH..).unwrap_or_default();
    front == expected && name.starts_with(MARKER.as_bytes())
}

/// Renders a head of [`LENGTH`] bytes.
///
/// Omits the fields of `server` whose name is also in `own`, or in `untrue`.
pub(super) fn render(
    file_header: FileHeader,
    own: &[Field],
    server: &Metadata,
    untrue: &[&str],
    index: &KeyframeIndex,
) -> Vec<u8> {
    let is_kept = |field: &&Field| {
        let is_other = |name: &[u8]| name != field.name();
        own.iter().all(|own| is_other(own.name()))
            && untrue.iter().all(|name| is_other(name.as_bytes()))
    };
    let mut out = Vec::with_capacity(LENGTH);
    begin(file_header, &mut out);
    area(own, OWN_FIELDS, OWN_FIELDS_END, &mut out);
    keyframes(index, &mut out);
    area(&[], 0, KEYFRAMES_END, &mut out);
    for fields in server.pages() {
        let end = out.len().saturating_add(PAGE);
        area(
            fields.iter().filter(is_kept),
            FIELDS_PER_PAGE,
            end,
            &mut out,
        );
    }
    out.extend(OBJECT_END);
    out.extend(TAG_HEADER.previous_tag_size().to_be_bytes());
    out
}

/// Returns the pages of server fields in a head.
pub(super) fn server_pages(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let pages = head.get(KEYFRAMES_END..SERVER_PAGES_END);
    pages.unwrap_or_default().chunks(PAGE)
}

/// Decodes the members of a page of server fields, including the padding. Returns `None` unless the
/// members fill the page exactly.
pub(super) fn fields_of(page: &[u8]) -> Option<Object> {
    let mut object = vec![OBJECT];
    object.extend_from_slice(page);
    object.extend(OBJECT_END);
    let mut values = amf0::Decoder::new(Bytes::from(object));
    let fields = values.value().ok()?;
    let fields = fields.as_object().filter(|_| values.is_empty())?;
    Some(fields.clone())
}

/// Encodes the body of an `onMetaData` tag without padding, for an output that is never rewritten.
pub(super) fn on_meta_data(fields: &[&Field]) -> Payload {
    let mut payload = Payload::from(&ON_META_DATA[..]);
    payload.extend_from_slice(&[ECMA_ARRAY]);
    let count = u32::try_from(fields.len()).unwrap_or(u32::MAX);
    payload.extend_from_slice(&count.to_be_bytes());
    for field in fields {
        payload.extend_from_slice(field.as_bytes());
    }
    payload.extend_from_slice(&OBJECT_END);
    payload
}

/// Capacities of the pages of server fields. Together they hold 4 KiB in 2 to 48 fields of equal size,
/// or one field of 3,900 bytes.
pub(super) const SERVER_PAGES: [Capacity; 2] = {
    let unused = FIELDS_PER_PAGE * UNUSED.len();
    let room = Capacity {
        fields: FIELDS_PER_PAGE,
        bytes: PAGE - MIN_PADDING - unused,
    };
    [room; 2]
};

/// Name of the first own field. Its value identifies a head written by rtmpull.
pub(super) const CREATOR: &str = "metadatacreator";

/// Start of the value of [`CREATOR`]; the version follows.
pub(super) const MARKER: &str = "rtmpull ";

/// Appends everything before the first member.
fn begin(file_header: FileHeader, out: &mut Vec<u8>) {
    out.extend(file_header.to_bytes());
    out.extend(PREVIOUS_TAG_SIZE_0);
    out.extend(TAG_HEADER.to_bytes());
    out.extend(ON_META_DATA);
    out.push(ECMA_ARRAY);
    out.extend(MEMBERS.to_be_bytes());
}

/// Appends `fields`, unused members up to `count`, and one member of padding that ends at `end`.
fn area<'a>(
    fields: impl IntoIterator<Item = &'a Field>,
    count: usize,
    end: usize,
    out: &mut Vec<u8>,
) {
    let mut left = count;
    for field in fields.into_iter().take(count) {
        out.extend_from_slice(field.as_bytes());
        left = left.saturating_sub(1);
    }
    for _ in 0..left {
        out.extend(UNUSED);
    }
    padding(end, out);
}

/// Appends a member that ends at `end`: an array of strings that are short enough for all players.
fn padding(end: usize, out: &mut Vec<u8>) {
    out.extend(PADDING_BEGIN);
    let after_count = out.len().saturating_add(size_of::<u32>());
    let room = end.saturating_sub(after_count).saturating_sub(SPACES_HEAD);
    let (full, rest) = (room / MAX_SPACES, room % MAX_SPACES);
    let count = u32::try_from(full).unwrap_or(u32::MAX).saturating_add(1);
    out.extend(count.to_be_bytes());
    for _ in 0..full {
        spaces(MAX_SPACES.saturating_sub(SPACES_HEAD), out);
    }
    spaces(rest, out);
}

fn spaces(count: usize, out: &mut Vec<u8>) {
    out.push(STRING);
    out.extend(u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    out.resize(out.len().saturating_add(count), b' ');
}

fn keyframes(index: &KeyframeIndex, out: &mut Vec<u8>) {
    let first = Entry {
        time_ms: 0,
        position: LENGTH as u64,
    };
    out.extend(KEYFRAMES_BEGIN);
    out.extend(TIMES_BEGIN);
    out.extend(SLOTS.to_be_bytes());
    for slot in index.slots(first) {
        push_number(seconds(slot.time_ms), out);
    }
    out.extend(FILEPOSITIONS_BEGIN);
    out.extend(SLOTS.to_be_bytes());
    for slot in index.slots(first) {
        push_number(slot.position as f64, out);
    }
    out.extend(OBJECT_END);
}

fn push_number(number: f64, out: &mut Vec<u8>) {
    out.push(NUMBER);
    out.extend(number.to_be_bytes());
}

/// Converts milliseconds to the unit of `onMetaData`.
pub(super) fn seconds(ms: u32) -> f64 {
    f64::from(ms) / 1000.0
}

/// Name and marker of [`CREATOR`].
const CREATOR_BEGIN: [u8; 18] = *b"\0\x0fmetadatacreator\x02";

/// Size of the length field of a string, in bytes.
const STRING_LENGTH: usize = 2;

/// Unit that a kill or a power failure does not tear: the smallest page size of the supported machines.
pub(super) const PAGE: usize = 4096;

/// Offset of the flags in the file header (FLV E.2).
const FLAGS_AT: usize = 4;

/// End of the padding after the own fields. The module documentation explains the number.
const OWN_FIELDS_END: usize = 2007;

const KEYFRAMES_END: usize = 10 * PAGE;

const SERVER_PAGES_END: usize = KEYFRAMES_END + SERVER_PAGES.len() * PAGE;

/// Number of members for own fields.
const OWN_FIELDS: usize = 20;

/// Number of members for server fields in one page.
const FIELDS_PER_PAGE: usize = 24;

/// Number of members: own fields, `keyframes`, the pages of server fields, and the padding after each.
const MEMBERS: u32 = (OWN_FIELDS + 1 + 1 + 1 + SERVER_PAGES.len() * (FIELDS_PER_PAGE + 1)) as u32;

const SLOTS: u32 = KeyframeIndex::SLOTS as u32;

const TAG_HEADER: TagHeader = TagHeader {
    kind: TagKind::SCRIPT,
    is_filtered: false,
    length: U24::truncate(
        (LENGTH - FIRST_TAG - TagHeader::LENGTH - PREVIOUS_TAG_SIZE_LENGTH) as u32,
    ),
    timestamp_ms: 0,
};

/// Offset of the metadata tag.
const FIRST_TAG: usize = FileHeader::LENGTH + PREVIOUS_TAG_SIZE_LENGTH;

/// Offset of the array of `onMetaData`.
#[cfg(test)]
pub(super) const ARRAY_AT: usize = FIRST_TAG + TagHeader::LENGTH + ON_META_DATA.len();

const ON_META_DATA: [u8; 13] = *b"\x02\0\x0aonMetaData";

const ECMA_ARRAY: u8 = 0x08;

const OBJECT: u8 = 0x03;

const NUMBER: u8 = 0x00;

const STRING: u8 = 0x02;

const OBJECT_END: [u8; 3] = [0, 0, 9];

/// An unused member: an empty object, because players display strings and booleans, and some do not
/// support null.
const UNUSED: [u8; 7] = *b"\0\x01_\x03\0\0\x09";

/// Start of the padding: an array whose count and strings follow. A named string would be displayed by
/// players.
const PADDING_BEGIN: [u8; 4] = *b"\0\x01_\x0a";

/// Length of marker and length field of a string, in bytes.
const SPACES_HEAD: usize = 1 + STRING_LENGTH;

/// Largest string of the padding with marker and length, in bytes. ffmpeg stops reading the metadata at
/// a string of 1,024 bytes or more.
const MAX_SPACES: usize = 1000;

const MIN_PADDING: usize = PADDING_BEGIN.len() + size_of::<u32>() + SPACES_HEAD;

const KEYFRAMES_BEGIN: [u8; 12] = *b"\0\x09keyframes\x03";

const TIMES_BEGIN: [u8; 8] = *b"\0\x05times\x0a";

const FILEPOSITIONS_BEGIN: [u8; 16] = *b"\0\x0dfilepositions\x0a";

#[cfg(test)]
mod tests;

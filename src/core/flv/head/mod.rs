//! The head of a file that can be written to at any place: file header and `onMetaData`, as long at
//! the end as at the start, true whenever it was rewritten, and readable when a rewrite was cut.
//!
//! ```text
//!      0 ┌──────────────────────────────────────────────────────────────────┐
//!        │ file header, tag header, "onMetaData", ECMA array of 73          │
//!     42 │ metadatacreator "rtmpull …"                                      │
//!        │ our own fields: duration, filesize, codecs, flags …   20 members │
//!        │ padding                                                1 member  │
//!   2007 │ keyframes {                                            1 member  │
//!   2031 │   times:          2,048 numbers                                  │
//!  20483 │   filepositions:  2,048 numbers                                  │
//!  38915 │ }                                                                │
//!        │ padding                                                1 member  │
//!  40960 ├──────────────────────────────────────────────────────────────────┤
//!        │ the server's fields                                   24 members │
//!        │ padding                                                1 member  │
//!  45056 ├──────────────────────────────────────────────────────────────────┤
//!        │ the server's fields                                   24 members │
//!        │ padding                                                1 member  │
//!  49152 ├──────────────────────────────────────────────────────────────────┤
//!        │ end of the array, back pointer                                   │
//!  49159 └──────────────────────────────────────────────────────────────────┘ first tag
//! ```
//!
//! # Why it parses after any kill
//!
//! A write that is cut is cut between two pages of 4,096 bytes. So whatever may change its length
//! stands in a page of its own, whose length and number of members are constant: members that are not
//! used are empty objects named `_`, and what is left of the page is an array of spaces, one more `_`.
//! The keyframes run over ten pages, but each number has nine bytes and a constant place. Any mix of
//! old and new pages is therefore one array of 73 members.
//!
//! The arrays begin where no number is torn into a wrong one either: of the nine bytes of a number
//! that lies across a page border, either the marker alone is in front of it, or so much of the
//! number that what is behind does not matter. For positions the border leaves two bytes, one or none
//! behind it, which are 0 in whole numbers below 2³⁷ (128 GiB); for times five bytes at most, 1/4096 of
//! the time. That is why `times` comes first, and why the padding before ends at 2,007.
//!
//! # What the keyframes of a mix are
//!
//! Each slot holds the time, or the position, that it had or the one that it gets: always one of a
//! keyframe in the file. A later head never has an earlier keyframe in a slot, whether keyframes were
//! added or every second one dropped. So where the pages are written from the last to the first, the
//! new ones stand behind the old ones whenever a kill comes, and the slots ascend all the same. A power
//! failure may keep any of the pages: then slots ascend within each page, and players that sort them
//! have nothing to complain of.

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

/// How many bytes the head has: the position of the first tag behind it.
pub const LENGTH: usize = SERVER_PAGES_END + OBJECT_END.len() + PREVIOUS_TAG_SIZE_LENGTH;

/// Whether a file that starts so has a head of ours, which may be rewritten in place. Its first 128
/// bytes are enough to tell.
pub fn is_rewritable(start: &[u8]) -> bool {
    let mut expected = Vec::new();
    begin(FileHeader::new(false, false), &mut expected);
    expected.extend(CREATOR_BEGIN);
    let Some((front, creator)) = start.split_at_checked(expected.len()) else {
        return false;
    };
    let mut front = front.to_vec();
    if let Some(flags) = front.get_mut(FLAGS_AT) {
        *flags = 0;
    }
    let name = creator.get(STRING_LENGTH..).unwrap_or_default();
    front == expected && name.starts_with(MARKER.as_bytes())
}

/// The whole head: [`LENGTH`] bytes whatever it holds.
///
/// A field of `server` that is also in `own` is left out, and so is one named in `untrue`.
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

/// The pages of the server's fields in a whole head.
pub(super) fn server_pages(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let pages = head.get(KEYFRAMES_END..SERVER_PAGES_END);
    pages.unwrap_or_default().chunks(PAGE)
}

/// The members of a page of the server's fields, those that fill its room included; `None` where they
/// do not end where the page does.
pub(super) fn fields_of(page: &[u8]) -> Option<Object> {
    let mut object = vec![OBJECT];
    object.extend_from_slice(page);
    object.extend(OBJECT_END);
    let mut values = amf0::Decoder::new(Bytes::from(object));
    let fields = values.value().ok()?;
    let fields = fields.as_object().filter(|_| values.is_empty())?;
    Some(fields.clone())
}

/// An `onMetaData` body of `fields` alone, for a file that is never rewritten.
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

/// The pages for the server's fields: together they have room for 4 KiB in 2 to 48 fields, or for one
/// of 3,900 bytes.
pub(super) const SERVER_PAGES: [Capacity; 2] = {
    let unused = FIELDS_PER_PAGE * UNUSED.len();
    let room = Capacity {
        fields: FIELDS_PER_PAGE,
        bytes: PAGE - MIN_PADDING - unused,
    };
    [room; 2]
};

/// The first of our own fields must be this one, by which the head is known as ours.
pub(super) const CREATOR: &str = "metadatacreator";

/// What [`CREATOR`] begins with; the version follows.
pub(super) const MARKER: &str = "rtmpull ";

/// Everything in front of the first member.
fn begin(file_header: FileHeader, out: &mut Vec<u8>) {
    out.extend(file_header.to_bytes());
    out.extend(PREVIOUS_TAG_SIZE_0);
    out.extend(TAG_HEADER.to_bytes());
    out.extend(ON_META_DATA);
    out.push(ECMA_ARRAY);
    out.extend(MEMBERS.to_be_bytes());
}

/// Appends exactly `count` members for `fields`, and one of padding that ends at `end`.
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

/// Appends a member that ends at `end`: an array of strings, none longer than players can take.
fn padding(end: usize, out: &mut Vec<u8>) {
    out.extend(PADDING_BEGIN);
    let after_count = out.len().saturating_add(size_of::<u32>());
    let room = end.saturating_sub(after_count).saturating_sub(SPACES_HEAD);
    let (whole, rest) = (room / MAX_SPACES, room % MAX_SPACES);
    let count = u32::try_from(whole).unwrap_or(u32::MAX).saturating_add(1);
    out.extend(count.to_be_bytes());
    for _ in 0..whole {
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

/// Milliseconds as `onMetaData` has them.
pub(super) fn seconds(ms: u32) -> f64 {
    f64::from(ms) / 1000.0
}

/// Name and marker of [`CREATOR`].
const CREATOR_BEGIN: [u8; 18] = *b"\0\x0fmetadatacreator\x02";

/// How many bytes tell the length of a string.
const STRING_LENGTH: usize = 2;

/// What a kill cannot cut: the smallest page of the machines that this runs on.
pub(super) const PAGE: usize = 4096;

const FLAGS_AT: usize = 4;

/// Where the padding behind our own fields ends. See the module's documentation for the number.
const OWN_FIELDS_END: usize = 2007;

const KEYFRAMES_END: usize = 10 * PAGE;

const SERVER_PAGES_END: usize = KEYFRAMES_END + SERVER_PAGES.len() * PAGE;

/// How many fields we can have ourselves.
const OWN_FIELDS: usize = 20;

/// How many fields of the server's one page takes.
const FIELDS_PER_PAGE: usize = 24;

/// Our own fields, `keyframes`, the pages of the server's, and the padding behind each.
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

/// Where the first tag of any file of ours begins.
const FIRST_TAG: usize = FileHeader::LENGTH + PREVIOUS_TAG_SIZE_LENGTH;

/// Where the array of `onMetaData` begins.
#[cfg(test)]
pub(super) const ARRAY_AT: usize = FIRST_TAG + TagHeader::LENGTH + ON_META_DATA.len();

const ON_META_DATA: [u8; 13] = *b"\x02\0\x0aonMetaData";

const ECMA_ARRAY: u8 = 0x08;

const OBJECT: u8 = 0x03;

const NUMBER: u8 = 0x00;

const STRING: u8 = 0x02;

const OBJECT_END: [u8; 3] = [0, 0, 9];

/// A member that is not used: an empty object, since players show strings and booleans, and some
/// know no null.
const UNUSED: [u8; 7] = *b"\0\x01_\x03\0\0\x09";

/// An array whose count and strings follow: players show a string that has a name.
const PADDING_BEGIN: [u8; 4] = *b"\0\x01_\x0a";

/// Marker and length of a string.
const SPACES_HEAD: usize = 1 + STRING_LENGTH;

/// A string of padding with its head. ffmpeg complains of strings from 1,024 bytes on, and reads no
/// further.
const MAX_SPACES: usize = 1000;

const MIN_PADDING: usize = PADDING_BEGIN.len() + size_of::<u32>() + SPACES_HEAD;

const KEYFRAMES_BEGIN: [u8; 12] = *b"\0\x09keyframes\x03";

const TIMES_BEGIN: [u8; 8] = *b"\0\x05times\x0a";

const FILEPOSITIONS_BEGIN: [u8; 16] = *b"\0\x0dfilepositions\x0a";

#[cfg(test)]
mod tests;

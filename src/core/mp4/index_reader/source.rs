//! Access to the bytes of a file, and its boxes.

use std::ops::Range;

use super::super::boxes::BoxHeader;
use crate::core::wire::Reader;

/// Bytes of a file that can be read at any offset.
pub trait Source {
    /// Error of a read.
    type Error;

    /// Returns the length of the file in bytes, which does not change.
    fn length(&self) -> u64;

    /// Reads bytes at `offset` into the start of `buffer`, and returns their number. It is less than the length
    /// of the buffer only at the end of the file.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Self::Error>;
}

/// A box of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundBox {
    pub(super) kind: [u8; 4],
    pub(super) body: Range<u64>,
}

/// Result of [`next_box`].
pub(super) enum NextBox {
    Box(FoundBox),
    /// No bytes remain.
    End,
    /// The enclosing range ends inside the box, of which the type may be known.
    Cut(Option<[u8; 4]>),
    /// The bytes are not the header of a box.
    Invalid,
}

/// Reads the header of the box at `at`. The enclosing box, or the file, ends at `end`.
pub(super) fn next_box<S: Source>(source: &mut S, at: u64, end: u64) -> Result<NextBox, S::Error> {
    let left = end.saturating_sub(at);
    if left == 0 {
        return Ok(NextBox::End);
    }
    let bytes = read_body(source, &(at..end), MAX_HEADER)?;
    let kind = bytes.get(4..8).and_then(<[u8]>::first_chunk).copied();
    let Ok(header) = BoxHeader::read(&mut Reader::new(&bytes)) else {
        return Ok(NextBox::Cut(kind));
    };
    // Types are printable, but those of QuickTime metadata start with ©.
    if !header
        .kind
        .iter()
        .all(|byte| byte.is_ascii_graphic() || *byte == b' ' || *byte == 0xA9)
    {
        return Ok(NextBox::Invalid);
    }
    // A length of 0 extends to the end of the file (ISO 14496-12 4.2).
    let length = if header.length == 0 {
        left
    } else {
        header.length
    };
    if length < header.header {
        return Ok(NextBox::Invalid);
    }
    if length > left {
        return Ok(NextBox::Cut(kind));
    }
    Ok(NextBox::Box(FoundBox {
        kind: header.kind,
        body: at.saturating_add(header.header)..at.saturating_add(length),
    }))
}

/// Returns the boxes in a range, up to the first damaged one and to [`MAX_CHILDREN`].
pub(super) fn children<S: Source>(
    source: &mut S,
    body: &Range<u64>,
) -> Result<Vec<FoundBox>, S::Error> {
    let mut found = Vec::new();
    let mut at = body.start;
    while found.len() < MAX_CHILDREN {
        match next_box(source, at, body.end)? {
            NextBox::Box(child) => {
                at = child.body.end;
                found.push(child);
            }
            _ => break,
        }
    }
    Ok(found)
}

/// Reads the first bytes of a range, at most `limit`.
pub(super) fn read_body<S: Source>(
    source: &mut S,
    body: &Range<u64>,
    limit: usize,
) -> Result<Vec<u8>, S::Error> {
    let end = body.end.min(source.length());
    let length = usize::try_from(end.saturating_sub(body.start)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length.min(limit)];
    let read = source.read_at(body.start, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Entries of a table, read through a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    at: u64,
    end: u64,
    window: Vec<u8>,
    position: usize,
}

impl Cursor {
    pub(super) fn new(entries: Range<u64>) -> Self {
        Self {
            at: entries.start,
            end: entries.end,
            window: Vec::new(),
            position: 0,
        }
    }

    /// Returns the next entry, or `None` after the last complete one.
    pub(super) fn next<const N: usize, S: Source>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<[u8; N]>, S::Error> {
        if self.rest().len() < N && self.at < self.end {
            let unread = self.rest().len() as u64;
            let start = self.at.saturating_sub(unread);
            self.window = read_body(source, &(start..self.end), WINDOW)?;
            self.at = start.saturating_add(self.window.len() as u64);
            self.position = 0;
        }
        let entry = self.rest().first_chunk().copied();
        if entry.is_some() {
            self.position = self.position.saturating_add(N);
        }
        Ok(entry)
    }

    fn rest(&self) -> &[u8] {
        self.window.get(self.position..).unwrap_or_default()
    }
}

/// Length of the longest header of a box.
const MAX_HEADER: usize = 16;

/// Largest number of boxes in another one that are read.
const MAX_CHILDREN: usize = 1024;

/// Length of a window on a table. A track has up to six.
const WINDOW: usize = 16 << 10;

//! The bytes of a damaged file around the current tag.

use super::{SalvageReader, Salvaged};
use crate::core::flv::{Error, Tag, TagHeader, reader::TagView};

/// Splits a file into tags and garbage, and holds the bytes that are needed for that.
///
/// The caller calls [`SalvageWindow::advance`]. If that returns false, the caller appends more bytes of the
/// file to [`SalvageWindow::buffer`] and calls again. The window grows to the size of the largest tag.
#[derive(Debug, Default)]
pub struct SalvageWindow {
    reader: SalvageReader,
    bytes: Vec<u8>,
    /// Number of bytes at the start of the window that were returned.
    consumed: usize,
    current: Found,
}

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A complete tag.
    Tag {
        /// The tag.
        tag: TagView<'a>,
        /// Its header, body and PreviousTagSize.
        bytes: &'a [u8],
        /// Whether the PreviousTagSize is wrong.
        is_size_wrong: bool,
    },
    /// Number of bytes that belong to no tag.
    Garbage(u64),
}

/// The current piece, without a borrow of the window.
#[derive(Debug)]
enum Found {
    Tag {
        offset: u64,
        header: TagHeader,
        is_size_wrong: bool,
    },
    Garbage(u64),
}

impl SalvageWindow {
    /// Creates a window at the start of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the bytes that are not part of a returned piece.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.consumed..).unwrap_or_default()
    }

    /// Drops the returned bytes. The caller appends the next bytes of the file to the result.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.consumed);
        self.consumed = 0;
        &mut self.bytes
    }

    /// Moves to the next piece. Returns false if the window needs more bytes; if `is_end`, no bytes follow, and
    /// false means the end of the file.
    ///
    /// # Errors
    ///
    /// Returns an error at the end of the file if it has neither an FLV header nor a run of tags.
    pub fn advance(&mut self, is_end: bool) -> Result<bool, Error> {
        let mut rest = self.bytes.get(self.consumed..).unwrap_or_default();
        let salvaged = self.reader.read(&mut rest, is_end)?;
        // Derived from `rest`, not from the piece: the reader may also have skipped a file header.
        self.consumed = self.bytes.len().saturating_sub(rest.len());
        let found = match salvaged {
            None => return Ok(false),
            Some(Salvaged::Tag(tag)) => Found::tag(&tag, false),
            Some(Salvaged::WrongPreviousTagSize(tag)) => Found::tag(&tag, true),
            Some(Salvaged::Garbage(bytes)) => Found::Garbage(bytes),
        };
        self.current = found;
        Ok(true)
    }

    /// Returns the piece that the last [`SalvageWindow::advance`] moved to.
    pub fn piece(&self) -> Piece<'_> {
        let (offset, header, is_size_wrong) = match self.current {
            Found::Garbage(bytes) => return Piece::Garbage(bytes),
            Found::Tag {
                offset,
                header,
                is_size_wrong,
            } => (offset, header, is_size_wrong),
        };
        let body_length = header.length.get() as usize;
        let start = self.consumed.saturating_sub(tag_length(body_length));
        let bytes = self.bytes.get(start..self.consumed).unwrap_or_default();
        let body = bytes.get(TagHeader::LENGTH..).unwrap_or_default();
        let body = body.get(..body_length).unwrap_or_default();
        Piece::Tag {
            tag: TagView {
                offset,
                header,
                body,
            },
            bytes,
            is_size_wrong,
        }
    }
}

impl Found {
    fn tag(tag: &TagView<'_>, is_size_wrong: bool) -> Self {
        Self::Tag {
            offset: tag.offset,
            header: tag.header,
            is_size_wrong,
        }
    }
}

impl Default for Found {
    fn default() -> Self {
        Self::Garbage(0)
    }
}

/// Returns the length of header, body and PreviousTagSize, in bytes.
fn tag_length(body: usize) -> usize {
    body.saturating_add(Tag::FRAMING)
}

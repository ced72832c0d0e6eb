//! Sequential reader of a damaged file, with a window that holds the largest possible tag.

use std::{
    fs::File,
    io::{self, Read, Seek},
};

use super::Error;
use crate::core::flv::{
    TagHeader, head,
    reader::TagView,
    salvage::{SalvageReader, Salvaged},
};

/// File that is split into tags and garbage.
pub(super) struct Source<'f> {
    file: &'f File,
    /// Length of the file when it was opened; bytes appended later are not read.
    length: u64,
    /// Number of bytes read from the file.
    read_to: u64,
    /// Value of `read_to` at the last progress report.
    reported_to: u64,
    salvage: SalvageReader,
    window: Vec<u8>,
    /// Number of bytes at the start of the window that were returned.
    consumed: usize,
}

/// Piece of a file.
pub(super) enum Piece<'a> {
    /// Complete tag; `bytes` are its header, body and PreviousTagSize, which may be wrong.
    Tag {
        tag: TagView<'a>,
        bytes: &'a [u8],
        is_size_wrong: bool,
    },
    /// Number of bytes that belong to no tag.
    Garbage(u64),
}

impl<'f> Source<'f> {
    pub(super) fn new(mut file: &'f File) -> io::Result<Self> {
        file.rewind()?;
        Ok(Self {
            file,
            length: file.metadata()?.len(),
            read_to: 0,
            reported_to: 0,
            salvage: SalvageReader::new(),
            window: Vec::new(),
            consumed: 0,
        })
    }

    /// Returns the start of the file, up to the length of a head. Must be called before `next`.
    pub(super) fn start(&mut self) -> io::Result<&[u8]> {
        while self.window.len() < head::LENGTH && !self.is_at_end() {
            self.fill()?;
        }
        Ok(&self.window)
    }

    /// Returns whether the length of the file changed since it was opened.
    pub(super) fn has_grown(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() != self.length)
    }

    /// Returns the next piece, or `None` at the end of the file.
    pub(super) fn next(
        &mut self,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Option<Piece<'_>>, Error> {
        let (offset, header, length, is_size_wrong) = loop {
            if self.reported_to != self.read_to {
                self.reported_to = self.read_to;
                if !progress(self.read_to, self.length) {
                    return Err(Error::Interrupted);
                }
            }
            let is_end = self.is_at_end();
            let mut rest = self.window.get(self.consumed..).unwrap_or_default();
            let found = self
                .salvage
                .read(&mut rest, is_end)
                .map_err(Error::NotFlv)?;
            // Derived from `rest`, not from the piece: the reader may also have skipped a file header.
            self.consumed = self.window.len().saturating_sub(rest.len());
            match found {
                Some(Salvaged::Tag(tag)) => break (tag.offset, tag.header, tag.length(), false),
                Some(Salvaged::WrongPreviousTagSize(tag)) => {
                    break (tag.offset, tag.header, tag.length(), true);
                }
                Some(Salvaged::Garbage(bytes)) => return Ok(Some(Piece::Garbage(bytes))),
                None if is_end => return Ok(None),
                None => self.fill().map_err(Error::Read)?,
            }
        };
        // The borrow of the window ends inside the loop, so the tag is rebuilt here.
        let range = self.consumed.saturating_sub(length)..self.consumed;
        let bytes = self.window.get(range).unwrap_or_default();
        let mut body = bytes.get(TagHeader::LENGTH..).unwrap_or_default();
        body = body.get(..header.length.get() as usize).unwrap_or_default();
        Ok(Some(Piece::Tag {
            tag: TagView {
                offset,
                header,
                body,
            },
            bytes,
            is_size_wrong,
        }))
    }

    fn is_at_end(&self) -> bool {
        self.read_to >= self.length
    }

    /// Drops the consumed bytes and reads more.
    fn fill(&mut self) -> io::Result<()> {
        self.window.drain(..self.consumed);
        self.consumed = 0;
        let count = self.length.saturating_sub(self.read_to).min(BUFFER_BYTES);
        let read = self.file.take(count).read_to_end(&mut self.window)? as u64;
        self.read_to = self.read_to.saturating_add(read);
        if read < count {
            // Another program truncated the file.
            self.length = self.read_to;
        }
        Ok(())
    }
}

/// Bytes per read.
const BUFFER_BYTES: u64 = 1 << 20;

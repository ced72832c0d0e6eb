//! A file that is read from its beginning to its end, through a window that any tag fits into.

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

/// What is left of a file to be read.
pub(super) struct Source<'f> {
    file: &'f File,
    /// How long the file was when it was opened: what grows behind is none of ours.
    length: u64,
    /// Up to where it was read.
    read_to: u64,
    /// Up to where that was told.
    reported_to: u64,
    salvage: SalvageReader,
    window: Vec<u8>,
    /// Where in the file the window begins.
    window_offset: u64,
    /// What of the window was consumed.
    consumed: usize,
}

/// What a file consists of.
pub(super) enum Piece<'a> {
    /// A whole tag, but perhaps for its back pointer; `bytes` are header, body and back pointer.
    Tag {
        tag: TagView<'a>,
        bytes: &'a [u8],
        is_size_wrong: bool,
    },
    /// So many bytes that belong to no tag.
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
            window_offset: 0,
            consumed: 0,
        })
    }

    /// The first bytes of the file, as many as a head of ours has; to be called before anything is read.
    pub(super) fn start(&mut self) -> io::Result<&[u8]> {
        while self.window.len() < head::LENGTH && !self.is_at_end() {
            self.fill()?;
        }
        Ok(&self.window)
    }

    /// Whether the file is as long as it was.
    pub(super) fn has_grown(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() != self.length)
    }

    /// What comes next; `None` at the end.
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
            let left = rest.len();
            match found {
                Some(Salvaged::Tag(tag)) => break (tag.offset, tag.header, tag.length(), false),
                Some(Salvaged::WrongPreviousTagSize(tag)) => break (tag.offset, tag.header, tag.length(), true),
                Some(Salvaged::Garbage(bytes)) => {
                    self.consumed = self.window.len() - left;
                    return Ok(Some(Piece::Garbage(bytes)));
                }
                None if is_end => return Ok(None),
                None => {
                    self.consumed = self.window.len() - left;
                    self.fill().map_err(Error::Read)?;
                }
            }
        };
        let begin = (offset - self.window_offset) as usize;
        self.consumed = begin + length;
        let bytes = &self.window[begin..self.consumed];
        let body = &bytes[TagHeader::LENGTH..][..header.length.get() as usize];
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

    /// Forgets what was consumed and reads on.
    fn fill(&mut self) -> io::Result<()> {
        self.window.drain(..self.consumed);
        self.window_offset += self.consumed as u64;
        self.consumed = 0;
        let count = (self.length - self.read_to).min(BUFFER_BYTES);
        let read = self.file.take(count).read_to_end(&mut self.window)? as u64;
        self.read_to += read;
        if read < count {
            // Somebody has cut it off.
            self.length = self.read_to;
        }
        Ok(())
    }
}

/// How much is read at a time.
const BUFFER_BYTES: u64 = 1 << 20;

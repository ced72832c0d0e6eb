//! Sequential reader of a damaged file.

use std::{
    fs::File,
    io::{self, Read, Seek},
};

use super::Error;
use crate::core::flv::{
    head,
    salvage::{Piece, SalvageWindow},
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
    window: SalvageWindow,
}

impl<'f> Source<'f> {
    pub(super) fn new(mut file: &'f File) -> io::Result<Self> {
        file.rewind()?;
        Ok(Self {
            file,
            length: file.metadata()?.len(),
            read_to: 0,
            reported_to: 0,
            window: SalvageWindow::new(),
        })
    }

    /// Returns the start of the file, up to the length of a head. Must be called before `next`.
    pub(super) fn start(&mut self) -> io::Result<&[u8]> {
        while self.window.rest().len() < head::LENGTH && !self.is_at_end() {
            self.fill()?;
        }
        Ok(self.window.rest())
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
        loop {
            if self.reported_to != self.read_to {
                self.reported_to = self.read_to;
                if !progress(self.read_to, self.length) {
                    return Err(Error::Interrupted);
                }
            }
            let is_end = self.is_at_end();
            if self.window.advance(is_end).map_err(Error::NotFlv)? {
                return Ok(Some(self.window.piece()));
            }
            if is_end {
                return Ok(None);
            }
            self.fill().map_err(Error::Read)?;
        }
    }

    fn is_at_end(&self) -> bool {
        self.read_to >= self.length
    }

    /// Reads more bytes into the window.
    fn fill(&mut self) -> io::Result<()> {
        let count = self.length.saturating_sub(self.read_to).min(BUFFER_BYTES);
        let read = self.file.take(count).read_to_end(self.window.buffer())? as u64;
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

//! Bytes of a file.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use crate::core::mp4::index_reader::Source;

/// A file that is read at any offset. Short reads are combined.
#[derive(Debug)]
pub(super) struct FileSource {
    file: File,
    length: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl FileSource {
    /// Creates a source for the first `length` bytes of a file.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self {
            file,
            length,
            window: Vec::new(),
            window_at: 0,
        }
    }

    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// Copies bytes at `offset` from the window to `buffer`, unless it lacks some.
    fn copy(&self, offset: u64, buffer: &mut [u8]) -> Option<usize> {
        let start = usize::try_from(offset.checked_sub(self.window_at)?).ok()?;
        let bytes = self.window.get(start..)?.get(..buffer.len())?;
        buffer.copy_from_slice(bytes);
        Some(buffer.len())
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.seek(SeekFrom::Start(offset))?;
        let mut count = 0;
        while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
            match self.file.read(rest) {
                Ok(0) => break,
                Ok(read) => count = count.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

impl Source for FileSource {
    type Error = io::Error;

    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        // The file may grow while it is read.
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        if let Some(count) = self.copy(offset, buffer) {
            return Ok(count);
        }
        if length >= WINDOW {
            return self.read(offset, buffer);
        }
        let mut window = std::mem::take(&mut self.window);
        window.resize(WINDOW.min(left), 0);
        let read = self.read(offset, &mut window)?;
        window.truncate(read);
        (self.window, self.window_at) = (window, offset);
        let length = length.min(read);
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        Ok(self.copy(offset, buffer).unwrap_or(0))
    }
}

/// Number of bytes that a short read reads.
const WINDOW: usize = 4096;

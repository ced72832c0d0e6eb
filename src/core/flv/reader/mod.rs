//! Reads the tags of a file that may still grow, or end inside a tag.

use super::{Error, FileHeader, PREVIOUS_TAG_SIZE_LENGTH, TagHeader};
use crate::core::wire::{Missing, Reader};

/// Reads an FLV file piece by piece and tracks where its last intact tag ends.
///
/// The reader does not store bytes: the caller keeps the unread bytes, appends to them and calls again.
/// The caller must be able to hold the largest tag, which has 16 MiB.
///
/// ```
/// use rtmpull::core::flv::TagReader;
///
/// let file = b"FLV\x01\x04\0\0\0\x09\0\0\0\0\x08\0\0\x01\0\0\0\0\0\0\0\x72\0\0\0\x0c\x08\0\0";
/// let (mut reader, mut rest) = (TagReader::new(), &file[..]);
/// while let Some(tag) = reader.read(&mut rest).unwrap() {
///     println!("{} at {}: {} bytes", tag.header.kind, tag.offset, tag.body.len());
/// }
/// assert_eq!(reader.intact_end(), 29);
/// assert_eq!(reader.torn(rest).unwrap().bytes, 3);
/// ```
#[derive(Debug, Clone, Default)]
pub struct TagReader {
    header: Option<FileHeader>,
    /// Bytes between the file header and the first tag that are still to be skipped.
    skip: u64,
    position: u64,
}

impl TagReader {
    /// Creates a reader that starts at the first byte of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next tag and removes it from the front of `input`. Returns `None` if `input` ends inside
    /// the tag.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes at [`TagReader::intact_end`] are not a tag. Neither `input` nor the
    /// reader moves then, and another call returns the same error.
    pub fn read<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<TagView<'a>>, Error> {
        if !self.pass_header(input)? {
            return Ok(None);
        }
        match self.tag(input) {
            Ok(tag) => {
                self.pass(input, tag.length());
                Ok(Some(tag))
            }
            Err(Error::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the file header, once it has been read.
    pub fn header(&self) -> Option<FileHeader> {
        self.header
    }

    /// Returns the offset in the file at which the last intact tag ends, or the header if there is no tag.
    pub fn intact_end(&self) -> u64 {
        self.position
    }

    /// Describes the torn end of a file. `rest` are the bytes left by [`TagReader::read`], and no bytes
    /// follow them. Returns `None` if the file ends after a tag or after its header.
    pub fn torn(&self, rest: &[u8]) -> Option<Torn> {
        let error = if self.header.is_none() {
            FileHeader::read(&mut Reader::new(rest)).err()
        } else if self.skip > 0 {
            Some(Error::Missing(Missing("file header")))
        } else if rest.is_empty() {
            None
        } else {
            self.tag(rest).err()
        }?;
        Some(Torn {
            offset: self.position,
            bytes: rest.len(),
            error,
        })
    }

    /// Reads the file header and skips to the first tag. Returns false if `input` ends before it.
    fn pass_header(&mut self, input: &mut &[u8]) -> Result<bool, Error> {
        if self.header.is_none() {
            let header = match FileHeader::read(&mut Reader::new(input)) {
                Err(Error::Missing(_)) => return Ok(false),
                header => header?,
            };
            self.header = Some(header);
            self.skip =
                u64::from(header.data_offset).saturating_add(PREVIOUS_TAG_SIZE_LENGTH as u64);
        }
        let count = usize::try_from(self.skip).unwrap_or(usize::MAX);
        let count = count.min(input.len());
        self.pass(input, count);
        self.skip = self.skip.saturating_sub(count as u64);
        Ok(self.skip == 0)
    }

    fn tag<'a>(&self, input: &'a [u8]) -> Result<TagView<'a>, Error> {
        let (tag, found) = TagView::parse(self.position, input)?;
        let expected = tag.header.previous_tag_size();
        if found != expected {
            return Err(Error::PreviousTagSize {
                tag_offset: self.position,
                expected,
                found,
            });
        }
        Ok(tag)
    }

    fn pass(&mut self, input: &mut &[u8], count: usize) {
        *input = input.get(count..).unwrap_or_default();
        self.position = self.position.saturating_add(count as u64);
    }
}

/// A complete tag, borrowed from the input of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagView<'a> {
    /// Offset in the file of the first byte.
    pub offset: u64,
    /// The parsed header.
    pub header: TagHeader,
    /// Bytes between the header and PreviousTagSize.
    pub body: &'a [u8],
}

impl<'a> TagView<'a> {
    /// Parses the tag at the start of `bytes`. Returns it with the value of its PreviousTagSize field.
    pub(super) fn parse(offset: u64, bytes: &'a [u8]) -> Result<(Self, u32), Missing> {
        let mut reader = Reader::new(bytes);
        let header = TagHeader::read(&mut reader)?;
        let tag = Self {
            offset,
            header,
            body: reader.take(header.length.get() as usize, "tag body")?,
        };
        Ok((tag, reader.u32("PreviousTagSize")?))
    }

    /// Returns the length of header, body and PreviousTagSize, in bytes.
    pub fn length(&self) -> usize {
        [TagHeader::LENGTH, self.body.len(), PREVIOUS_TAG_SIZE_LENGTH]
            .into_iter()
            .fold(0, usize::saturating_add)
    }
}

/// The bytes after the last intact tag of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// Offset in the file at which they begin.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: usize,
    /// The field in which the file ends, or the reason why the bytes are not a tag.
    pub error: Error,
}

#[cfg(test)]
mod tests;

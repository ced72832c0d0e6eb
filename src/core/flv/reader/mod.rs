//! Walking the tags of a file that may still grow, or end anywhere.

use super::{Error, FileHeader, PREVIOUS_TAG_SIZE_LENGTH, TagHeader};
use crate::core::wire::{Missing, Reader};

/// Reads an FLV file piece by piece and knows where its last intact tag ends.
///
/// It keeps no bytes: the caller holds what was not read yet, appends to it and asks again. The
/// largest tag has 16 MiB, and so has what a caller must be able to hold.
///
/// ```
/// use rtmpull::core::flv::Reader;
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
    /// What lies between the file header and the first tag and was not passed yet.
    skip: u64,
    position: u64,
}

impl TagReader {
    /// Starts at the first byte of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next tag and moves `input` behind it; `None` where `input` ends inside it.
    ///
    /// After an error nothing has moved, and the same bytes give the same error again: from
    /// [`TagReader::intact_end`] on the file is no FLV.
    pub fn read<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<TagView<'a>>, Error> {
        if !self.pass_header(input)? {
            return Ok(None);
        }
        match self.tag(&mut Reader::new(input)) {
            Ok(tag) => {
                self.pass(input, tag.length());
                Ok(Some(tag))
            }
            Err(Error::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file's header, once it was read.
    pub fn header(&self) -> Option<FileHeader> {
        self.header
    }

    /// How many bytes from the start of the file are whole: header and tags.
    ///
    /// Everything in front of it was read; what comes behind it may be torn.
    pub fn intact_end(&self) -> u64 {
        self.position
    }

    /// What is wrong with `rest`, which [`TagReader::read`] left, if nothing more will come. `None`
    /// where the file ends behind a tag or behind its header.
    pub fn torn(&self, rest: &[u8]) -> Option<Torn> {
        let fault = if self.header.is_none() {
            FileHeader::read(&mut Reader::new(rest)).err()
        } else if self.skip > 0 {
            Some(Error::Missing(Missing("file header")))
        } else if rest.is_empty() {
            None
        } else {
            self.tag(&mut Reader::new(rest)).err()
        }?;
        Some(Torn {
            offset: self.position,
            bytes: rest.len(),
            fault,
        })
    }

    /// Reads the file header and passes it up to the first tag; false where `input` ends before.
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

    fn tag<'a>(&self, reader: &mut Reader<'a>) -> Result<TagView<'a>, Error> {
        let header = TagHeader::read(reader)?;
        let body = reader.take(header.length.get() as usize, "tag body")?;
        let found = reader.u32("back pointer")?;
        let expected = header.previous_tag_size();
        if found != expected {
            return Err(Error::PreviousTagSize {
                tag_offset: self.position,
                expected,
                found,
            });
        }
        Ok(TagView {
            offset: self.position,
            header,
            body,
        })
    }

    fn pass(&mut self, input: &mut &[u8], count: usize) {
        *input = input.get(count..).unwrap_or_default();
        self.position = self.position.saturating_add(count as u64);
    }
}

/// A tag as [`TagReader`] found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagView<'a> {
    /// Where in the file its first byte is.
    pub offset: u64,
    /// Kind, length and time.
    pub header: TagHeader,
    /// The bytes between the header and the back pointer.
    pub body: &'a [u8],
}

impl TagView<'_> {
    /// Header, body and back pointer: how many bytes of the file it takes.
    pub fn length(&self) -> usize {
        [TagHeader::LENGTH, self.body.len(), PREVIOUS_TAG_SIZE_LENGTH]
            .into_iter()
            .fold(0, usize::saturating_add)
    }
}

/// The end of a file behind its last intact tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// Where it begins.
    pub offset: u64,
    /// How many bytes there are.
    pub bytes: usize,
    /// In what the file ends, or why this is no tag.
    pub fault: Error,
}

#[cfg(test)]
mod tests;

//! Encoding of boxes (ISO 14496-12 4.2).

use crate::core::wire::{Missing, Reader};

/// Appends a box whose body `write` appends.
pub(super) fn put(out: &mut Vec<u8>, kind: &[u8; 4], write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(kind);
    write(out);
    let length = out.len().saturating_sub(start);
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *field = length.to_be_bytes();
    }
}

/// Appends a box with version and flags (ISO 14496-12 4.2.2).
pub(super) fn put_full(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    version: u8,
    flags: u32,
    write: impl FnOnce(&mut Vec<u8>),
) {
    put(out, kind, |out| {
        out.extend((u32::from(version) << 24 | flags & 0xFF_FFFF).to_be_bytes());
        write(out);
    });
}

/// Header of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BoxHeader {
    pub(crate) kind: [u8; 4],
    /// Length of the header in bytes.
    pub(crate) header: u64,
    /// Length of the box with its header in bytes; 0 if the box extends to the end of the file.
    pub(crate) length: u64,
}

impl BoxHeader {
    /// Reads 8 bytes, or 16 if the length has 64 bits.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Missing> {
        let length = reader.u32("box length")?;
        let kind = reader.array("box type")?;
        if length != 1 {
            return Ok(Self {
                kind,
                header: SHORT_HEADER,
                length: length.into(),
            });
        }
        let length = reader.array("large box length").map(u64::from_be_bytes)?;
        Ok(Self {
            kind,
            header: LONG_HEADER,
            length,
        })
    }

    /// Reads a box that is completely in memory, and returns its body.
    pub(super) fn read_complete<'a>(
        reader: &mut Reader<'a>,
    ) -> Result<([u8; 4], &'a [u8]), Missing> {
        let header = Self::read(reader)?;
        let body = header.length.checked_sub(header.header);
        let body = body.and_then(|body| usize::try_from(body).ok());
        let body = body.ok_or(Missing("box body"))?;
        Ok((header.kind, reader.take(body, "box body")?))
    }
}

/// Length of a box header in bytes, if the length of the box has 32 bits.
pub(super) const SHORT_HEADER: u64 = 8;

/// Length of a box header in bytes, if the length of the box has 64 bits.
const LONG_HEADER: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_include_headers_and_nested_boxes() {
        let mut out = Vec::new();
        put(&mut out, b"moof", |out| {
            put_full(out, b"mfhd", 1, 0x02_0304, |out| out.extend([9]));
        });
        #[rustfmt::skip]
        let expected = [
            0, 0, 0, 21, b'm', b'o', b'o', b'f',
            0, 0, 0, 13, b'm', b'f', b'h', b'd',
            1, 2, 3, 4, // version and flags
            9,
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn long_lengths_and_lengths_inside_the_header() {
        let long = [
            0, 0, 0, 1, b'm', b'd', b'a', b't', 0, 0, 0, 0, 0, 0, 0, 17, 5,
        ];
        let read = BoxHeader::read_complete(&mut Reader::new(&long));
        assert_eq!(read, Ok((*b"mdat", &[5][..])));
        let inside = [0, 0, 0, 7, b'm', b'd', b'a', b't'];
        let read = BoxHeader::read_complete(&mut Reader::new(&inside));
        assert_eq!(read, Err(Missing("box body")));
        for cut in 0..long.len() {
            let read = BoxHeader::read_complete(&mut Reader::new(&long[..cut]));
            assert!(read.is_err());
        }
    }
}

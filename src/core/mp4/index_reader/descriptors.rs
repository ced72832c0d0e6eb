//! MPEG-4 descriptors in a setup (ISO 14496-1 7.2.6).

use crate::core::wire::{Missing, Reader};

/// Codec of an `esds` box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoder<'a> {
    /// objectTypeIndication (ISO 14496-1 table 5).
    pub(super) object_type: u8,
    /// Configuration record of the codec.
    pub(super) record: &'a [u8],
}

/// Reads the body of an `esds` box.
pub(super) fn read(body: &[u8]) -> Option<Decoder<'_>> {
    read_box(&mut Reader::new(body)).ok()
}

fn read_box<'a>(fields: &mut Reader<'a>) -> Result<Decoder<'a>, Missing> {
    fields.u32("version and flags")?;
    let mut stream = descriptor(fields, 0x03)?;
    stream.u16("ES_ID")?;
    let flags = stream.u8("flags")?;
    if flags & 0x80 != 0 {
        stream.u16("dependsOn_ES_ID")?;
    }
    if flags & 0x40 != 0 {
        let length = stream.u8("URL length")?;
        stream.take(length.into(), "URL")?;
    }
    if flags & 0x20 != 0 {
        stream.u16("OCR_ES_Id")?;
    }
    let mut decoder = descriptor(&mut stream, 0x04)?;
    let object_type = decoder.u8("object type")?;
    decoder.take(12, "fields of the decoder")?;
    let record = descriptor(&mut decoder, 0x05).map(|record| record.rest());
    Ok(Decoder {
        object_type,
        record: record.unwrap_or_default(),
    })
}

/// Reads a descriptor, whose length has one to four bytes of seven bits (ISO 14496-1 8.3.3).
fn descriptor<'a>(fields: &mut Reader<'a>, tag: u8) -> Result<Reader<'a>, Missing> {
    let found = fields.u8("descriptor tag")?;
    let mut length = 0_usize;
    for _ in 0..4 {
        let byte = fields.u8("descriptor length")?;
        length = length.wrapping_shl(7) | usize::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            break;
        }
    }
    // Some writers state a length that exceeds the box.
    let length = length.min(fields.len());
    let body = fields.take(length, "descriptor")?;
    match found == tag {
        true => Ok(Reader::new(body)),
        false => Err(Missing("descriptor")),
    }
}

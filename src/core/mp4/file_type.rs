//! The file type of a growing and of a finished file, and the space that is reserved after it.

use super::boxes::put;

/// Returns the file type of a fragmented file.
pub(super) fn fragmented_file_type() -> Vec<u8> {
    file_type(b"iso5", [b"iso5", b"iso6", b"mp42", b"mp41"])
}

/// Returns the file type of a finished file.
pub(super) fn finished_file_type(is_avc: bool) -> Vec<u8> {
    let third = if is_avc { b"avc1" } else { b"mp42" };
    file_type(b"isom", [b"isom", b"iso2", third, b"mp41"])
}

/// Returns a file type box with four compatible brands (ISO 14496-12 4.3).
fn file_type(major: &[u8; 4], compatible: [&[u8; 4]; 4]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, b"ftyp", |out| {
        out.extend(major);
        out.extend(512_u32.to_be_bytes()); // minor_version
        compatible.into_iter().for_each(|brand| out.extend(brand));
    });
    out
}

/// Header of the `free` box that reserves space for the header of an `mdat` box. 8 unused bytes follow, and a copy
/// of the file type.
pub(super) const RESERVED: [u8; 8] = [0, 0, 0, 48, b'f', b'r', b'e', b'e'];

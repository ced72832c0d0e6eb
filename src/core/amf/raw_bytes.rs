//! Bytes that are not UTF-8 inside Rust strings.
//!
//! Users pass names in other encodings, such as Latin-1, and servers expect them unchanged. In a `String`,
//! each byte that is not UTF-8 is represented by a private-use character, so that names and URLs can be split
//! and compared as strings. [`Text`](super::Text) turns these characters back into bytes.

use std::borrow::Cow;

/// Converts bytes to a string that represents all of them.
pub fn decode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match byte_of(c) {
                // The character itself would be taken for a byte.
                Some(_) => out.extend(c.encode_utf8(&mut [0; 4]).bytes().map(represented)),
                None => out.push(c),
            }
        }
        out.extend(chunk.invalid().iter().map(|byte| represented(*byte)));
    }
    out
}

/// Converts a string to the bytes that it represents.
pub(super) fn encode(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(|c| byte_of(c).is_some()) {
        return text.as_bytes().into();
    }
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte_of(c) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.into()
}

/// Returns the byte that a character represents.
pub fn byte_of(c: char) -> Option<u8> {
    let offset = u32::from(c).checked_sub(FIRST)?;
    u8::try_from(offset).ok()
}

fn represented(byte: u8) -> char {
    let offset = u32::from(byte);
    char::from_u32(FIRST | offset).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// First of the 256 characters at the end of the last private-use plane.
const FIRST: u32 = 0x10_FF00;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn invalid_bytes_become_private_use_characters() {
        assert_eq!(decode("größer".as_bytes()), "größer");
        assert_eq!(decode(b"caf\xe9!"), "caf\u{10ffe9}!");
        assert_eq!(byte_of('\u{10ffe9}'), Some(0xe9));
        assert_eq!(byte_of('é'), None);
    }

    proptest! {
        #[test]
        fn all_bytes_are_kept(bytes: Vec<u8>, text in "[a\u{10ff00}-\u{10ffff}]{0,4}") {
            for bytes in [&bytes, text.as_bytes()] {
                let decoded = decode(bytes);
                prop_assert_eq!(&*encode(&decoded), bytes);
            }
        }
    }
}

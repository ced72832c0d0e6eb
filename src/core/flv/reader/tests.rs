use proptest::prelude::*;

use super::*;
use crate::core::{
    flv::{PREVIOUS_TAG_SIZE_0, Tag, TagKind},
    payload::Payload,
};

#[rustfmt::skip]
const FILE: &[u8] = &[
    0x46, 0x4C, 0x56, 1, 0b100, 0, 0, 0, 9, // FLV, audio
    0, 0, 0, 0,                             // PreviousTagSize0
    8, 0, 0, 2, 0, 0, 5, 0, 0, 0, 0,        // audio, 2 bytes, at 5 ms
    0xAF, 0x01,
    0, 0, 0, 13,                            // PreviousTagSize
    9, 0, 0, 0, 0xFF, 0xF6, 0xFF, 0xFF, 0, 0, 0, // video, empty, at -2305 ms
    0, 0, 0, 11,                            // PreviousTagSize
];

#[test]
fn tags_are_read_in_order() {
    let (mut reader, mut rest) = (TagReader::new(), FILE);
    assert_eq!(reader.header(), None);
    let tag = reader.read(&mut rest).unwrap().unwrap();
    assert_eq!(reader.header(), Some(FileHeader::new(true, false)));
    assert_eq!((tag.offset, tag.body), (13, &[0xAF, 0x01][..]));
    assert_eq!(tag.header.kind, TagKind::AUDIO);
    assert_eq!(tag.header.timestamp_ms, 5);
    let tag = reader.read(&mut rest).unwrap().unwrap();
    assert_eq!((tag.offset, tag.body), (30, &[][..]));
    assert_eq!(tag.header.timestamp_ms, -2305);
    assert_eq!(reader.read(&mut rest), Ok(None));
    assert_eq!(reader.intact_end(), FILE.len() as u64);
    assert_eq!(reader.torn(rest), None);
}

#[test]
fn torn_end_names_the_incomplete_field() {
    let torn = |cut: usize| {
        let (mut reader, mut rest) = (TagReader::new(), &FILE[..cut]);
        while reader.read(&mut rest).unwrap().is_some() {}
        reader
            .torn(rest)
            .map(|torn| (torn.offset, torn.bytes, torn.error.to_string()))
    };
    let ends = |offset, bytes, what: &str| Some((offset, bytes, format!("ends inside {what}")));
    assert_eq!(torn(0), ends(0, 0, "file header"));
    assert_eq!(torn(8), ends(0, 8, "file header"));
    assert_eq!(torn(12), ends(12, 0, "file header"));
    assert_eq!(torn(13), None);
    assert_eq!(torn(14), ends(13, 1, "tag header"));
    assert_eq!(torn(24), ends(13, 11, "tag body"));
    assert_eq!(torn(29), ends(13, 16, "PreviousTagSize"));
    assert_eq!(torn(30), None);
}

#[test]
fn wrong_previous_tag_size_is_an_error_that_repeats() {
    let mut file = FILE.to_vec();
    file[44] = 12;
    let (mut reader, mut rest) = (TagReader::new(), &file[..]);
    assert!(reader.read(&mut rest).unwrap().is_some());
    let error = Error::PreviousTagSize {
        tag_offset: 30,
        expected: 11,
        found: 12,
    };
    for _ in 0..2 {
        assert_eq!(reader.read(&mut rest), Err(error));
        assert_eq!((reader.intact_end(), rest.len()), (30, 15));
    }
    assert_eq!(reader.torn(rest).unwrap().error, error);
}

#[test]
fn zeros_after_the_last_tag_are_not_a_tag() {
    let file = [FILE, &[0; 100]].concat();
    let (mut reader, mut rest) = (TagReader::new(), &file[..]);
    let tags = std::iter::from_fn(|| reader.read(&mut rest).ok().flatten());
    assert_eq!(tags.count(), 2);
    assert_eq!(reader.torn(rest).unwrap().offset, FILE.len() as u64);
    assert_eq!(reader.torn(rest).unwrap().bytes, 100);
}

#[test]
fn other_format_is_rejected_at_once() {
    let mut rest = &b"<!DOCTYPE html>"[..];
    let mut reader = TagReader::new();
    assert_eq!(reader.read(&mut rest), Err(Error::Signature(*b"<!D")));
    assert_eq!(reader.torn(rest).unwrap().error, Error::Signature(*b"<!D"));
}

#[test]
fn long_header_is_skipped_without_storing_it() {
    let mut reader = TagReader::new();
    let mut rest = &b"FLV\x01\x05\xFF\xFF\xFF\xFF"[..];
    assert_eq!(reader.read(&mut rest), Ok(None));
    assert!(rest.is_empty());
    let zeros = vec![0; 1 << 20];
    for _ in 0..3 {
        let mut rest = &zeros[..];
        assert_eq!(reader.read(&mut rest), Ok(None));
        assert!(rest.is_empty());
    }
    assert_eq!(reader.intact_end(), 9 + (3 << 20));
    let error = reader.torn(&[]).unwrap().error;
    assert_eq!(error, Missing("file header").into());
}

fn any_tags() -> impl Strategy<Value = Vec<(u8, u32, Vec<u8>)>> {
    let body = prop::collection::vec(any::<u8>(), 0..200);
    prop::collection::vec((0..32u8, 0..=0x7FFF_FFFFu32, body), 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn written_tags_are_read_back_in_any_pieces(
        tags in any_tags(),
        pieces in prop::collection::vec(1usize..300, 1..50),
    ) {
        let mut file = FileHeader::new(true, true).to_bytes().to_vec();
        file.extend(PREVIOUS_TAG_SIZE_0);
        for (kind, timestamp_ms, body) in &tags {
            let tag = Tag::new(TagKind(*kind), *timestamp_ms, Payload::from(&body[..]));
            file.extend(tag.as_bytes());
        }
        let (mut reader, mut inbox, mut found) = (TagReader::new(), Vec::new(), Vec::new());
        let mut arriving = &file[..];
        for piece in pieces.into_iter().cycle() {
            let (piece, later) = arriving.split_at(piece.min(arriving.len()));
            inbox.extend_from_slice(piece);
            let mut rest = &inbox[..];
            while let Some(tag) = reader.read(&mut rest).unwrap() {
                let timestamp_ms = tag.header.timestamp_ms as u32;
                found.push((tag.header.kind.0, timestamp_ms, tag.body.to_vec()));
            }
            inbox = rest.to_vec();
            prop_assert_eq!(reader.intact_end() as usize + inbox.len() + later.len(), file.len());
            arriving = later;
            if arriving.is_empty() {
                break;
            }
        }
        prop_assert_eq!(found, tags);
        prop_assert_eq!(reader.torn(&inbox), None);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let file = [&FILE[..13], &bytes].concat();
        let (mut reader, mut rest) = (TagReader::new(), &file[..]);
        while let Ok(Some(_)) = reader.read(&mut rest) {}
        prop_assert_eq!(reader.intact_end() as usize + rest.len(), file.len());
    }
}

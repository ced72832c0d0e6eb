use proptest::prelude::*;

use super::*;
use crate::core::{flv::Tag, payload::Payload};

const HEADER: &[u8] = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";

fn tag(number: u8) -> Vec<u8> {
    let body = vec![number; usize::from(number) * 3 + 1];
    let kind = TagKind([8, 9, 18][usize::from(number) % 3]);
    Tag::new(kind, u32::from(number) * 40, Payload::from(&body[..])).into_bytes()
}

/// Contents of a file: the offsets of intact tags and of tags with a wrong PreviousTagSize, and the offset
/// and length of each run of garbage.
#[derive(Debug, Default, PartialEq)]
struct Contents {
    tags: Vec<u64>,
    wrong_size: Vec<u64>,
    garbage: Vec<(u64, u64)>,
}

fn contents(file: &[u8], piece: usize) -> Result<Contents, Error> {
    let mut salvage = SalvageReader::new();
    let mut contents = Contents::default();
    let (mut begin, mut end) = (0, 0);
    loop {
        let mut input = &file[begin..end];
        let is_end = end == file.len();
        assert_eq!(salvage.position(), begin as u64);
        let found = salvage.read(&mut input, is_end)?;
        begin = end - input.len();
        match found {
            Some(Salvaged::Tag(tag)) => {
                assert_eq!(tag.offset, salvage.position() - tag.length() as u64);
                contents.tags.push(tag.offset);
            }
            Some(Salvaged::WrongPreviousTagSize(tag)) => contents.wrong_size.push(tag.offset),
            Some(Salvaged::Garbage(bytes)) => {
                let at = salvage.position() - bytes;
                match contents.garbage.last_mut() {
                    Some((begin, length)) if *begin + *length == at => *length += bytes,
                    _ => contents.garbage.push((at, bytes)),
                }
            }
            None if is_end => break,
            None => end = (end + piece).min(file.len()),
        }
    }
    assert_eq!(begin, file.len());
    Ok(contents)
}

/// Builds a file and returns it with the offset of each part and of its end.
fn file(parts: &[&[u8]]) -> (Vec<u8>, Vec<u64>) {
    let mut file = HEADER.to_vec();
    let mut offsets = Vec::new();
    for part in parts {
        offsets.push(file.len() as u64);
        file.extend_from_slice(part);
    }
    offsets.push(file.len() as u64);
    (file, offsets)
}

fn check(parts: &[&[u8]], tags: &[usize], wrong_size: &[usize], garbage: &[usize]) {
    let (file, offsets) = file(parts);
    let at = |parts: &[usize]| parts.iter().map(|part| offsets[*part]).collect::<Vec<_>>();
    let garbage = garbage
        .iter()
        .map(|part| (offsets[*part], offsets[part + 1] - offsets[*part]));
    let expected = Contents {
        tags: at(tags),
        wrong_size: at(wrong_size),
        garbage: garbage.collect(),
    };
    for piece in [1, 7, 100, 1 << 20] {
        assert_eq!(contents(&file, piece).as_ref(), Ok(&expected), "by {piece}");
    }
}

#[test]
fn intact_file_contains_only_tags() {
    check(&[&tag(1), &tag(2), &tag(3)], &[0, 1, 2], &[], &[]);
    check(&[], &[], &[], &[]);
}

#[test]
fn truncated_file_keeps_the_complete_tags() {
    let (whole, offsets) = file(&[&tag(1), &tag(0), &tag(8), &tag(9)]);
    for cut in HEADER.len()..=whole.len() {
        let end = offsets.iter().rfind(|end| **end <= cut as u64).unwrap();
        let found = contents(&whole[..cut], 5).unwrap();
        let tags = offsets.iter().copied().filter(|begin| begin < end);
        assert_eq!(found.tags, tags.collect::<Vec<_>>(), "cut at {cut}");
        let torn = (*end, cut as u64 - end);
        assert_eq!(
            found.garbage,
            Vec::from_iter(Some(torn).filter(|torn| torn.1 > 0))
        );
    }
    for cut in 0..9 {
        assert!(contents(&whole[..cut], 5).is_err(), "cut at {cut}");
    }
    for cut in 9..13 {
        assert_eq!(contents(&whole[..cut], 5), Ok(Contents::default()));
    }
}

#[test]
fn tags_after_garbage_are_found() {
    let noise: Vec<u8> = (0..1000u32).map(|n| (n * n % 251) as u8).collect();
    let torn = &tag(50)[..70];
    let zeros = [0; 5000];
    let likely: Vec<u8> = [8, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0].repeat(20);
    for garbage in [&noise[..], torn, &zeros, HEADER, &likely, b"\x09"] {
        let parts: [&[u8]; 4] = [&tag(1), garbage, &tag(2), &tag(3)];
        check(&parts, &[0, 2, 3], &[], &[1]);
        check(&[garbage, &tag(2)], &[1], &[], &[0]);
        check(&[&tag(2), garbage], &[0], &[], &[1]);
    }
}

#[test]
fn second_recording_in_the_same_file_is_found() {
    let torn = &tag(60)[..100];
    let parts: [&[u8]; 6] = [&tag(5), &tag(6), torn, HEADER, &tag(1), &tag(2)];
    let (file, offsets) = file(&parts);
    let found = contents(&file, 9).unwrap();
    assert_eq!(found.tags, [0, 1, 4, 5].map(|part| offsets[part]));
    assert_eq!(found.garbage, [(offsets[2], 113)]);
}

#[test]
fn torn_tag_does_not_hide_later_tags_that_end_at_its_announced_end() {
    let torn = &tag(60)[..100];
    let left = tag(60).len() - torn.len() - tag(1).len() - tag(2).len();
    let filling = Tag::new(TagKind::AUDIO, 0, Payload::from(&vec![7; left - 15][..]));
    let parts: [&[u8]; 5] = [torn, &tag(1), &tag(2), filling.as_bytes(), &tag(3)];
    check(&parts, &[1, 2, 3, 4], &[], &[0]);
}

#[test]
fn tag_with_a_wrong_previous_tag_size_is_kept() {
    let wrong = |number, previous_tag_size: u32| {
        let mut tag = tag(number);
        let end = tag.len() - 4;
        tag[end..].copy_from_slice(&previous_tag_size.to_be_bytes());
        tag
    };
    check(&[&tag(1), &wrong(2, 7), &tag(3)], &[0, 2], &[1], &[]);
    // Some writers always set the field wrong.
    let parts: [&[u8]; 3] = [&wrong(1, 0), &wrong(2, 0), &wrong(3, 0)];
    check(&parts, &[], &[0, 1, 2], &[]);
    // A wrong field at the end does not prove that the tag is complete.
    check(&[&tag(1), &wrong(2, 0)], &[0], &[], &[1]);
    // Nor does a tag with a timestamp one hour later.
    let late = Tag::new(TagKind::AUDIO, 3_600_000, Payload::from(&b"\x2f\x01"[..]));
    check(
        &[&tag(1), &wrong(2, 0), late.as_bytes()],
        &[0, 2],
        &[],
        &[1],
    );
}

#[test]
fn tags_of_any_type_are_kept_after_an_intact_tag() {
    let mut encrypted = tag(4);
    encrypted[0] |= 0x20;
    let mut unknown = tag(5);
    unknown[0] = 3;
    let mut numbered = tag(6);
    numbered[10] = 1;
    check(&[&encrypted, &unknown, &numbered], &[0, 1, 2], &[], &[]);
}

#[test]
fn a_run_of_tags_starts_a_file_without_a_header() {
    let (file, _) = file(&[&tag(1), &tag(2), &tag(3), &tag(4)]);
    let tags = &file[HEADER.len()..];
    // A single tag among other bytes is not the start.
    let single_tag = [&tag(5)[..], b"noise"].concat();
    for start in [&b""[..], b"ID3", &[0; 20], &single_tag] {
        let found = [start, tags].concat();
        for piece in [1, 7, 1 << 20] {
            let contents = contents(&found, piece).unwrap();
            assert_eq!(contents.tags.len(), 4, "{start:?} by {piece}");
            assert_eq!(contents.tags[0], start.len() as u64);
        }
        let two_tags = &tags[..tags.len() - tag(3).len() - tag(4).len()];
        assert!(contents(&[start, two_tags].concat(), 7).is_err());
    }
}

#[test]
fn impossible_data_offset_is_read_as_9() {
    for data_offset in [0, 8, 0xFFFF_FFFF_u32] {
        let (mut file, offsets) = file(&[&tag(1), &tag(2)]);
        file[5..9].copy_from_slice(&data_offset.to_be_bytes());
        assert_eq!(contents(&file, 3).unwrap().tags, offsets[..2]);
    }
    let longer = [b"FLV\x01\x05\0\0\0\x0b\x02\x01\0\0\0\0", &tag(1)[..]].concat();
    assert!(contents(&longer, 1 << 20).is_ok_and(|found| found.garbage.is_empty()));
}

#[test]
fn files_of_other_formats_are_rejected() {
    for file in [
        &b""[..],
        b"FL",
        b"RIFF....AVI LIST",
        b"\x1aE\xdf\xa3 and more",
    ] {
        assert!(contents(file, 4).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_tag_is_found_and_every_byte_is_counted(
        parts in prop::collection::vec(
            (0u8..60, prop::collection::vec(0u8..20, 0..40), 0usize..100),
            0..12,
        ),
        piece in 1usize..200,
    ) {
        let mut expected = Vec::new();
        let mut whole = HEADER.to_vec();
        for (number, noise, cut) in &parts {
            expected.push(whole.len() as u64);
            whole.extend(tag(*number));
            // A torn tag, and noise.
            let torn = tag(200);
            whole.extend(&torn[..*cut]);
            whole.extend(noise);
        }
        let found = contents(&whole, piece).unwrap();
        prop_assert_eq!(&found.tags, &expected);
        let garbage: u64 = found.garbage.iter().map(|(_, bytes)| bytes).sum();
        let tags: usize = parts.iter().map(|(number, ..)| tag(*number).len()).sum();
        prop_assert_eq!(garbage + tags as u64 + 13, whole.len() as u64);
    }
}

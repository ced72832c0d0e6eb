use bytes::Bytes;

use super::*;
use crate::core::{
    amf::{Object, Value, amf0},
    wire::Reader,
};

fn server_fields(fields: &[(&str, &str)]) -> Metadata {
    let mut metadata = Metadata::new(&SERVER_PAGES, |_| false);
    let fields = fields.iter().map(|(name, value)| (*name, *value));
    metadata.merge(&fields.collect::<Object>());
    metadata
}

/// Renders a head without untrue server fields.
fn render(
    file_header: FileHeader,
    own: &[Field],
    server: &Metadata,
    index: &KeyframeIndex,
) -> Vec<u8> {
    super::render(file_header, own, server, &[], index)
}

fn index(times_ms: impl Iterator<Item = u32>) -> KeyframeIndex {
    let mut index = KeyframeIndex::new();
    times_ms.for_each(|time_ms| {
        index.add(Entry {
            time_ms,
            position: LENGTH as u64 + u64::from(time_ms) * 937,
        });
    });
    index
}

fn own(fields: &[(&str, Value)]) -> Vec<Field> {
    let creator = (CREATOR, Value::from("rtmpull 1.2.3"));
    let fields = [&[creator], fields].concat();
    let encode = |(name, value): &(&str, Value)| Field::new(name.as_bytes(), value);
    fields.iter().map(encode).collect()
}

/// Parses the array strictly: the count must be correct, and no bytes may remain.
fn parse(head: &[u8]) -> Object {
    assert_eq!(head.len(), LENGTH);
    let mut reader = Reader::new(&head[FIRST_TAG..]);
    let header = TagHeader::read(&mut reader).unwrap();
    assert_eq!(header, TAG_HEADER);
    let body = reader.take(header.length.get() as usize, "body").unwrap();
    assert_eq!(
        reader.u32("PreviousTagSize").unwrap(),
        header.previous_tag_size()
    );
    assert!(reader.is_empty());
    let mut values = amf0::Decoder::new(Bytes::copy_from_slice(body));
    assert_eq!(values.value().unwrap(), Value::from("onMetaData"));
    let Ok(Value::EcmaArray(members)) = values.value() else {
        panic!("not an ECMA array");
    };
    assert!(values.is_empty());
    let count = Reader::new(&body[14..]).u32("count").unwrap();
    assert_eq!(members.len(), count as usize);
    members
}

fn numbers(members: &Object, name: &str) -> Vec<f64> {
    let array = members.get("keyframes").unwrap().member(name).unwrap();
    let numbers = array
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_number().unwrap());
    let numbers: Vec<f64> = numbers.collect();
    assert_eq!(numbers.len(), KeyframeIndex::SLOTS);
    numbers
}

#[test]
fn head_starts_with_these_bytes() {
    let head = render(
        FileHeader::new(true, false),
        &own(&[("duration", Value::Number(1.5))]),
        &server_fields(&[]),
        &KeyframeIndex::new(),
    );
    #[rustfmt::skip]
    let expected = [
        &b"FLV\x01\x04\0\0\0\x09"[..],              // file header: audio
        b"\0\0\0\0",                                // PreviousTagSize0
        b"\x12\0\xBF\xEB\0\0\0\0\0\0\0",            // script tag of 49,131 bytes, at 0
        b"\x02\0\x0aonMetaData",
        b"\x08\0\0\0\x49",                          // ECMA array of 73
        b"\0\x0fmetadatacreator\x02\0\x0drtmpull 1.2.3",
        b"\0\x08duration\0\x3F\xF8\0\0\0\0\0\0",    // 1.5
        b"\0\x01_\x03\0\0\x09",                     // unused
    ]
    .concat();
    assert_eq!(head[..expected.len()], expected);
    assert_eq!(&head[49152..], b"\0\0\x09\0\0\xBF\xF6"); // end of the array, PreviousTagSize
    assert_eq!(LENGTH, 49159);
}

#[test]
fn parts_have_the_documented_offsets() {
    let head = render(
        FileHeader::new(true, true),
        &own(&[]),
        &server_fields(&[("server", "test")]),
        &index([40].into_iter()),
    );
    assert_eq!(&head[ARRAY_AT..][..1], &[ECMA_ARRAY]);
    assert_eq!(&head[2007..][..12], &KEYFRAMES_BEGIN);
    assert_eq!(&head[2019..][..12], b"\0\x05times\x0a\0\0\x08\0");
    assert_eq!(&head[2031..][..9], b"\0\x3F\xA4\x7A\xE1\x47\xAE\x14\x7B"); // 0.04
    assert_eq!(&head[20463..][..20], b"\0\x0dfilepositions\x0a\0\0\x08\0");
    assert_eq!(&head[20483..][..9], b"\0\x40\xF5\x26\xF0\0\0\0\0"); // 49159 + 40 * 937
    assert_eq!(&head[38915..][..3], &OBJECT_END);
    assert_eq!(&head[40960..][..9], b"\0\x06server\x02");
    assert_eq!(&head[45056..][..7], &UNUSED);
}

#[test]
fn unused_slots_hold_the_first_tag_or_the_last_keyframe() {
    let render = |index: &KeyframeIndex| {
        let own = own(&[]);
        parse(&render(
            FileHeader::new(true, true),
            &own,
            &server_fields(&[]),
            index,
        ))
    };
    let none = render(&KeyframeIndex::new());
    assert!(numbers(&none, "times").iter().all(|time| *time == 0.0));
    let mut positions = numbers(&none, "filepositions").into_iter();
    assert!(positions.all(|position| position == 49159.0));
    let two = render(&index([0, 2000].into_iter()));
    assert_eq!(numbers(&two, "times")[..3], [0.0, 2.0, 2.0]);
    assert_eq!(numbers(&two, "times")[KeyframeIndex::SLOTS - 1], 2.0);
}

#[test]
fn own_heads_are_rewritable() {
    let metadata = server_fields(&[]);
    for has_video in [false, true] {
        let header = FileHeader::new(true, has_video);
        let head = render(header, &own(&[]), &metadata, &KeyframeIndex::new());
        assert!(is_rewritable(&head));
        assert!(is_rewritable(&head[..128]));
    }
    let head = render(
        FileHeader::new(true, true),
        &own(&[]),
        &metadata,
        &KeyframeIndex::new(),
    );
    for cut in 0..68 {
        assert!(!is_rewritable(&head[..cut]));
    }
    for at in (0..70).filter(|at| *at != 4 && !(60..62).contains(at)) {
        let mut other = head.clone();
        other[at] ^= 1;
        assert!(!is_rewritable(&other), "byte {at} is not checked");
    }
}

#[test]
fn own_field_replaces_the_field_of_the_server() {
    let server = server_fields(&[("width", "wrong"), ("encoder", "obs")]);
    let own = own(&[("width", Value::Number(320.0))]);
    let members = parse(&render(
        FileHeader::new(true, true),
        &own,
        &server,
        &KeyframeIndex::new(),
    ));
    assert_eq!(members.get("width"), Some(&Value::Number(320.0)));
    assert_eq!(members.get("encoder"), Some(&Value::from("obs")));
}

#[test]
fn four_kibibytes_fit_in_2_to_48_fields() {
    for count in 2..=48 {
        let mut metadata = Metadata::new(&SERVER_PAGES, |_| false);
        // Two bytes of length, eight of name, one of marker, two of length, and the string.
        let value = "x".repeat(4096 / count - 13);
        let fields = (0..count).map(|number| (format!("field{number:03}"), value.as_str()));
        metadata.merge(&fields.collect::<Object>());
        let head = render(
            FileHeader::new(true, true),
            &own(&[]),
            &metadata,
            &KeyframeIndex::new(),
        );
        let members = parse(&head);
        let kept = (0..count).filter(|number| members.get(&format!("field{number:03}")).is_some());
        assert_eq!(kept.count(), count);
    }
}

/// After a power failure any of the rewritten pages may be new, after a kill only the first few.
#[test]
fn any_mix_of_old_and_new_pages_parses() {
    let early = render(
        FileHeader::new(true, true),
        &own(&[("duration", Value::Number(9.0))]),
        &server_fields(&[("encoder", "obs")]),
        &index((0..700).map(|n| n * 1999)),
    );
    let long = "long ".repeat(700);
    let late = render(
        FileHeader::new(false, true),
        &own(&[
            ("filesize", Value::Number(1e9)),
            ("canSeekToEnd", true.into()),
        ]),
        &server_fields(&[("encoder", "obs"), ("a", &long), ("b", &long)]),
        &index((0..2049).map(|n| n * 2003)),
    );
    mixes_parse(&early, &late);
}

#[test]
fn any_mix_with_an_empty_head_parses() {
    let empty = render(
        FileHeader::new(true, true),
        &own(&[]),
        &server_fields(&[]),
        &KeyframeIndex::new(),
    );
    let first = render(
        FileHeader::new(true, true),
        &own(&[("duration", Value::Number(9.0))]),
        &server_fields(&[]),
        &index([0, 2000, 4000, 6000, 131_072_500].into_iter()),
    );
    mixes_parse(&empty, &first);
}

fn mixes_parse(old: &[u8], new: &[u8]) {
    let changed: Vec<usize> = old
        .chunks(PAGE)
        .zip(new.chunks(PAGE))
        .enumerate()
        .filter_map(|(page, (old, new))| (old != new).then_some(page))
        .collect();
    assert!(changed.len() >= 10);
    let (old_numbers, new_numbers) = (keyframes_of(&parse(old)), keyframes_of(&parse(new)));
    for subset in 0..1u32 << changed.len() {
        let mut mix = old.to_vec();
        for (bit, page) in changed.iter().enumerate() {
            if subset & 1 << bit != 0 {
                let range = page * PAGE..((page + 1) * PAGE).min(LENGTH);
                mix[range.clone()].copy_from_slice(&new[range]);
            }
        }
        assert!(is_rewritable(&mix));
        assert_no_number_is_torn(&skim(&mix), &old_numbers, &new_numbers);
        if subset % 16 == 0 {
            assert_eq!(skim(&mix), keyframes_of(&parse(&mix)));
        }
    }
}

/// Does the same as [`parse`] and [`keyframes_of`] ten times as fast, because there are thousands of mixes.
fn skim(head: &[u8]) -> [Vec<f64>; 2] {
    let mut reader = Reader::new(&head[ARRAY_AT..]);
    assert_eq!(reader.u8("marker"), Ok(ECMA_ARRAY));
    let count = reader.u32("count").unwrap();
    let mut arrays = Vec::new();
    for _ in 0..count {
        assert_ne!(skim_text(&mut reader), 0);
        skim_value(&mut reader, &mut arrays);
    }
    assert_eq!(reader.rest(), b"\0\0\x09\0\0\xBF\xF6");
    arrays.try_into().unwrap()
}

fn skim_value(reader: &mut Reader<'_>, arrays: &mut Vec<Vec<f64>>) {
    match reader.u8("marker").unwrap() {
        0 => drop(reader.f64("number").unwrap()),
        1 => assert!(reader.u8("boolean").unwrap() < 2),
        2 => drop(skim_text(reader)),
        3 => {
            while skim_text(reader) > 0 {
                skim_value(reader, arrays);
            }
            assert_eq!(reader.u8("object end"), Ok(9));
        }
        10 => {
            let count = reader.u32("count").unwrap() as usize;
            if reader.rest()[0] == STRING {
                (0..count).for_each(|_| skim_value(reader, arrays));
            } else {
                let slots = reader.take(count * 9, "numbers").unwrap().chunks(9);
                arrays.push(slots.map(skim_number).collect());
            }
        }
        other => panic!("marker {other}"),
    }
}

fn skim_number(slot: &[u8]) -> f64 {
    assert_eq!(slot[0], NUMBER);
    f64::from_be_bytes(slot[1..].try_into().unwrap())
}

fn skim_text(reader: &mut Reader<'_>) -> u16 {
    let length = reader.u16("length").unwrap();
    reader.take(length.into(), "text").unwrap();
    length
}

/// Returns times and positions.
fn keyframes_of(members: &Object) -> [Vec<f64>; 2] {
    ["times", "filepositions"].map(|name| numbers(members, name))
}

fn assert_no_number_is_torn(mix: &[Vec<f64>; 2], old: &[Vec<f64>; 2], new: &[Vec<f64>; 2]) {
    for (mix, (old, new)) in mix[0].iter().zip(old[0].iter().zip(&new[0])) {
        let is_near = |time: f64| (mix - time).abs() <= time / 4096.0 + f64::MIN_POSITIVE;
        assert!(
            is_near(*old) || is_near(*new),
            "time {mix} of {old} or {new}"
        );
    }
    for (mix, (old, new)) in mix[1].iter().zip(old[1].iter().zip(&new[1])) {
        assert!(mix == old || mix == new, "position {mix} of {old} or {new}");
    }
}

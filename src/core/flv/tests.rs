use bytes::Bytes;
use serde_json::Value as Json;

use super::{codec, metadata::push_member, *};
use crate::core::amf::{Object, Value, amf0};

#[test]
fn file_header_has_nine_bytes() {
    #[rustfmt::skip]
    let bytes = [
        0x46, 0x4C, 0x56,       // "FLV"
        1,                      // version
        0b101,                  // audio and video
        0, 0, 0, 9,             // data offset
    ];
    let header = FileHeader::new(true, true);
    assert_eq!(FileHeader::read(&mut Reader::new(&bytes)), Ok(header));
    assert_eq!(header.to_bytes(), bytes);
    for cut in 0..bytes.len() {
        let error = FileHeader::read(&mut Reader::new(&bytes[..cut]));
        assert_eq!(error, Err(Missing("file header").into()));
    }
    assert_eq!(FileHeader::new(true, false).to_bytes()[4], 0b100);
    assert_eq!(FileHeader::new(false, true).to_bytes()[4], 0b001);
}

#[test]
fn other_formats_and_short_data_offsets_are_errors() {
    let error = FileHeader::read(&mut Reader::new(b"\0\0\0\x20ftypisom")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it is not an FLV file: it starts with [00, 00, 00]"
    );
    let error = FileHeader::read(&mut Reader::new(b"FLV\x01\x05\0\0\0\x08")).unwrap_err();
    assert_eq!(error, Error::DataOffset(8));
}

#[test]
fn tag_header_has_eleven_bytes() {
    #[rustfmt::skip]
    let bytes = [
        0x29,                   // video, filtered
        0x01, 0x02, 0x03,       // length
        0x06, 0x07, 0x08, 0x05, // timestamp: low 24 bits, high 8
        0, 0, 0,                // stream id
    ];
    let header = TagHeader {
        kind: TagKind::VIDEO,
        is_filtered: true,
        length: U24::truncate(0x01_0203),
        timestamp_ms: 0x0506_0708,
    };
    assert_eq!(TagHeader::read(&mut Reader::new(&bytes)), Ok(header));
    assert_eq!(header.to_bytes(), bytes);
    assert_eq!(header.previous_tag_size(), 0x01_020E);
    for cut in 0..bytes.len() {
        let error = TagHeader::read(&mut Reader::new(&bytes[..cut]));
        assert_eq!(error, Err(Missing("tag header")));
    }
}

#[test]
fn tag_is_framed_in_place() {
    let mut payload = Payload::from(&b"\x17\x01"[..]);
    payload.extend_from_slice(b"rest");
    #[rustfmt::skip]
    let bytes = [
        9,                      // video
        0, 0, 6,                // length
        0, 0, 40, 0,            // timestamp
        0, 0, 0,                // stream id
        0x17, 0x01, b'r', b'e', b's', b't',
        0, 0, 0, 17,            // PreviousTagSize
    ];
    let tag = Tag::new(TagKind::VIDEO, 40, payload);
    assert_eq!(tag.as_bytes(), bytes);
    assert!(Payload::reuse(tag.into_bytes()).is_empty());
}

#[test]
fn large_payload_and_timestamp_are_clamped() {
    let most = U24::MAX.get() as usize;
    let tag = Tag::new(
        TagKind::AUDIO,
        u32::MAX,
        Payload::from(&vec![7; most + 2][..]),
    );
    let mut reader = Reader::new(tag.as_bytes());
    let header = TagHeader::read(&mut reader).unwrap();
    assert_eq!(header.length, U24::MAX);
    assert_eq!(header.timestamp_ms, i32::MAX);
    assert!(reader.take(most, "body").unwrap().iter().all(|b| *b == 7));
    assert_eq!(reader.u32("PreviousTagSize"), Ok(11 + U24::MAX.get()));
    assert!(reader.is_empty());
}

#[test]
fn unknown_tag_types_are_kept_and_printed() {
    assert_eq!(TagKind::SCRIPT.to_string(), "script");
    assert_eq!(TagKind(3).to_string(), "kind 3");
    assert_eq!(format!("{:?}", TagKind::AUDIO), "TagKind(8: audio)");
}

/// Runs the vectors of file and tag layout. The tests of `codec` run those of tag bodies.
#[test]
fn layout_vectors() {
    let vectors: Json = serde_json::from_str(VECTORS).unwrap();
    let mut names = Vec::new();
    for vector in vectors["vectors"].as_array().unwrap() {
        if vector["area"] != "flv" || !vector["params"]["tag"].is_null() {
            continue;
        }
        let (input, expected) = (&vector["input"], &vector["expected"]);
        let name = vector["name"].as_str().unwrap();
        match name {
            "flv-minimal" | "flv-data-offset-13" => file_vector(&hex(input), expected),
            "flv-ext-timestamp" | "flv-negative-timestamp" | "flv-filter-bit" => {
                tag_vector(&hex(input), expected);
            }
            "flv-keyframes-size" => keyframes_vector(&hex(input), expected),
            "flv-spacer" => spacer_vector(input, expected),
            other => panic!("no test for {other}"),
        }
        names.push(name);
    }
    assert_eq!(names.len(), 7);
}

fn file_vector(file: &[u8], expected: &Json) {
    let (mut reader, mut rest) = (TagReader::new(), file);
    let mut writer = HeadWriter::new(Layout::Plain);
    let mut parser = FrameParser::new();
    let mut tags = Vec::new();
    while let Some(tag) = reader.read(&mut rest).unwrap() {
        let info = parser.parse(tag.header.kind, tag.body);
        writer.tag_written(info, 0, tag.body.len());
        tags.push(serde_json::json!({
            "offset": tag.offset,
            "type": tag.header.kind.0,
            "timestamp": tag.header.timestamp_ms,
            "size": tag.body.len(),
        }));
    }
    assert!(rest.is_empty());
    assert_eq!(reader.torn(rest), None);
    assert_eq!(&Json::from(tags), &expected["tags"]);
    if let Some(header) = expected["header"].as_object() {
        let found = reader.header().unwrap();
        assert_eq!(header["version"], found.version);
        assert_eq!(header["audio"], found.has_audio);
        assert_eq!(header["video"], found.has_video);
        assert_eq!(header["data_offset"], found.data_offset);
    }
    if let Some(video) = expected["video"].as_object() {
        let size = codec::PictureSize {
            width: video["width"].as_u64().unwrap() as u32,
            height: video["height"].as_u64().unwrap() as u32,
        };
        assert_eq!(writer.picture_size(), Some(size));
    }
    cut_everywhere(file);
}

/// Checks that a file cut at any byte yields its intact tags, and reports the rest as torn.
fn cut_everywhere(file: &[u8]) {
    let ends = tag_ends(file);
    for cut in 0..file.len() {
        let (mut reader, mut rest) = (TagReader::new(), &file[..cut]);
        while reader.read(&mut rest).unwrap().is_some() {}
        let complete = ends.iter().rev().find(|end| **end <= cut);
        if let Some(complete) = complete {
            assert_eq!(reader.intact_end(), *complete as u64);
        }
        assert_eq!(reader.intact_end() as usize + rest.len(), cut);
        assert_eq!(reader.torn(rest).is_none(), complete == Some(&cut));
    }
}

/// Returns the offsets at which the header and each tag end.
fn tag_ends(file: &[u8]) -> Vec<usize> {
    let (mut reader, mut rest) = (TagReader::new(), file);
    let mut ends = Vec::new();
    while let Some(tag) = reader.read(&mut rest).unwrap() {
        if ends.is_empty() {
            ends.push(tag.offset as usize);
        }
        ends.push(reader.intact_end() as usize);
    }
    ends
}

fn tag_vector(tag: &[u8], expected: &Json) {
    let header = TagHeader::read(&mut Reader::new(tag)).unwrap();
    if let Some(timestamp_ms) = expected["si32"].as_i64() {
        assert_eq!(i64::from(header.timestamp_ms), timestamp_ms);
    }
    if let Some(size) = expected["previous_tag_size"].as_u64() {
        assert_eq!(u64::from(header.previous_tag_size()), size);
    }
    if let Some(kind) = expected["tag_type"].as_u64() {
        assert_eq!(u64::from(header.kind.0), kind);
    }
    assert_eq!(
        header.is_filtered,
        expected["filter"].as_bool().unwrap_or(false)
    );
    assert_eq!(header.to_bytes(), tag[..TagHeader::LENGTH]);
    let file = [
        &FileHeader::new(true, true).to_bytes()[..],
        &PREVIOUS_TAG_SIZE_0,
        tag,
    ]
    .concat();
    cut_everywhere(&file);
}

fn keyframes_vector(input: &[u8], expected: &Json) {
    let zeros = || Value::from(vec![Value::Number(0.0); 2]);
    let keyframes: Object = [("filepositions", zeros()), ("times", zeros())]
        .into_iter()
        .collect();
    let mut out = Vec::new();
    push_member(b"keyframes", &keyframes.into(), &mut out);
    assert_eq!(out, input);
    assert_eq!(out.len() as u64, expected["size"].as_u64().unwrap());
}

fn spacer_vector(input: &Json, expected: &Json) {
    let numbers = |numbers: &[f64]| -> Value {
        let numbers = numbers.iter().map(|number| Value::Number(*number));
        numbers.collect::<Vec<_>>().into()
    };
    let encode = |filepositions: &[f64], times: &[f64], spacer: &[f64]| {
        let index: Object = [
            ("filepositions", numbers(filepositions)),
            ("times", numbers(times)),
            ("spacer", numbers(spacer)),
        ]
        .into_iter()
        .collect();
        let mut out = Vec::new();
        amf0::encode(&index.into(), &mut out);
        out
    };
    let unused = encode(&[], &[], &[f64::NAN; 10]);
    let used = encode(&[100.0, 101.0, 102.0], &[0.0, 1.0, 2.0], &[f64::NAN; 4]);
    for (out, input) in [unused, used].into_iter().zip(input.as_array().unwrap()) {
        assert_eq!(Json::from(out.len()), expected["equal_length"]);
        assert_eq!(out, hex(input));
        let decoded = amf0::Decoder::new(Bytes::from(out)).value();
        assert_eq!(decoded.unwrap().as_object().unwrap().len(), 3);
    }
}

fn hex(input: &Json) -> Vec<u8> {
    let digits = input.as_str().unwrap().as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

const VECTORS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/vectors/vectors.json"
));

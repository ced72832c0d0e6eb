use std::{fs, io::Write};

use tempfile::NamedTempFile;

use super::*;
use crate::core::{
    amf::{Object, Value, amf0},
    flv::{FileHeader, FrameParser, HeadWriter, Tag, TagKind, head_writer},
    payload::Payload,
};

fn probe(bytes: &[u8]) -> Result<FileFacts, Error> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    run(file.path())
}

fn codes(facts: &FileFacts) -> Vec<&'static str> {
    facts
        .findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect()
}

fn tag(kind: TagKind, timestamp_ms: u32, body: &[u8]) -> Vec<u8> {
    Tag::new(kind, timestamp_ms, Payload::from(body)).into_bytes()
}

/// Returns the tags of two seconds of video with two keyframes.
fn video() -> Vec<Vec<u8>> {
    // A sequence header of 80x96 pixels.
    let record = b"\x01\x42\xC0\x1E\xFF\xE1\x00\x08\x67\x42\x00\x1E\xF8\xA4\xD8\x00";
    let header = [&[0x17, 0, 0, 0, 0][..], record].concat();
    let frame = |number: u32| {
        let is_key = number.is_multiple_of(25);
        let first = if is_key { 0x17 } else { 0x27 };
        let unit = if is_key { 0x65 } else { 0x41 };
        tag(
            TagKind::VIDEO,
            number * 40,
            &[first, 1, 0, 0, 0, 0, 0, 0, 2, unit, number as u8],
        )
    };
    let frames = (0..50).map(frame);
    [tag(TagKind::VIDEO, 0, &header)]
        .into_iter()
        .chain(frames)
        .collect()
}

fn foreign_file(tags: &[Vec<u8>]) -> Vec<u8> {
    let header = FileHeader::new(false, true).to_bytes();
    [&header[..], &[0; 4], &tags.concat()].concat()
}

/// Returns a file with a head of rtmpull, whose head describes the first `described` tags.
fn own_file(tags: &[Vec<u8>], described: usize) -> Vec<u8> {
    let mut writer = HeadWriter::new(head_writer::Layout::Seekable);
    let mut file = writer.head();
    let mut parser = FrameParser::new();
    for (number, tag) in tags.iter().enumerate() {
        file.extend(tag);
        if number < described {
            let body = &tag[11..tag.len() - 4];
            let time = u32::from_be_bytes([tag[7], tag[4], tag[5], tag[6]]);
            writer.tag_written(parser.parse(TagKind(tag[0]), body), time, body.len());
        }
    }
    for patch in writer.patches() {
        let at = patch.offset as usize;
        file[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    file
}

fn flv(facts: &FileFacts) -> &FlvFacts {
    match &facts.container {
        Container::Flv(facts) => facts,
        Container::Mp4(_) => panic!("MP4"),
    }
}

#[test]
fn intact_file_of_rtmpull_has_an_index_and_needs_no_repair() {
    let facts = probe(&own_file(&video(), usize::MAX)).unwrap();
    assert_eq!(codes(&facts), Vec::<&str>::new(), "{:?}", facts.findings);
    assert_eq!(facts.repair, Repair::NotNeeded);
    assert_eq!(
        (facts.stated_duration_ms, facts.duration_ms),
        (Some(2000), 2000)
    );
    let expected = flv::IndexFacts {
        entries: 2,
        wrong: 0,
    };
    assert_eq!(flv(&facts).index, Some(expected));
    assert!(flv(&facts).has_own_head);
    let track = facts.media.video().unwrap();
    assert_eq!((track.frames, track.keyframes.unwrap().count), (50, 2));
    let profile = track.video.unwrap().profile.unwrap();
    assert_eq!(profile.to_string(), "Baseline");
}

#[test]
fn outdated_head_and_torn_end_are_mended_in_place() {
    let mut file = own_file(&video(), 30);
    let facts = probe(&file).unwrap();
    assert_eq!(facts.repair, Repair::InPlace);
    let length = file.len();
    file.truncate(length - 3);
    let facts = probe(&file).unwrap();
    assert_eq!(facts.repair, Repair::InPlace);
    let torn = facts.findings[0];
    assert_eq!(torn.code, FileCode::TornEnd);
    // The last tag has 11 + 11 + 4 bytes.
    assert_eq!((torn.bytes, torn.offset), (23, Some(length as u64 - 26)));
    assert_eq!(
        torn.to_string(),
        format!(
            "the file ends inside a tag or a box (23 bytes, at byte {})",
            length - 26
        )
    );
}

#[test]
fn damage_of_other_programs_is_located_and_mended_by_a_copy() {
    let tags = video();
    let intact = foreign_file(&tags);
    let facts = probe(&intact).unwrap();
    assert_eq!(codes(&facts), ["no-keyframe-index"]);
    assert_eq!(facts.repair, Repair::Rewrite);
    let mut damaged = foreign_file(&tags[..20]);
    let garbage_at = damaged.len() as u64;
    damaged.extend([0xAA; 40]);
    damaged.extend(tags[20..].concat());
    let facts = probe(&damaged).unwrap();
    assert_eq!(codes(&facts), ["garbage", "no-keyframe-index"]);
    let expected = flv::Garbage {
        offset: garbage_at,
        bytes: 40,
    };
    assert_eq!(flv(&facts).garbage, [expected]);
    let mut sizes = intact.clone();
    // The field after the first tag.
    let field = 13 + tags[0].len() - 1;
    sizes[field] ^= 1;
    let facts = probe(&sizes).unwrap();
    assert_eq!(
        codes(&facts),
        ["wrong-previous-tag-size", "no-keyframe-index"]
    );
    assert_eq!(facts.findings[0].offset, Some(13));
    let facts = probe(&intact[13..]).unwrap();
    assert_eq!(codes(&facts), ["no-file-header", "no-keyframe-index"]);
}

#[test]
fn wrong_entries_of_the_keyframe_index_are_counted() {
    let tags = video();
    let with_index = |positions: [f64; 2]| {
        let array = |numbers: &[f64]| {
            Value::StrictArray(
                numbers
                    .iter()
                    .map(|number| Value::Number(*number))
                    .collect(),
            )
        };
        let mut keyframes = Object::new();
        keyframes.push("times", array(&[0.0, 1.0]));
        keyframes.push("filepositions", array(&positions));
        let fields = Object::from_iter([
            ("keyframes", Value::from(keyframes)),
            ("duration", Value::from(9.0)),
        ]);
        let mut body = Vec::new();
        amf0::encode(&"onMetaData".into(), &mut body);
        amf0::encode(&Value::Object(fields), &mut body);
        let all: Vec<Vec<u8>> = [tag(TagKind::SCRIPT, 0, &body)]
            .into_iter()
            .chain(tags.clone())
            .collect();
        foreign_file(&all)
    };
    let start = (with_index([0.0, 0.0]).len() - tags.concat().len()) as f64;
    let at = |number: usize| start + tags[..number].concat().len() as f64;
    let facts = probe(&with_index([at(1), at(26)])).unwrap();
    assert_eq!(codes(&facts), ["wrong-duration"]);
    assert_eq!(flv(&facts).index.unwrap().wrong, 0);
    let facts = probe(&with_index([at(1), at(27)])).unwrap();
    assert_eq!(codes(&facts), ["wrong-keyframe-index", "wrong-duration"]);
}

#[test]
fn files_cut_at_any_byte_have_a_finding_and_their_remaining_frames() {
    let tags = video();
    let file = foreign_file(&tags);
    let ends: Vec<usize> = tags
        .iter()
        .scan(13, |end, tag| {
            *end += tag.len();
            Some(*end)
        })
        .collect();
    for cut in 14..file.len() {
        let facts = probe(&file[..cut]).unwrap();
        let ends_with_tag = ends.contains(&cut);
        let is_torn = codes(&facts).contains(&"torn-end");
        assert_eq!(
            is_torn, !ends_with_tag,
            "cut at {cut}: {:?}",
            facts.findings
        );
    }
}

#[test]
fn other_files_are_errors() {
    assert!(matches!(probe(&[]), Err(Error::Empty)));
    let image = probe(b"GIF89a, which is not a stream").unwrap_err();
    let expected = "it is a GIF image, not an FLV or MP4 file";
    assert_eq!(image.to_string(), expected);
    let unknown = probe(b"\x01\xABc").unwrap_err();
    let expected = "it is neither an FLV nor an MP4 file: it starts with [01, ab, 63]";
    assert_eq!(unknown.to_string(), expected);
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(run(folder.path()), Err(Error::Directory)));
    assert!(matches!(
        run(&folder.path().join("none")),
        Err(Error::Open(_))
    ));
    drop(fs::remove_dir(folder.path()));
}

#[test]
fn movie_without_an_index_is_reported() {
    let facts = probe(b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x01\0mdatabcdefgh").unwrap();
    assert_eq!(codes(&facts), ["torn-end", "no-movie"]);
    assert!(matches!(facts.repair, Repair::Impossible(_)));
    // The start is that of a recording by rtmpull, which other programs write too.
    let start = own_movie_start();
    let facts = probe(&start[..start.len() - 1]).unwrap();
    assert_eq!(codes(&facts), ["torn-end", "no-movie"]);
    assert!(matches!(facts.repair, Repair::Impossible(_)));
    let media = facts.media.findings.iter();
    let media: Vec<&str> = media.map(|finding| finding.code.as_str()).collect();
    assert_eq!(media, ["no-media"]);
}

/// Returns a file type that other programs write too, and a `moov` box without tracks.
fn own_movie_start() -> Vec<u8> {
    let file_type = b"isom\0\0\x02\0isomiso2avc1mp41";
    [wrap(b"ftyp", file_type), wrap(b"moov", &[0; 200])].concat()
}

/// Builds a box.
fn wrap(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes()[..], kind, body].concat()
}

/// Builds a box with version and flags 0 and these numbers.
fn full(kind: &[u8; 4], numbers: &[u32]) -> Vec<u8> {
    let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
    wrap(
        kind,
        &[0; 4].into_iter().chain(numbers).collect::<Vec<u8>>(),
    )
}

/// Builds a video track with these tables, whose NAL units have lengths of `length_size` bytes.
fn video_track(id: u32, length_size: u8, tables: &[Vec<u8>]) -> Vec<u8> {
    let mut record = b"\x01\x42\xC0\x1E\xFC\xE1\x00\x08\x67\x42\x00\x1E\xF8\xA4\xD8\x00".to_vec();
    record[4] |= length_size - 1;
    let entry = [&[0; 78][..], &wrap(b"avcC", &record)].concat();
    let setups = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &wrap(b"avc1", &entry)].concat();
    let tables = [wrap(b"stsd", &setups), tables.concat()].concat();
    let media = [
        full(b"mdhd", &[0, 0, 1000, 0, 0]),
        full(b"hdlr", &[0, u32::from_be_bytes(*b"vide"), 0]),
        wrap(b"minf", &wrap(b"stbl", &tables)),
    ];
    let header = full(b"tkhd", &[0, 0, id, 0, 0]);
    wrap(b"trak", &[header, wrap(b"mdia", &media.concat())].concat())
}

/// Builds a file of `length` bytes that starts with these boxes. The rest is an `mdat` box of zeros, with a hole.
fn movie_file(boxes: &[Vec<u8>], length: u64) -> NamedTempFile {
    let start = [wrap(b"ftyp", b"isom"), boxes.concat()].concat();
    let data = u32::try_from(length - start.len() as u64).unwrap();
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&start).unwrap();
    file.write_all(&data.to_be_bytes()).unwrap();
    file.write_all(b"mdat").unwrap();
    file.as_file().set_len(length).unwrap();
    file
}

fn mp4(facts: &FileFacts) -> &Mp4Facts {
    match &facts.container {
        Container::Mp4(facts) => facts,
        Container::Flv(_) => panic!("FLV"),
    }
}

/// Builds tables of `count` samples with `size` bytes, which all lie at the same offset.
fn overlapping_tables(count: u32, size: u32, offset: u32) -> Vec<Vec<u8>> {
    let offsets: Vec<u32> = std::iter::once(count)
        .chain((0..count).map(|_| offset))
        .collect();
    vec![
        full(b"stts", &[1, count, 40]),
        full(b"stsc", &[1, 1, 1, 1]),
        full(b"stsz", &[size, count]),
        full(b"stco", &offsets),
    ]
}

#[test]
fn overlapping_samples_end_the_reading() {
    let length = 20 << 20;
    for length_size in [1, 2, 4] {
        let tables = overlapping_tables(10_000, 16 << 20, 1 << 20);
        let movie = wrap(b"moov", &video_track(1, length_size, &tables));
        let facts = run(movie_file(&[movie], length).path()).unwrap();
        let found = ["overlapping-samples", "unread-tables"];
        assert_eq!(codes(&facts), found, "{:?}", facts.findings);
        let track = &mp4(&facts).tracks[0];
        assert!(track.bytes <= 5 * length, "{track:?}");
        assert_eq!(facts.media.video().unwrap().malformed_frames, 0);
    }
}

#[test]
fn edits_of_a_track_are_facts() {
    let track = video_track(1, 4, &overlapping_tables(2, 9, 1000));
    // An empty edit of 600 ticks of the movie, and then the media from 80 ticks of the track on.
    let edits = full(b"elst", &[2, 600, u32::MAX, 0x1_0000, 1000, 80, 0x1_0000]);
    let track = [&track[8..], &wrap(b"edts", &edits)].concat();
    let header = full(b"mvhd", &[0, 0, 600, 0]);
    let movie = wrap(b"moov", &[header, wrap(b"trak", &track)].concat());
    let facts = run(movie_file(&[movie], 2000).path()).unwrap();
    let track = &mp4(&facts).tracks[0];
    assert_eq!((track.delay_ms, track.skipped_ms), (1000, 80));
    assert_eq!((track.samples, track.end_ms), (2, 1000));
}

#[test]
fn runs_without_bytes_for_their_samples_are_limited() {
    let tables = [full(b"stsz", &[0, 0])];
    let movie = wrap(b"moov", &video_track(1, 4, &tables));
    // Neither the header of the track nor the run states a size or a duration.
    let run_of_any_length = full(b"trun", &[u32::MAX]);
    let track = [full(b"tfhd", &[1]), run_of_any_length].concat();
    let fragment = wrap(b"moof", &wrap(b"traf", &track));
    let facts = run(movie_file(&[movie, fragment], 100 << 20).path()).unwrap();
    assert!(codes(&facts).contains(&"unread-tables"), "{facts:?}");
    assert_eq!(mp4(&facts).tracks[0].samples, 1 << 20);
}

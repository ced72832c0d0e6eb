//! Streams with several tracks.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::core::{
    amf::Object,
    flv::{AUDIO_TRACK_MAP, VIDEO_TRACK_MAP},
};

const VIDEO: TagKind = TagKind::VIDEO;
const AUDIO: TagKind = TagKind::AUDIO;

/// A sample: its bytes, whether a decoder can start with it, and when it is shown in milliseconds.
type Shown = (Vec<u8>, bool, u64);

/// Returns the samples of each track by its id in the file.
fn tracks(file: &[u8]) -> BTreeMap<u32, Vec<Shown>> {
    let mut demuxer = demuxer(file);
    demuxer.tracks().unwrap();
    let mut tracks: BTreeMap<u32, Vec<Shown>> = BTreeMap::new();
    while let Some(sample) = demuxer.next_sample().unwrap() {
        let ticks = sample.timestamp as i64 + sample.composition_time_offset.unwrap_or(0);
        let shown_ms = ticks as f64 * 1000.0 / f64::from(u32::from(sample.track.timescale));
        let from = sample.data_offset as usize;
        let data = file[from..from + sample.data_size].to_vec();
        let shown = (data, sample.keyframe, shown_ms.round() as u64);
        tracks.entry(sample.track.track_id).or_default().push(shown);
    }
    tracks
}

/// Multitrack with one track: frame type and Multitrack, OneTrack and packet type, codec, id.
fn one_track(first: u8, packet: u8, codec: &[u8; 4], id: u8, body: &[u8]) -> Vec<u8> {
    [&[first, packet][..], codec, &[id], body].concat()
}

fn opus_head() -> Vec<u8> {
    [&b"OpusHead"[..], &[1, 1, 0, 0, 0x80, 0xBB, 0, 0, 0, 0, 0]].concat()
}

/// Sends the sequence headers of v0, v1, a0 and a2.
fn with_headers(layout: Layout, fragment_ms: u64) -> File {
    let mut file = File::new(options(layout, fragment_ms));
    file.send(VIDEO, 0, &avc_header()).unwrap();
    file.send(VIDEO, 0, &one_track(0x96, 0, b"avc1", 1, AVC_RECORD))
        .unwrap();
    file.send(AUDIO, 0, AAC_HEADER).unwrap();
    file.send(AUDIO, 0, &one_track(0x95, 0, b"Opus", 2, &opus_head()))
        .unwrap();
    file
}

/// E-RTMP "AvMultitrackType": one track, many tracks, many tracks many codecs.
#[test]
fn each_multitrack_type_is_demuxed() {
    let mut file = with_headers(Layout::Seekable, 1000);
    // Plain, then one track of AVC with a composition time of 9 ms.
    file.send(VIDEO, 0, &[0x17, 1, 0, 0, 0, 0xA0]).unwrap();
    file.send(VIDEO, 0, &one_track(0x96, 1, b"avc1", 1, &[0, 0, 9, 0xB0]))
        .unwrap();
    #[rustfmt::skip]
    let many = [
        &[0xA6, 0x13][..], b"avc1", // inter frame, Multitrack; ManyTracks, coded frames without composition time
        &[1, 0, 0, 2, 0xB1, 0xB2],
        &[0, 0, 0, 1, 0xA1],
    ]
    .concat();
    file.send(VIDEO, 40, &many).unwrap();
    #[rustfmt::skip]
    let many_codecs = [
        &[0x95, 0x21][..], // Multitrack; ManyTracksManyCodecs, coded frames
        b"mp4a", &[0, 0, 0, 3, 0xC0, 0xC1, 0xC2],
        b"Opus", &[2, 0, 0, 1, 0xFC],
    ]
    .concat();
    file.send(AUDIO, 0, &many_codecs).unwrap();
    // ModEx with one byte of the unknown type 3, then Multitrack.
    #[rustfmt::skip]
    let extended = [
        &[0x97, 0, 0xEE, 0x35, 0x01][..], b"Opus", &[2, 0xFC, 7],
    ]
    .concat();
    file.send(AUDIO, 20, &extended).unwrap();
    let bytes = file.finish();
    let expected = BTreeMap::from([
        (1, vec![(vec![0xA0], true, 0), (vec![0xA1], false, 40)]),
        (2, vec![(vec![0xC0, 0xC1, 0xC2], true, 0)]),
        // Video track 1 and audio track 2.
        (
            3,
            vec![(vec![0xB0], true, 9), (vec![0xB1, 0xB2], false, 40)],
        ),
        (6, vec![(vec![0xFC], true, 0), (vec![0xFC, 7], true, 20)]),
    ]);
    assert_eq!(tracks(&bytes), expected);
}

/// E-RTMP "TimestampOffsetNano": 500,000 ns are 24 samples at 48 kHz.
#[test]
fn nanosecond_offsets_shift_audio() {
    let mut file = with_headers(Layout::Seekable, 1000);
    let frame = |nano: [u8; 3]| {
        // ModEx with three bytes, then OneTrack of audio track 2. The frame has 2.5 ms.
        let header = [&[0x97, 2][..], &nano, &[0x05, 0x01]].concat();
        [&header[..], b"Opus", &[2, 0x80]].concat()
    };
    for (at_ms, nano) in [
        (0, [0, 0, 0]),
        (7, [0x07, 0xA1, 0x20]),
        (50, [0xFF, 0xFF, 0xFF]),
    ] {
        file.send(AUDIO, at_ms, &frame(nano)).unwrap();
    }
    let bytes = file.finish();
    let at = bytes.windows(4).position(|kind| kind == b"trun").unwrap();
    let duration = |number: usize| {
        let at = at + 16 + number * 16;
        u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
    };
    // 7.5 ms; then up to 50.999999 ms, the largest offset.
    assert_eq!([duration(0), duration(1)], [360, 2448 - 360]);
}

#[test]
fn one_message_may_contain_all_sequence_headers() {
    let mut file = File::new(options(Layout::Seekable, 1000));
    let size = [0, 0, AVC_RECORD.len() as u8];
    #[rustfmt::skip]
    let headers = [
        &[0x96, 0x10][..], b"avc1",
        &[0], &size[..], AVC_RECORD,
        &[5], &size[..], AVC_RECORD,
    ]
    .concat();
    file.send(VIDEO, 0, &headers).unwrap();
    let frames = [
        &[0x96, 0x13][..],
        b"avc1",
        &[0, 0, 0, 1, 0xA0, 5, 0, 0, 1, 0xB0],
    ]
    .concat();
    file.send(VIDEO, 0, &frames).unwrap();
    let found = tracks(&file.finish());
    let expected = [(1, 0xA0), (11, 0xB0)].map(|(id, byte)| (id, vec![(vec![byte], true, 0)]));
    assert_eq!(found, BTreeMap::from(expected));
}

#[test]
fn cut_messages_never_panic() {
    let size = [0, 0, AVC_RECORD.len() as u8];
    #[rustfmt::skip]
    let headers = [
        &[0x97, 2, 0, 1, 0xF4, 0x06, 0x20][..], // ModEx: 500 ns, then Multitrack; ManyTracksManyCodecs
        b"avc1", &[0], &size[..], AVC_RECORD,
        b"avc1", &[1], &size[..], AVC_RECORD,
    ]
    .concat();
    #[rustfmt::skip]
    let frames = [
        &[0x97, 2, 0, 1, 0xF4, 0x06, 0x21][..],
        b"avc1", &[0, 0, 0, 4, 0, 0, 9, 0xA0],
        b"avc1", &[1, 0, 0, 4, 0, 0, 9, 0xB0],
    ]
    .concat();
    for cut in 0..headers.len() {
        let mut file = File::new(options(Layout::Seekable, 1000));
        let _may_be_damaged = file.send(VIDEO, 0, &headers[..cut]);
        let _has_no_header = file.send(VIDEO, 0, &frames);
        file.finish();
    }
    for cut in 0..frames.len() {
        let mut file = File::new(options(Layout::Seekable, 1000));
        file.send(VIDEO, 0, &headers).unwrap();
        file.send(VIDEO, 0, &frames).unwrap();
        file.send(VIDEO, 40, &frames[..cut]).unwrap();
        let found = tracks(&file.finish());
        let count = |id| found[&id].len();
        let first = frames.len() - 12;
        assert_eq!(
            (count(1), count(3)),
            (1 + usize::from(cut >= first), 1),
            "{cut}"
        );
    }
}

#[test]
fn later_tracks_need_another_setup() {
    let mut file = with_headers(Layout::Plain, 0);
    let frame = [0x17, 1, 0, 0, 0, 0xA0];
    let audio = [0xAF, 1, 0xC0];
    for at_ms in [0, 40, 80] {
        file.send(VIDEO, at_ms, &frame).unwrap();
        file.send(AUDIO, at_ms, &audio).unwrap();
    }
    for at_ms in [1200, 1240] {
        file.send(VIDEO, at_ms, &frame).unwrap();
    }
    let late = one_track(0x96, 0, b"avc1", 7, AVC_RECORD);
    let info = FrameParser::new().parse(VIDEO, &late);
    assert!(file.writer.needs_new_setup(info, &late));
    assert_eq!(file.writer.admit(info, &late), Err(Unsupported::Changed));
    // A known track does not.
    let known = one_track(0x96, 0, b"avc1", 1, AVC_RECORD);
    let info = FrameParser::new().parse(VIDEO, &known);
    assert!(!file.writer.needs_new_setup(info, &known));
    let movies = |bytes: &[u8]| bytes.windows(4).filter(|kind| kind == b"moov").count();
    assert_eq!(movies(&file.bytes), 1);
    file.writer.restart_setup(&mut file.fragments);
    file.write();
    file.send(VIDEO, 1280, &late).unwrap();
    for at_ms in [1280, 1320, 1360] {
        file.send(
            VIDEO,
            at_ms,
            &one_track(0x96, 1, b"avc1", 7, &[0, 0, 0, 0xB0]),
        )
        .unwrap();
    }
    let bytes = file.finish();
    assert_eq!(movies(&bytes), 2);
    // The fragments of the late track: its id is 15.
    let headers = bytes.windows(12).filter(|bytes| bytes[..4] == *b"tfhd");
    assert_eq!(
        headers.filter(|bytes| bytes[8..] == [0, 0, 0, 15]).count(),
        3
    );
}

#[test]
fn later_tracks_may_be_left_out() {
    let mut file = File::new(Options {
        leaves_out_late_tracks: true,
        ..options(Layout::Plain, 0)
    });
    file.send(VIDEO, 0, &avc_header()).unwrap();
    for at_ms in [0, 1200, 1240] {
        file.send(VIDEO, at_ms, &[0x17, 1, 0, 0, 0, 0xA0]).unwrap();
    }
    let late = one_track(0x96, 0, b"avc1", 7, AVC_RECORD);
    let frame = one_track(0x96, 3, b"avc1", 7, &[0xB0]);
    let needs = |file: &File, body: &[u8]| {
        let info = FrameParser::new().parse(VIDEO, body);
        file.writer.needs_new_setup(info, body)
    };
    for body in [&late, &frame] {
        assert!(!needs(&file, body));
        file.send(VIDEO, 1240, body).unwrap();
    }
    // Another setup of the main track does not let the late track in: its header is lost.
    file.writer.restart_setup(&mut file.fragments);
    file.write();
    file.send(VIDEO, 1280, &frame).unwrap();
    file.send(VIDEO, 1280, &[0x17, 1, 0, 0, 0, 0xA1]).unwrap();
    let bytes = file.finish();
    let headers = bytes.windows(12).filter(|bytes| bytes[..4] == *b"tfhd");
    assert!(headers.clone().count() >= 4);
    assert!(headers.into_iter().all(|bytes| bytes[8..] == [0, 0, 0, 1]));
}

#[test]
fn alternative_tracks_have_flags_a_group_a_language_and_a_name() {
    let mut file = with_headers(Layout::Seekable, 1000);
    let german = Object::from_iter([("lang", "de"), ("title", "Kommentar")]);
    let map = Object::from_iter([("2", german)]);
    let fields = Object::from_iter([(AUDIO_TRACK_MAP, map), (VIDEO_TRACK_MAP, Object::new())]);
    file.writer.describe_tracks(&fields);
    file.send(VIDEO, 0, &[0x17, 1, 0, 0, 0, 0xA0]).unwrap();
    file.send(AUDIO, 0, &one_track(0x95, 1, b"Opus", 2, &[0xFC]))
        .unwrap();
    file.send(AUDIO, 0, &[0xAF, 1, 0xC0]).unwrap();
    file.send(VIDEO, 0, &one_track(0x96, 1, b"avc1", 1, &[0, 0, 0, 0xB0]))
        .unwrap();
    let bytes = file.finish();
    let movie = bytes.windows(4).rposition(|kind| kind == b"moov").unwrap();
    let find = |kind: &[u8; 4], length: usize| {
        let windows = bytes[movie..].windows(4 + length);
        let found = windows.filter(|bytes| bytes[..4] == *kind);
        found.map(|bytes| bytes[4..].to_vec()).collect::<Vec<_>>()
    };
    // Flags, id and alternate group; main tracks first.
    let headers = find(b"tkhd", 52);
    let headers = headers
        .iter()
        .map(|header| [header[3], header[23], header[47]]);
    let expected = [[3, 1, 1], [3, 2, 2], [2, 3, 1], [2, 6, 2]];
    assert_eq!(headers.collect::<Vec<_>>(), expected);
    let languages: Vec<_> = find(b"mdhd", 34)
        .iter()
        .map(|media| [media[32], media[33]])
        .collect();
    // "und" three times, then "deu".
    assert_eq!(
        languages,
        [[0x55, 0xC4], [0x55, 0xC4], [0x55, 0xC4], [0x10, 0xB5]]
    );
    let names = bytes[movie..]
        .windows(9)
        .filter(|bytes| bytes == b"Kommentar");
    assert_eq!(names.count(), 2, "handler and udta");
    demux(&bytes);
}

/// A frame of a random stream: its track, its size and the form of its message.
fn frame() -> impl Strategy<Value = (bool, u8, usize, u8)> {
    (any::<bool>(), 0_u8..3, 1_usize..40, 0_u8..3)
}

proptest! {
    #[test]
    fn demuxed_samples_equal_the_input(
        messages in vec((vec(frame(), 1..4), 0_u64..60), 1..60),
        fragment_ms in prop::sample::select(vec![0_u64, 100, 1000]),
    ) {
        let mut file = File::new(options(Layout::Seekable, fragment_ms));
        for id in 0..3 {
            file.send(VIDEO, 0, &one_track(0x96, 0, b"avc1", id, AVC_RECORD)).unwrap();
            file.send(AUDIO, 0, &one_track(0x95, 0, b"Opus", id, &opus_head())).unwrap();
        }
        // All tracks start at once, so that nothing decides a different start.
        let mut expected: BTreeMap<(bool, u8), Vec<Vec<u8>>> = BTreeMap::new();
        for id in 0..3 {
            file.send(VIDEO, 0, &one_track(0x96, 3, b"avc1", id, &[1])).unwrap();
            file.send(AUDIO, 0, &one_track(0x95, 1, b"Opus", id, &[0xFC])).unwrap();
            expected.insert((true, id), vec![vec![1]]);
            expected.insert((false, id), vec![vec![0xFC]]);
        }
        let mut time_ms = 40;
        for (number, (frames, step_ms)) in messages.iter().enumerate() {
            time_ms += step_ms;
            let (is_video, _, _, form) = frames[0];
            let mut body = match (is_video, form) {
                (true, 0) => vec![0xA6, 0x03],
                (true, 1) => vec![0xA6, 0x13],
                (true, _) => vec![0xA6, 0x23],
                (false, form) => vec![0x95, form << 4 | 1],
            };
            let codec = if is_video { b"avc1" } else { b"Opus" };
            if form < 2 {
                body.extend(codec);
            }
            let frames = if form == 0 { &frames[..1] } else { &frames[..] };
            for (index, (_, id, size, _)) in frames.iter().enumerate() {
                let sample: Vec<u8> = (0..*size).map(|byte| (byte + number + index) as u8).collect();
                if form == 2 {
                    body.extend(codec);
                }
                body.push(*id);
                if form > 0 {
                    body.extend([0, 0, *size as u8]);
                }
                body.extend(&sample);
                expected.get_mut(&(is_video, *id)).unwrap().push(sample);
            }
            let kind = if is_video { VIDEO } else { AUDIO };
            file.send(kind, time_ms, &body).unwrap();
        }
        let found = tracks(&file.finish());
        // The main video track arrived first.
        let ids = [(true, 0, 1), (false, 0, 2), (true, 1, 3), (false, 1, 4), (true, 2, 5), (false, 2, 6)];
        for (is_video, track, id) in ids {
            let samples: Vec<_> = found[&id].iter().map(|(data, ..)| data.clone()).collect();
            prop_assert_eq!(&samples, &expected[&(is_video, track)], "{} {}", is_video, track);
        }
    }
}

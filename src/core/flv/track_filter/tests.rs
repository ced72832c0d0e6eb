use proptest::{collection::vec, prelude::*};

use super::*;
use crate::core::flv::{AUDIO_TRACK_MAP, codec::VideoTag};

const AUDIO: TagKind = TagKind::AUDIO;
const VIDEO: TagKind = TagKind::VIDEO;

fn set(list: &str) -> TrackSet {
    list.parse().unwrap()
}

/// Returns what a new filter leaves of a message.
fn filtered(list: &str, kind: TagKind, body: &[u8]) -> Option<Vec<u8>> {
    let mut filter = TrackFilter::new(set(list));
    let mut payload = Payload::from(body);
    let info = FrameParser::new().parse(kind, body);
    let info = filter.apply(info, &mut payload)?;
    assert_eq!(info, FrameParser::new().parse(kind, &payload));
    Some(payload.to_vec())
}

#[test]
fn lists_of_tracks_are_parsed_and_printed() {
    for (text, printed) in [
        ("v0,a1", "v0,a1"),
        ("a1, v0", "v0,a1"),
        ("all", "all"),
        ("v,a", "all"),
        ("v0,all", "all"),
        ("v", "v"),
        ("v3,a", "v3,a"),
        ("a255,a007", "a7,a255"),
    ] {
        assert_eq!(set(text).to_string(), printed, "{text}");
    }
    let invalid = [
        "", "v0,", ",", "0", "x1", "v256", "v-1", "v+1", "va", "a 1", "V0", "All", "é",
    ];
    for text in invalid {
        assert_eq!(text.parse::<TrackSet>(), Err(InvalidTrackSet), "{text}");
    }
}

#[test]
fn only_named_tracks_can_be_missing() {
    let mut arrived = set("v0");
    let missing = |list: &str, arrived: &TrackSet| {
        let missing = set(list).named_without(arrived);
        missing.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(missing("v0,v2,a", &arrived), ["v2"]);
    assert_eq!(missing("all", &arrived), [""; 0]);
    assert!(arrived.insert(TrackId { kind: VIDEO, id: 2 }));
    assert!(!arrived.insert(TrackId { kind: VIDEO, id: 2 }));
    assert_eq!(missing("v0,v2,a0", &arrived), ["a0"]);
}

/// E-RTMP "ExVideoTagHeader": Multitrack, OneTrack, sequence start, AVC, track 1.
#[test]
fn one_track_becomes_a_plain_tag() {
    let body = [0x96, 0x00, b'a', b'v', b'c', b'1', 1, 0xAA, 0xBB];
    let plain = [0x90, b'a', b'v', b'c', b'1', 0xAA, 0xBB];
    assert_eq!(filtered("v1", VIDEO, &body), Some(plain.to_vec()));
    assert_eq!(filtered("v1,v2", VIDEO, &body), Some(plain.to_vec()));
    assert_eq!(filtered("v0,v1", VIDEO, &body), Some(body.to_vec()));
    assert_eq!(filtered("v0", VIDEO, &body), None);
    assert_eq!(filtered("a1", VIDEO, &body), None);
    assert_eq!(filtered("v", VIDEO, &body), Some(body.to_vec()));
}

/// E-RTMP "ExAudioTagHeader": Multitrack, ManyTracks, coded frames, Opus, tracks with their sizes.
#[test]
fn many_tracks_keep_the_selected_ones() {
    #[rustfmt::skip]
    let body = [
        &[0x95, 0x11][..], b"Opus",
        &[0, 0, 0, 2, 0xA0, 0xA1],
        &[1, 0, 0, 1, 0xB0],
        &[2, 0, 0, 3, 0xC0, 0xC1, 0xC2],
    ]
    .concat();
    let plain = |track: &[u8]| Some([&[0x91][..], b"Opus", track].concat());
    assert_eq!(filtered("a0", AUDIO, &body), plain(&[0xA0, 0xA1]));
    assert_eq!(filtered("a2", AUDIO, &body), plain(&[0xC0, 0xC1, 0xC2]));
    assert_eq!(filtered("a0,a9", AUDIO, &body), plain(&[0xA0, 0xA1]));
    let one = [&[0x95, 0x01][..], b"Opus", &[1, 0xB0]].concat();
    assert_eq!(filtered("a1,a7,a5", AUDIO, &body), plain(&[0xB0]));
    assert_eq!(filtered("a1,a00,a5", AUDIO, &one), Some(one.clone()));
    #[rustfmt::skip]
    let two = [
        &[0x95, 0x11][..], b"Opus",
        &[0, 0, 0, 2, 0xA0, 0xA1],
        &[2, 0, 0, 3, 0xC0, 0xC1, 0xC2],
    ]
    .concat();
    assert_eq!(filtered("a0,a2", AUDIO, &body), Some(two));
    // The smallest id becomes the main track.
    #[rustfmt::skip]
    let renamed = [
        &[0x95, 0x11][..], b"Opus",
        &[0, 0, 0, 1, 0xB0],
        &[2, 0, 0, 3, 0xC0, 0xC1, 0xC2],
    ]
    .concat();
    assert_eq!(filtered("a1,a2", AUDIO, &body), Some(renamed));
    assert_eq!(filtered("a3,v0", AUDIO, &body), None);
    assert_eq!(filtered("a0,a1,a2", AUDIO, &body), Some(body.clone()));
}

/// ManyTracksManyCodecs: each track has its FourCC.
#[test]
fn tracks_with_codecs_keep_them() {
    #[rustfmt::skip]
    let body = [
        &[0xA6, 0x21][..], // inter frame, Multitrack; coded frames
        b"avc1", &[0, 0, 0, 4, 0, 0, 9, 0xA0],
        b"vp09", &[1, 0, 0, 1, 0xB0],
        b"av01", &[2, 0, 0, 1, 0xC0],
    ]
    .concat();
    let avc = [&[0xA1][..], b"avc1", &[0, 0, 9, 0xA0]].concat();
    let vp9 = [&[0xA1][..], b"vp09", &[0xB0]].concat();
    assert_eq!(filtered("v0", VIDEO, &body), Some(avc));
    assert_eq!(filtered("v1", VIDEO, &body), Some(vp9));
    #[rustfmt::skip]
    let two = [
        &[0xA6, 0x21][..],
        b"avc1", &[0, 0, 0, 4, 0, 0, 9, 0xA0],
        b"av01", &[2, 0, 0, 1, 0xC0],
    ]
    .concat();
    assert_eq!(filtered("v0,v2", VIDEO, &body), Some(two));
    let one = [&[0xA6, 0x01][..], b"av01", &[2, 0xC0]].concat();
    assert_eq!(filtered("v2,v00,v3", VIDEO, &body[..2]), None);
    assert_eq!(filtered("v2,v0", VIDEO, &one), Some(one.clone()));
}

/// ModEx: a size minus one, the data, then a ModEx type and the next packet type.
#[test]
fn mod_ex_packets_are_kept() {
    #[rustfmt::skip]
    let body = [
        0x97,
        2, 0x00, 0x01, 0xF4, 0x07, // 3 bytes: 500 ns; type 0, then ModEx
        0, 0xEE, 0x36,             // 1 byte of the unknown type 3, then Multitrack
        0x01, b'a', b'v', b'c', b'1', 5, 0, 0, 0, 0x65,
    ];
    #[rustfmt::skip]
    let plain = [
        0x97,
        2, 0x00, 0x01, 0xF4, 0x07,
        0, 0xEE, 0x31,
        b'a', b'v', b'c', b'1', 0, 0, 0, 0x65,
    ];
    assert_eq!(filtered("v5", VIDEO, &body), Some(plain.to_vec()));
    let tag = VideoTag::parse(&plain).unwrap();
    assert_eq!(tag.nano_offset_ns, 500);
    assert_eq!(filtered("v0", VIDEO, &plain), Some(plain.to_vec()));
    assert_eq!(filtered("v0", VIDEO, &body), None);
}

#[test]
fn plain_messages_belong_to_the_main_track() {
    let messages: [(TagKind, &[u8]); 5] = [
        (VIDEO, &[0x17, 1, 0, 0, 0, 5]),
        (VIDEO, &[0x90, b'a', b'v', b'c', b'1', 1]),
        (VIDEO, &[0x57, 0]),
        (AUDIO, &[0xAF, 1, 0x21]),
        (AUDIO, &[]),
    ];
    for (kind, body) in messages {
        let (main, other) = if kind == VIDEO {
            ("v0", "v1")
        } else {
            ("a0", "a1")
        };
        assert_eq!(filtered(main, kind, body), Some(body.to_vec()));
        assert_eq!(filtered(other, kind, body), None);
    }
    let script = [2, 0, 1, b'x'];
    assert_eq!(
        filtered("v1", TagKind::SCRIPT, &script),
        Some(script.to_vec())
    );
}

#[test]
fn cut_messages_never_panic_and_lose_at_most_the_cut_track() {
    #[rustfmt::skip]
    let body = [
        &[0x97, 0, 9, 0x06, 0x21][..], // ModEx, then Multitrack: ManyTracksManyCodecs, coded frames
        b"avc1", &[0, 0, 0, 4, 0, 0, 9, 0xA0],
        b"vp09", &[1, 0, 0, 1, 0xB0],
    ]
    .concat();
    let first = body.len() - 9;
    for cut in 0..body.len() {
        for list in ["v0", "v1", "v0,v1", "v1,v2"] {
            let rest = filtered(list, VIDEO, &body[..cut]);
            assert!(rest.is_none_or(|rest| rest.len() <= cut), "{list} {cut}");
        }
        let main = filtered("v0", VIDEO, &body[..cut]);
        if cut >= first {
            let expected = [&[0x97, 0, 9, 0x01][..], b"avc1", &[0, 0, 9, 0xA0]].concat();
            assert_eq!(main, Some(expected), "{cut}");
        }
    }
}

/// A keyframe with frame type 0 is recognized by its NAL units, whose length size the header has.
#[test]
fn keyframes_of_a_new_main_track_are_found() {
    let mut filter = TrackFilter::new(set("v2"));
    let mut parser = FrameParser::new();
    let mut apply = |body: &[u8]| {
        let mut payload = Payload::from(body);
        let info = parser.parse(VIDEO, body);
        filter.apply(info, &mut payload).unwrap()
    };
    // avcC with NAL unit lengths of two bytes (ISO 14496-15 5.3.3.1): the low bits of byte 4.
    let header = [
        &[0x86, 0x00][..],
        b"avc1",
        &[2, 1, 0x64, 0, 13, 0xFD, 0xE0, 0],
    ]
    .concat();
    assert!(apply(&header).is_sequence_header);
    let frame = |nal: u8| [&[0x86, 0x03][..], b"avc1", &[2, 0, 1, nal]].concat();
    let info = apply(&frame(0x65));
    assert_eq!((info.track_id, info.is_keyframe), (0, true));
    assert!(!apply(&frame(0x41)).is_keyframe);
}

#[test]
fn descriptions_of_other_tracks_are_removed() {
    let describe = |language: &str| Object::from_iter([("language", language)]);
    let map = Object::from_iter([
        ("1", describe("en")),
        ("2", describe("de")),
        ("x", describe("")),
    ]);
    let fields = Object::from_iter([(AUDIO_TRACK_MAP, map.clone()), ("title", Object::new())]);
    let filter = |list| {
        let mut fields = fields.clone();
        let is_changed = set(list).filter_metadata(&mut fields);
        let map = fields.get(AUDIO_TRACK_MAP).unwrap().as_object().unwrap();
        (is_changed, map.clone())
    };
    assert_eq!(filter("a"), (false, map.clone()));
    assert_eq!(filter("a0,a1,a2"), (false, map));
    let expected = Object::from_iter([("0", describe("de")), ("x", describe(""))]);
    assert_eq!(filter("a2"), (true, expected));
    let expected = Object::from_iter([("x", describe(""))]);
    assert_eq!(filter("v1"), (true, expected));
}

#[test]
fn a_filtered_message_does_not_allocate() {
    let mut filter = TrackFilter::new(set("v1,a0"));
    let one = [&[0x96, 0x01][..], b"avc1", &[1, 0, 0, 0], &[0x65; 500]].concat();
    let plain = [&[0xAF, 1][..], &[0x21; 300]].concat();
    let mut payloads = [(VIDEO, one), (AUDIO, plain)].map(|(kind, body)| {
        let mut payload = Payload::new();
        payload.extend_from_slice(&body);
        (kind, body, payload)
    });
    let mut run = || {
        for (kind, body, payload) in &mut payloads {
            payload.clear();
            payload.extend_from_slice(body);
            let info = FrameParser::new().parse(*kind, payload);
            assert!(filter.apply(info, payload).is_some());
        }
    };
    run();
    assert_eq!(allocation_counter::measure(&mut run).count_total, 0);
}

/// One multitrack message of video: id, codec and body of each track.
fn message() -> impl Strategy<Value = (u8, Vec<(u8, bool, Vec<u8>)>)> {
    let track = (0_u8..8, any::<bool>(), vec(any::<u8>(), 0..12));
    (0_u8..3, vec(track, 1..6))
}

fn encode(kind: u8, tracks: &[(u8, bool, Vec<u8>)]) -> Vec<u8> {
    let name = |is_av1: bool| if is_av1 { b"av01" } else { b"vp09" };
    let tracks = if kind == 0 { &tracks[..1] } else { tracks };
    let mut body = vec![0x96, kind << 4 | 1];
    if kind != 2 {
        body.extend(name(tracks[0].1));
    }
    for (id, is_av1, frame) in tracks {
        if kind == 2 {
            body.extend(name(*is_av1));
        }
        body.push(*id);
        if kind != 0 {
            body.extend([0, 0, frame.len() as u8]);
        }
        body.extend(frame);
    }
    body
}

proptest! {
    #[test]
    fn selected_tracks_keep_codec_and_frame((kind, tracks) in message(), selected in 1_u8..=255) {
        let ids: Vec<u8> = (0..8).filter(|id| selected >> id & 1 != 0).collect();
        let mut set = TrackSet::default();
        for id in &ids {
            set.insert(TrackId { kind: VIDEO, id: *id });
        }
        let body = encode(kind, &tracks);
        let contents = |body: &[u8]| {
            let tag = VideoTag::parse(body).unwrap();
            let tracks = tag.into_tracks().map(Result::unwrap);
            tracks.map(|track| (track.id, track.codec, track.body.to_vec())).collect::<Vec<_>>()
        };
        let mut expected = contents(&body);
        expected.retain(|(id, ..)| ids.contains(id));
        expected.iter_mut().filter(|(id, ..)| *id == ids[0]).for_each(|(id, ..)| *id = 0);
        let rest = filtered(&set.to_string(), VIDEO, &body);
        prop_assert_eq!(rest.as_deref().map(contents).unwrap_or_default(), expected.clone());
        if let ([_], Some(rest), [_]) = (&ids[..], rest, &expected[..]) {
            prop_assert!(VideoTag::parse(&rest).unwrap().multitrack().is_none());
        }
    }

    #[test]
    fn any_message_is_filtered_without_panic(
        body in vec(any::<u8>(), 0..60),
        is_video in any::<bool>(),
        list in prop::sample::select(vec!["v0", "v1,a1", "v0,v1,a0,a3", "v,a0"]),
    ) {
        let kind = if is_video { VIDEO } else { AUDIO };
        let rest = filtered(list, kind, &body);
        prop_assert!(rest.is_none_or(|rest| rest.len() <= body.len()));
    }
}

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{
    facts::{Mp4Support, Rational, Reordering, SequenceHeader, Spread, TimestampFacts},
    *,
};
use crate::core::{
    amf::{Value, amf0},
    flv::FrameParser,
    mp4::Unsupported,
};

const V0: TrackId = TrackId {
    kind: TagKind::VIDEO,
    id: 0,
};

const A0: TrackId = TrackId {
    kind: TagKind::AUDIO,
    id: 0,
};

/// A stream of literal messages.
struct Stream {
    parser: FrameParser,
    analysis: StreamAnalysis,
    start: Instant,
    arrived_ms: Option<u64>,
}

impl Stream {
    fn new() -> Self {
        Self::of(Extent::Excerpt)
    }

    fn of(extent: Extent) -> Self {
        Self {
            parser: FrameParser::new(),
            analysis: StreamAnalysis::new(extent),
            start: Instant::now(),
            arrived_ms: None,
        }
    }

    /// Adds a message with this timestamp, which arrives at `arrived_ms`.
    fn message(&mut self, kind: TagKind, timestamp: u32, body: &[u8]) {
        let info = self.parser.parse(kind, body);
        let time = MessageTime {
            arrived_at: self
                .arrived_ms
                .map(|ms| self.start + Duration::from_millis(ms)),
            unix_ms: None,
            media: MediaTime::Timestamp(timestamp),
        };
        self.analysis.message(time, &info, body);
    }

    fn avc_header(&mut self) {
        self.message(TagKind::VIDEO, 0, &AVC_HEADER);
    }

    fn aac_header(&mut self) {
        self.message(TagKind::AUDIO, 0, &[0xAF, 0, 0x12, 0x10]);
    }

    /// Adds a picture of 100 bytes.
    fn picture(&mut self, timestamp: u32, is_keyframe: bool, composition_ms: i8) {
        let [high, low] = i16::from(composition_ms).to_be_bytes();
        let first = if is_keyframe { 0x17 } else { 0x27 };
        let mut body = vec![first, 1, high, high, low];
        body.extend([0, 0, 0, 96, 0x41]);
        body.extend([0; 95]);
        self.message(TagKind::VIDEO, timestamp, &body);
    }

    /// Adds an audio frame of 10 bytes.
    fn sound(&mut self, timestamp: u32) {
        let body = [0xAF, 1, 0x21, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        self.message(TagKind::AUDIO, timestamp, &body);
    }

    /// Sets the time of arrival of the next messages.
    fn arrives(&mut self, arrived_ms: u64) -> &mut Self {
        self.arrived_ms = Some(arrived_ms);
        self
    }

    /// Adds pictures at 25 frames per second with a keyframe every second.
    fn pictures(&mut self, frames: impl IntoIterator<Item = u32>) {
        for frame in frames {
            self.picture(frame * 40, frame % 25 == 0, 0);
        }
    }

    fn metadata(&mut self, members: &[(&str, Value)]) {
        let mut body = Vec::new();
        amf0::encode(&"onMetaData".into(), &mut body);
        let members = members.iter().cloned();
        amf0::encode(&Value::EcmaArray(members.collect()), &mut body);
        self.message(TagKind::SCRIPT, 0, &body);
    }

    fn facts(&self) -> StreamFacts {
        self.analysis.facts()
    }

    fn track(&self, id: TrackId) -> TrackFacts {
        self.facts().track(id).cloned().unwrap()
    }

    fn codes(&self) -> Vec<&'static str> {
        let findings = self.facts().findings;
        findings
            .iter()
            .map(|finding| finding.code.as_str())
            .collect()
    }
}

/// Sequence header of AVC with 320x240 pixels, main profile, level 3.1.
#[rustfmt::skip]
const AVC_HEADER: [u8; 36] = [
    0x17, 0, 0, 0, 0,
    1, 0x4D, 0x40, 0x1F, 0xFF, 0xE1, 0, 14,
    // Sequence parameter set.
    0x67, 0x4D, 0x40, 0x1F, 0xEC, 0xA0, 0xA0, 0xFD, 0x80, 0x88, 0, 0, 0x1F, 0x40,
    1, 0, 4,
    // Picture parameter set.
    0x68, 0xEF, 0xBC, 0xB0, 0, 0,
];

#[test]
fn regular_stream_has_no_findings() {
    let mut stream = Stream::new();
    stream.metadata(&[("framerate", 25.0.into()), ("videocodecid", 7.0.into())]);
    stream.avc_header();
    stream.aac_header();
    for frame in 0..130_u32 {
        stream.picture(frame * 40, frame % 50 == 0, 0);
        for sound in (frame * 40..frame * 40 + 40).filter(|ms| ms * 441 % 10_240 < 441) {
            stream.sound(sound);
        }
    }
    assert_eq!(stream.codes(), Vec::<&str>::new(), "{:#?}", stream.facts());
    let video = stream.track(V0);
    let rate = video.frame_rate.unwrap();
    assert_eq!(rate.nominal, Rational::new(25, 1));
    assert_eq!(
        (rate.steps, rate.odd_steps, rate.median_step_ms),
        (129, 0, 40)
    );
    assert_eq!(video.bit_rate.mean, Some(20_000.0));
    assert_eq!(video.bit_rate.peak, Some(20_000.0));
    let interval = video.keyframes.unwrap().interval;
    assert_eq!(
        interval,
        Some(Spread {
            min_ms: 2000,
            mean_ms: 2000,
            max_ms: 2000
        })
    );
    assert_eq!(video.mp4, Mp4Support::Yes { timescale: 25_000 });
    let audio = stream.track(A0);
    assert_eq!(audio.mp4, Mp4Support::Yes { timescale: 44_100 });
    assert_eq!(audio.samples_per_frame, Some(1024));
    assert_eq!(audio.audio_format.map(|format| format.channels), Some(2));
    assert!(stream.analysis.is_complete());
}

#[test]
fn b_frames_are_counted_by_their_order() {
    let mut stream = Stream::new();
    stream.avc_header();
    // I P B B, shown as I B B P with a delay of one frame.
    for (frame, offset) in [(0, 40), (1, 120), (2, 0), (3, 0), (4, 120), (5, 0), (6, 0)] {
        stream.picture(frame * 40, frame == 0, offset);
    }
    let expected = Reordering {
        offset_frames: 3,
        reordered_frames: 4,
        depth: 1,
        min_offset_ms: 0,
        max_offset_ms: 120,
    };
    assert_eq!(stream.track(V0).reordering, Some(expected));
}

#[test]
fn state_of_the_sequence_header_is_reported() {
    let mut stream = Stream::new();
    stream.pictures(0..3);
    assert_eq!(stream.track(V0).sequence_header, SequenceHeader::Missing);
    let unsupported = Unsupported::NoSequenceHeader("AVC".to_owned());
    assert_eq!(stream.track(V0).mp4, Mp4Support::No(unsupported));
    stream.avc_header();
    stream.avc_header();
    let received = |changes, is_damaged| SequenceHeader::Received {
        frames_before: 3,
        changes,
        is_damaged,
    };
    assert_eq!(stream.track(V0).sequence_header, received(0, false));
    assert!(stream.codes().contains(&"late-sequence-header"));
    stream.message(TagKind::VIDEO, 0, &AVC_HEADER[..9]);
    assert_eq!(stream.track(V0).sequence_header, received(1, true));
    assert!(stream.codes().contains(&"sequence-header-changed"));
    assert!(stream.codes().contains(&"damaged-sequence-header"));
}

#[test]
fn channel_layout_before_the_first_frame_does_not_hide_its_properties() {
    let mut stream = Stream::new();
    // Multichannel configuration: native order, one channel, front center.
    stream.message(TagKind::AUDIO, 0, b"\x94ac-3\x01\x01\0\0\0\x04");
    // Syncword, checksum, 48 kHz, version 8, one channel.
    stream.message(TagKind::AUDIO, 0, b"\x91ac-3\x0B\x77\0\0\0\x40\x20\0");
    let audio = stream.track(A0).audio.expect("properties");
    assert_eq!(audio.rate_hz, Some(48_000));
    assert_eq!(audio.channels, Some(1));
    assert!(audio.speakers.is_some());
}

#[test]
fn metadata_is_compared_with_the_tracks() {
    let mut stream = Stream::new();
    stream.metadata(&[
        ("framerate", 30.0.into()),
        ("videocodecid", "avc1".into()),
        ("audiocodecid", 2.0.into()),
        ("stereo", false.into()),
        ("audiosamplerate", 44_100.0.into()),
        ("videodatarate", f64::NAN.into()),
        ("audiodatarate", 0.0.into()),
        ("encoder", "test".into()),
        ("avcprofile", 77.0.into()),
        ("avclevel", 31.0.into()),
        ("aacaot", 5.0.into()),
        ("hasKeyframes", true.into()),
    ]);
    stream.avc_header();
    stream.aac_header();
    stream.pictures(0..50);
    for frame in 0..50 {
        stream.sound(frame * 23);
    }
    let facts = stream.facts();
    let verdict = |member| {
        let mut comparisons = facts.metadata.iter();
        comparisons
            .find(|comparison| comparison.member == member)
            .map(|comparison| comparison.verdict)
    };
    assert_eq!(verdict("framerate"), Some(Verdict::Contradicts));
    assert_eq!(verdict("videocodecid"), Some(Verdict::Agrees));
    assert_eq!(verdict("audiocodecid"), Some(Verdict::Contradicts));
    assert_eq!(verdict("stereo"), Some(Verdict::Contradicts));
    assert_eq!(verdict("audiosamplerate"), Some(Verdict::Agrees));
    assert_eq!(verdict("videodatarate"), Some(Verdict::Contradicts));
    assert_eq!(verdict("audiodatarate"), Some(Verdict::Unknown));
    assert_eq!(verdict("encoder"), Some(Verdict::Unknown));
    assert_eq!(verdict("avcprofile"), Some(Verdict::Agrees));
    assert_eq!(verdict("avclevel"), Some(Verdict::Agrees));
    assert_eq!(verdict("aacaot"), Some(Verdict::Contradicts));
    assert_eq!(verdict("hasKeyframes"), Some(Verdict::Agrees));
    assert_eq!(verdict("width"), None);
    let codes = [
        "metadata-frame-rate",
        "metadata-audio-codec",
        "metadata-video-bit-rate",
        "metadata-channels",
        "metadata-profile",
    ];
    assert_eq!(stream.codes(), codes);
    let texts: Vec<String> = facts.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts[0],
        "v0: the stated frame rate is wrong (stated 30 fps, actual 25 fps)"
    );
}

#[test]
fn timestamps_that_wrap_are_regular() {
    let mut stream = Stream::new();
    stream.avc_header();
    for frame in 0..100_u32 {
        stream.picture(0xFFFF_FF00_u32.wrapping_add(frame * 40), frame % 25 == 0, 0);
    }
    let video = stream.track(V0);
    assert_eq!(video.timestamps, TimestampFacts::default());
    assert_eq!(
        (video.first_ms, video.last_ms),
        (Some(0xFFFF_FF00), Some(0xFFFF_FF00 + 3960))
    );
    assert_eq!(video.frame_rate.unwrap().odd_steps, 0);
    assert_eq!(stream.facts().media_ms, 4000);
}

#[test]
fn ntsc_rate_is_distinguished_from_its_rounding() {
    for (numerator, denominator) in [(30_000, 1001), (30, 1), (24_000, 1001), (24, 1), (25, 2)] {
        let mut stream = Stream::new();
        for frame in 0..150_u64 {
            let time_ms = frame * 1000 * denominator / numerator;
            stream.picture(u32::try_from(time_ms).unwrap(), frame == 0, 0);
        }
        let rate = stream.track(V0).frame_rate.unwrap();
        let expected = Rational::new(numerator as u32, denominator as u32);
        assert_eq!((rate.nominal, rate.odd_steps), (expected, 0));
    }
}

#[test]
fn stray_frame_is_not_a_gap() {
    let mut stream = Stream::new();
    stream.avc_header();
    stream.pictures(0..60);
    stream.picture(0, false, 0);
    stream.pictures(61..120);
    stream.picture(40_000_000, false, 0);
    stream.pictures(121..180);
    let video = stream.track(V0);
    let expected = TimestampFacts {
        strays: 2,
        ..TimestampFacts::default()
    };
    assert_eq!(video.timestamps, expected);
    assert_eq!(stream.facts().media_ms, 180 * 40);
    let rate = video.frame_rate.unwrap();
    assert_eq!(rate.nominal, Rational::new(25, 1));
    assert_eq!(rate.mean, 25.0);
    assert!(stream.codes().contains(&"timestamp-stray"));
}

#[test]
fn gaps_restarts_and_repeats_are_counted() {
    let mut stream = Stream::new();
    stream.avc_header();
    stream.pictures(0..60);
    stream.picture(59 * 40, false, 0);
    stream.pictures(110..170);
    stream.pictures(0..60);
    stream.picture(59 * 40 - 15, false, 0);
    let times = stream.track(V0).timestamps;
    assert_eq!((times.repeats, times.strays), (1, 0));
    assert_eq!((times.gaps, times.longest_gap_ms), (1, 2040));
    assert_eq!((times.steps_back, times.largest_step_back_ms), (2, 6760));
    let interval = stream.track(V0).keyframes.unwrap().interval.unwrap();
    assert_eq!((interval.min_ms, interval.max_ms), (1000, 1000));
    let rate = stream.track(V0).frame_rate.unwrap();
    assert_eq!(rate.nominal, Rational::new(25, 1));
    assert!(!rate.is_constant());
    let expected = [
        "timestamp-back",
        "timestamp-gap",
        "timestamp-repeat",
        "variable-frame-rate",
    ];
    assert!(expected.iter().all(|code| stream.codes().contains(code)));
}

#[test]
fn slide_show_has_no_gaps() {
    let mut stream = Stream::new();
    stream.avc_header();
    for frame in 0..20 {
        stream.picture(frame * 10_000, true, 0);
    }
    let video = stream.track(V0);
    assert_eq!(video.timestamps.gaps, 0);
    let mean = video.frame_rate.unwrap().mean;
    assert!((0.095..0.105).contains(&mean), "{mean}");
}

#[test]
fn variable_frame_rate_has_odd_steps() {
    let mut stream = Stream::new();
    let mut time_ms = 0;
    for frame in 0..200 {
        stream.picture(time_ms, frame % 50 == 0, 0);
        time_ms += [33, 34, 50, 17, 67][frame % 5];
    }
    let rate = stream.track(V0).frame_rate.unwrap();
    assert!(!rate.is_constant() && rate.odd_share() > 0.3, "{rate:?}");
    assert!(stream.codes().contains(&"variable-frame-rate"));
}

#[test]
fn cached_gop_is_a_burst_and_not_jitter() {
    let mut stream = Stream::new();
    stream.arrives(0).avc_header();
    for frame in 0..200_u32 {
        // The first two seconds arrive at once, after 30 ms.
        let jitter = u64::from(frame % 10);
        let arrived_ms = u64::from(frame * 40).saturating_sub(2000) + 30 + jitter;
        stream
            .arrives(arrived_ms)
            .picture(frame * 40, frame % 50 == 0, 0);
    }
    let health = stream.facts().health;
    let burst = health.burst.unwrap();
    assert!(
        burst.has_ended && (1990..=2010).contains(&burst.media_ms),
        "{burst:?}"
    );
    let jitter = health.jitter.unwrap();
    assert!((3..=6).contains(&jitter.p50_ms), "{jitter:?}");
    assert!((8..=9).contains(&jitter.max_ms), "{jitter:?}");
    assert_eq!(
        (health.first_frame_ms, health.first_keyframe_ms),
        (Some(30), Some(0))
    );
    assert!(!stream.codes().contains(&"late-frames"));
}

#[test]
fn late_frames_and_a_slow_server_are_found() {
    let mut stream = Stream::new();
    for frame in 0..1500_u32 {
        let stall = if (700..720).contains(&frame) { 800 } else { 0 };
        let drift = frame / 25 * 2;
        stream
            .arrives((frame * 40 + drift + stall).into())
            .picture(frame * 40, frame % 50 == 0, 0);
    }
    let health = stream.facts().health;
    let drift = health.clock_drift.unwrap().ms_per_hour;
    assert!((7000.0..7400.0).contains(&drift), "{drift}");
    let jitter = health.jitter.unwrap();
    assert_eq!(jitter.late_frames, 20);
    assert!(jitter.p95_ms < 40, "{jitter:?}");
    let codes = stream.codes();
    assert!(codes.contains(&"clock-drift") && codes.contains(&"late-frames"));
}

#[test]
fn recorded_stream_faster_than_real_time_is_an_endless_burst() {
    let mut stream = Stream::new();
    for frame in 0..500_u32 {
        stream
            .arrives(u64::from(frame))
            .picture(frame * 40, frame % 50 == 0, 0);
    }
    let health = stream.facts().health;
    assert!(!health.burst.unwrap().has_ended);
    assert_eq!(health.burst.unwrap().media_ms, 499 * 39);
    assert_eq!((health.jitter, health.clock_drift), (None, None));
}

#[test]
fn audio_that_starts_late_and_drifts_is_found() {
    let mut stream = Stream::new();
    stream.aac_header();
    stream.avc_header();
    for frame in 0..3000_u32 {
        stream.picture(frame * 40, frame % 50 == 0, 0);
        // Two steps of 20 ms, of which one in ten has 21 ms.
        stream.sound(700 + frame * 40 + frame / 5);
        stream.sound(720 + frame * 40 + frame / 5);
    }
    let health = stream.facts().health;
    assert_eq!(health.av_offset_ms, Some(700));
    let drift = health.av_drift.unwrap().ms_per_hour;
    assert!((17_500.0..18_500.0).contains(&drift), "{drift}");
    let codes = stream.codes();
    assert!(
        codes.contains(&"av-offset") && codes.contains(&"av-drift"),
        "{codes:?}"
    );
    assert!(
        codes.contains(&"sample-drift"),
        "20 ms for 1,024 samples at 44.1 kHz"
    );
}

#[test]
fn video_without_keyframe_is_found() {
    let mut stream = Stream::new();
    stream.avc_header();
    for frame in 1..20 {
        stream.picture(frame * 40, false, 0);
    }
    let finding = |stream: &Stream, code| {
        let findings = stream.facts().findings;
        findings.into_iter().find(|finding| finding.code == code)
    };
    let severity = |stream: &Stream| finding(stream, Code::NoKeyframe).unwrap().severity;
    assert_eq!(severity(&stream), Severity::Warning);
    stream.picture(9_000, false, 0);
    for frame in 0..300 {
        stream.picture(9_040 + frame * 40, false, 0);
    }
    assert_eq!(severity(&stream), Severity::Error);
    stream.picture(21_040, true, 0);
    assert_eq!(finding(&stream, Code::NoKeyframe), None);
    let first = finding(&stream, Code::FirstFrameNotKeyframe).unwrap();
    assert_eq!(first.actual, Some(Quantity::Number(320.0)));
}

#[test]
fn empty_and_malformed_frames_are_counted() {
    let mut stream = Stream::new();
    stream.aac_header();
    stream.sound(0);
    stream.message(TagKind::AUDIO, 23, &[0xAF, 1]);
    stream.message(TagKind::AUDIO, 46, &[]);
    stream.message(TagKind::AUDIO, 46, &[0xAF]);
    let audio = stream.track(A0);
    assert_eq!(
        (audio.frames, audio.empty_frames, audio.malformed_frames),
        (2, 2, 1)
    );
    let codes = stream.codes();
    assert!(codes.contains(&"empty-frames") && codes.contains(&"malformed-frames"));
}

#[test]
fn frames_that_their_nal_units_do_not_fill_are_malformed() {
    let mut stream = Stream::new();
    stream.avc_header();
    stream.message(
        TagKind::VIDEO,
        0,
        b"\x17\x01\0\0\0\0\0\0\x01\x65\0\0\0\x02\x41\x01",
    );
    assert_eq!(stream.track(V0).malformed_frames, 0);
    let annex_b = b"\x17\x01\0\0\0\0\0\0\x01\x65\x88\x84";
    stream.message(TagKind::VIDEO, 40, annex_b);
    stream.message(TagKind::VIDEO, 80, b"\x27\x01\0\0\0\0\0\0\x05\x41");
    let video = stream.track(V0);
    assert_eq!((video.frames, video.malformed_frames), (3, 2));
}

#[test]
fn multitrack_messages_are_split_into_tracks() {
    let mut stream = Stream::new();
    let mut header = b"\x96\x10avc1\x00\x00\x00\x1F".to_vec();
    header.extend(&AVC_HEADER[5..]);
    header.extend(b"\x01\x00\x00\x1F");
    header.extend(&AVC_HEADER[5..]);
    stream.message(TagKind::VIDEO, 0, &header);
    let frame = b"\x96\x11avc1\x00\x00\x00\x05\x00\x00\x00\x65\x01\x01\x00\x00\x07\x00\x00\x00\x65\x01\x02\x03";
    for at in 0..10 {
        stream.message(TagKind::VIDEO, at * 40, frame);
    }
    let tracks = stream.facts().tracks;
    assert_eq!(tracks.len(), 2);
    for (track, bytes) in tracks.iter().zip([20, 40]) {
        assert!(track.is_multitrack);
        assert_eq!((track.frames, track.bytes), (10, bytes));
        assert!(matches!(
            track.sequence_header,
            SequenceHeader::Received { .. }
        ));
        assert_eq!(track.keyframes.unwrap().count, 10);
    }
}

#[test]
fn more_tracks_than_the_limit_are_counted() {
    let mut stream = Stream::new();
    for round in 0..3 {
        for id in 0..=255 {
            let body = [&b"\x95\x01Opus"[..], &[id, 9]].concat();
            stream.message(TagKind::AUDIO, round * 20, &body);
        }
    }
    let facts = stream.facts();
    assert_eq!(facts.tracks.len(), MAX_TRACKS);
    assert_eq!(facts.omitted_tracks, 256 - MAX_TRACKS as u32);
    assert!(stream.codes().contains(&"too-many-tracks"));
}

#[test]
fn duration_is_compared_for_complete_streams() {
    for (extent, stated, expected) in [
        (Extent::Complete, 10.0, Verdict::Agrees),
        (Extent::Complete, 12.0, Verdict::Contradicts),
        (Extent::Complete, 0.0, Verdict::Unknown),
        (Extent::Excerpt, 12.0, Verdict::Unknown),
    ] {
        let mut stream = Stream::of(extent);
        stream.metadata(&[("duration", stated.into())]);
        stream.pictures(0..250);
        let facts = stream.facts();
        assert_eq!(facts.metadata[0].verdict, expected, "{extent:?} {stated}");
    }
}

#[test]
fn gap_is_one_odd_step() {
    let mut stream = Stream::new();
    stream.avc_header();
    stream.pictures(0..60);
    stream.pictures(160..220);
    let track = stream.track(V0);
    let rate = track.frame_rate.unwrap();
    assert_eq!((rate.steps, rate.odd_steps), (119, 1));
    assert!(rate.is_constant());
    assert_eq!(track.timestamps.gaps, 1);
}

#[test]
fn tracks_are_described_before_the_second_keyframe() {
    let mut stream = Stream::new();
    stream.metadata(&[("videocodecid", 7.0.into())]);
    stream.avc_header();
    stream.pictures(1..20);
    assert!(!stream.analysis.is_described(), "no keyframe");
    stream.pictures(25..35);
    assert!(stream.analysis.is_described());
    assert!(!stream.analysis.is_complete(), "one keyframe");
}

#[test]
fn analysis_is_complete_after_one_gop_of_the_announced_tracks() {
    let mut stream = Stream::new();
    stream.metadata(&[("audiocodecid", 10.0.into()), ("videocodecid", 7.0.into())]);
    stream.avc_header();
    stream.pictures(0..25);
    assert!(!stream.analysis.is_complete(), "one keyframe");
    assert!(!stream.analysis.is_described(), "no audio");
    stream.pictures(25..26);
    assert!(!stream.analysis.is_complete(), "no audio");
    stream.aac_header();
    for frame in 0..10 {
        stream.sound(frame * 23);
    }
    assert!(stream.analysis.is_complete());
    assert!(stream.analysis.is_described());
    let mut silent = Stream::new();
    silent.avc_header();
    silent.pictures(0..45);
    assert!(!silent.analysis.is_complete(), "audio may follow");
    silent.pictures(45..60);
    assert!(silent.analysis.is_complete());
    assert!(!Stream::new().analysis.is_complete());
}

#[test]
fn codes_are_unique_kebab_case() {
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let is_kebab = |code: &&str| {
        code.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    assert!(codes.iter().all(is_kebab));
    assert!(
        Code::ALL
            .iter()
            .all(|code| code.description().ends_with('.'))
    );
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Code::ALL.len());
}

fn any_message() -> impl Strategy<Value = (TagKind, u32, Vec<u8>)> {
    let kind = prop_oneof![
        Just(TagKind::AUDIO),
        Just(TagKind::VIDEO),
        Just(TagKind::SCRIPT),
        any::<u8>().prop_map(TagKind)
    ];
    let timestamp = prop_oneof![any::<u32>(), 0..2000_u32];
    let usual = prop_oneof![
        Just(AVC_HEADER.to_vec()),
        Just(vec![0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65]),
        Just(vec![0x27, 1, 0xFF, 0xFF, 0xFF, 0, 0, 0, 1, 0x41]),
        Just(vec![0xAF, 0, 0x12, 0x10]),
        Just(vec![0xAF, 1, 0x21]),
    ];
    let body = prop_oneof![usual, proptest::collection::vec(any::<u8>(), 0..40)];
    (kind, timestamp, body)
}

proptest! {
    #[test]
    fn any_messages_have_plausible_facts(
        messages in proptest::collection::vec((any_message(), 0..100_000_u64), 0..200),
    ) {
        let mut stream = Stream::of(Extent::Complete);
        for ((kind, timestamp, body), arrived_ms) in &messages {
            stream.arrives(*arrived_ms).message(*kind, *timestamp, body);
        }
        let facts = stream.facts();
        prop_assert!(facts.tracks.len() <= MAX_TRACKS);
        for track in &facts.tracks {
            prop_assert!(track.frames <= messages.len() as u64 * 20);
            for rate in [track.bit_rate.mean, track.bit_rate.peak].into_iter().flatten() {
                prop_assert!(rate.is_finite() && rate >= 0.0);
            }
            if let Some(rate) = track.frame_rate {
                prop_assert!(rate.mean.is_finite() && rate.mean > 0.0);
                prop_assert!(rate.odd_steps <= rate.steps);
            }
            if let Some(interval) = track.keyframes.and_then(|keyframes| keyframes.interval) {
                prop_assert!(interval.min_ms <= interval.mean_ms && interval.mean_ms <= interval.max_ms);
            }
        }
        if let Some(jitter) = facts.health.jitter {
            prop_assert!(jitter.p50_ms <= jitter.p95_ms && jitter.p95_ms <= jitter.max_ms);
        }
        let mut codes: Vec<_> = facts.findings.iter().map(|finding| (finding.code, finding.track)).collect();
        codes.dedup();
        prop_assert_eq!(codes.len(), facts.findings.len());
        stream.analysis.is_complete();
    }
}

#[test]
fn frames_allocate_nothing_after_the_start() {
    let mut stream = Stream::new();
    stream.avc_header();
    stream.aac_header();
    let bodies = [
        [0x27, 1, 0, 0, 0, 0, 0, 0, 1, 0x41],
        [0xAF, 1, 0x21, 0, 0, 0, 0, 0, 0, 0],
    ];
    let mut send = |frames: std::ops::Range<u32>| {
        for frame in frames {
            stream.arrives(u64::from(frame) * 40);
            stream.message(TagKind::VIDEO, frame * 40, &bodies[0]);
            stream.message(TagKind::AUDIO, frame * 40, &bodies[1]);
        }
    };
    send(0..1000);
    let allocated = allocation_counter::measure(|| send(1000..5000));
    assert_eq!(allocated.count_total, 0);
}

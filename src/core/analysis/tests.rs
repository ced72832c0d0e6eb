use std::time::{Duration, Instant};

use super::facts::{Mp4Support, Rational, Reordering, SequenceHeader, Spread};
use super::*;
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
    assert_eq!(verdict("width"), None);
    let codes = [
        "metadata-frame-rate",
        "metadata-audio-codec",
        "metadata-video-bit-rate",
        "metadata-channels",
    ];
    assert_eq!(stream.codes(), codes);
    let texts: Vec<String> = facts.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts[0],
        "v0: the stated frame rate is wrong (stated 30 fps, actual 25 fps)"
    );
}

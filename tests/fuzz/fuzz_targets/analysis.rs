//! Analysis: arbitrary messages of a stream, at arbitrary times.
//!
//! The first byte of the input selects the kind of the stream. Each message consists of its type, timestamp, time of
//! arrival, length and body.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use rtmpull::core::{
    analysis::{
        Extent, Health, MAX_TRACKS, MediaTime, MessageTime, StreamAnalysis, StreamFacts,
        TrackFacts, facts::Drift,
    },
    flv::{FrameParser, TagKind},
    wire::{Missing, Reader},
};

fuzz_target!(|data: &[u8]| {
    let Some((flags, messages)) = data.split_first() else {
        return;
    };
    let source = Source {
        is_file: flags & 1 != 0,
        has_wrapping_time: flags & 2 == 0,
    };
    let mut reader = Reader::new(messages);
    let messages: Vec<Message<'_>> =
        std::iter::from_fn(|| Message::read(&mut reader).ok()).collect();
    let facts = source.analyze(&messages);
    check_stream(&facts, &messages);
    facts.tracks.iter().for_each(check_track);
    check_health(&facts.health, source.is_file);
    check_findings(&facts);
});

/// Kind of the stream.
struct Source {
    is_file: bool,
    has_wrapping_time: bool,
}

/// A message of the input.
struct Message<'a> {
    kind: TagKind,
    timestamp: u32,
    /// Time since the message before, in milliseconds.
    after_ms: u16,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Missing> {
        Ok(Self {
            kind: TagKind(reader.u8("type")?),
            timestamp: reader.u32("timestamp")?,
            after_ms: reader.u16("time of arrival")?,
            body: {
                let length = reader.u16("length")?;
                reader.take(length.into(), "body")?
            },
        })
    }
}

impl Source {
    fn analyze(&self, messages: &[Message<'_>]) -> StreamFacts {
        let extent = match self.is_file {
            true => Extent::Complete,
            false => Extent::Excerpt,
        };
        let mut analysis = StreamAnalysis::new(extent);
        let mut parser = FrameParser::new();
        let mut now = Instant::now();
        for message in messages {
            now += Duration::from_millis(message.after_ms.into());
            let time = MessageTime {
                arrived_at: (!self.is_file).then_some(now),
                unix_ms: (!self.is_file).then_some(UNIX_MS),
                media: match self.has_wrapping_time {
                    true => MediaTime::Timestamp(message.timestamp),
                    false => MediaTime::Milliseconds(u64::from(message.timestamp) << 31),
                },
            };
            let info = parser.parse(message.kind, message.body);
            analysis.message(time, &info, message.body);
            assert!(!analysis.is_complete() || analysis.is_described());
        }
        analysis.facts()
    }
}

fn check_stream(facts: &StreamFacts, messages: &[Message<'_>]) {
    let count = |kinds: &[TagKind]| {
        let of_kind = messages
            .iter()
            .filter(|message| kinds.contains(&message.kind));
        of_kind.count() as u64
    };
    assert_eq!(facts.messages.audio, count(&[TagKind::AUDIO]));
    assert_eq!(facts.messages.video, count(&[TagKind::VIDEO]));
    let script = [TagKind::SCRIPT, TagKind::SCRIPT_AMF3];
    assert_eq!(facts.messages.script, count(&script));
    assert!(facts.tracks.len() <= MAX_TRACKS);
    assert!(facts.omitted_tracks == 0 || facts.tracks.len() == MAX_TRACKS);
    let frames: u64 = facts.tracks.iter().map(|track| track.frames).sum();
    let bytes: u64 = facts.tracks.iter().map(|track| track.bytes).sum();
    assert!(bytes <= facts.messages.bytes);
    assert!(frames <= facts.messages.bytes, "a frame has a byte or more");
    for track in &facts.tracks {
        let same = facts.tracks.iter().filter(|other| other.id == track.id);
        assert_eq!(same.count(), 1, "{} twice", track.id);
        assert!(track.media_ms <= facts.media_ms || track.frames == 0);
    }
}

fn check_track(track: &TrackFacts) {
    assert!(track.malformed_frames <= track.frames);
    let times = &track.timestamps;
    assert!(times.strays <= track.frames);
    assert!(times.repeats + times.steps_back + times.gaps < track.frames.max(1));
    assert!(times.gaps > 0 || times.longest_gap_ms == 0);
    for rate in [track.bit_rate.mean, track.bit_rate.peak] {
        assert!(rate.is_none_or(|rate| rate.is_finite() && rate >= 0.0));
    }
    if let Some(rate) = track.frame_rate {
        assert!(rate.odd_steps <= rate.steps && rate.steps < track.frames);
        let frames_per_second = rate.frames_per_second();
        assert!(frames_per_second.is_finite() && frames_per_second > 0.0);
    }
    if let Some(keyframes) = track.keyframes {
        assert!(keyframes.count + keyframes.frames_before <= track.frames);
        if let Some(interval) = keyframes.interval {
            assert!((interval.min_ms..=interval.max_ms).contains(&interval.mean_ms));
        }
    }
    if let Some(order) = track.reordering {
        assert!(order.reordered_frames <= track.frames && order.offset_frames <= track.frames);
        assert!(order.min_offset_ms <= order.max_offset_ms);
        assert_eq!(order.has_b_frames(), order.depth > 0);
    }
    check_drift(track.sample_drift);
}

fn check_health(health: &Health, is_file: bool) {
    if let Some(jitter) = health.jitter {
        assert!(jitter.p50_ms <= jitter.p95_ms && jitter.p95_ms <= jitter.max_ms);
        assert!(jitter.late_frames <= jitter.frames);
    }
    check_drift(health.av_drift);
    check_drift(health.clock_drift);
    if is_file {
        let unknown = Health {
            av_offset_ms: health.av_offset_ms,
            av_drift: health.av_drift,
            ..Health::default()
        };
        assert_eq!(*health, unknown, "a file has no times of arrival");
    }
}

fn check_drift(drift: Option<Drift>) {
    assert!(drift.is_none_or(|drift| drift.ms_per_hour.is_finite() && drift.span_ms > 0));
}

/// Panics unless the findings are sorted, each code and track occurs once, and all have a text.
fn check_findings(facts: &StreamFacts) {
    let key = |finding: &rtmpull::core::analysis::Finding| {
        (finding.code, finding.track.map(|track| track.to_string()))
    };
    assert!(facts.findings.is_sorted_by_key(|finding| finding.code));
    for (at, finding) in facts.findings.iter().enumerate() {
        assert!(finding.count > 0);
        assert!(!finding.to_string().is_empty());
        let earlier = facts.findings.iter().take(at);
        assert!(!earlier.map(key).any(|earlier| earlier == key(finding)));
    }
}

/// Time of arrival of all messages by the calendar clock.
const UNIX_MS: i64 = 1_700_000_000_000;

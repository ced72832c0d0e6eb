//! Rules that derive findings from facts.

use super::{
    comparison::{Comparison, Quantity, Verdict},
    facts::{Drift, Mp4Support, SequenceHeader, StreamFacts, TrackFacts},
    finding::{Code, Finding, Severity},
    metadata,
};

/// Tracks that the metadata announces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Announced {
    pub(super) video: bool,
    pub(super) audio: bool,
}

/// Returns the findings of a stream in the order of their codes. At most one finding per track and code.
pub(super) fn findings(facts: &StreamFacts, announced: Announced) -> Vec<Finding> {
    let mut found = Vec::new();
    presence(facts, announced, &mut found);
    for track in &facts.tracks {
        setup(track, &mut found);
        frames(track, &mut found);
        timestamps(track, &mut found);
        if track.is_video() {
            pictures(track, &mut found);
        }
        found.extend(
            drift(Code::SampleDrift, track.sample_drift).map(|finding| Finding {
                track: Some(track.id),
                ..finding
            }),
        );
    }
    health(facts, &mut found);
    found.extend(facts.metadata.iter().filter_map(contradiction));
    found.sort_by_key(|finding| finding.code);
    found.dedup_by(|later, first| later.code == first.code && later.track == first.track);
    found
}

fn presence(facts: &StreamFacts, announced: Announced, found: &mut Vec<Finding>) {
    let has = |track: Option<&TrackFacts>| track.is_some_and(|track| track.frames > 0);
    let (has_video, has_audio) = (has(facts.video()), has(facts.audio()));
    let missing = |code, is_announced| {
        let finding = Finding::new(code, None);
        match is_announced {
            true => finding.severity(Severity::Warning),
            false => finding,
        }
    };
    match (has_video, has_audio) {
        (false, false) => found.push(Finding::new(Code::NoMedia, None)),
        (false, true) => found.push(missing(Code::NoVideo, announced.video)),
        (true, false) => found.push(missing(Code::NoAudio, announced.audio)),
        (true, true) => {}
    }
    if facts.omitted_tracks > 0 {
        let count = facts.omitted_tracks.into();
        found.push(Finding::new(Code::TooManyTracks, None).count(count));
    }
    if !facts.has_metadata && (has_video || has_audio) {
        found.push(Finding::new(Code::NoMetadata, None));
    }
}

fn setup(track: &TrackFacts, found: &mut Vec<Finding>) {
    let finding = |code| Finding::new(code, Some(track.id));
    match track.sequence_header {
        SequenceHeader::NotNeeded => {}
        SequenceHeader::Missing => found.push(finding(Code::NoSequenceHeader)),
        SequenceHeader::Received {
            frames_before,
            changes,
            is_damaged,
        } => {
            if frames_before > 0 {
                found.push(finding(Code::LateSequenceHeader).number(frames_before as f64));
            }
            if is_damaged {
                found.push(finding(Code::DamagedSequenceHeader));
            }
            if changes > 0 {
                found.push(finding(Code::SequenceHeaderChanged).count(changes));
            }
        }
    }
    if track.codec_changes > 0 {
        found.push(finding(Code::CodecChanged).count(track.codec_changes.into()));
    }
    if let Mp4Support::No(reason) = &track.mp4 {
        let reason = Quantity::Text(reason.to_string());
        found.push(finding(Code::Mp4CannotHold).actual(reason));
    }
}

fn frames(track: &TrackFacts, found: &mut Vec<Finding>) {
    let counts = [
        (Code::EmptyFrames, track.empty_frames),
        (Code::MalformedFrames, track.malformed_frames),
    ];
    for (code, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        found.push(Finding::new(code, Some(track.id)).count(count));
    }
}

fn timestamps(track: &TrackFacts, found: &mut Vec<Finding>) {
    let times = &track.timestamps;
    let counts = [
        (
            Code::TimestampBack,
            times.steps_back,
            Some(times.largest_step_back_ms),
        ),
        (Code::TimestampGap, times.gaps, Some(times.longest_gap_ms)),
        (Code::TimestampStray, times.strays, None),
        (Code::TimestampRepeat, times.repeats, None),
    ];
    for (code, count, largest_ms) in counts.into_iter().filter(|(_, count, _)| *count > 0) {
        let finding = Finding::new(code, Some(track.id)).count(count);
        found.push(match largest_ms {
            Some(largest_ms) => finding.number(largest_ms as f64),
            None => finding,
        });
    }
}

fn pictures(track: &TrackFacts, found: &mut Vec<Finding>) {
    let finding = |code| Finding::new(code, Some(track.id));
    if let Some(rate) = track.frame_rate.filter(|rate| !rate.is_constant()) {
        let percent = rate.odd_share() * 100.0;
        found.push(finding(Code::VariableFrameRate).number(percent));
    }
    let Some(keyframes) = track.keyframes.filter(|_| track.frames > 0) else {
        return;
    };
    let wait_ms = keyframes.since_latest_ms;
    if keyframes.count == 0 {
        let severity = match wait_ms > MAX_KEYFRAME_INTERVAL_MS {
            true => Severity::Error,
            false => Severity::Warning,
        };
        let finding = finding(Code::NoKeyframe).number(wait_ms as f64);
        found.push(finding.severity(severity));
        return;
    }
    if keyframes.frames_before > 0 {
        let frames = keyframes.frames_before as f64;
        found.push(finding(Code::FirstFrameNotKeyframe).number(frames));
    }
    let longest_ms = keyframes.interval.map_or(0, |interval| interval.max_ms);
    let longest_ms = longest_ms.max(wait_ms);
    if longest_ms > MAX_KEYFRAME_INTERVAL_MS {
        found.push(finding(Code::LongKeyframeInterval).number(longest_ms as f64));
    }
}

fn health(facts: &StreamFacts, found: &mut Vec<Finding>) {
    let health = &facts.health;
    let far_apart = |offset: &i64| offset.unsigned_abs() > MAX_AV_OFFSET_MS;
    if let Some(offset_ms) = health.av_offset_ms.filter(far_apart) {
        found.push(Finding::new(Code::AvOffset, None).number(offset_ms as f64));
    }
    found.extend(drift(Code::AvDrift, health.av_drift));
    found.extend(drift(Code::ClockDrift, health.clock_drift));
    if let Some(jitter) = health.jitter.filter(|jitter| jitter.late_frames > 0) {
        let finding = Finding::new(Code::LateFrames, None).count(jitter.late_frames);
        found.push(finding.number(jitter.max_ms as f64));
    }
    if let Some(malformed) = health.malformed_messages.filter(|count| *count > 0) {
        found.push(Finding::new(Code::MalformedMessages, None).count(malformed));
    }
}

fn drift(code: Code, drift: Option<Drift>) -> Option<Finding> {
    let is_large = |drift: &Drift| drift.ms_per_hour.abs() > MAX_DRIFT_MS_PER_HOUR;
    let drift = drift.filter(|drift| drift.is_evident() && is_large(drift))?;
    Some(Finding::new(code, None).number(drift.ms_per_hour))
}

fn contradiction(comparison: &Comparison) -> Option<Finding> {
    if comparison.verdict != Verdict::Contradicts {
        return None;
    }
    let code = metadata::code_of(comparison.member)?;
    let finding = Finding::new(code, comparison.track).stated(comparison.stated.clone());
    Some(Finding {
        actual: comparison.actual.clone(),
        ..finding
    })
}

/// Longest time between keyframes. Viewers of a live stream wait up to this time for the first picture.
const MAX_KEYFRAME_INTERVAL_MS: u64 = 10_000;

/// Largest offset of audio and video at the start. Encoders start their tracks within a few frames, and players
/// buffer at least this long.
const MAX_AV_OFFSET_MS: u64 = 500;

/// Largest drift. Quartz clocks differ by at most 100 millionths, or 360 ms per hour.
const MAX_DRIFT_MS_PER_HOUR: f64 = 1000.0;

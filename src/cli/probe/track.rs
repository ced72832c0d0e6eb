//! The tracks of a stream.

use serde::Serialize;

use super::{
    Cleaner,
    format::{bit_rate_text, ms_text, number_text, rounded},
    table::Section,
};
use crate::core::{
    analysis::{
        TrackFacts,
        facts::{Mp4Support, SequenceHeader},
    },
    flv::codec::{AudioDescription, VideoDescription},
};

/// A track.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Track {
    track: String,
    kind: &'static str,
    id: u8,
    codec: Option<String>,
    profile: Option<String>,
    level: Option<String>,
    language: Option<String>,
    name: Option<String>,
    sequence_header: &'static str,
    #[serde(flatten)]
    video: Video,
    #[serde(flatten)]
    audio: Audio,
    frames: u64,
    bytes: u64,
    bit_rate: Option<f64>,
    peak_bit_rate: Option<f64>,
    first_timestamp_ms: Option<i64>,
    last_timestamp_ms: Option<i64>,
    timestamp_repeats: u64,
    timestamp_steps_back: u64,
    timestamp_gaps: u64,
    longest_gap_ms: u64,
    mp4: &'static str,
    mp4_timescale: Option<u32>,
    mp4_problem: Option<String>,
}

/// Members that are null for audio.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
struct Video {
    width: Option<u32>,
    height: Option<u32>,
    sample_aspect: Option<String>,
    frame_rate: Option<f64>,
    nominal_frame_rate: Option<String>,
    announced_frame_rate: Option<f64>,
    is_frame_rate_constant: Option<bool>,
    odd_frame_steps: Option<f64>,
    bit_depth: Option<u8>,
    chroma: Option<String>,
    hdr: Option<String>,
    color_primaries: Option<u8>,
    color_transfer: Option<u8>,
    color_matrix: Option<u8>,
    is_full_range: Option<bool>,
    is_interlaced: Option<bool>,
    has_b_frames: Option<bool>,
    reordering_depth: Option<u8>,
    announced_reordering_depth: Option<u8>,
    keyframes: Option<u64>,
    frames_before_keyframe: Option<u64>,
    keyframe_interval_min_ms: Option<u64>,
    keyframe_interval_mean_ms: Option<u64>,
    keyframe_interval_max_ms: Option<u64>,
}

/// Members that are null for video.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
struct Audio {
    sample_rate: Option<u32>,
    core_sample_rate: Option<u32>,
    channels: Option<u8>,
    channel_layout: Option<String>,
    samples_per_frame: Option<u32>,
    sample_drift_ms_per_hour: Option<f64>,
}

impl Track {
    pub(super) fn of(facts: &TrackFacts, cleaner: &Cleaner<'_>) -> Self {
        let (video, audio) = (
            facts.video.unwrap_or_default(),
            facts.audio.unwrap_or_default(),
        );
        let profile = video.profile.or(audio.profile);
        let description = facts.description.as_ref();
        let (mp4, mp4_timescale, mp4_problem) = match &facts.mp4 {
            Mp4Support::Unknown => ("unknown", None, None),
            Mp4Support::Yes { timescale } => ("yes", Some(*timescale), None),
            Mp4Support::No(why) => ("no", None, Some(cleaner.clean(&why.to_string()))),
        };
        let rate = |rate: Option<f64>| rate.map(f64::round);
        Self {
            track: facts.id.to_string(),
            kind: if facts.is_video() { "video" } else { "audio" },
            id: facts.id.id,
            codec: facts.codec.map(|codec| codec.to_string()),
            profile: profile.map(|profile| profile.to_string()),
            level: video.level.map(|level| level.to_string()),
            language: description
                .and_then(|description| description.language)
                .map(|code| cleaner.clean(&String::from_utf8_lossy(&code))),
            name: description
                .and_then(|description| description.name.as_ref())
                .map(|name| cleaner.clean(name)),
            sequence_header: sequence_header(facts.sequence_header),
            video: match facts.is_video() {
                true => Video::of(facts, &video),
                false => Video::default(),
            },
            audio: match facts.is_video() {
                true => Audio::default(),
                false => Audio::of(facts, &audio),
            },
            frames: facts.frames,
            bytes: facts.bytes,
            bit_rate: rate(facts.bit_rate.mean),
            peak_bit_rate: rate(facts.bit_rate.peak),
            first_timestamp_ms: facts.first_ms,
            last_timestamp_ms: facts.last_ms,
            timestamp_repeats: facts.timestamps.repeats,
            timestamp_steps_back: facts.timestamps.steps_back,
            timestamp_gaps: facts.timestamps.gaps,
            longest_gap_ms: facts.timestamps.longest_gap_ms,
            mp4,
            mp4_timescale,
            mp4_problem,
        }
    }

    /// Returns the rows for people. `is_excerpt` is whether a longer probe would receive more of the track.
    pub(super) fn section(&self, is_excerpt: bool) -> Section {
        let kind = match self.kind {
            "video" => "Video",
            _ => "Audio",
        };
        let mut section = Section::new(format!("{kind} {}", self.track));
        section.add("codec", self.codec_text());
        section.add("language", self.language.clone());
        section.add("name", self.name.clone());
        match self.kind {
            "video" => self.video.add_to(&mut section, is_excerpt),
            _ => self.audio.add_to(&mut section),
        }
        section.add("bit rate", self.bit_rate_text());
        section.add("frames", Some(self.frames_text()));
        section.add("timestamps", self.timestamps_text());
        section.add(
            "sequence header",
            Some(self.sequence_header).filter(|state| !["received", "not needed"].contains(state)),
        );
        section.add("MP4", self.mp4_text());
        section
    }

    /// Returns the most important facts on one line: `h264 1280x720 25 fps`.
    pub(super) fn summary(&self) -> String {
        let parts = match self.kind {
            "video" => {
                let rate = self.video.frame_rate;
                let rate = rate.map(|rate| format!("{} fps", number_text(rate, 3)));
                [self.video.picture_text(), rate]
            }
            _ => [self.audio.sample_rate_text(), self.audio.layout_text()],
        };
        let codec = self.codec.clone().or_else(|| Some(self.kind.to_owned()));
        let parts: Vec<String> = [codec].into_iter().chain(parts).flatten().collect();
        parts.join(" ")
    }

    /// Whether the track is `video` or `audio`.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    /// Returns the mean bit rate in bits per second.
    pub(super) fn bit_rate(&self) -> Option<f64> {
        self.bit_rate
    }

    /// Returns the measured frame rate.
    pub(super) fn frame_rate(&self) -> Option<f64> {
        self.video.frame_rate
    }

    fn codec_text(&self) -> Option<String> {
        let codec = self.codec.as_ref()?;
        let profile = self.profile.as_ref().map(|profile| format!(" {profile}"));
        let level = self.level.as_ref().map(|level| format!("@{level}"));
        Some(
            [Some(codec.clone()), profile, level]
                .into_iter()
                .flatten()
                .collect(),
        )
    }

    fn bit_rate_text(&self) -> Option<String> {
        let mean = bit_rate_text(self.bit_rate?);
        Some(match self.peak_bit_rate {
            Some(peak) => format!("{mean}, peak {}", bit_rate_text(peak)),
            None => mean,
        })
    }

    fn frames_text(&self) -> String {
        format!("{}, {} bytes", self.frames, self.bytes)
    }

    fn timestamps_text(&self) -> Option<String> {
        let (first, last) = (self.first_timestamp_ms?, self.last_timestamp_ms?);
        let mut text = format!("{first} to {last} ms");
        for (count, what) in [
            (self.timestamp_repeats, "repeated"),
            (self.timestamp_steps_back, "back"),
            (self.timestamp_gaps, "gaps"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        Some(text)
    }

    fn mp4_text(&self) -> Option<String> {
        match (self.mp4, self.mp4_timescale, &self.mp4_problem) {
            ("yes", Some(timescale), _) => Some(format!("yes, timescale {timescale}")),
            ("no", _, Some(problem)) => Some(format!("no: {problem}")),
            _ => None,
        }
    }
}

impl Video {
    fn of(facts: &TrackFacts, description: &VideoDescription) -> Self {
        let size = facts.picture_size.or(description.picture_size);
        let rate = facts.frame_rate;
        let nominal = rate.and_then(|rate| rate.nominal);
        let interval = facts.keyframes.and_then(|keyframes| keyframes.interval);
        let color = description.color;
        Self {
            width: size.map(|size| size.width),
            height: size.map(|size| size.height),
            sample_aspect: description
                .pixel_aspect
                .map(|(width, height)| format!("{width}:{height}")),
            frame_rate: rate.map(|rate| rounded(rate.frames_per_second(), 3)),
            nominal_frame_rate: nominal.map(|rate| match rate.denominator {
                1 => rate.numerator.to_string(),
                denominator => format!("{}/{denominator}", rate.numerator),
            }),
            announced_frame_rate: description.frames_per_second.map(|rate| rounded(rate, 3)),
            is_frame_rate_constant: rate.map(|rate| rate.is_constant()),
            odd_frame_steps: rate.map(|rate| rounded(rate.odd_share(), 4)),
            bit_depth: description.bit_depth,
            chroma: description.chroma.map(|chroma| chroma.to_string()),
            hdr: description.hdr().map(|hdr| hdr.to_string()),
            color_primaries: color.map(|color| color.primaries),
            color_transfer: color.map(|color| color.transfer),
            color_matrix: color.map(|color| color.matrix),
            is_full_range: description.is_full_range,
            is_interlaced: description.is_interlaced,
            has_b_frames: facts.reordering.map(|reordering| reordering.has_b_frames()),
            reordering_depth: facts.reordering.map(|reordering| reordering.depth),
            announced_reordering_depth: description.max_reordered_frames,
            keyframes: facts.keyframes.map(|keyframes| keyframes.count),
            frames_before_keyframe: facts.keyframes.map(|keyframes| keyframes.frames_before),
            keyframe_interval_min_ms: interval.map(|interval| interval.min_ms),
            keyframe_interval_mean_ms: interval.map(|interval| interval.mean_ms),
            keyframe_interval_max_ms: interval.map(|interval| interval.max_ms),
        }
    }

    fn add_to(&self, section: &mut Section, is_excerpt: bool) {
        section.add("picture", self.picture_text());
        section.add("frame rate", self.frame_rate_text());
        section.add("pixels", self.pixels_text());
        section.add("HDR", self.hdr.clone());
        section.add("B-frames", self.b_frames_text());
        section.add("keyframes", self.keyframes_text(is_excerpt));
    }

    fn picture_text(&self) -> Option<String> {
        let (width, height) = (self.width?, self.height?);
        let aspect = self.sample_aspect.as_deref();
        let aspect = aspect
            .filter(|aspect| *aspect != "1:1")
            .map_or_else(String::new, |aspect| format!(", sample aspect {aspect}"));
        let interlaced = match self.is_interlaced {
            Some(true) => ", interlaced",
            _ => "",
        };
        Some(format!("{width}x{height}{aspect}{interlaced}"))
    }

    fn frame_rate_text(&self) -> Option<String> {
        let mut text = format!("{} fps", number_text(self.frame_rate?, 3));
        if let Some(nominal) = self
            .nominal_frame_rate
            .as_ref()
            .filter(|rate| rate.contains('/'))
        {
            text.push_str(&format!(" ({nominal})"));
        }
        let odd = self.odd_frame_steps.unwrap_or_default() * 100.0;
        text.push_str(match self.is_frame_rate_constant {
            Some(true) => ", constant",
            _ => ", variable",
        });
        if odd > 0.0 {
            text.push_str(&format!(", {} % odd steps", number_text(odd, 2)));
        }
        if let Some(announced) = self.announced_frame_rate {
            text.push_str(&format!(", announced {}", number_text(announced, 3)));
        }
        Some(text)
    }

    fn pixels_text(&self) -> Option<String> {
        let depth = self.bit_depth.map(|depth| format!("{depth} bits"));
        let range = self.is_full_range.filter(|is_full| *is_full);
        let parts = [
            depth,
            self.chroma.clone(),
            range.map(|_| "full range".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    fn b_frames_text(&self) -> Option<String> {
        let text = match self.has_b_frames? {
            true => format!("yes, depth {}", self.reordering_depth.unwrap_or_default()),
            false => "no".to_owned(),
        };
        Some(match self.announced_reordering_depth {
            Some(announced) => format!("{text}, announced {announced}"),
            None => text,
        })
    }

    fn keyframes_text(&self, is_excerpt: bool) -> Option<String> {
        let count = self.keyframes?;
        let time = |ms: Option<u64>| ms_text(ms.map(|ms| ms as f64));
        let interval = time(self.keyframe_interval_mean_ms);
        Some(match interval {
            Some(mean) if self.keyframe_interval_min_ms == self.keyframe_interval_max_ms => {
                format!("{count}, every {mean}")
            }
            Some(mean) => format!(
                "{count}, every {mean} ({} to {})",
                time(self.keyframe_interval_min_ms).unwrap_or_default(),
                time(self.keyframe_interval_max_ms).unwrap_or_default()
            ),
            None if is_excerpt => {
                format!("{count}, interval unknown (try a longer time, such as --probe-time 10s)")
            }
            None => format!("{count}, interval unknown"),
        })
    }
}

impl Audio {
    fn of(facts: &TrackFacts, description: &AudioDescription) -> Self {
        let format = facts.audio_format;
        Self {
            sample_rate: format.map(|format| format.rate_hz).or(description.rate_hz),
            core_sample_rate: description.core_rate_hz,
            channels: format
                .map(|format| format.channels)
                .or(description.channels),
            channel_layout: description
                .speakers
                .map(|speakers| speakers.to_string())
                .filter(|layout| !layout.is_empty()),
            samples_per_frame: facts.samples_per_frame.or(description.frame_samples),
            sample_drift_ms_per_hour: facts
                .sample_drift
                .map(|drift| rounded(drift.ms_per_hour, 1)),
        }
    }

    fn add_to(&self, section: &mut Section) {
        section.add("sample rate", self.sample_rate_text());
        section.add("channels", self.channels_text());
        section.add(
            "samples per frame",
            self.samples_per_frame.map(|samples| samples.to_string()),
        );
    }

    fn sample_rate_text(&self) -> Option<String> {
        let rate = self.sample_rate?;
        let core = self.core_sample_rate.filter(|core| *core != rate);
        Some(match core {
            Some(core) => format!("{rate} Hz, core {core} Hz"),
            None => format!("{rate} Hz"),
        })
    }

    fn channels_text(&self) -> Option<String> {
        let channels = self.channels?.to_string();
        Some(match &self.channel_layout {
            Some(layout) => format!("{channels}, {layout}"),
            None => channels,
        })
    }

    fn layout_text(&self) -> Option<String> {
        let channels = || Some(format!("{} channels", self.channels?));
        self.channel_layout.clone().or_else(channels)
    }
}

fn sequence_header(header: SequenceHeader) -> &'static str {
    match header {
        SequenceHeader::NotNeeded => "not needed",
        SequenceHeader::Missing => "missing",
        SequenceHeader::Received {
            is_damaged: true, ..
        } => "damaged",
        SequenceHeader::Received {
            frames_before: 1.., ..
        } => "late",
        SequenceHeader::Received { .. } => "received",
    }
}

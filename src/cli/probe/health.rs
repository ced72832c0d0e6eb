//! Metadata next to the received values, the health of the stream, and the findings.

use serde::Serialize;
use serde_json::Value as Json;

use super::{
    Cleaner,
    format::{ms_text, rounded},
    table::{Section, columns_of, padded},
};
use crate::{
    core::analysis::{
        Comparison, Finding as FoundIrregularity, Quantity, StreamFacts, Verdict,
        facts::{Drift, EncoderClock},
    },
    probe::file::FileFinding,
};

/// A member of the metadata.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Stated {
    member: &'static str,
    track: Option<String>,
    stated: Json,
    actual: Json,
    verdict: String,
    #[serde(skip)]
    texts: [String; 2],
    #[serde(skip)]
    is_contradiction: bool,
}

impl Stated {
    pub(super) fn of(comparison: &Comparison, cleaner: &Cleaner<'_>) -> Self {
        let text = |quantity: Option<&Quantity>| {
            quantity.map_or_else(
                || "-".to_owned(),
                |quantity| cleaner.clean(&quantity.to_string()),
            )
        };
        Self {
            member: comparison.member,
            track: comparison.track.map(|track| track.to_string()),
            stated: json(Some(&comparison.stated), cleaner),
            actual: json(comparison.actual.as_ref(), cleaner),
            verdict: comparison.verdict.to_string(),
            texts: [
                text(Some(&comparison.stated)),
                text(comparison.actual.as_ref()),
            ],
            is_contradiction: comparison.verdict == Verdict::Contradicts,
        }
    }

    /// Returns the rows for people, of which each has columns: stated value, received value, verdict.
    pub(super) fn table(metadata: &[Self]) -> Section {
        let mut section = Section::new(METADATA);
        if metadata.is_empty() {
            return section;
        }
        let widths = [(0, "stated"), (1, "actual")].map(|(column, title)| {
            let texts = metadata
                .iter()
                .filter_map(|stated| stated.texts.get(column));
            let widths = texts.map(|text| columns_of(text));
            widths.chain([title.len()]).max().unwrap_or_default()
        });
        let line = |texts: [&str; 2], verdict: &str| {
            let [stated, actual] = [0, 1].map(|column| padded(texts[column], widths[column]));
            format!("{stated}  {actual}  {verdict}")
        };
        section.add("", Some(line(["stated", "actual"], "verdict")));
        for stated in metadata {
            let [value, actual] = &stated.texts;
            section.add(
                stated.member,
                Some(line([value, actual], stated.marked_verdict())),
            );
        }
        section
    }

    /// Returns the rows for people without columns.
    pub(super) fn section(metadata: &[Self]) -> Section {
        let mut section = Section::new(METADATA);
        for stated in metadata {
            let [value, actual] = &stated.texts;
            let text = match stated.actual.is_null() {
                true => value.clone(),
                false => format!("{value}, actual {actual}: {}", stated.marked_verdict()),
            };
            section.add(stated.member, Some(text));
        }
        section
    }

    fn marked_verdict(&self) -> &str {
        match self.is_contradiction {
            true => "CONTRADICTS",
            false => &self.verdict,
        }
    }
}

/// Title of the metadata.
const METADATA: &str = "Metadata";

fn json(quantity: Option<&Quantity>, cleaner: &Cleaner<'_>) -> Json {
    match quantity {
        None => Json::Null,
        Some(Quantity::Number(number)) => rounded(*number, 3).into(),
        Some(Quantity::Flag(flag)) => (*flag).into(),
        Some(Quantity::Text(text)) => cleaner.clean(text).into(),
    }
}

/// Health of the stream and of its delivery.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(super) struct Health {
    media_ms: u64,
    audio_messages: u64,
    video_messages: u64,
    script_messages: u64,
    media_bytes: u64,
    av_offset_ms: Option<i64>,
    av_drift_ms_per_hour: Option<f64>,
    jitter_p50_ms: Option<u64>,
    jitter_p95_ms: Option<u64>,
    jitter_max_ms: Option<u64>,
    late_frames: Option<u64>,
    clock_drift_ms_per_hour: Option<f64>,
    burst_ms: Option<u64>,
    burst_took_ms: Option<u64>,
    delay_ms: Option<i64>,
    delay_clock: Option<&'static str>,
    malformed_messages: Option<u64>,
}

impl Health {
    pub(super) fn of(facts: &StreamFacts) -> Self {
        let health = &facts.health;
        let drift = |drift: Option<Drift>| drift.map(|drift| rounded(drift.ms_per_hour, 1));
        Self {
            media_ms: facts.media_ms,
            audio_messages: facts.messages.audio,
            video_messages: facts.messages.video,
            script_messages: facts.messages.script,
            media_bytes: facts.messages.bytes,
            av_offset_ms: health.av_offset_ms,
            av_drift_ms_per_hour: drift(health.av_drift),
            jitter_p50_ms: health.jitter.map(|jitter| jitter.p50_ms),
            jitter_p95_ms: health.jitter.map(|jitter| jitter.p95_ms),
            jitter_max_ms: health.jitter.map(|jitter| jitter.max_ms),
            late_frames: health.jitter.map(|jitter| jitter.late_frames),
            clock_drift_ms_per_hour: drift(health.clock_drift),
            burst_ms: health.burst.map(|burst| burst.media_ms),
            burst_took_ms: health.burst.map(|burst| burst.took_ms),
            delay_ms: health.delay.map(|delay| delay.delay_ms),
            delay_clock: health.delay.map(|delay| match delay.clock {
                EncoderClock::TimeOfDay => "time-of-day",
                EncoderClock::Absolute => "absolute",
            }),
            malformed_messages: health.malformed_messages,
        }
    }

    /// Returns the rows for people.
    pub(super) fn section(&self) -> Section {
        let mut section = Section::new("Health");
        let time = |ms: u64| ms_text(Some(ms as f64)).unwrap_or_default();
        let signed = |ms: i64| ms_text(Some(ms as f64)).unwrap_or_default();
        let drift = |drift: f64| format!("{drift:+.1} ms per hour");
        section.add("media", Some(time(self.media_ms)));
        section.add("A/V offset", self.av_offset_ms.map(signed));
        section.add("A/V drift", self.av_drift_ms_per_hour.map(drift));
        if let (Some(p50), Some(p95), Some(max), Some(late)) = (
            self.jitter_p50_ms,
            self.jitter_p95_ms,
            self.jitter_max_ms,
            self.late_frames,
        ) {
            let text = format!("median {p50}, 95 % {p95}, maximum {max} ms; {late} frames late");
            section.add("jitter", Some(text));
        }
        section.add("clock drift", self.clock_drift_ms_per_hour.map(drift));
        if let (Some(burst), Some(took)) = (self.burst_ms, self.burst_took_ms) {
            let text = format!("{} of media in {}", time(burst), time(took));
            section.add("burst at the start", Some(text));
        }
        section.add("delay to the encoder", self.delay_ms.map(signed));
        section.add(
            "malformed messages",
            self.malformed_messages.map(|count| count.to_string()),
        );
        section
    }
}

/// An irregularity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Finding {
    code: &'static str,
    severity: String,
    track: Option<String>,
    count: u64,
    stated: Json,
    actual: Json,
    unit: &'static str,
    part: Option<&'static str>,
    offset: Option<u64>,
    bytes: Option<u64>,
    text: String,
}

impl Finding {
    pub(super) fn of(finding: &FoundIrregularity, cleaner: &Cleaner<'_>) -> Self {
        Self {
            code: finding.code.as_str(),
            severity: finding.severity.to_string(),
            track: finding.track.map(|track| track.to_string()),
            count: finding.count,
            stated: json(finding.stated.as_ref(), cleaner),
            actual: json(finding.actual.as_ref(), cleaner),
            unit: finding.code.unit(),
            part: None,
            offset: None,
            bytes: None,
            text: cleaner.clean(&finding.to_string()),
        }
    }

    pub(super) fn of_file(finding: &FileFinding, cleaner: &Cleaner<'_>) -> Self {
        let number = |number: Option<f64>| number.map_or(Json::Null, |number| number.into());
        Self {
            code: finding.code.as_str(),
            severity: finding.severity().to_string(),
            track: None,
            count: finding.count,
            stated: number(finding.stated),
            actual: number(finding.actual),
            unit: finding.code.unit(),
            part: finding.part,
            offset: finding.offset,
            bytes: Some(finding.bytes).filter(|bytes| *bytes > 0),
            text: cleaner.clean(&finding.to_string()),
        }
    }

    /// Returns the description for people.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the rows for people.
    pub(super) fn section(findings: &[Self]) -> Section {
        let mut section = Section::new("Findings");
        for finding in findings {
            section.add(
                format!("{} {}", finding.severity, finding.code),
                Some(finding.text.clone()),
            );
        }
        section
    }

    /// Whether the stream, or a track of it, does not play completely.
    pub(super) fn is_error(&self) -> bool {
        self.severity == "error"
    }

    /// Whether some players handle the stream badly.
    pub(super) fn is_warning(&self) -> bool {
        self.severity == "warning"
    }
}

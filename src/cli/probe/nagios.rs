//! A probe as one line for Nagios and compatible monitoring programs.

use std::fmt;

use super::{document::Document, format::number_text, track::Track, verdict::Verdict};
use crate::cli::exit_code::Exit;

/// Returns the line: the status, a summary, and the performance data (Monitoring Plugins Development
/// Guidelines, "Plugin Output" and "Performance data").
pub(super) fn line(document: &Document) -> String {
    let Document { verdict, .. } = document;
    let mut text = verdict.line();
    let tracks: Vec<String> = document
        .tracks
        .iter()
        .map(|track| track.summary())
        .collect();
    if !tracks.is_empty() {
        text.push_str(&format!(": {}", tracks.join(", ")));
    }
    for condition in verdict.failed_conditions() {
        text.push_str(&format!("; {condition}"));
    }
    // A bar separates the text from the performance data, and a line break from further output.
    let text = text.replace('|', "/").replace(['\r', '\n'], " ");
    let status = status(verdict);
    let values: Vec<String> = values(document).iter().map(Value::to_string).collect();
    format!("RTMP {status} - {text}|{}", values.join(" "))
}

/// One value of the performance data.
struct Value {
    label: &'static str,
    number: f64,
    unit: &'static str,
}

impl fmt::Display for Value {
    /// Writes the value without warning and critical ranges, and with the minimum 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = number_text(self.number, 3);
        write!(f, "'{}'={number}{};;;0;", self.label, self.unit)
    }
}

/// Returns the known values.
fn values(document: &Document) -> Vec<Value> {
    let value = |label, number: Option<f64>, unit| {
        number.map(|number| Value {
            label,
            number,
            unit,
        })
    };
    let [first_byte, first_frame, first_keyframe, end] = document.times.seconds();
    let [video, audio] =
        ["video", "audio"].map(|kind| document.tracks.iter().find(|track| track.is(kind)));
    let bit_rate = |track: Option<&Track>| track.and_then(Track::bit_rate);
    let [errors, warnings] = document.verdict.counts().map(|count| Some(count as f64));
    [
        value("time", end, "s"),
        value("first_byte", first_byte, "s"),
        value("first_frame", first_frame, "s"),
        value("first_keyframe", first_keyframe, "s"),
        value("video_bit_rate", bit_rate(video), ""),
        value("audio_bit_rate", bit_rate(audio), ""),
        value("frame_rate", video.and_then(Track::frame_rate), ""),
        value("errors", errors, ""),
        value("warnings", warnings, ""),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns the word of the exit code.
fn status(verdict: &Verdict) -> &'static str {
    match verdict.exit() {
        Exit::Success => "OK",
        Exit::Failure => "WARNING",
        Exit::Incomplete => "CRITICAL",
        Exit::NoConnection => "UNKNOWN",
    }
}

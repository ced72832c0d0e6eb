//! Log lines about frames, calls and round trips.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::core::{
    amf::Value,
    flv::{FrameInfo, TagKind, codec::VideoTag},
    rtmp::{command::Command, message::Message},
};

/// Formats an audio or video message: `video h264 key 12,345 B dts 80 cts 40`.
pub(super) struct Frame<'a> {
    pub(super) message: &'a Message,
    pub(super) info: FrameInfo,
}

impl fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, info } = self;
        write!(f, "{}", info.track)?;
        if let Some(codec) = info.codec {
            write!(f, " {codec}")?;
        }
        if info.is_sequence_header {
            f.write_str(" header")?;
        } else if info.is_keyframe {
            f.write_str(" key")?;
        }
        let bytes = grouped(message.payload.len());
        write!(f, " {bytes} B dts {}", message.timestamp.0)?;
        match composition_time_ms(&message.payload, *info) {
            Some(cts) => write!(f, " cts {cts}"),
            None => Ok(()),
        }
    }
}

/// Formats a call of the client without values that may be secret: `play, transaction 3, playpath clip,
/// start -2000 ms`. The values of `connect` are logged as properties.
pub(super) struct Call<'a>(pub(super) &'a Command);

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(command) = self;
        write!(f, "{}", command.name)?;
        // RTMP 7.2.1: calls with the id 0 are not answered.
        if command.transaction > 0.0 {
            write!(f, ", transaction {}", command.transaction)?;
        }
        let labels: &[(&str, &str)] = match command.name.as_bytes() {
            b"play" => &[("playpath", ""), ("start", " ms"), ("duration", " ms")],
            b"FCSubscribe" => &[("name", "")],
            b"pause" => &[("pause", ""), ("position", " ms")],
            b"deleteStream" => &[("stream", "")],
            _ => &[],
        };
        // The first argument is the command object.
        for ((label, unit), value) in labels.iter().zip(command.arguments.iter().skip(1)) {
            match value {
                Value::String(text) => write!(f, ", {label} {text}")?,
                Value::Number(number) => write!(f, ", {label} {number}{unit}")?,
                Value::Boolean(boolean) => write!(f, ", {label} {boolean}")?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Start times of the steps that the server has not answered yet.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    pub(super) connect: RoundTrip,
    pub(super) create_stream: RoundTrip,
    pub(super) play: RoundTrip,
    pub(super) first_media: RoundTrip,
}

/// Time at which a step began; `None` after the answer.
#[derive(Debug, Default)]
pub(super) struct RoundTrip(Option<Instant>);

impl RoundTrip {
    /// Records that the step begins, perhaps again.
    pub(super) fn begin(&mut self, now: Instant) {
        self.0 = Some(now);
    }

    /// Logs the time since the step began, and sets `time` to it, if the step has not ended before.
    pub(super) fn end(&mut self, now: Instant, step: &str, time: &mut Option<Duration>) {
        if let Some(since) = self.0.take() {
            tracing::debug!("{step} after {}", Elapsed { since, now });
            *time = Some(now.saturating_duration_since(since));
        }
    }
}

/// Formats the time between two instants: `12.3 ms`.
pub(super) struct Elapsed {
    pub(super) since: Instant,
    pub(super) now: Instant,
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed: Duration = self.now.saturating_duration_since(self.since);
        write!(f, "{:.1} ms", elapsed.as_secs_f64() * 1000.0)
    }
}

fn composition_time_ms(body: &[u8], info: FrameInfo) -> Option<i32> {
    if info.track != TagKind::VIDEO || !info.carries_media {
        return None;
    }
    let tag = VideoTag::parse(body).ok()?;
    let track = tag.tracks().flatten().next()?;
    Some(track.composition_time_ms)
}

/// Formats a number with a comma between groups of three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        let left = digits.len().saturating_sub(index);
        if index > 0 && left.is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;

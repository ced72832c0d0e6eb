//! Log lines about frames, calls and round trips.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::core::{
    amf::Value,
    flv::{
        FrameInfo, TagKind,
        codec::{VideoCodec, VideoTag},
        frame_info::Codec,
    },
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
            write!(f, " {}", name(codec))?;
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

    /// Logs the time since the step began, if it has not ended before.
    pub(super) fn end(&mut self, now: Instant, step: &str) {
        if let Some(since) = self.0.take() {
            tracing::debug!("{step} after {}", Elapsed { since, now });
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

/// Returns the usual name of a codec in lower case.
fn name(codec: Codec) -> String {
    match codec {
        Codec::Video(VideoCodec::AVC | VideoCodec::AVC1) => "h264".to_owned(),
        Codec::Video(VideoCodec::HEVC | VideoCodec::HVC1) => "h265".to_owned(),
        Codec::Video(VideoCodec::VVC1) => "h266".to_owned(),
        Codec::Video(codec) => codec.to_string().to_lowercase(),
        Codec::Audio(codec) => codec.to_string().to_lowercase(),
    }
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
mod tests {
    use super::*;
    use crate::core::{
        flv::FrameParser,
        payload::Payload,
        rtmp::{
            command::Start,
            message::{Kind, Timestamp},
        },
    };

    fn line(kind: Kind, body: &[u8]) -> String {
        let message = Message {
            chunk_stream: 6,
            kind,
            timestamp: Timestamp(80),
            message_stream: 1,
            payload: Payload::from(body),
        };
        let info = FrameParser::new().parse(TagKind(kind.0), body);
        let message = &message;
        Frame { message, info }.to_string()
    }

    #[test]
    fn a_frame_has_codec_kind_size_and_times() {
        let mut key = vec![0x17, 1, 0, 0, 40];
        key.resize(12_345, 0);
        let cases = [
            (
                Kind::VIDEO,
                &key[..],
                "video h264 key 12,345 B dts 80 cts 40",
            ),
            (
                Kind::VIDEO,
                &[0x27, 1, 0, 0, 0, 9],
                "video h264 6 B dts 80 cts 0",
            ),
            (
                Kind::VIDEO,
                &[0x17, 0, 0, 0, 0, 1],
                "video h264 header 6 B dts 80",
            ),
            (Kind::AUDIO, &[0xAF, 1, 0x21], "audio aac 3 B dts 80"),
            (Kind::AUDIO, &[], "audio 0 B dts 80"),
        ];
        for (kind, body, expected) in cases {
            assert_eq!(line(kind, body), expected);
        }
    }

    #[test]
    fn calls_have_names_and_values_without_secrets() {
        let cases = [
            (
                Command::play(3, "clip", Start::LiveElseRecorded, Some(5000)),
                "play, transaction 3, playpath clip, start -2000 ms, duration 5000 ms",
            ),
            (
                Command::play(4, "clip", Start::Live, None),
                "play, transaction 4, playpath clip, start -1000 ms",
            ),
            (
                Command::fc_subscribe(5, "clip"),
                "FCSubscribe, transaction 5, name clip",
            ),
            (
                Command::pause(6, true, 80),
                "pause, transaction 6, pause true, position 80 ms",
            ),
            (Command::create_stream(2), "createStream, transaction 2"),
            (Command::delete_stream(1), "deleteStream, stream 1"),
            (
                Command::usher_token(7, "s3cret"),
                "NetStream.Authenticate.UsherToken, transaction 7",
            ),
            (
                Command::secure_token_response(b"s3cret".to_vec()),
                "secureTokenResponse",
            ),
        ];
        for (command, expected) in cases {
            assert_eq!(Call(&command).to_string(), expected);
        }
    }

    #[test]
    fn elapsed_time_has_tenths_of_a_millisecond() {
        let since = Instant::now();
        let now = since + Duration::from_micros(12_340);
        assert_eq!(Elapsed { since, now }.to_string(), "12.3 ms");
        let earlier = Elapsed {
            since: now,
            now: since,
        };
        assert_eq!(earlier.to_string(), "0.0 ms");
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), expected);
        }
    }
}

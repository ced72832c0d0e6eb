//! Log lines about received frames.

use std::fmt;

use crate::core::{
    flv::{
        FrameInfo, TagKind,
        codec::{VideoCodec, VideoTag},
        frame_info::Codec,
    },
    rtmp::message::Message,
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
        rtmp::message::{Kind, Timestamp},
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

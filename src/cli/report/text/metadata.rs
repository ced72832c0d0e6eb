//! Metadata of the stream: one line for people, and a block with all members.

use super::TEXT_BYTES;
use crate::{
    cli::terminal::sanitize::escaped_bytes,
    core::amf::{Object, Text, Value},
};

/// Formats the usual members in one line: `h264 1920x1080 30 fps, aac 48 kHz stereo, encoder Lavf60.16.100`.
/// Returns `None` if there are none of them.
pub(super) fn one_line(metadata: &Object) -> Option<String> {
    let encoder = metadata.get("encoder").and_then(text);
    let parts = [
        video(metadata),
        audio(metadata),
        encoder.map(|encoder| format!("encoder {encoder}")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn video(metadata: &Object) -> Option<String> {
    let size = number(metadata, "width").zip(number(metadata, "height"));
    let rate = number(metadata, "framerate").or_else(|| number(metadata, "fps"));
    let parts = [
        metadata
            .get("videocodecid")
            .and_then(codec_name(VIDEO_CODECS)),
        size.map(|(width, height)| format!("{width:.0}x{height:.0}")),
        rate.map(|rate| format!("{} fps", decimal(rate))),
    ];
    joined(parts)
}

fn audio(metadata: &Object) -> Option<String> {
    let rate = number(metadata, "audiosamplerate");
    let channels = match metadata.get("stereo") {
        _ if number(metadata, "audiochannels").is_some() => {
            number(metadata, "audiochannels").map(channels)
        }
        Some(Value::Boolean(true)) => Some("stereo".to_owned()),
        Some(Value::Boolean(false)) => Some("mono".to_owned()),
        _ => None,
    };
    let parts = [
        metadata
            .get("audiocodecid")
            .and_then(codec_name(AUDIO_CODECS)),
        rate.map(|rate| format!("{} kHz", decimal(rate / 1000.0))),
        channels,
    ];
    joined(parts)
}

fn channels(count: f64) -> String {
    match count as u32 {
        1 => "mono".to_owned(),
        2 => "stereo".to_owned(),
        count => format!("{count} channels"),
    }
}

fn joined(parts: [Option<String>; 3]) -> Option<String> {
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Returns a positive number. Encoders send 0 for unknown values.
fn number(metadata: &Object, name: &str) -> Option<f64> {
    let number = metadata.get(name)?.as_number()?;
    (number.is_finite() && number > 0.0 && number < MAX_NUMBER).then_some(number)
}

fn text(value: &Value) -> Option<String> {
    let Value::String(text) = value else {
        return None;
    };
    let text = shortened(text);
    (!text.is_empty()).then_some(text)
}

/// Formats a number with at most two decimals.
fn decimal(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Returns a function that names a codec, which is a number (FLV E.5), a FourCC as a number (E-RTMP), or a
/// text.
fn codec_name(names: &'static [(u32, &'static str)]) -> impl Fn(&Value) -> Option<String> {
    move |value| match value {
        Value::String(fourcc) => {
            let bytes = <[u8; 4]>::try_from(fourcc.as_bytes()).ok();
            let name = bytes.and_then(|bytes| fourcc_name(&bytes));
            name.map_or_else(|| text(value), |name| Some(name.to_owned()))
        }
        _ => {
            let id = value.as_number().filter(|id| *id >= 0.0)? as u32;
            let known = names.iter().find(|(known, _)| *known == id);
            let name = known.map(|(_, name)| *name);
            name.or_else(|| fourcc_name(&id.to_be_bytes()))
                .map(str::to_owned)
                .or_else(|| Some(format!("codec {id}")))
        }
    }
}

fn fourcc_name(fourcc: &[u8; 4]) -> Option<&'static str> {
    let name = match fourcc {
        b"avc1" => "h264",
        b"hvc1" | b"hev1" => "h265",
        b"vvc1" => "h266",
        b"av01" => "av1",
        b"vp08" => "vp8",
        b"vp09" => "vp9",
        b"mp4a" => "aac",
        b".mp3" => "mp3",
        b"Opus" => "opus",
        b"fLaC" => "flac",
        b"ac-3" => "ac3",
        b"ec-3" => "eac3",
        _ => return None,
    };
    Some(name)
}

/// Formats metadata with one line per member. The members of objects follow the name of the object; other
/// arrays are represented by their length.
pub(super) fn describe(members: &Object, lines: &mut Vec<String>) {
    for (name, value) in members {
        describe_member(&shortened(name), value, lines);
    }
}

fn describe_member(name: &str, value: &Value, lines: &mut Vec<String>) {
    let text = match value {
        Value::Object(members) | Value::EcmaArray(members) | Value::Typed { members, .. } => {
            lines.push(format!("INFO: {name}:"));
            return describe(members, lines);
        }
        Value::StrictArray(items) if items.iter().any(|item| item.as_object().is_some()) => {
            lines.push(format!("INFO: {name}:"));
            let objects = items.iter().filter_map(Value::as_object);
            return objects.for_each(|members| describe(members, lines));
        }
        Value::StrictArray(items) => format!("({} values)", items.len()),
        Value::Dictionary(entries) => format!("({} entries)", entries.len()),
        Value::Bytes(bytes) => format!("({} bytes)", bytes.len()),
        Value::Number(number) => format!("{number:.2}"),
        Value::Integer(number) => format!("{number}.00"),
        Value::Boolean(true) => "TRUE".to_owned(),
        Value::Boolean(false) => "FALSE".to_owned(),
        Value::String(text) | Value::Xml(text) => shortened(text),
        Value::Date { unix_ms, .. } => format!("timestamp:{unix_ms:.2}"),
        Value::Null | Value::Undefined => "null".to_owned(),
    };
    lines.push(format!("INFO:   {name:<22}{text}"));
}

/// Returns the start of a text without the zero bytes with which some servers fill a field.
fn shortened(text: &Text) -> String {
    let bytes = text.as_bytes();
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    escaped_bytes(&bytes[..end.min(TEXT_BYTES)])
}

/// Codecs by `videocodecid`.
const VIDEO_CODECS: &[(u32, &str)] = &[
    (2, "h263"),
    (3, "screen video"),
    (4, "vp6"),
    (5, "vp6 alpha"),
    (6, "screen video 2"),
    (7, "h264"),
    (12, "h265"),
];

/// Codecs by `audiocodecid`.
const AUDIO_CODECS: &[(u32, &str)] = &[
    (0, "pcm"),
    (1, "adpcm"),
    (2, "mp3"),
    (3, "pcm"),
    (4, "nellymoser"),
    (5, "nellymoser"),
    (6, "nellymoser"),
    (7, "g711 a-law"),
    (8, "g711 mu-law"),
    (10, "aac"),
    (11, "speex"),
    (13, "opus"),
    (14, "mp3"),
];

/// Larger than any number of interest, so that a line stays short.
const MAX_NUMBER: f64 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(members: Vec<(&str, Value)>) -> Option<String> {
        one_line(&members.into_iter().collect())
    }

    #[test]
    fn the_line_has_codecs_picture_sound_and_encoder() {
        let members = vec![
            ("width", 1920.0.into()),
            ("height", 1080.0.into()),
            ("framerate", 30.0.into()),
            ("videocodecid", 7.0.into()),
            ("audiocodecid", 10.0.into()),
            ("audiosamplerate", 48_000.0.into()),
            ("stereo", true.into()),
            ("encoder", "Lavf60\0\0\0".into()),
        ];
        assert_eq!(
            line(members).as_deref(),
            Some("h264 1920x1080 30 fps, aac 48 kHz stereo, encoder Lavf60")
        );
    }

    #[test]
    fn unknown_members_are_left_out() {
        assert_eq!(line(vec![("duration", 5.0.into())]), None);
        let members = vec![
            (
                "videocodecid",
                f64::from(u32::from_be_bytes(*b"hvc1")).into(),
            ),
            ("width", 0.0.into()),
            ("height", 0.0.into()),
            ("framerate", 29.97.into()),
            ("audiocodecid", "Opus".into()),
            ("audiosamplerate", 44_100.0.into()),
            ("audiochannels", 6.0.into()),
            ("encoder", "\0\0".into()),
        ];
        assert_eq!(
            line(members).as_deref(),
            Some("h265 29.97 fps, opus 44.1 kHz 6 channels")
        );
        let members = vec![
            ("videocodecid", 99.0.into()),
            ("audiosamplerate", f64::NAN.into()),
            ("encoder", "a\x1b[2J".into()),
        ];
        assert_eq!(
            line(members).as_deref(),
            Some("codec 99, encoder a\\u{1b}[2J")
        );
    }
}

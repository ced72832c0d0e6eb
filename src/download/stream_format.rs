//! Detects changes of codec, resolution or sample rate in mid-stream.

use std::{fmt, mem};

use crate::core::flv::{
    FrameInfo, TagKind,
    codec::{AudioCodec, AudioFormat, AudioTag, PictureSize},
    frame_info::Codec,
};

/// Format of the main video or audio track, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackFormat {
    /// Codec of the track.
    pub codec: Codec,
    /// Size of the picture.
    pub picture_size: Option<PictureSize>,
    /// Sample rate and channels.
    pub audio: Option<AudioFormat>,
}

/// A change of a track's format in mid-stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatChange {
    /// Audio or video.
    pub track: TagKind,
    /// Format before the change.
    pub from: TrackFormat,
    /// Format after the change.
    pub to: TrackFormat,
    /// Output time of the change, in milliseconds.
    pub at_ms: u64,
}

/// The formats of both main tracks.
#[derive(Debug, Default)]
pub(super) struct FormatCheck {
    video: Option<TrackFormat>,
    audio: Option<TrackFormat>,
    /// First byte of the latest audio message if it contains the format: in legacy tags without sequence headers.
    audio_flags: Option<u8>,
}

impl FormatCheck {
    /// Records a message of the recording at this output time, and returns the change that it announces.
    ///
    /// A reconnect repeats the sequence headers, and other tracks of a multitrack stream have formats of their
    /// own. Neither is a change.
    pub(super) fn record(
        &mut self,
        info: FrameInfo,
        at_ms: u64,
        body: &[u8],
    ) -> Option<FormatChange> {
        if info.track_id != MAIN_TRACK {
            return None;
        }
        let to = match info.track {
            TagKind::VIDEO => video_format(info)?,
            TagKind::AUDIO => self.audio_format(info, body)?,
            _ => return None,
        };
        let latest = match info.track {
            TagKind::VIDEO => &mut self.video,
            _ => &mut self.audio,
        };
        let from = latest.replace(to)?;
        let is_same_codec = from.has_codec_of(to);
        if is_same_codec && let Some(latest) = latest {
            // A header or keyframe without these facts does not change them.
            latest.picture_size = to.picture_size.or(from.picture_size);
            latest.audio = to.audio.or(from.audio);
        }
        let to = (*latest)?;
        let is_equal = is_same_codec
            && from
                .picture_size
                .is_none_or(|size| Some(size) == to.picture_size)
            && from.audio.is_none_or(|format| Some(format) == to.audio);
        (!is_equal).then_some(FormatChange {
            track: info.track,
            from,
            to,
            at_ms,
        })
    }

    /// Returns the format of an audio message if it may differ from the latest one. Frames of codecs with a
    /// sequence header do not contain their format.
    fn audio_format(&mut self, info: FrameInfo, body: &[u8]) -> Option<TrackFormat> {
        let Some(Codec::Audio(codec)) = info.codec else {
            return None;
        };
        let is_legacy = matches!(codec, AudioCodec::Legacy(_)) && codec != AudioCodec::AAC;
        let flags = body.first().copied().filter(|_| is_legacy);
        // Any other message clears the flags, so that a return to the same legacy format is a change.
        let is_known = mem::replace(&mut self.audio_flags, flags) == flags;
        if !info.is_sequence_header && (flags.is_none() || is_known) {
            return None;
        }
        let tag = AudioTag::parse(body).ok()?;
        let track = tag.tracks().flatten().next()?;
        Some(TrackFormat {
            codec: Codec::Audio(codec),
            picture_size: None,
            audio: track.format(),
        })
    }
}

/// Returns the format that a sequence header or keyframe of a video contains. A decoder applies a new format
/// only there.
fn video_format(info: FrameInfo) -> Option<TrackFormat> {
    if !info.is_sequence_header && !info.is_keyframe {
        return None;
    }
    Some(TrackFormat {
        codec: info.codec?,
        picture_size: info.picture_size,
        audio: None,
    })
}

impl TrackFormat {
    /// Whether both formats have the same codec. A codec may have a legacy number and a FourCC.
    fn has_codec_of(self, other: Self) -> bool {
        self.codec == other.codec || self.codec.to_string() == other.codec.to_string()
    }
}

impl fmt::Display for TrackFormat {
    /// Formats the codec, and what else is known: `h264 1920x1080`, `aac 48000 Hz 2 channels`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.codec)?;
        if let Some(size) = self.picture_size {
            write!(f, " {size}")?;
        }
        if let Some(AudioFormat { rate_hz, channels }) = self.audio {
            let plural = if channels == 1 { "" } else { "s" };
            write!(f, " {rate_hz} Hz {channels} channel{plural}")?;
        }
        Ok(())
    }
}

/// Id of the main track of a multitrack stream, and of the only track of any other.
const MAIN_TRACK: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::flv::FrameParser;

    /// Returns the changes that these messages announce.
    fn changes(messages: &[(TagKind, &[u8])]) -> Vec<(String, String)> {
        let (mut parser, mut check) = (FrameParser::new(), FormatCheck::default());
        let changes = messages.iter().filter_map(|(kind, body)| {
            let info = parser.parse(*kind, body);
            let change = check.record(info, 0, body)?;
            Some((change.from.to_string(), change.to.to_string()))
        });
        changes.collect()
    }

    /// AAC-LC with an index of the sample rate and a number of channels (ISO 14496-3 1.6.2.1).
    fn aac(rate: u8, channels: u8) -> Vec<u8> {
        vec![0xAF, 0, 0x10 | rate >> 1, rate << 7 | channels << 3]
    }

    #[test]
    fn sample_rate_and_channels_are_compared() {
        let (first, second) = (aac(3, 2), aac(4, 1));
        let header = |body| (TagKind::AUDIO, body);
        let frame: &[u8] = &[0xAF, 1, 0x21];
        let messages = [
            header(&first[..]),
            header(frame),
            header(&first[..]),
            header(&second[..]),
            header(frame),
        ];
        let expected = ["aac 48000 Hz 2 channels", "aac 44100 Hz 1 channel"];
        assert_eq!(changes(&messages), [expected.map(str::to_owned).into()]);
    }

    #[test]
    fn flags_of_legacy_audio_are_compared() {
        // PCM with the flags for 22 and 44 kHz.
        let messages: &[(TagKind, &[u8])] = &[
            (TagKind::AUDIO, &[0x3A, 0]),
            (TagKind::AUDIO, &[0x3A, 1]),
            (TagKind::AUDIO, &[0x3E, 0]),
        ];
        assert_eq!(changes(messages).len(), 1);
    }

    #[test]
    fn return_to_a_legacy_codec_is_a_change() {
        let header = aac(3, 2);
        let messages: &[(TagKind, &[u8])] = &[
            (TagKind::AUDIO, &[0x3A, 0]),
            (TagKind::AUDIO, &header),
            (TagKind::AUDIO, &[0x3A, 1]),
        ];
        assert_eq!(changes(messages).len(), 2);
    }

    #[test]
    fn codec_changes_at_a_keyframe() {
        let messages: &[(TagKind, &[u8])] = &[
            (TagKind::VIDEO, &[0x17, 1, 0, 0, 0, 5]),
            // An inter frame of another codec cannot be decoded.
            (TagKind::VIDEO, &[0x24, 0]),
            (TagKind::VIDEO, &[0x14, 0, 0]),
        ];
        let [(from, to)] = &changes(messages)[..] else {
            panic!("not one change");
        };
        assert!(from.starts_with("h264") && !to.starts_with("h264"), "{to}");
    }

    #[test]
    fn formats_that_become_known_are_not_changes() {
        let messages: &[(TagKind, &[u8])] = &[
            (TagKind::VIDEO, &[0x17, 1, 0, 0, 0, 5]),
            (TagKind::VIDEO, &[0x17, 0, 0, 0, 0, 1]),
            (TagKind::SCRIPT, &[2, 0, 0]),
        ];
        assert_eq!(changes(messages), []);
    }
}

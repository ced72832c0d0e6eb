//! Setup of the decoder of a track: its sequence headers, and whether an MP4 file can hold it.

use xxhash_rust::xxh3::xxh3_64;

use super::facts::{Mp4Support, SequenceHeader};
use crate::core::{
    flv::{
        FrameInfo,
        codec::{AudioDescription, AudioFormat, PictureSize, TrackProperties, VideoDescription},
        frame_info::{Codec, MediaTrack},
    },
    mp4::{Unsupported, sample_entry::SampleEntry},
};

/// Latest setup of a track.
#[derive(Debug, Default)]
pub(super) struct Setup {
    codec: Option<Codec>,
    codec_changes: u32,
    header: Option<Header>,
    entry: Option<Result<SampleEntry, Unsupported>>,
    /// Number of frames from which an entry was tried.
    tries: u32,
    /// Properties in the messages.
    video: Option<VideoDescription>,
    audio: Option<AudioDescription>,
    /// Properties in the container.
    container: Option<TrackProperties>,
    nal_length_size: Option<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    hash: u64,
    frames_before: u64,
    changes: u64,
}

impl Setup {
    /// Returns the size of the length before each NAL unit.
    pub(super) fn nal_length_size(&self) -> Option<u8> {
        self.nal_length_size
    }

    /// Returns the frames per second that the sequence header announces.
    pub(super) fn announced_rate(&self) -> Option<f64> {
        self.video()?.frames_per_second
    }

    pub(super) fn codec(&self) -> Option<Codec> {
        self.codec
    }

    pub(super) fn codec_changes(&self) -> u32 {
        self.codec_changes
    }

    pub(super) fn picture_size(&self) -> Option<PictureSize> {
        self.video()?.picture_size
    }

    pub(super) fn audio_format(&self) -> Option<AudioFormat> {
        let audio = self.audio()?;
        Some(AudioFormat {
            rate_hz: audio.rate_hz?,
            channels: audio.channels?,
        })
    }

    /// Returns the properties of a video track.
    pub(super) fn video(&self) -> Option<VideoDescription> {
        let Some(TrackProperties::Video(mut video)) = self.container else {
            return self.video;
        };
        video.fill_from(&self.video.unwrap_or_default());
        Some(video)
    }

    /// Returns the properties of an audio track.
    pub(super) fn audio(&self) -> Option<AudioDescription> {
        let Some(TrackProperties::Audio(stated)) = self.container else {
            return self.audio;
        };
        // Muxers state two channels for MP3 of any kind, so the frames take precedence.
        let mut audio = self.audio.unwrap_or_default();
        audio.fill_from(&stated);
        Some(audio)
    }

    pub(super) fn set_container_properties(&mut self, properties: TrackProperties) {
        self.container = Some(properties);
    }

    /// Records the codec of a message.
    pub(super) fn see_codec(&mut self, codec: Codec) {
        if self.codec.replace(codec).is_some_and(|old| old != codec) {
            self.codec_changes = self.codec_changes.saturating_add(1);
            self.entry = None;
            self.tries = 0;
            (self.video, self.audio) = (None, None);
        }
    }

    /// Records the properties in a message. Those of the latest message that contains them are kept.
    pub(super) fn see_properties(&mut self, media: &MediaTrack<'_>, info: &FrameInfo) {
        // A channel layout may precede the first frame, which contains the sample rate.
        let has_rate = self.audio.is_some_and(|audio| audio.rate_hz.is_some());
        let is_first = self.video.is_none() && !has_rate && self.tries < MAX_TRIES;
        let is_setup = info.is_sequence_header || info.is_keyframe || !info.carries_media;
        if !is_first && !is_setup {
            return;
        }
        match media.description() {
            Some(TrackProperties::Video(mut video)) => {
                if let Some(old) = self.video.filter(|_| !info.is_sequence_header) {
                    video.fill_from(&old);
                }
                self.video = Some(video);
            }
            Some(TrackProperties::Audio(mut audio)) => {
                if let Some(old) = self.audio.filter(|_| !info.is_sequence_header) {
                    audio.fill_from(&old);
                }
                self.audio = Some(audio);
            }
            None => {}
        }
    }

    /// Records a sequence header, after this number of frames.
    pub(super) fn see_header(&mut self, media: &MediaTrack<'_>, frames_before: u64) {
        let body = body_of(media);
        let hash = xxh3_64(body);
        let old = self.header;
        let changed = old.is_some_and(|old| old.hash != hash);
        self.header = Some(Header {
            hash,
            frames_before: old.map_or(frames_before, |old| old.frames_before),
            changes: old
                .map_or(0, |old| old.changes)
                .saturating_add(changed.into()),
        });
        if old.is_some() && !changed && self.entry.is_some() {
            return;
        }
        self.nal_length_size = media.nal_length_size();
        self.entry = Some(SampleEntry::of_track(media));
    }

    /// Records a frame, which contains the setup if the codec has no sequence header.
    pub(super) fn see_frame(&mut self, media: &MediaTrack<'_>) {
        if matches!(self.entry, Some(Ok(_))) || self.tries >= MAX_TRIES || self.header.is_some() {
            return;
        }
        self.tries = self.tries.saturating_add(1);
        self.entry = Some(SampleEntry::of_track(media));
    }

    /// Returns the state of the sequence header, with this number of frames.
    pub(super) fn sequence_header(&self, frames: u64) -> SequenceHeader {
        match self.header {
            Some(header) => SequenceHeader::Received {
                frames_before: header.frames_before,
                changes: header.changes,
                is_damaged: self.is_damaged(),
            },
            None if frames > 0 && self.codec.is_some_and(Codec::needs_sequence_header) => {
                SequenceHeader::Missing
            }
            None => SequenceHeader::NotNeeded,
        }
    }

    fn is_damaged(&self) -> bool {
        matches!(self.entry, Some(Err(Unsupported::DamagedSequenceHeader(_))))
    }

    /// Whether a decoder can be set up.
    pub(super) fn is_complete(&self) -> bool {
        let needs_header = self.codec.is_some_and(Codec::needs_sequence_header);
        self.codec.is_some() && (self.header.is_some() || !needs_header)
    }

    /// Returns the number of samples in an audio frame.
    pub(super) fn samples(&self, frame: &[u8]) -> Option<u32> {
        self.entry.as_ref()?.as_ref().ok()?.frame_ticks(frame)
    }

    /// Returns the number of samples per second that [`Setup::samples`] counts.
    pub(super) fn samples_per_second(&self) -> Option<u32> {
        let entry = self.entry.as_ref()?.as_ref().ok()?;
        Some(entry.timescale)
    }

    /// Returns whether an MP4 file can hold the track. The timescale of video follows its frame rate.
    pub(super) fn mp4(&self, frame_rate_timescale: Option<u32>) -> Mp4Support {
        match &self.entry {
            None => Mp4Support::Unknown,
            Some(Err(unsupported)) => Mp4Support::No(unsupported.clone()),
            Some(Ok(entry)) => Mp4Support::Yes {
                timescale: frame_rate_timescale.unwrap_or(entry.timescale),
            },
        }
    }
}

fn body_of<'a>(media: &MediaTrack<'a>) -> &'a [u8] {
    match media {
        MediaTrack::Audio(track) => track.body,
        MediaTrack::Video(track) => track.body,
    }
}

/// Number of frames in which a setup is searched for. A codec without a form in MP4 has no setup.
const MAX_TRIES: u32 = 8;

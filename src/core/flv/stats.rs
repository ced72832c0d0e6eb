//! Stats of a file, collected while it is written.

use super::{
    FileHeader, FrameInfo, Tag, TagKind,
    codec::PictureSize,
    frame_info::Codec,
    head::seconds,
    keyframe_index::{Entry, KeyframeIndex},
    metadata::Field,
};
use crate::core::amf::Value;

/// Durations, sizes, codecs and keyframes of one file: the content of its head.
#[derive(Debug)]
pub(super) struct Stats {
    audio: Track,
    video: Track,
    picture_size: Option<PictureSize>,
    ends_on_keyframe: bool,
    index: KeyframeIndex,
}

/// Stats of audio or of video.
#[derive(Debug, Default)]
struct Track {
    /// Whether any tag had a body.
    has_data: bool,
    /// Size of all tags with header and PreviousTagSize, in bytes.
    bytes: u64,
    codec_id: Option<u32>,
    /// Smallest timestamp of a frame.
    start_ms: Option<u32>,
    /// Timestamp of the last frame.
    last_ms: Option<u32>,
    /// Largest timestamp of a frame. Timestamps may step back, so the last frame may have a smaller one.
    end_ms: u32,
    /// Last time between two frames.
    interval_ms: u32,
}

impl Stats {
    pub(super) fn new() -> Self {
        Self {
            audio: Track::default(),
            video: Track::default(),
            picture_size: None,
            ends_on_keyframe: false,
            index: KeyframeIndex::new(),
        }
    }

    /// Adds a tag whose body has `body` bytes. Never allocates.
    pub(super) fn add(&mut self, info: FrameInfo, entry: Entry, body: usize) {
        match info.track {
            TagKind::AUDIO => self.add_audio(info, entry, body),
            TagKind::VIDEO => self.add_video(info, entry, body),
            _ => {}
        }
    }

    fn add_audio(&mut self, info: FrameInfo, entry: Entry, body: usize) {
        self.audio.add_tag(info, body);
        if !is_frame(info) {
            return;
        }
        self.audio.add_frame(entry.time_ms);
        // In a file with video, only keyframes are entries.
        if self.video.last_ms.is_none() && self.is_audio_entry_due(entry.time_ms) {
            self.index.add(entry);
        }
    }

    fn is_audio_entry_due(&self, time_ms: u32) -> bool {
        self.index
            .last()
            .is_none_or(|last| time_ms >= last.time_ms.saturating_add(AUDIO_INDEX_INTERVAL_MS))
    }

    fn add_video(&mut self, info: FrameInfo, entry: Entry, body: usize) {
        self.video.add_tag(info, body);
        self.picture_size = self.picture_size.or(info.picture_size);
        if !is_frame(info) {
            return;
        }
        if self.video.last_ms.is_none() {
            // The entries so far are those of an audio-only file.
            self.index.clear();
        }
        self.video.add_frame(entry.time_ms);
        self.ends_on_keyframe = info.is_keyframe;
        if self.ends_on_keyframe {
            self.index.add(entry);
        }
    }

    pub(super) fn index(&self) -> &KeyframeIndex {
        &self.index
    }

    /// Records that a track has data, before any of its tags is written.
    pub(super) fn expect_tracks(&mut self, has_audio: bool, has_video: bool) {
        self.audio.has_data |= has_audio;
        self.video.has_data |= has_video;
    }

    /// Returns a header with the flags of the tracks that have data, or both flags if neither has data.
    pub(super) fn file_header(&self) -> FileHeader {
        let (audio, video) = (self.audio.has_data, self.video.has_data);
        let is_unknown = !audio && !video;
        FileHeader::new(audio || is_unknown, video || is_unknown)
    }

    /// Returns the time from the earliest frame to the end of the latest one, in milliseconds. A frame
    /// lasts one frame interval of its track.
    pub(super) fn duration_ms(&self) -> u32 {
        let starts = self.audio.start_ms.into_iter().chain(self.video.start_ms);
        let end_ms = self.audio.frames_end_ms().max(self.video.frames_end_ms());
        end_ms.saturating_sub(starts.min().unwrap_or(0))
    }

    /// Returns the largest timestamp of a frame, in milliseconds.
    pub(super) fn last_timestamp_ms(&self) -> Option<u32> {
        self.audio.end().max(self.video.end())
    }

    pub(super) fn picture_size(&self) -> Option<PictureSize> {
        self.picture_size
    }

    /// Returns the fields of a track without frames, if the other track has frames. If the server's
    /// `onMetaData` announced such a track, players would wait for it.
    pub(super) fn untrue_fields(&self) -> &'static [&'static str] {
        match (self.audio.last_ms, self.video.last_ms) {
            (Some(_), None) => &VIDEO_FIELDS,
            (None, Some(_)) => &AUDIO_FIELDS,
            _ => &[],
        }
    }

    /// Returns the fields of the track whose flag is not set in the file header.
    pub(super) fn fields_of_missing_track(&self) -> &'static [&'static str] {
        match (self.audio.has_data, self.video.has_data) {
            (true, false) => &VIDEO_FIELDS,
            (false, true) => &AUDIO_FIELDS,
            _ => &[],
        }
    }

    /// Returns the own fields of the head, for a file of `filesize` bytes, of which the head has
    /// `head` bytes.
    pub(super) fn fields(&self, head: u64, filesize: u64) -> Vec<Field> {
        let mut fields = Fields::default();
        let FileHeader {
            has_audio,
            has_video,
            ..
        } = self.file_header();
        let has_index = self.index.last().is_some();
        // Without video, a decoder can start at any frame.
        let can_seek_to_end = has_index && (self.ends_on_keyframe || self.video.last_ms.is_none());
        fields.number("duration", seconds(self.duration_ms()));
        fields.number(
            "lasttimestamp",
            seconds(self.last_timestamp_ms().unwrap_or(0)),
        );
        fields.number("filesize", filesize as f64);
        fields.number("datasize", filesize.saturating_sub(head) as f64);
        fields.boolean("hasMetadata", true);
        fields.boolean("hasAudio", has_audio);
        fields.boolean("hasVideo", has_video);
        fields.boolean("hasKeyframes", has_index);
        fields.boolean("canSeekToEnd", can_seek_to_end);
        fields.track("audiocodecid", "audiosize", &self.audio);
        fields.track("videocodecid", "videosize", &self.video);
        if let Some(size) = self.picture_size {
            fields.number("width", f64::from(size.width));
            fields.number("height", f64::from(size.height));
        }
        if let Some(last) = self.index.last() {
            fields.number("lastkeyframetimestamp", seconds(last.time_ms));
            fields.number("lastkeyframelocation", last.position as f64);
        }
        fields.0
    }
}

impl Track {
    fn add_tag(&mut self, info: FrameInfo, body: usize) {
        self.has_data |= body > 0;
        self.bytes = self.bytes.saturating_add(Tag::length(body));
        // If the codec changes, the head keeps the first one.
        self.codec_id = self.codec_id.or_else(|| info.codec.map(Codec::id));
    }

    fn add_frame(&mut self, timestamp_ms: u32) {
        let step = self.last_ms.and_then(|last| timestamp_ms.checked_sub(last));
        if let Some(step @ 1..=MAX_INTERVAL_MS) = step {
            self.interval_ms = step;
        }
        let start_ms = self.start_ms.unwrap_or(timestamp_ms);
        self.start_ms = Some(start_ms.min(timestamp_ms));
        self.last_ms = Some(timestamp_ms);
        self.end_ms = self.end_ms.max(timestamp_ms);
    }

    fn end(&self) -> Option<u32> {
        self.last_ms.map(|_| self.end_ms)
    }

    fn frames_end_ms(&self) -> u32 {
        self.end_ms.saturating_add(self.interval_ms)
    }
}

/// Returns whether a tag counts as a frame in the stats. A body that does not parse does not count.
fn is_frame(info: FrameInfo) -> bool {
    info.carries_media && info.codec.is_some()
}

#[derive(Default)]
struct Fields(Vec<Field>);

impl Fields {
    fn number(&mut self, name: &str, number: f64) {
        self.0
            .push(Field::new(name.as_bytes(), &Value::Number(number)));
    }

    fn boolean(&mut self, name: &str, boolean: bool) {
        let value = Value::Boolean(boolean);
        self.0.push(Field::new(name.as_bytes(), &value));
    }

    fn track(&mut self, codec_id: &str, size: &str, track: &Track) {
        if let Some(id) = track.codec_id {
            self.number(codec_id, f64::from(id));
        }
        if track.bytes > 0 {
            self.number(size, track.bytes as f64);
        }
    }
}

/// Fields that describe video (FLV E.5).
const VIDEO_FIELDS: [&str; 5] = [
    "videocodecid",
    "videodatarate",
    "framerate",
    "width",
    "height",
];

/// Fields that describe audio (FLV E.5).
const AUDIO_FIELDS: [&str; 6] = [
    "audiocodecid",
    "audiodatarate",
    "audiodelay",
    "audiosamplerate",
    "audiosamplesize",
    "stereo",
];

/// Time between the entries of the index in a file without video.
const AUDIO_INDEX_INTERVAL_MS: u32 = 5000;

/// Largest frame interval. A longer time between two frames is a gap.
const MAX_INTERVAL_MS: u32 = 1000;

//! Analysis of the messages of a stream: tracks, metadata next to the actual values, health, and findings.
//!
//! [`StreamAnalysis`] receives every audio, video and script message in order of arrival, and returns
//! [`StreamFacts`] at any time. It reads no clock: the caller passes the time of arrival, or `None` for a file.
//!
//! The memory is bounded for any input: each of at most [`MAX_TRACKS`] tracks has sums, histograms and the
//! times of its latest frames. A single wrong timestamp must not distort a figure, so rates use medians and the
//! longest regular run of frames, and drifts use the median slope.
//!
//! | module | contents |
//! | --- | --- |
//! | [`facts`] | results, as plain data |
//! | [`comparison`] | members of `onMetaData` next to the actual values |
//! | [`finding`] | irregularities with stable codes |
//! | `rules` | derive the findings from the facts |
//! | `metadata`, `script` | stated values, from script messages |
//! | `timeline` | unwrapped times, and steps of a track |
//! | `track` | state of a track |
//! | `setup` | sequence headers |
//! | `steps` | frame rate |
//! | `bit_rate` | largest bit rate over a second |
//! | `pictures` | keyframes and B-frames |
//! | `sample_clock` | timestamps of audio against its samples |
//! | `delivery`, `arrival`, `lip_sync` | arrival against timestamps, and audio against video |
//! | `encoder_clock` | age of the media by a clock in script messages |
//! | `drift`, `histogram` | drift between two clocks, and distribution of times |

mod arrival;
mod bit_rate;
pub mod comparison;
mod delivery;
mod drift;
mod encoder_clock;
pub mod facts;
pub mod finding;
mod histogram;
mod lip_sync;
mod metadata;
mod pictures;
mod rules;
mod sample_clock;
mod script;
mod setup;
mod steps;
mod timeline;
mod track;

use std::time::Instant;

pub use self::{
    comparison::{Comparison, Quantity, Verdict},
    facts::{Health, StreamFacts, TrackFacts},
    finding::{Code, Finding, Severity},
    timeline::MediaTime,
};
use self::{
    delivery::Delivery, encoder_clock::EncoderDelays, facts::MessageCounts, metadata::Metadata,
    rules::Announced, timeline::Timeline, track::Track,
};
use crate::core::{
    amf::Object,
    flv::{
        FrameInfo, TagKind, TrackId, TrackSet, codec::TrackProperties, frame_info::media_tracks,
    },
};

/// Times of a message.
#[derive(Debug, Clone, Copy)]
pub struct MessageTime {
    /// Time of arrival; `None` for a message of a file.
    pub arrived_at: Option<Instant>,
    /// Time of arrival by the calendar clock of this computer, in milliseconds since 1970-01-01 UTC.
    pub unix_ms: Option<i64>,
    /// Time in the stream.
    pub media: MediaTime,
}

/// Range of the stream that the messages represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The complete stream, such as a file: the stated duration is compared.
    Complete,
    /// A section of it: the stated duration is not compared.
    Excerpt,
}

/// Analysis of one stream. A new session, whose clock may differ, needs a new analysis.
#[derive(Debug)]
pub struct StreamAnalysis {
    extent: Extent,
    timeline: Timeline,
    tracks: Vec<Track>,
    omitted: TrackSet,
    omitted_tracks: u32,
    messages: MessageCounts,
    metadata: Metadata,
    delivery: Delivery,
    encoder_delays: EncoderDelays,
    malformed_messages: Option<u64>,
}

impl StreamAnalysis {
    /// Creates the analysis of a stream without messages.
    pub fn new(extent: Extent) -> Self {
        Self {
            extent,
            timeline: Timeline::default(),
            tracks: Vec::new(),
            omitted: TrackSet::default(),
            omitted_tracks: 0,
            messages: MessageCounts::default(),
            metadata: Metadata::default(),
            delivery: Delivery::new(),
            encoder_delays: EncoderDelays::default(),
            malformed_messages: None,
        }
    }

    /// Adds an audio, video or script message. `info` must describe `body`. Other messages are ignored.
    ///
    /// Script messages are decoded, so [`StreamAnalysis::metadata`] need not follow.
    pub fn message(&mut self, time: MessageTime, info: &FrameInfo, body: &[u8]) {
        let count = match info.track {
            TagKind::AUDIO => &mut self.messages.audio,
            TagKind::VIDEO => &mut self.messages.video,
            TagKind::SCRIPT | TagKind::SCRIPT_AMF3 => &mut self.messages.script,
            _ => return,
        };
        *count = count.saturating_add(1);
        self.messages.bytes = self.messages.bytes.saturating_add(body.len() as u64);
        self.delivery.message(time.arrived_at);
        match info.track {
            TagKind::AUDIO | TagKind::VIDEO => self.media(time, info, body),
            kind => self.script(kind, body, time.unix_ms),
        }
    }

    fn media(&mut self, time: MessageTime, info: &FrameInfo, body: &[u8]) {
        // Servers send sequence headers with any timestamp.
        let time_ms = match info.carries_media {
            true => self.timeline.time_ms(time.media),
            false => 0,
        };
        let mut is_readable = false;
        for media in media_tracks(info.track, body) {
            is_readable = true;
            let id = TrackId {
                kind: info.track,
                id: media.id(),
            };
            let Some(track) = self.track(id) else {
                continue;
            };
            if info.is_multitrack {
                track.set_multitrack();
            }
            let (info, follows) = track.add(&media, body, time_ms);
            if info.carries_media && id.id == MAIN_TRACK {
                self.delivery
                    .frame(&info, time.arrived_at, time_ms, follows);
            }
        }
        if !is_readable && info.codec.is_none() {
            self.unparsed(info, body, time_ms);
        }
    }

    fn unparsed(&mut self, info: &FrameInfo, body: &[u8], time_ms: i64) {
        let id = TrackId {
            kind: info.track,
            id: info.track_id,
        };
        let Some(track) = self.track(id) else {
            return;
        };
        match info.carries_media {
            true => track.add_malformed(body, time_ms),
            false => track.add_empty(),
        }
    }

    fn script(&mut self, kind: TagKind, body: &[u8], unix_ms: Option<i64>) {
        let Some((name, value)) = script::decode(kind, body) else {
            return;
        };
        if let (b"onMetaData", Some(members)) = (&name[..], value.as_object()) {
            self.metadata.merge(members);
        }
        if let Some(unix_ms) = unix_ms {
            self.encoder_delays.add(&name, &value, unix_ms);
        }
    }

    /// Adds the members of `onMetaData`, if the caller has no script message that contains them.
    pub fn metadata(&mut self, members: &Object) {
        self.metadata.merge(members);
    }

    /// Sets the properties of a track that its container states outside of messages. Those of a video track take
    /// precedence over those of the messages, as in players.
    pub fn set_container_properties(&mut self, id: TrackId, properties: TrackProperties) {
        if let Some(track) = self.track(id) {
            track.set_container_properties(properties);
        }
    }

    /// Sets the number of messages that the protocol could not decode.
    pub fn set_malformed_messages(&mut self, malformed: u64) {
        self.malformed_messages = Some(malformed);
    }

    /// Whether each track has a setup, a frame rate and a complete GOP, and the tracks that the metadata announces
    /// have frames.
    ///
    /// An announced track without frames in the first two seconds of media counts as missing.
    pub fn is_complete(&self) -> bool {
        self.has_all_tracks() && self.tracks.iter().all(Track::is_complete)
    }

    /// Whether the properties of the stream are known: each track has a setup and a frame rate, video has a
    /// keyframe, and the tracks that the metadata announces have frames.
    ///
    /// Unlike [`StreamAnalysis::is_complete`], this does not wait for a complete GOP.
    pub fn is_described(&self) -> bool {
        self.has_all_tracks() && self.tracks.iter().all(Track::is_described)
    }

    fn has_all_tracks(&self) -> bool {
        let has_waited = self
            .tracks
            .iter()
            .any(|track| track.elapsed_ms() >= MISSING_TRACK_MS);
        let exists = |kind| self.tracks.iter().any(|track| track.id.kind == kind);
        let is_known = |kind| {
            let is_announced = self.metadata.announces(kind) || !self.metadata.has_arrived();
            exists(kind) || has_waited || !is_announced
        };
        let is_started = !self.tracks.is_empty();
        is_started && is_known(TagKind::VIDEO) && is_known(TagKind::AUDIO)
    }

    /// Returns the facts of the messages so far.
    pub fn facts(&self) -> StreamFacts {
        let tracks = self.track_facts();
        let mut facts = StreamFacts {
            media_ms: media_ms(&tracks),
            tracks,
            omitted_tracks: self.omitted_tracks,
            messages: self.messages,
            has_metadata: self.metadata.has_arrived(),
            metadata: Vec::new(),
            health: Health {
                malformed_messages: self.malformed_messages,
                delay: self.encoder_delays.delay(),
                ..self.delivery.health()
            },
            findings: Vec::new(),
        };
        facts.metadata = self.metadata.compare(&facts, self.extent);
        let announced = Announced {
            video: self.metadata.announces(TagKind::VIDEO),
            audio: self.metadata.announces(TagKind::AUDIO),
        };
        facts.findings = rules::findings(&facts, announced);
        facts
    }

    fn track_facts(&self) -> Vec<TrackFacts> {
        let stated_rate = self.metadata.frames_per_second();
        let facts = |track: &Track| TrackFacts {
            description: self.metadata.descriptions().get(track.id).cloned(),
            ..track.facts(stated_rate)
        };
        self.tracks.iter().map(facts).collect()
    }

    /// Returns the track with this id, which may be new.
    fn track(&mut self, id: TrackId) -> Option<&mut Track> {
        let known = self.tracks.iter().position(|track| track.id == id);
        if known.is_none() {
            if self.tracks.len() >= MAX_TRACKS {
                let is_new = u32::from(self.omitted.insert(id));
                self.omitted_tracks = self.omitted_tracks.saturating_add(is_new);
                return None;
            }
            self.tracks.push(Track::new(id));
        }
        let at = known.unwrap_or_else(|| self.tracks.len().saturating_sub(1));
        self.tracks.get_mut(at)
    }
}

/// Returns the time from the earliest frame to the end of the latest one, in milliseconds.
fn media_ms(tracks: &[TrackFacts]) -> u64 {
    let start_ms = tracks.iter().filter_map(|track| track.first_ms).min();
    let ends = tracks.iter().filter_map(|track| {
        let late_ms = track.first_ms?.saturating_sub(start_ms?).unsigned_abs();
        Some(late_ms.saturating_add(track.media_ms))
    });
    ends.max().unwrap_or(0)
}

/// Largest number of tracks that are analyzed. A stream for several resolutions and languages has about ten.
pub const MAX_TRACKS: usize = 32;

/// Id of the main track, the only one without multitrack.
const MAIN_TRACK: u8 = 0;

/// Media time in which the first frame of every track arrives.
const MISSING_TRACK_MS: u64 = 2000;

/// Lateness of a frame that empties the buffer of a player with low latency, in milliseconds.
pub const LATE_MS: u64 = 500;

#[cfg(test)]
mod tests;

//! Collects the messages of one file in fragments.
//!
//! | module | contents |
//! | --- | --- |
//! | `setup` | decides which messages add a track, and which need a new file |
//! | `fragments` | collects frames, and builds a fragment |
//! | `track` | frames of a track that wait for the end of the fragment |
//! | `clock` | decoding times of a track |
//! | `written` | statistics, tables and playlist of the written fragments |
//! | `sealing` | tables that finish a file |
//! | `reopening` | continues the file of an earlier run |

mod clock;
mod fragments;
mod reopening;
mod sealing;
mod setup;
mod track;
mod written;

use std::collections::BTreeMap;

use self::track::Track;
pub use self::{fragments::Fragment, reopening::ExistingSample};
use super::{
    Layout,
    file_type::{RESERVED, fragmented_file_type},
    frame_rate::FrameRate,
    movie::{Description, MovieTrack},
    playlist::Playlist,
};
use crate::core::{
    amf::Object,
    flv::{FrameInfo, TagKind, TrackId, frame_info::MediaTrack},
    payload::{Payload, Pool},
};

/// Options of one file or pipe.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether the file is finished with sample tables.
    pub layout: Layout,
    /// Length of a fragment in milliseconds. With 0, each frame is a fragment.
    pub fragment_ms: u64,
    /// Whether tracks other than the main ones are left out if they appear after the tracks are written. ffmpeg
    /// rejects a stream with a fragment of a track that the first `moov` box does not describe.
    pub leaves_out_late_tracks: bool,
    /// Description of the movie.
    pub description: Description,
}

/// Converts the messages of one file or pipe to fragments. It does no I/O.
///
/// The caller announces each message with [`Writer::admit`] when it arrives, and passes it to
/// [`Writer::push`] when its time in the file is known. In between, the setup of another track may arrive, which
/// the file then contains as well.
#[derive(Debug)]
pub struct Writer {
    options: Options,
    tracks: Vec<Track>,
    /// Whether the tracks are written.
    has_setup: bool,
    /// Time of the file at which the movie starts, in milliseconds, once the tracks are written.
    origin_ms: Option<u64>,
    /// Number of the latest fragment.
    number: u32,
    /// Time at which the current fragment started.
    fragment_start_ms: Option<u64>,
    /// Size of the frames that wait for their fragment.
    held_bytes: u64,
    /// Number of the frames that wait for their fragment.
    held_frames: usize,
    /// Size of the file: the head and all fragments.
    length: u64,
    /// Size of the tables that finish the file.
    tables_bytes: u64,
    /// Offset of the first fragment.
    first_fragment: Option<u64>,
    /// Playlist of the file, if it has one.
    playlist: Option<Playlist>,
    scratch: Vec<u8>,
    /// Buffer of a written fragment.
    spare: Option<Vec<u8>>,
    /// Buffers of written fragments, if each frame is a fragment: keyframes and audio frames need different ones.
    pool: Pool,
    has_warned: bool,
    has_warned_of_frame: bool,
    /// Tracks that appeared too late.
    left_out: Vec<TrackId>,
    /// Frame rate of the video that the server announced.
    announced_rate: Option<FrameRate>,
    /// Latest boxes of [`color`](super::color) of each video track, by its id in the stream.
    colors: BTreeMap<u8, Vec<u8>>,
    has_reported_colors: bool,
}

/// A message and its times.
#[derive(Debug)]
pub struct Frame {
    /// Facts of the message.
    pub info: FrameInfo,
    /// Output time in milliseconds.
    pub at_ms: u64,
    /// Time since the start of the file in milliseconds.
    pub time_ms: u64,
    /// The message.
    pub payload: Payload,
}

impl Writer {
    /// Creates a writer for an empty file or pipe.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            tracks: Vec::new(),
            has_setup: false,
            origin_ms: None,
            number: 0,
            fragment_start_ms: None,
            held_bytes: 0,
            held_frames: 0,
            length: 0,
            tables_bytes: 0,
            first_fragment: None,
            playlist: None,
            scratch: Vec::new(),
            spare: None,
            pool: Pool::default(),
            has_warned: false,
            has_warned_of_frame: false,
            left_out: Vec::new(),
            announced_rate: None,
            colors: BTreeMap::new(),
            has_reported_colors: false,
        }
    }

    /// Returns the first bytes of the file, and counts them. Must be called once, before any frame is
    /// pushed.
    pub fn head(&mut self) -> Vec<u8> {
        let mut head = fragmented_file_type();
        if self.options.layout == Layout::Seekable {
            // The first 16 bytes become the header of an `mdat` box with a length of 64 bits.
            head.extend(RESERVED);
            head.extend([0; 8]);
            head.extend(fragmented_file_type());
        }
        self.length = head.len() as u64;
        head
    }

    /// Sets the title of the movie.
    pub fn set_title(&mut self, title: &str) {
        self.options.description.title = Some(title.to_owned());
    }

    /// Adds the languages and names of tracks in the fields of the server's `onMetaData`.
    pub fn describe_tracks(&mut self, fields: &Object) {
        self.options.description.tracks.merge(fields);
    }

    /// Announces the frame rate of the video, in frames per second. A wrong one does no harm: it is used only
    /// as far as the times of the frames agree.
    pub fn announce_frame_rate(&mut self, frames_per_second: f64) {
        let announced = FrameRate::announced(frames_per_second);
        self.announced_rate = announced.or(self.announced_rate);
    }

    /// Returns whether the file has a video track.
    pub fn has_video(&self) -> bool {
        self.movies().any(|track| track.entry.is_video())
    }

    /// Whether tables finish the file.
    pub fn has_tables(&self) -> bool {
        self.options.layout == Layout::Seekable
    }

    /// Returns the facts of one track of a message.
    fn info(&self, track: &MediaTrack<'_>, body: &[u8]) -> FrameInfo {
        let kind = match track {
            MediaTrack::Audio(_) => TagKind::AUDIO,
            MediaTrack::Video(_) => TagKind::VIDEO,
        };
        let known = self.track(kind, track.id());
        track.info(body, known.and_then(|known| known.nal_length_size))
    }

    fn movies(&self) -> impl Iterator<Item = &MovieTrack> + Clone {
        self.tracks.iter().map(|track| &track.movie)
    }

    fn track(&self, kind: TagKind, stream_id: u8) -> Option<&Track> {
        let mut tracks = self.tracks.iter();
        tracks.find(|track| track.kind == kind && track.stream_id == stream_id)
    }

    fn track_of(&self, info: FrameInfo) -> Option<&Track> {
        self.track(info.track, info.track_id)
    }

    fn track_mut(&mut self, info: FrameInfo) -> Option<&mut Track> {
        let mut tracks = self.tracks.iter_mut();
        tracks.find(|track| track.is_of(info))
    }
}

fn is_media(track: TagKind) -> bool {
    matches!(track, TagKind::AUDIO | TagKind::VIDEO)
}

/// Id of the main track of a kind in the stream.
const MAIN_TRACK: u8 = 0;

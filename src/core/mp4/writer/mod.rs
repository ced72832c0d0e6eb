//! Collects the messages of one file in fragments.

mod clock;
mod track;

use std::{cmp::Reverse, collections::BTreeMap};

use self::track::{HEADROOM, Held, Track};
use super::{
    Layout,
    boxes::{BoxHeader, put},
    color,
    fragment::{Run, put_fragment, read_moof},
    frame_rate::FrameRate,
    movie::{
        Description, MovieTrack, Piece, final_length, final_pieces, other_track_id, put_initial,
    },
    playlist::{FragmentFacts, Playlist},
    sample_entry::{SampleEntry, Unsupported, family},
    tables::Table,
};
use crate::core::{
    amf::Object,
    flv::{
        FrameInfo, TagKind, TrackId,
        codec::{VideoPacket, VideoTrack},
        frame_info::{MediaTrack, media_tracks},
        head_writer::Patch,
    },
    payload::{Payload, Pool},
    wire::Reader,
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
    /// Latest boxes of [`color`] of each video track, by its id in the stream.
    colors: BTreeMap<u8, Vec<u8>>,
    has_reported_colors: bool,
}

/// A complete fragment, to append to the file.
#[derive(Debug)]
pub struct Fragment {
    /// Buffer of the boxes.
    pub buffer: Vec<u8>,
    /// Number of bytes in the buffer before the fragment.
    pub unused: usize,
    /// Facts of the first video frame, or of the first audio frame without video.
    pub info: FrameInfo,
    /// Output time of that frame in milliseconds.
    pub at_ms: u64,
    /// Number of frames.
    pub frames: u32,
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

/// The `moov` box of a finished file, as a list of bytes and tables.
#[derive(Debug)]
pub struct FinalMovie {
    pieces: std::vec::IntoIter<Piece>,
}

/// A piece of a [`FinalMovie`].
#[derive(Debug)]
pub enum MoviePiece {
    /// Bytes to write.
    Bytes(Vec<u8>),
    /// Entries to write: pass all fragments of the file to it.
    Entries(Entries),
}

/// Encoder of the entries of one table.
#[derive(Debug)]
pub struct Entries {
    track: u32,
    table: Table,
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

    /// Creates a writer that continues a file with these tracks. `length` is the length of the file up to its
    /// first fragment. [`Writer::add_existing`] must follow for every fragment.
    ///
    /// The output times that continue the file start where its movie starts, or where its first picture is
    /// decoded if that is earlier.
    pub(super) fn reopen(options: Options, movies: Vec<MovieTrack>, length: u64) -> Self {
        let starts = movies
            .iter()
            .map(|movie| movie.milliseconds(movie.media_start));
        let origin_ms = starts.max().unwrap_or(0);
        let videos = movies.iter().filter(|movie| movie.entry.is_video());
        let colors = videos.map(|movie| (movie.stream_track().id, movie.entry.color.clone()));
        let colors = colors.collect();
        let reopen = |movie| Track::reopen(movie, origin_ms);
        Self {
            colors,
            tracks: movies.into_iter().map(reopen).collect(),
            has_setup: true,
            origin_ms: Some(origin_ms),
            length,
            ..Self::new(options)
        }
    }

    /// Adds the next fragment of a reopened file. Returns false, and adds nothing, if it does not continue the
    /// tracks.
    pub fn add_existing(&mut self, runs: &[Run], length: u64) -> bool {
        let continues = |run: &Run| {
            let track = self.tracks.iter().find(|track| track.movie.id == run.track);
            track.is_some_and(|track| track.can_continue_with(run))
        };
        if !runs.iter().all(continues) {
            return false;
        }
        for run in runs {
            let mut tracks = self.tracks.iter_mut();
            if let Some(track) = tracks.find(|track| track.movie.id == run.track) {
                track.continue_after(run);
            }
        }
        let offset = self.length;
        if !runs.is_empty() {
            self.first_fragment.get_or_insert(offset);
            self.note(runs, offset);
            self.number = self.number.saturating_add(1);
        }
        self.length = self.length.saturating_add(length);
        true
    }

    /// Skips damaged fragments of a reopened file: `length` bytes. The caller must write the returned header over
    /// them.
    pub fn skip_existing(&mut self, length: u64) -> Patch {
        let offset = self.length;
        self.length = self.length.saturating_add(length);
        let mut bytes = Vec::new();
        match u32::try_from(length) {
            Ok(short) => bytes.extend(short.to_be_bytes()),
            Err(_) => bytes.extend([0, 0, 0, 1]),
        }
        bytes.extend(b"free");
        if u32::try_from(length).is_err() {
            bytes.extend(length.to_be_bytes());
        }
        Patch { offset, bytes }
    }

    /// Returns the samples of a fragment in order of their times. [`Writer::add_existing`] must have added it.
    pub fn existing_samples(&self, runs: &[Run]) -> Vec<ExistingSample> {
        let mut samples = Vec::new();
        for run in runs {
            let mut tracks = self.tracks.iter();
            let Some(track) = tracks.find(|track| track.movie.id == run.track) else {
                continue;
            };
            let (mut ticks, mut offset) = (run.start, run.offset);
            for sample in &run.samples {
                samples.push(ExistingSample {
                    track: track.kind,
                    at_ms: track.output_ms(ticks),
                    is_keyframe: sample.is_sync && track.kind == TagKind::VIDEO,
                    offset,
                    size: sample.size,
                });
                ticks = ticks.saturating_add(sample.duration.into());
                offset = offset.saturating_add(sample.size);
            }
        }
        samples.sort_by_key(|sample| sample.at_ms);
        samples
    }

    /// Returns whether the file has tracks other than one of video and one of audio.
    pub fn has_other_tracks(&self) -> bool {
        self.tracks
            .iter()
            .any(|track| track.stream_id != MAIN_TRACK)
    }

    /// Returns whether the file has a video track.
    pub fn has_video(&self) -> bool {
        self.movies().any(|track| track.entry.is_video())
    }

    /// Returns whether the file is finished with sample tables.
    pub fn layout(&self) -> Layout {
        self.options.layout
    }

    /// Creates a playlist of the file. Must be called before the first fragment is written.
    pub fn start_playlist(&mut self, playlist: Playlist) {
        self.playlist = Some(playlist);
    }

    /// Returns the new lines of the playlist.
    pub fn take_playlist_lines(&mut self) -> String {
        let playlist = self.playlist.as_mut();
        playlist.map(Playlist::take_lines).unwrap_or_default()
    }

    /// Adds the end of the playlist: all fragments are written.
    pub fn finish_playlist(&mut self) {
        if let (Some(playlist), true) = (&mut self.playlist, self.first_fragment.is_some()) {
            playlist.finish(self.length);
        }
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

    /// Whether a message needs other tracks than those of the file: it must start a new file, or
    /// [`Writer::restart_setup`] must be called in a pipe.
    pub fn needs_new_setup(&self, info: FrameInfo, body: &[u8]) -> bool {
        if !info.is_sequence_header && !info.is_multitrack {
            return is_frame(info) && self.frame_conflicts(info);
        }
        media_tracks(info.track, body).any(|track| {
            let info = self.info(&track, body);
            if info.is_sequence_header {
                return SampleEntry::of_track(&track)
                    .is_ok_and(|entry| self.conflicts(info, &entry));
            }
            is_frame(info) && self.frame_conflicts(info)
        })
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

    /// Whether the setup of a sequence header can no longer be added to the file.
    fn conflicts(&self, info: FrameInfo, entry: &SampleEntry) -> bool {
        match self.track_of(info) {
            Some(track) => {
                let is_fixed = self.has_setup || track.has_frames;
                is_fixed && !track.movie.entry.is_same_as(entry)
            }
            None => self.has_setup && !self.is_late(info),
        }
    }

    /// Whether a message belongs to a track that appears too late for the file.
    fn is_late(&self, info: FrameInfo) -> bool {
        self.options.leaves_out_late_tracks
            && info.track_id != MAIN_TRACK
            && self.track_of(info).is_none()
            && (self.has_setup || self.left_out.contains(&track_id(info)))
    }

    /// Records that the track of a message is left out.
    fn leave_out(&mut self, info: FrameInfo) {
        let track = track_id(info);
        if !self.left_out.contains(&track) {
            self.left_out.push(track);
            tracing::warn!(
                "track {track} arrives after the start of the MP4 pipe, so it is left out"
            );
        }
    }

    /// Whether a frame belongs to another setup than the file has.
    fn frame_conflicts(&self, info: FrameInfo) -> bool {
        let Some(track) = self.track_of(info) else {
            return self.has_setup && is_media(info.track) && !self.is_late(info);
        };
        let entry = &track.movie.entry;
        let is_resized = info.is_keyframe
            && info.picture_size.is_some()
            && entry.picture_size.is_some()
            && info.picture_size != entry.picture_size;
        is_resized || info.codec.map(family) != Some(entry.codec)
    }

    /// Announces a message in order of arrival, or returns why an MP4 file cannot hold it.
    pub fn admit(&mut self, info: FrameInfo, body: &[u8]) -> Result<(), Unsupported> {
        if !is_media(info.track) || !(is_frame(info) || info.is_sequence_header) {
            for track in media_tracks(info.track, body) {
                match track {
                    MediaTrack::Video(track) if track.packet == VideoPacket::METADATA => {
                        self.admit_colors(&track);
                    }
                    _ => {}
                }
            }
            return Ok(());
        }
        if !info.is_sequence_header && !info.is_multitrack {
            return self.admit_frame(info, || SampleEntry::of(info.track, body));
        }
        for track in media_tracks(info.track, body) {
            let info = self.info(&track, body);
            if self.is_late(info) {
                self.leave_out(info);
            } else if info.is_sequence_header {
                self.admit_header(info, &track)?;
            } else if is_frame(info) {
                self.admit_frame(info, || SampleEntry::of_track(&track))?;
            }
        }
        Ok(())
    }

    /// Stores the description of the colors for the setup. It may precede the setup of its track.
    fn admit_colors(&mut self, metadata: &VideoTrack<'_>) {
        let Some(boxes) = color::boxes(metadata.body) else {
            return;
        };
        let track = self.track(TagKind::VIDEO, metadata.id);
        if self.has_setup && track.is_none() {
            return;
        }
        let stored = self.colors.get(&metadata.id).map_or(&[][..], Vec::as_slice);
        // The frames that wait for the setup have the colors that were described before them.
        let is_used = track.is_some_and(|track| track.has_frames) && !stored.is_empty();
        if !self.has_setup && !is_used {
            self.colors.insert(metadata.id, boxes);
        } else if stored != boxes && !std::mem::replace(&mut self.has_reported_colors, true) {
            tracing::warn!(
                "the colors of video track {} change: the MP4 file keeps its first color description",
                metadata.id
            );
        }
    }

    fn admit_header(
        &mut self,
        info: FrameInfo,
        header: &MediaTrack<'_>,
    ) -> Result<(), Unsupported> {
        let entry = SampleEntry::of_track(header)?;
        if self.conflicts(info, &entry) {
            return Err(Unsupported::Changed);
        }
        self.set_entry(info, entry);
        let track = self.track_mut(info);
        if let Some(track) = track {
            track.nal_length_size = header.nal_length_size();
        }
        Ok(())
    }

    /// Announces a frame of one track. `entry` returns the setup that the frame contains.
    fn admit_frame(
        &mut self,
        info: FrameInfo,
        entry: impl FnOnce() -> Result<SampleEntry, Unsupported>,
    ) -> Result<(), Unsupported> {
        if self.frame_conflicts(info) {
            return Err(Unsupported::Changed);
        }
        match self.track_of(info) {
            None => self.set_entry(info, entry()?),
            Some(track) if track.has_frame_length => {}
            Some(_) => {
                if let Ok(entry) = entry() {
                    self.set_entry(info, entry);
                }
            }
        }
        if let Some(track) = self.track_mut(info) {
            track.has_frames = true;
            let size = &mut track.movie.entry.picture_size;
            *size = size.or(info.picture_size);
        }
        Ok(())
    }

    fn set_entry(&mut self, info: FrameInfo, entry: SampleEntry) {
        match self.track_mut(info) {
            Some(track) if track.has_frames || track.movie.entry.is_same_as(&entry) => {
                track.movie.entry.frame_length = entry.frame_length;
                track.has_frame_length = true;
            }
            Some(track) => track.replace(entry),
            None => {
                let base_ms = self.origin_ms.unwrap_or(0);
                let track = Track::new(self.new_id(info), entry, base_ms);
                // Main tracks come first: players show the first track of a kind.
                let precedes = |other: &Track| other.stream_id <= track.stream_id;
                let position = self.tracks.partition_point(precedes);
                self.tracks.insert(position, track);
            }
        }
    }

    /// Returns the id of a new track in the file: 1 and 2 for the main tracks, in order of arrival.
    fn new_id(&self, info: FrameInfo) -> u32 {
        let is_main = |track: &Track| track.stream_id == MAIN_TRACK;
        match info.track_id {
            MAIN_TRACK if self.tracks.iter().any(is_main) => 2,
            MAIN_TRACK => 1,
            _ => other_track_id(track_id(info)),
        }
    }

    /// Lets the following messages describe other tracks. The tracks are written again before the next
    /// fragment. Frames that wait are added to `fragments`.
    pub fn restart_setup(&mut self, fragments: &mut Vec<Fragment>) {
        self.finish(fragments);
        self.has_setup = false;
        self.tracks
            .iter_mut()
            .for_each(|track| track.has_frames = false);
    }

    /// Adds a message that was admitted. Complete fragments are added to `fragments`, and the payload to
    /// `spent`.
    pub fn push(&mut self, frame: Frame, fragments: &mut Vec<Fragment>, spent: &mut Vec<Payload>) {
        let (info, time_ms) = (frame.info, frame.time_ms);
        let mut is_held = false;
        if info.is_multitrack {
            for track in media_tracks(info.track, &frame.payload) {
                let mut info = self.info(&track, &frame.payload);
                info.nano_offset_ns = frame.info.nano_offset_ns;
                is_held |= self.hold(info, &frame);
            }
        } else {
            is_held = self.hold(info, &frame);
        }
        spent.push(frame.payload);
        if !is_held {
            return;
        }
        let start_ms = *self.fragment_start_ms.get_or_insert(time_ms);
        let elapsed_ms = time_ms.saturating_sub(start_ms);
        let is_full =
            self.held_bytes >= MAX_FRAGMENT_BYTES || self.held_frames >= MAX_FRAGMENT_FRAMES;
        if is_full || !self.expects_first_frame(elapsed_ms) && self.is_end(info, elapsed_ms) {
            let is_immediate = self.options.fragment_ms == 0;
            self.close_fragment(is_immediate, fragments);
            self.fragment_start_ms = Some(time_ms);
        }
    }

    /// Reports a frame whose sample is not known, once per file.
    fn report_left_out(&mut self, info: FrameInfo) {
        let is_frame = is_media(info.track) && info.carries_media && !info.is_sequence_header;
        if is_frame && !std::mem::replace(&mut self.has_warned_of_frame, true) {
            tracing::warn!(
                "a damaged {} frame is left out of the MP4 file, and so is every further one; \
                 FLV files keep them",
                info.track
            );
        }
    }

    /// Holds a frame of one track until its fragment ends. Returns whether the message has a frame.
    fn hold(&mut self, info: FrameInfo, frame: &Frame) -> bool {
        let Some(position) = info.sample.filter(|_| info.carries_media) else {
            self.report_left_out(info);
            return false;
        };
        let sample = position.of(&frame.payload);
        let mut tracks = self.tracks.iter_mut();
        let Some(track) = tracks.find(|track| track.is_of(info)) else {
            return false;
        };
        track.hold(info, frame, sample, position.composition_ms, &mut self.pool);
        self.held_bytes = self.held_bytes.saturating_add(sample.len() as u64);
        self.held_frames = self.held_frames.saturating_add(1);
        true
    }

    /// Whether the next fragment starts with a frame of these facts.
    ///
    /// A fragment that starts with a keyframe can be played alone, and a reader can continue with it after a
    /// gap. Sound that arrives before a keyframe must not end the fragment instead. A fragment is short only if a
    /// keyframe ends one that did not start with a keyframe.
    fn is_end(&self, info: FrameInfo, elapsed_ms: u64) -> bool {
        let limit_ms = self.options.fragment_ms;
        let is_main =
            info.track == TagKind::VIDEO && (info.track_id == MAIN_TRACK || info.is_keyframe);
        let is_video = |track: &Track| track.kind == TagKind::VIDEO && !track.held.is_empty();
        let patience_ms = match self.tracks.iter().any(is_video) {
            true if !is_main => limit_ms.wrapping_div(4),
            _ => 0,
        };
        let quarter_ms = limit_ms.wrapping_div(4);
        // The first fragment decides the timescale: the rates 30000/1001 and 30 differ by 1 ms in a second.
        let least_ms = match self.has_setup {
            true => quarter_ms,
            false => limit_ms.saturating_sub(quarter_ms),
        };
        let first = self
            .track_of(info)
            .and_then(|track| track.held.front())
            .filter(|_| info.track_id == MAIN_TRACK);
        let lacks_keyframe = first.is_some_and(|held| !held.info.is_keyframe);
        let is_start = info.is_keyframe && (lacks_keyframe || elapsed_ms >= least_ms);
        is_start || elapsed_ms >= limit_ms.saturating_add(patience_ms)
    }

    /// Whether the first frame of a track may still decide when the movie starts.
    fn expects_first_frame(&self, elapsed_ms: u64) -> bool {
        let is_expected = |track: &Track| track.held.is_empty();
        self.origin_ms.is_none()
            && elapsed_ms < MAX_TRACK_DISTANCE_MS
            && self.tracks.iter().any(is_expected)
    }

    /// Adds all frames that wait to `fragments`: no frame follows.
    pub fn finish(&mut self, fragments: &mut Vec<Fragment>) {
        self.close_fragment(true, fragments);
        self.fragment_start_ms = None;
    }

    /// Ends the current fragment. `is_last` means that it contains the latest frame of each track as well,
    /// whose duration is estimated. Otherwise the next fragment starts with it.
    fn close_fragment(&mut self, is_last: bool, fragments: &mut Vec<Fragment>) {
        if !self.tracks.iter().any(|track| track.has_run(is_last)) {
            return;
        }
        for track in &mut self.tracks {
            track.set_ticks(self.announced_rate);
        }
        self.set_origin();
        // The samples of the largest track stay in their buffer.
        let mut tracks: Vec<&mut Track> = self.tracks.iter_mut().collect();
        tracks.sort_by_key(|track| Reverse(track.samples.len()));
        let (mut runs, mut first, mut buffer) = (Vec::new(), None::<Held>, Vec::new());
        for track in tracks {
            let frame = track.take_run(is_last, &mut runs);
            first = first.into_iter().chain(frame).min_by_key(Held::rank);
            track.take_samples(&mut buffer, &mut self.spare);
        }
        let Some(first) = first else {
            return;
        };
        let mut boxes = std::mem::take(&mut self.scratch);
        boxes.clear();
        if !std::mem::replace(&mut self.has_setup, true) {
            self.set_colors();
            let tracks = self.tracks.iter().map(|track| &track.movie);
            put_initial(&mut boxes, tracks, &self.options.description);
        }
        self.number = self.number.saturating_add(1);
        put_fragment(&mut boxes, self.number, &mut runs);
        let frames = runs.iter().map(|run| run.samples.len()).sum::<usize>();
        let data = buffer.len().saturating_sub(HEADROOM) as u64;
        self.held_bytes = self.held_bytes.saturating_sub(data);
        self.held_frames = self.held_frames.saturating_sub(frames);
        let mut info = first.info;
        info.is_keyframe &= info.track_id == MAIN_TRACK;
        let unused = put_before(&mut buffer, &boxes);
        self.scratch = boxes;
        fragments.push(Fragment {
            unused,
            buffer,
            info,
            at_ms: first.at_ms,
            frames: u32::try_from(frames).unwrap_or(u32::MAX),
        });
    }

    /// Adds the descriptions of the colors to the setup, which is written now.
    fn set_colors(&mut self) {
        let videos = self.tracks.iter_mut();
        for track in videos.filter(|track| track.kind == TagKind::VIDEO) {
            let boxes = self.colors.get(&track.stream_id).cloned();
            track.movie.entry.color = boxes.unwrap_or_default();
        }
    }

    /// Decides when the movie starts.
    ///
    /// If frames are reordered, the first picture is shown after it is decoded. If it is shown before the first
    /// sound, the movie starts with it, and an edit list skips the time in between. Otherwise the movie starts
    /// with the first frame of any track, and sound may be delayed: players show an empty edit of video as a
    /// black picture, and ffmpeg expects an edit of video to start at a picture.
    fn set_origin(&mut self) {
        if self.origin_ms.is_some() {
            return;
        }
        let first = |kind| {
            let tracks = self.tracks.iter().filter(move |track| track.kind == kind);
            tracks.filter_map(|track| track.held.front())
        };
        // No sound may start before the movie. The main video track, which is the first one, decides when it is
        // shown.
        let sound_ms = first(TagKind::AUDIO).map(|held| held.time_ms).min();
        let first = |kind| first(kind).next();
        let decoded_ms = first(TagKind::VIDEO).map(|held| held.time_ms);
        let shown_ms = first(TagKind::VIDEO).map(|held| {
            let shown_ms = u64::try_from(held.shown_ms()).unwrap_or(0);
            held.time_ms.max(shown_ms)
        });
        let origin_ms = match (shown_ms, sound_ms) {
            (Some(shown_ms), None) => shown_ms,
            (Some(shown_ms), Some(sound_ms)) if shown_ms <= sound_ms => shown_ms,
            (_, Some(sound_ms)) => decoded_ms.unwrap_or(sound_ms).min(sound_ms),
            (None, None) => return,
        };
        self.origin_ms = Some(origin_ms);
        for track in &mut self.tracks {
            track.set_origin(origin_ms);
        }
    }

    /// Accepts the buffer of a written fragment for reuse: a new one for each fragment would cost more time
    /// than copying the samples.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        match self.options.fragment_ms {
            0 => self.pool.put(Payload::reuse(buffer)),
            _ => self.spare = Some(buffer),
        }
    }

    /// Adds a fragment to the statistics, once the file contains it.
    pub fn written(&mut self, fragment: &[u8]) {
        let mut boxes = Reader::new(fragment);
        while !boxes.is_empty() {
            let before = boxes.rest();
            let skipped = fragment.len().saturating_sub(before.len()) as u64;
            let Ok((kind, body)) = BoxHeader::read_complete(&mut boxes) else {
                break;
            };
            let length = before.len().saturating_sub(boxes.len());
            if kind == *b"moof"
                && let Some(Ok(runs)) = before.get(..length).map(read_moof)
            {
                debug_assert!(!body.is_empty());
                let offset = self.length.saturating_add(skipped);
                self.first_fragment.get_or_insert(offset);
                self.note(&runs, offset);
                self.add_to_playlist(&runs, offset);
            }
            if kind == *b"moov" {
                self.set_playlist_setup(self.length.saturating_add(skipped), length as u64);
            }
        }
        self.length = self.length.saturating_add(fragment.len() as u64);
    }

    /// Sets the initialization section of the playlist, which ends with the `moov` box.
    fn set_playlist_setup(&mut self, movie: u64, length: u64) {
        let has_video = self.has_video();
        if let Some(playlist) = &mut self.playlist {
            let file_type = fragmented_file_type().len() as u64;
            let offset = movie.saturating_sub(file_type);
            playlist.set_setup(offset, length.saturating_add(file_type), has_video);
        }
    }

    fn add_to_playlist(&mut self, runs: &[Run], offset: u64) {
        let has_video = self.has_video();
        let is_main_kind = |track: &&Track| track.movie.entry.is_video() == has_video;
        let main = self.tracks.iter().filter(is_main_kind);
        let main = main.min_by_key(|track| track.stream_id);
        let main = main.map(|track| track.movie.id);
        let Some(playlist) = &mut self.playlist else {
            return;
        };
        let mut fragment = FragmentFacts {
            offset,
            start_us: None,
            end_us: 0,
            is_start: false,
        };
        for run in runs {
            let mut tracks = self.tracks.iter().map(|track| &track.movie);
            let Some(track) = tracks.find(|track| track.id == run.track) else {
                continue;
            };
            let durations = run.samples.iter().map(|sample| u64::from(sample.duration));
            let end = durations.fold(run.start, u64::saturating_add);
            fragment.end_us = fragment.end_us.max(track.microseconds(end));
            if Some(track.id) == main {
                fragment.start_us = Some(track.microseconds(run.start));
                fragment.is_start = run.samples.first().is_some_and(|sample| sample.is_sync);
            }
        }
        playlist.add(fragment);
    }

    fn note(&mut self, runs: &[Run], offset: u64) {
        let has_tables = self.has_tables();
        for run in runs {
            let mut tracks = self.tracks.iter_mut().map(|track| &mut track.movie);
            match tracks.find(|track| track.id == run.track) {
                Some(track) if has_tables => track.add(run, offset, &mut self.scratch),
                Some(track) => track.add_duration(run),
                None => {}
            }
        }
        if !has_tables {
            return;
        }
        self.tables_bytes = final_length(self.movies(), &self.options.description);
        if !self.has_warned && self.tables_bytes > LARGE_TABLES {
            self.has_warned = true;
            tracing::warn!(
                "the tables of the MP4 file will soon be too large for some players: \
                 use --segment-time to split the recording"
            );
        }
    }

    /// Returns the size of the file without the final tables, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the size of the frames that wait for their fragment.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Whether tables finish the file.
    pub fn has_tables(&self) -> bool {
        self.options.layout == Layout::Seekable
    }

    /// Returns the size of the tables that a finished file needs, in bytes.
    pub fn tables_bytes(&self) -> u64 {
        self.tables_bytes
    }

    /// Returns the duration of all written frames in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        let ends = self.movies().map(MovieTrack::end_ms);
        ends.max().unwrap_or(0)
    }

    /// Returns the offset of the first fragment, if the file is finished with sample tables.
    pub fn first_fragment(&self) -> Option<u64> {
        self.first_fragment
            .filter(|_| self.options.layout == Layout::Seekable)
    }

    /// Returns the `moov` box that finishes the file.
    pub fn final_movie(&self) -> FinalMovie {
        FinalMovie {
            pieces: final_pieces(self.movies(), &self.options.description).into_iter(),
        }
    }

    /// Returns the change that prepares [`Writer::seal`]. The file must contain all of [`Writer::final_movie`].
    ///
    /// A write may stop at any byte. The length of the box is therefore on the disk first, where it has no effect:
    /// from the byte that announces a length of 64 bits on, one box of either type covers all fragments.
    pub fn sealed_length(&self) -> Patch {
        let file_type = finished_file_type(false).len() as u64;
        let data = self.length.saturating_sub(file_type);
        Patch {
            offset: file_type.saturating_add(BOX_HEADER),
            bytes: data.to_be_bytes().to_vec(),
        }
    }

    /// Returns the change that turns the fragmented file into a plain one. All earlier changes must be on the
    /// disk.
    pub fn seal(&self) -> Patch {
        let is_avc = self.movies().any(|track| track.entry.is_avc());
        let mut bytes = finished_file_type(is_avc);
        bytes.extend([0, 0, 0, 1]); // the length has 64 bits
        bytes.extend(b"mdat");
        Patch { offset: 0, bytes }
    }

    /// Returns the change that makes players use the fragments of a finished file again. The tables may be cut off
    /// once it is on the disk.
    pub fn unseal() -> Patch {
        let mut bytes = fragmented_file_type();
        bytes.extend(RESERVED);
        Patch { offset: 0, bytes }
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

/// A sample of a file that is reopened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExistingSample {
    /// Audio or video.
    pub track: TagKind,
    /// Output time in milliseconds.
    pub at_ms: u64,
    /// Whether a decoder can start with this picture.
    pub is_keyframe: bool,
    /// Offset from the start of the fragment in bytes.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

impl Iterator for FinalMovie {
    type Item = MoviePiece;

    fn next(&mut self) -> Option<MoviePiece> {
        Some(match self.pieces.next()? {
            Piece::Bytes(bytes) => MoviePiece::Bytes(bytes),
            Piece::Entries { track, table } => MoviePiece::Entries(Entries { track, table }),
        })
    }
}

impl Entries {
    /// Appends the entries for the fragment at this offset of the file to `out`.
    pub fn add(&mut self, runs: &[Run], offset: u64, out: &mut Vec<u8>) {
        for run in runs.iter().filter(|run| run.track == self.track) {
            self.table.add(run, offset, out);
        }
    }

    /// Appends the last entry to `out`.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.table.finish(out);
    }
}

/// Result of [`read_fragment`].
#[derive(Debug, PartialEq, Eq)]
pub enum ReadFragment {
    /// The runs, and the length of the fragment in bytes.
    Complete(Vec<Run>, u64),
    /// At least this number of bytes is needed, about 1 MiB at most.
    Needs(u64),
    /// The bytes are not a fragment of this writer.
    Invalid,
}

/// Reads the fragment at the start of `bytes`, which need not contain its samples. A `free` box, which replaces
/// damaged fragments, counts as a fragment without runs.
pub fn read_fragment(bytes: &[u8]) -> ReadFragment {
    let Ok(moof) = BoxHeader::read(&mut Reader::new(bytes)) else {
        let is_long = bytes.starts_with(&[0, 0, 0, 1]);
        return ReadFragment::Needs(if is_long { 2 * BOX_HEADER } else { BOX_HEADER });
    };
    if moof.kind == *b"free" && moof.length >= moof.header {
        return ReadFragment::Complete(Vec::new(), moof.length);
    }
    if moof.kind != *b"moof" || !(BOX_HEADER..=MAX_MOOF).contains(&moof.length) {
        return ReadFragment::Invalid;
    }
    let needed = moof.length.saturating_add(BOX_HEADER);
    let split = usize::try_from(moof.length)
        .ok()
        .and_then(|at| bytes.split_at_checked(at));
    let Some((moof, rest)) = split.filter(|(_, rest)| rest.len() as u64 >= BOX_HEADER) else {
        return ReadFragment::Needs(needed);
    };
    match (read_moof(moof), BoxHeader::read(&mut Reader::new(rest))) {
        (Ok(runs), Ok(data)) if data.kind == *b"mdat" && covers(&runs, moof.len(), data.length) => {
            ReadFragment::Complete(runs, data.length.saturating_add(moof.len() as u64))
        }
        _ => ReadFragment::Invalid,
    }
}

/// Whether the samples of the runs are exactly the bytes of an `mdat` box with this length after a `moof` box.
fn covers(runs: &[Run], moof: usize, data: u64) -> bool {
    let first = (moof as u64).saturating_add(BOX_HEADER);
    let mut end = first;
    for run in runs {
        if end != u64::from(run.offset) {
            return false;
        }
        end = end.saturating_add(run.bytes().into());
    }
    let samples = data.checked_sub(BOX_HEADER);
    samples
        .is_some_and(|samples| samples == end.saturating_sub(first) && samples <= MAX_FRAGMENT_DATA)
}

/// Writes `boxes` before the data in a buffer with [`HEADROOM`], and returns the number of bytes before them.
fn put_before(buffer: &mut Vec<u8>, boxes: &[u8]) -> usize {
    let unused = HEADROOM.saturating_sub(boxes.len());
    match buffer.get_mut(unused..HEADROOM) {
        Some(headroom) if headroom.len() == boxes.len() => headroom.copy_from_slice(boxes),
        _ => drop(buffer.splice(..HEADROOM.min(buffer.len()), boxes.iter().copied())),
    }
    unused
}

fn track_id(info: FrameInfo) -> TrackId {
    TrackId {
        kind: info.track,
        id: info.track_id,
    }
}

/// Whether the message is a frame of a known codec.
fn is_frame(info: FrameInfo) -> bool {
    info.carries_media && info.codec.is_some()
}

fn is_media(track: TagKind) -> bool {
    matches!(track, TagKind::AUDIO | TagKind::VIDEO)
}

/// Returns the file type of a fragmented file.
pub(super) fn fragmented_file_type() -> Vec<u8> {
    file_type(b"iso5", [b"iso5", b"iso6", b"mp42", b"mp41"])
}

/// Returns the file type of a finished file.
pub(super) fn finished_file_type(is_avc: bool) -> Vec<u8> {
    let third = if is_avc { b"avc1" } else { b"mp42" };
    file_type(b"isom", [b"isom", b"iso2", third, b"mp41"])
}

/// Returns a file type box with four compatible brands (ISO 14496-12 4.3).
fn file_type(major: &[u8; 4], compatible: [&[u8; 4]; 4]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, b"ftyp", |out| {
        out.extend(major);
        out.extend(512_u32.to_be_bytes()); // minor_version
        compatible.into_iter().for_each(|brand| out.extend(brand));
    });
    out
}

/// Header of the `free` box that reserves space for the header of an `mdat` box. 8 unused bytes follow, and a copy
/// of the file type.
pub(super) const RESERVED: [u8; 8] = [0, 0, 0, 48, b'f', b'r', b'e', b'e'];

/// Id of the main track of a kind in the stream.
const MAIN_TRACK: u8 = 0;

/// Length of a box header whose length has 32 bits.
pub(super) const BOX_HEADER: u64 = 8;

/// Size at which a fragment ends early, so that a fast stream does not need much memory.
const MAX_FRAGMENT_BYTES: u64 = 4 << 20;

/// Number of frames at which a fragment ends early. A server that sends tiny frames with the same timestamp
/// would otherwise fill the memory. The latest frame of each track stays, of 512 tracks at most.
const MAX_FRAGMENT_FRAMES: usize = 10_000;

/// Largest length of a `moof` box that is read. [`MAX_FRAGMENT_FRAMES`] need 160 kB.
const MAX_MOOF: u64 = 1 << 20;

/// Largest size of the samples in a fragment that is read: [`MAX_FRAGMENT_BYTES`], and the largest message of each
/// track.
const MAX_FRAGMENT_DATA: u64 = 64 << 20;

/// Largest distance of the first frames of both tracks.
const MAX_TRACK_DISTANCE_MS: u64 = 1000;

/// Size of the tables at which a warning is logged. iOS does not play a file whose tables are larger than
/// about 34 MB.
const LARGE_TABLES: u64 = 28_000_000;

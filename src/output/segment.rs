//! One file of a recording.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Zoned;
use serde::Serialize;

use super::{
    ExistingFile, Format, Totals,
    file::{
        MediaFile,
        faststart::Faststart,
        slow_disk::{self, Operation},
    },
    finishing::Expected,
    muxer::Message,
    muxer::Unit,
    playlist_file::PlaylistFile,
    write_queue::WriteQueue,
};
use crate::core::{
    amf::Object,
    flv::{FrameInfo, Metadata, TagKind},
    mp4::Unsupported,
    payload::Payload,
};

/// Facts about a finished segment, as the manifest, the hook and the JSON events publish them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentFacts {
    /// Path of the file. Bytes that are not UTF-8 are replaced.
    pub path: String,
    /// Number of the segment, from 1.
    pub segment: u32,
    /// Output time of the file's timestamp 0, in milliseconds.
    pub offset_ms: u64,
    /// Duration in milliseconds.
    pub duration_ms: u32,
    /// Size of the file.
    pub bytes: u64,
    /// Arrival of the first frame: RFC 3339 with the local offset.
    pub start: String,
}

/// A segment that is being written.
#[derive(Debug)]
pub(super) struct Segment {
    file: MediaFile,
    queue: WriteQueue,
    /// Empty between two writes; kept for its memory.
    units: Vec<Unit>,
    origin: Origin,
    playlist: Option<PlaylistFile>,
    /// Number of tags that an earlier run wrote.
    existing_tags: u64,
    is_finished: bool,
    /// Moves the tables to the start of the file; `None` if they stay at its end.
    faststart: Option<Arc<Faststart>>,
}

/// Identity of a segment.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) path: PathBuf,
    pub(super) number: u32,
    pub(super) started: Zoned,
}

impl Segment {
    /// Creates the first segment, whose timestamp 0 is at `start_ms`.
    pub(super) fn first(file: MediaFile, origin: Origin, start_ms: u64) -> Self {
        let queue = WriteQueue::new(file.muxer().format(), start_ms);
        Self::new(file, origin, queue)
    }

    /// Creates a later segment, which starts with a frame of `track` at `at_ms`. `other_ms` is the output
    /// time of the last frame of the other track.
    pub(super) fn later(
        file: MediaFile,
        origin: Origin,
        track: TagKind,
        at_ms: u64,
        other_ms: Option<u64>,
    ) -> Self {
        let format = file.muxer().format();
        let queue = WriteQueue::starting_with(format, track, at_ms, other_ms);
        Self::new(file, origin, queue)
    }

    /// Reopens an existing file as the first segment. Its timestamp 0 is at output time 0.
    pub(super) fn existing(
        existing: ExistingFile,
        started: Zoned,
        sync_interval: Option<Duration>,
        now: Instant,
    ) -> io::Result<Self> {
        let existing_tags = existing.tags;
        let origin = Origin {
            path: existing.path.clone(),
            number: 1,
            started,
        };
        let file = MediaFile::resume(existing, sync_interval, now)?;
        Ok(Self {
            existing_tags,
            ..Self::first(file, origin, 0)
        })
    }

    fn new(file: MediaFile, origin: Origin, queue: WriteQueue) -> Self {
        Self {
            file,
            queue,
            units: Vec::new(),
            origin,
            playlist: None,
            existing_tags: 0,
            is_finished: false,
            faststart: None,
        }
    }

    /// Writes the queue as soon as it has this number of bytes.
    pub(super) fn limit_queue(&mut self, bytes: u64) {
        self.queue.limit(bytes);
    }

    /// Creates a playlist beside the file (`--hls`). Must be called before anything is written.
    pub(super) fn start_playlist(&mut self) {
        let name = self.origin.path.file_name().unwrap_or_default();
        let start = self.origin.started.strftime(RFC_3339).to_string();
        let muxer = self.file.muxer_mut();
        muxer.start_playlist(name.as_encoded_bytes(), start);
        self.playlist = Some(PlaylistFile::beside(&self.origin.path));
    }

    /// Queues a message. Writes the queue if that is due; written payloads are added to `spent`.
    pub(super) fn push(
        &mut self,
        now: Instant,
        message: Message,
        spent: &mut Vec<Payload>,
    ) -> io::Result<()> {
        self.queue.push(now, message);
        if self.queue.is_due(now) {
            return self.flush(now, spent);
        }
        Ok(())
    }

    /// Time at which [`Segment::flush_due`] must be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadlines = self.queue.deadline().into_iter();
        deadlines.chain(self.file.deadline()).min()
    }

    /// Writes the queue, updates the head and syncs the file, if a deadline has passed.
    pub(super) fn flush_due(&mut self, now: Instant, spent: &mut Vec<Payload>) -> io::Result<()> {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            return self.flush(now, spent);
        }
        Ok(())
    }

    fn flush(&mut self, now: Instant, spent: &mut Vec<Payload>) -> io::Result<()> {
        if !self.file.has_head() {
            let Some(tracks) = self.queue.known_tracks(now) else {
                return Ok(());
            };
            self.file.write_head(tracks)?;
        }
        self.write(false, spent)?;
        let maintained = self.file.maintain(now);
        if let Some(took) = self.file.take_sync_time() {
            slow_disk::note(Operation::Sync, &self.origin.path, took);
        }
        maintained
    }

    fn write(&mut self, is_last: bool, spent: &mut Vec<Payload>) -> io::Result<()> {
        let muxer = self.file.muxer_mut();
        self.queue
            .drain_into(muxer, is_last, &mut self.units, spent);
        let began = Instant::now();
        let appended = self.file.append(&self.units);
        slow_disk::note(Operation::Write, &self.origin.path, began.elapsed());
        let appended = appended.map_err(|error| self.with_full_disk(error));
        let muxer = self.file.muxer_mut();
        for unit in self.units.drain(..) {
            muxer.recycle(unit, spent);
        }
        if let Some(playlist) = &mut self.playlist {
            playlist.append(&muxer.take_playlist_lines(is_last));
        }
        appended
    }

    /// Adds the name of the disk to an error because it is full.
    fn with_full_disk(&self, error: io::Error) -> io::Error {
        match error.kind() {
            kind @ (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                let disk = slow_disk::disk_of(&self.origin.path);
                io::Error::new(kind, format!("{error} on {disk}"))
            }
            _ => error,
        }
    }

    /// Writes the queue: no message follows. [`Segment::finish`] must be called even after an error.
    pub(super) fn write_last(&mut self, spent: &mut Vec<Payload>) -> io::Result<()> {
        if !self.file.has_head() {
            self.file.write_head(self.queue.tracks())?;
        }
        self.write(true, spent)
    }

    /// Writes the end of the file or its head, even if the disk is full. Makes an MP4 file a plain one, and blocks
    /// until it is synced.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.file.complete()?;
        self.file.seal()?;
        if let Some(faststart) = &self.faststart
            && let Err(error) = faststart.move_movie_to_start(&self.origin.path)
        {
            tracing::warn!(
                "cannot move the tables of {} to its start: {error} (the file is complete, with the tables at \
                 its end)",
                self.origin.path.display()
            );
        }
        Ok(())
    }

    /// Moves the tables of an MP4 file to its start once it is finished.
    pub(super) fn request_faststart(&mut self, faststart: Arc<Faststart>) {
        self.faststart = Some(faststart);
    }

    /// Announces a message that arrived, or returns why the container cannot hold it.
    pub(super) fn admit(&mut self, info: FrameInfo, body: &[u8]) -> Result<(), Unsupported> {
        self.file.muxer_mut().admit(info, body)
    }

    /// Whether the message needs tracks that can no longer be added to the file.
    pub(super) fn needs_new_setup(&self, info: FrameInfo, body: &[u8]) -> bool {
        self.file.muxer().needs_new_setup(info, body)
    }

    /// Container of the file.
    pub(super) fn format(&self) -> Format {
        self.file.muxer().format()
    }

    /// Path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.origin.path
    }

    /// Whether nothing is written yet.
    pub(super) fn is_empty(&self) -> bool {
        !self.file.has_head()
    }

    /// Writes the queued messages to another file. Must only be called while nothing is written. Returns the
    /// path of the previous file, which is closed.
    pub(super) fn move_to(&mut self, file: MediaFile, path: PathBuf) -> PathBuf {
        self.queue.use_format(file.muxer().format());
        self.file = file;
        // Only MP4 files have a playlist.
        self.playlist = None;
        std::mem::replace(&mut self.origin.path, path)
    }

    /// Syncs the finished file, until `deadline`. The future may be dropped and created again.
    pub(super) async fn sync_at_end(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.file.sync_at_end(deadline).await
    }

    /// Merges fields of the server's `onMetaData` into the head, if that can change.
    pub(super) fn set_metadata(&mut self, fields: &Object) {
        self.file.set_metadata(fields);
    }

    /// Adds the fields that the server sent before the existing file was reopened.
    pub(super) fn inherit_metadata(&mut self, metadata: &Metadata) {
        self.file.inherit_metadata(metadata);
    }

    /// Output time of timestamp 0.
    pub(super) fn start_ms(&self) -> u64 {
        self.queue.start_ms()
    }

    /// Time from the start of the segment to `at_ms`.
    pub(super) fn since_start_ms(&self, at_ms: u64) -> u64 {
        at_ms.saturating_sub(self.queue.start_ms())
    }

    /// Bytes and tags in the file.
    pub(super) fn totals(&self) -> Totals {
        self.file.totals()
    }

    /// Size of the queued messages, of a head that is not written yet, and of the end of an MP4 file.
    pub(super) fn queued_bytes(&self) -> u64 {
        let head = if self.file.has_head() {
            0
        } else {
            self.format().head_bytes()
        };
        self.queue
            .bytes()
            .saturating_add(self.file.muxer().pending_bytes())
            .saturating_add(head)
    }

    /// Size of the messages that wait in the muxer, and of the end of an MP4 file.
    pub(super) fn pending_bytes(&self) -> u64 {
        self.file.muxer().pending_bytes()
    }

    /// Returns the facts as far as the segment is written.
    pub(super) fn facts(&self) -> SegmentFacts {
        SegmentFacts {
            path: self.origin.path.to_string_lossy().into_owned(),
            segment: self.origin.number,
            offset_ms: self.queue.start_ms(),
            duration_ms: self.file.muxer().duration_ms(),
            bytes: self.totals().bytes,
            start: self.origin.started.strftime(RFC_3339).to_string(),
        }
    }

    /// Returns the facts of the finished segment before its last steps. The queue must be written.
    pub(super) fn expected(&self) -> Expected {
        let mut totals = self.totals();
        let tables = self.file.muxer().pending_bytes();
        totals.bytes = totals.bytes.saturating_add(tables);
        let facts = self.has_new_tags().then(|| SegmentFacts {
            bytes: totals.bytes,
            ..self.facts()
        });
        Expected { totals, facts }
    }

    fn has_new_tags(&self) -> bool {
        self.totals().tags != self.existing_tags
    }

    /// Returns the facts of the segment, once, if it has got new tags.
    pub(super) fn take_facts(&mut self) -> Option<SegmentFacts> {
        let is_reported = std::mem::replace(&mut self.is_finished, true);
        (!is_reported && self.has_new_tags()).then(|| self.facts())
    }
}

const RFC_3339: &str = "%Y-%m-%dT%H:%M:%S%.3f%:z";

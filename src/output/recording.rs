//! A recording in files.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::{
    ExistingFile, FileOptions, Format, SegmentFacts, SegmentOptions, Totals,
    file::{MediaFile, faststart::Faststart, free_space::FreeSpace},
    finished_segments::FinishedSegments,
    finishing::{Expected, Finishing},
    hook::{Hook, HookFacts, StartReason},
    latest_frames::LatestFrames,
    muxer::Message,
    muxer::Muxer,
    naming::{OpenedFile, Pattern, SegmentNames},
    pending::Pending,
    segment::{Origin, Segment},
    sequence_headers::SequenceHeaders,
    split_policy::SplitPolicy,
};
use crate::core::{
    amf::Object,
    flv::{FrameInfo, Metadata, TagKind},
    mp4::Unsupported,
    payload::Payload,
};

/// A recording in files. No file is created or changed before the first frame.
#[derive(Debug)]
pub(crate) struct FileRecording {
    names: SegmentNames,
    options: FileOptions,
    /// Fields of the server's `onMetaData`, for the heads of new segments.
    metadata: Metadata,
    /// Hash of the latest `onMetaData`.
    latest_metadata: Option<u64>,
    sequence_headers: SequenceHeaders,
    pending: Pending,
    latest: LatestFrames,
    policy: SplitPolicy,
    /// Whether the next frame starts a new segment, whatever the policy is.
    is_split_requested: bool,
    /// File of an earlier run, until it is reopened.
    existing: Option<ExistingFile>,
    /// Boxed, because a recording that waits for its first frame has no segment.
    segment: Option<Box<Segment>>,
    /// Number of the latest segment.
    number: u32,
    /// Number of files opened so far, with those that replaced an empty file.
    opened: u64,
    /// Totals of all finished segments.
    previous: Totals,
    /// Earlier segments whose files are not complete yet.
    finishing: Finishing<Box<Segment>>,
    /// Moves the tables to the start of finished files.
    faststart: Arc<Faststart>,
    /// Whether no further message follows.
    is_ending: bool,
    /// The last segment, once it is finished.
    last: Option<Box<Segment>>,
    /// Error of the last steps, until [`FileRecording::finish`] returns it.
    failure: Option<io::Error>,
    finished: FinishedSegments,
    on_start: Option<Hook>,
    /// Why the next frame starts the media.
    start_due: Option<StartReason>,
    /// Why the media has started, until [`FileRecording::on_start`] runs.
    start: Option<StartReason>,
    free_space: Option<FreeSpace>,
    /// Whether it was reported that script data is left out.
    has_reported_script: bool,
    /// Wall-clock time.
    wall: Timestamp,
    zone: TimeZone,
    /// Payloads whose buffers can be reused.
    spent: Vec<Payload>,
}

impl FileRecording {
    /// Creates a recording. `min_free` is the number of bytes that must stay free on the disk.
    pub(super) fn new(
        pattern: Pattern,
        segments: &SegmentOptions,
        options: FileOptions,
        min_free: Option<u64>,
    ) -> Self {
        let policy = SplitPolicy::new(segments);
        let most = if policy.has_condition() {
            MAX_SEGMENTS
        } else {
            MAX_UNREQUESTED_SEGMENTS
        };
        let names = SegmentNames::new(pattern, most);
        let free_space = min_free.map(|bytes| FreeSpace::new(names.source(), bytes));
        Self {
            names,
            options,
            metadata: Metadata::default(),
            latest_metadata: None,
            sequence_headers: SequenceHeaders::default(),
            pending: Pending::default(),
            latest: LatestFrames::default(),
            policy,
            is_split_requested: false,
            existing: None,
            segment: None,
            number: 0,
            opened: 0,
            previous: Totals::default(),
            finishing: Finishing::default(),
            faststart: Arc::default(),
            is_ending: false,
            last: None,
            failure: None,
            finished: FinishedSegments::new(segments),
            on_start: Hook::new("--on-start", &segments.on_start),
            start_due: Some(StartReason::Start),
            start: None,
            free_space,
            has_reported_script: false,
            wall: Timestamp::UNIX_EPOCH,
            zone: segments.zone.clone(),
            spent: Vec::new(),
        }
    }

    /// Continues `file` after its last intact tag. The file is changed when the first message arrives.
    pub(super) fn resume_from(&mut self, file: ExistingFile) {
        if file.has_video {
            self.latest.expect_video();
        }
        self.names.use_existing();
        self.existing = Some(file);
    }

    /// Cuts off everything after the last intact tag of the existing file. Call it once the stream
    /// is proved to continue the file, because no new message may follow.
    pub(super) fn cut_garbage(&mut self) -> io::Result<()> {
        match &mut self.existing {
            Some(file) => file.cut_garbage(),
            None => Ok(()),
        }
    }

    /// Fails if the disk has too little free space. The check is cheap and can be called often.
    pub(super) fn check_free_space(&mut self, now: Instant) -> io::Result<()> {
        let bytes = self.bytes();
        let pending = self.segment.as_deref().map_or(0, Segment::pending_bytes);
        match &mut self.free_space {
            Some(free_space) => free_space.check(now, bytes, pending),
            None => Ok(()),
        }
    }

    /// Sets the wall-clock time of the following messages.
    pub(super) fn set_wall_clock(&mut self, wall: Timestamp) {
        self.wall = wall;
    }

    /// Replaces the limit of the number of segments.
    #[cfg(test)]
    pub(super) fn limit_segments(&mut self, most: u32) {
        self.names.limit(most);
    }

    /// Starts a new segment at the next frame: the frames after a gap must not follow those before it.
    pub(super) fn request_split(&mut self) {
        self.names.allow(MAX_SEGMENTS);
        self.is_split_requested = true;
    }

    /// Runs the start hook at the next frame: media returns after a gap.
    pub(super) fn note_gap(&mut self) {
        self.start_due.get_or_insert(StartReason::Gap);
    }

    /// Merges fields of the server's `onMetaData` into the head. `payload` is the same in its encoded form.
    ///
    /// Later metadata, such as a new title, is also written at its time. A reconnect usually repeats the
    /// latest metadata, which is not written again.
    pub(super) fn metadata(
        &mut self,
        now: Instant,
        at_ms: u64,
        fields: &Object,
        payload: Payload,
    ) -> io::Result<()> {
        self.metadata.merge(fields);
        let hash = hash(&payload);
        let is_repeated = self.latest_metadata.replace(hash) == Some(hash);
        // After a requested split, the fields describe the next segment, not this one.
        let is_for_next = self.is_split_requested;
        if let Some(segment) = self.segment.as_mut().filter(|_| !is_for_next) {
            segment.set_metadata(fields);
            if !is_repeated {
                return self.push(now, FrameInfo::SCRIPT, Some(at_ms), payload);
            }
        }
        self.spent.push(payload);
        Ok(())
    }

    /// Writes a message at its output time. Messages before the first frame are pending and get its time.
    pub(super) fn media(
        &mut self,
        now: Instant,
        info: FrameInfo,
        at_ms: u64,
        payload: Payload,
    ) -> io::Result<()> {
        let needs_new_setup = match (&self.segment, &self.existing) {
            (Some(segment), _) => segment.needs_new_setup(info, &payload),
            (None, Some(existing)) => existing.needs_new_setup(info, &payload),
            (None, None) => false,
        };
        if needs_new_setup {
            self.request_split();
        }
        if info.carries_media {
            self.sequence_headers.note_frame(info);
            self.open_segment_for(now, info, at_ms)?;
        } else {
            let is_setup = self.sequence_headers.keep(info, &payload);
            if self.is_for_next_segment(is_setup) {
                self.pending.hold(info, payload, &mut self.spent);
                return Ok(());
            }
            self.reopen_existing(now, at_ms)?;
        }
        self.latest.note(info, at_ms);
        self.push(now, info, Some(at_ms), payload)?;
        if info.carries_media
            && let Some(reason) = self.start_due.take()
        {
            self.start.get_or_insert(reason);
        }
        self.run_start_hook();
        Ok(())
    }

    /// Whether the latest sequence header of this kind has the same payload.
    pub(super) fn has_sequence_header(&self, info: FrameInfo, payload: &Payload) -> bool {
        info.is_sequence_header && self.sequence_headers.contains(info, payload)
    }

    /// Returns the size of the recording if this message were written, with heads and queued messages.
    pub(super) fn bytes_with(&mut self, info: FrameInfo, at_ms: u64, payload: &Payload) -> u64 {
        let format = self.options.format;
        let unit = format.message_bytes(payload.len());
        let more = if self.existing.is_some() && !self.is_split_requested {
            unit
        } else if self.segment.is_none() && !info.carries_media {
            0
        } else if self.segment.is_none() {
            let pending = self.pending.bytes_in(format);
            format
                .head_bytes()
                .saturating_add(pending)
                .saturating_add(unit)
        } else if info.carries_media && self.must_split(info, at_ms) {
            let headers = self.sequence_headers.bytes_in(format);
            format
                .head_bytes()
                .saturating_add(headers)
                .saturating_add(unit)
        } else {
            unit
        };
        self.bytes().saturating_add(more)
    }

    /// Bytes and tags in all files. Queued messages do not count.
    pub(super) fn totals(&self) -> Totals {
        let existing = self.existing.as_ref().map(ExistingFile::totals);
        let current = self.segment.as_deref().map(Segment::totals);
        self.previous
            .saturating_add(self.finishing.totals())
            .saturating_add(current.or(existing).unwrap_or_default())
    }

    /// Size of the recording with queued messages.
    pub(super) fn bytes(&self) -> u64 {
        let queued = self.segment.as_deref().map(Segment::queued_bytes);
        let totals = self.totals();
        totals.bytes.saturating_add(queued.unwrap_or_default())
    }

    /// Number of files opened so far.
    pub(super) fn opened_files(&self) -> u64 {
        self.opened
    }

    /// Path of the file that is being written.
    pub(super) fn current_file(&self) -> Option<&Path> {
        self.segment.as_deref().map(Segment::path)
    }

    /// Time at which [`FileRecording::flush_due`] must be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let segment = self.segment.as_deref().and_then(Segment::deadline);
        let finishing = self.finishing.deadline();
        segment.into_iter().chain(finishing).min()
    }

    /// Writes queued messages, updates the head and syncs the file, each if it is due.
    pub(super) fn flush_due(&mut self, now: Instant) -> io::Result<()> {
        self.collect_finished(now)?;
        match &mut self.segment {
            Some(segment) => segment.flush_due(now, &mut self.spent),
            None => Ok(()),
        }
    }

    /// Returns the buffer of a written payload.
    pub(super) fn take_spent(&mut self) -> Option<Payload> {
        self.spent.pop()
    }

    /// Accepts a payload that must not be written.
    pub(super) fn recycle(&mut self, payload: Payload) {
        self.spent.push(payload);
    }

    /// Returns the oldest finished segment that was not returned before.
    pub(super) fn take_segment(&mut self) -> Option<SegmentFacts> {
        self.finished.take()
    }

    /// Writes all queued messages and the final head, and syncs the file until `deadline`. The future may
    /// be dropped and created again.
    pub(super) async fn finish(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        // Errors are stored, because the caller may drop this future while it waits.
        self.is_ending = true;
        let now = Instant::now();
        let existing = self.existing.as_ref();
        let reopened = match existing.is_some_and(ExistingFile::must_be_finished) {
            true => self.reopen_existing(now, 0),
            false => Ok(()),
        };
        if let Err(error) = reopened.and_then(|()| self.finish_segment(now)) {
            self.failure.get_or_insert(error);
        }
        loop {
            let now = Instant::now();
            if let Err(error) = self.collect_finished(now) {
                self.failure.get_or_insert(error);
            }
            if self.finishing.is_empty() {
                break;
            }
            if deadline.is_some_and(|deadline| deadline <= now) {
                self.abandon_unfinished(now);
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        match &mut self.last {
            Some(segment) => segment.sync_at_end(deadline).await,
            None => Ok(()),
        }
    }

    /// Reports the segments that the disk is too slow to finish.
    fn abandon_unfinished(&mut self, now: Instant) {
        let has_copy = self.faststart.cancel();
        while let Some(Expected { totals, facts }) = self.finishing.abandon() {
            self.previous = self.previous.saturating_add(totals);
            if let Some(facts) = facts {
                let path = &facts.path;
                if has_copy {
                    tracing::warn!("no time is left to move the tables of {path} to its start");
                } else {
                    tracing::warn!("the disk is too slow to finish {path}: it stays fragmented");
                }
                self.finished.add(facts);
            }
            // The files after it may be finished.
            if let Err(error) = self.collect_finished(now) {
                self.failure.get_or_insert(error);
            }
        }
    }

    /// Waits for the running hooks, until `deadline`. The future may be dropped and created again.
    pub(super) async fn finish_hooks(&mut self, deadline: Instant) {
        self.finished.finish_hooks(deadline).await;
        if let Some(hook) = &mut self.on_start {
            hook.finish(deadline).await;
        }
    }

    /// Logs the hooks that are still running or were never started.
    pub(super) fn abandon_hooks(&self) {
        self.finished.abandon_hooks();
        if let Some(hook) = &self.on_start {
            hook.abandon();
        }
    }

    /// Runs the start hook if media has arrived for the first time or after a gap, and the name of the file is
    /// final.
    fn run_start_hook(&mut self) {
        if self.start.is_none() {
            return;
        }
        // An MP4 file that is still empty may yet be replaced by an FLV file with another name.
        let may_change = |segment: &Segment| segment.format() == Format::Mp4 && segment.is_empty();
        if self.segment.as_deref().is_some_and(may_change) {
            return;
        }
        let Some(reason) = self.start.take() else {
            return;
        };
        if let (Some(hook), Some(segment)) = (&mut self.on_start, &self.segment) {
            hook.run(HookFacts::of_start(segment.facts(), reason));
        }
    }

    /// Whether a message that is not a frame waits for the first frame of the next segment. A message that
    /// sets up a decoder describes the frames after a requested split.
    fn is_for_next_segment(&self, is_setup: bool) -> bool {
        match &self.segment {
            None => self.existing.is_none() || self.is_split_requested,
            Some(_) => is_setup && self.is_split_requested,
        }
    }

    /// Opens the segment that this frame belongs to, and writes the pending messages.
    fn open_segment_for(&mut self, now: Instant, info: FrameInfo, at_ms: u64) -> io::Result<()> {
        self.reopen_existing(now, at_ms)?;
        if self.segment.is_none() && self.number == 0 {
            self.open_first(now, at_ms)?;
        } else if self.segment.is_none() || self.must_split(info, at_ms) {
            self.open_next(now, info.track, at_ms)?;
        }
        if !self.pending.is_empty() {
            for (info, payload) in self.pending.take() {
                self.latest.note(info, at_ms);
                self.push(now, info, Some(at_ms), payload)?;
            }
        }
        Ok(())
    }

    /// Whether this frame starts a new segment.
    ///
    /// A requested split and the largest timestamp of the container end a segment at any frame. The split
    /// conditions, and the last minute before the largest timestamp, end it at the next frame that a player
    /// can start with.
    fn must_split(&mut self, info: FrameInfo, at_ms: u64) -> bool {
        let Some(segment) = &self.segment else {
            return false;
        };
        let timestamp_ms = segment.since_start_ms(at_ms);
        let written = segment.totals().bytes;
        let bytes = written.saturating_add(segment.queued_bytes());
        let is_due = timestamp_ms
            > Muxer::LARGEST_TIMESTAMP_MS.saturating_sub(Muxer::KEYFRAME_SEARCH_MS)
            || self.policy.is_due(at_ms, bytes, self.wall);
        let is_split = timestamp_ms > Muxer::LARGEST_TIMESTAMP_MS
            || self.is_split_requested
            || is_due && self.latest.is_start(info, at_ms);
        let format = self.options.format;
        let headers = self.sequence_headers.bytes_in(format);
        let overhead = format.head_bytes().saturating_add(headers);
        is_split && self.policy.may_split(bytes, overhead, self.wall)
    }

    fn open_first(&mut self, now: Instant, at_ms: u64) -> io::Result<()> {
        let (file, origin) = self.create_file(now)?;
        let mut segment = Segment::first(file, origin, first_start_ms(at_ms));
        self.start_playlist(&mut segment);
        self.set_segment(segment, at_ms);
        self.is_split_requested = false;
        // Those of earlier runs.
        self.delete_old();
        Ok(())
    }

    /// Deletes the oldest finished segments (`--keep`).
    fn delete_old(&mut self) {
        let current = self.segment.as_deref().map(Segment::path);
        self.finished.delete_old(self.wall, current);
    }

    fn open_next(&mut self, now: Instant, track: TagKind, at_ms: u64) -> io::Result<()> {
        self.finish_segment(now)?;
        let (file, origin) = self.create_file(now)?;
        let other_ms = self.latest.other_than(track);
        let mut segment = Segment::later(file, origin, track, at_ms, other_ms);
        self.start_playlist(&mut segment);
        self.set_segment(segment, at_ms);
        self.is_split_requested = false;
        // Pending sequence headers are among the repeated ones.
        let pending = self.pending.take();
        self.spent.extend(pending.map(|(_, payload)| payload));
        for (info, payload) in self.sequence_headers.copies() {
            self.push(now, info, None, payload)?;
        }
        Ok(())
    }

    /// Reopens the existing file as the first segment.
    fn reopen_existing(&mut self, now: Instant, at_ms: u64) -> io::Result<()> {
        let Some(existing) = self.existing.take() else {
            return Ok(());
        };
        if self.is_split_requested && existing.is_finished() {
            self.previous = existing.totals();
            self.number = self.number.saturating_add(1);
            return Ok(());
        }
        let started = self.started();
        let sync_interval = self.options.sync_interval;
        let mut segment = Segment::existing(existing, started, sync_interval, now)?;
        // With a requested split, the fields describe the next segment, not this one.
        if !self.is_split_requested {
            segment.inherit_metadata(&self.metadata);
        }
        self.set_segment(segment, at_ms);
        Ok(())
    }

    fn create_file(&mut self, now: Instant) -> io::Result<(MediaFile, Origin)> {
        let started = self.started();
        let OpenedFile { path, file, is_new } = self.names.open(&started)?;
        if self.number > 0 && !self.policy.has_condition() {
            tracing::info!("continuing in {}", path.display());
        }
        let created = u64::try_from(self.wall.as_second()).unwrap_or(0);
        let muxer = Muxer::file(&self.options, &self.metadata, created);
        match MediaFile::create(file, muxer, self.options.sync_interval, now) {
            Ok(file) => {
                let number = self.number.saturating_add(1);
                let origin = Origin {
                    path,
                    number,
                    started,
                };
                Ok((file, origin))
            }
            Err(error) => {
                if is_new {
                    let _empty_file_remains = fs::remove_file(path);
                }
                Err(error)
            }
        }
    }

    fn start_playlist(&self, segment: &mut Segment) {
        if self.options.has_playlist && segment.format() == Format::Mp4 {
            segment.start_playlist();
        }
    }

    fn started(&self) -> Zoned {
        self.wall.to_zoned(self.zone.clone())
    }

    fn set_segment(&mut self, mut segment: Segment, at_ms: u64) {
        segment.limit_queue(self.options.queue_bytes);
        if self.options.faststart && segment.format() == Format::Mp4 {
            segment.request_faststart(Arc::clone(&self.faststart));
        }
        self.number = self.number.saturating_add(1);
        self.opened = self.opened.saturating_add(1);
        self.policy.segment_started(at_ms, self.wall);
        self.segment = Some(Box::new(segment));
    }

    /// Writes the queue of the current segment, and starts the last steps of its file.
    fn finish_segment(&mut self, now: Instant) -> io::Result<()> {
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        let written = segment.write_last(&mut self.spent);
        self.run_start_hook();
        let Some(mut segment) = self.segment.take() else {
            return written;
        };
        let mut collected = Ok(());
        if self.finishing.is_full()
            && let Some(finished) = self.finishing.wait()
        {
            collected = self.collect(finished);
        }
        let expected = segment.expected();
        match segment.format() {
            // Only the head of an FLV file changes.
            Format::Flv => {
                let result = segment.finish();
                self.finishing.add(segment, expected, result);
            }
            Format::Mp4 => self
                .finishing
                .start(now, segment, expected, |segment| segment.finish()),
        }
        let more = self.collect_finished(now);
        written.and(collected).and(more)
    }

    /// Reports the segments that are finished, in order.
    fn collect_finished(&mut self, now: Instant) -> io::Result<()> {
        while let Some(finished) = self.finishing.take() {
            self.collect(finished)?;
        }
        self.finishing.polled(now);
        Ok(())
    }

    fn collect(&mut self, finished: io::Result<(Box<Segment>, io::Result<()>)>) -> io::Result<()> {
        let (mut segment, result) = finished?;
        self.previous = self.previous.saturating_add(segment.totals());
        let facts = segment.take_facts();
        if self.is_ending {
            self.last = Some(segment);
        } else {
            // The hook may open the file, so the lock ends before.
            drop(segment);
        }
        if let Some(facts) = facts {
            self.finished.add(facts);
            self.delete_old();
        }
        result
    }

    fn push(
        &mut self,
        now: Instant,
        info: FrameInfo,
        at_ms: Option<u64>,
        payload: Payload,
    ) -> io::Result<()> {
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        if segment.format() == Format::Mp4 {
            self.report_left_out(info);
        }
        let admitted = self
            .segment
            .as_mut()
            .map(|segment| segment.admit(info, &payload));
        if let Some(Err(why)) = admitted
            && self.fall_back(now, info, at_ms, &why)?
        {
            self.spent.push(payload);
            return Ok(());
        }
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        let message = Message {
            info,
            at_ms,
            payload,
        };
        segment.push(now, message, &mut self.spent)
    }

    /// Continues in an FLV file, because MP4 cannot hold the stream. Nothing is lost: the messages that are
    /// not written yet move to the new file. Returns whether the message is among them.
    fn fall_back(
        &mut self,
        now: Instant,
        info: FrameInfo,
        at_ms: Option<u64>,
        why: &Unsupported,
    ) -> io::Result<bool> {
        self.options.format = Format::Flv;
        self.names.use_extension(FALLBACK_EXTENSION);
        self.names.allow(MAX_SEGMENTS);
        tracing::warn!("MP4 cannot hold this stream: {why}; the recording continues in FLV");
        let Some(segment) = self.segment.as_deref() else {
            return Ok(false);
        };
        if segment.is_empty() {
            let (file, origin) = self.create_file(now)?;
            if let Some(segment) = &mut self.segment {
                let _empty_file_remains = fs::remove_file(segment.move_to(file, origin.path));
                self.opened = self.opened.saturating_add(1);
            }
            return Ok(false);
        }
        let at_ms = at_ms.unwrap_or_else(|| segment.start_ms());
        self.open_next(now, info.track, at_ms)?;
        Ok(info.is_sequence_header)
    }

    /// Reports once that MP4 files do not contain script data.
    fn report_left_out(&mut self, info: FrameInfo) {
        let is_script = !matches!(info.track, TagKind::AUDIO | TagKind::VIDEO);
        if is_script && !std::mem::replace(&mut self.has_reported_script, true) {
            tracing::info!("script data is left out of MP4 files, FLV files keep it");
        }
    }
}

fn hash(payload: &Payload) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload[..].hash(&mut hasher);
    hasher.finish()
}

/// Output time of timestamp 0 in the first segment: 0, unless the first frame is too late for the
/// container.
fn first_start_ms(at_ms: u64) -> u64 {
    if at_ms <= Muxer::LARGEST_TIMESTAMP_MS {
        return 0;
    }
    tracing::info!("the first timestamp, {at_ms} ms, is too large for FLV: the file starts at 0");
    at_ms
}

/// Extension of the file that a recording continues in if MP4 cannot hold it.
const FALLBACK_EXTENSION: &str = "flv";

/// Time between two checks of the files that are being finished at the end.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Number of segments without a split condition: decades of them. Without a limit, a server whose clock
/// jumps could create any number of files.
const MAX_UNREQUESTED_SEGMENTS: u32 = 1000;

/// Number of segments with a split condition: half a year with segments of 16 seconds.
const MAX_SEGMENTS: u32 = 1_000_000;

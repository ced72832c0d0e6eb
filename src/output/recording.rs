//! One output of one download: the segments in files, or a pipe.

use std::{collections::VecDeque, io, path::PathBuf, time::Instant};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Destination, FileOptions, Gap, SegmentFacts, SegmentOptions, existing_file::ExistingFile,
    totals::Totals,
};
use super::{
    file::free_space::FreeSpace,
    hook::Hook,
    manifest::Manifest,
    muxer::Unit,
    naming::{Names, Pattern},
    pending::Pending,
    pipe::Pipe,
    segment::{Segment, Sink, tag_length},
    sequence_headers::SequenceHeaders,
    split_policy::SplitPolicy,
};
use crate::core::{
    amf::Object,
    flv::{FrameInfo, Layout, Metadata, TagKind, head},
    payload::Payload,
};

/// One output of one download. Nothing is opened, and an existing file not touched, before the first
/// frame.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(super) destination: Destination,
    pub(super) file_options: FileOptions,
    /// What the server told so far, for the heads to come.
    pub(super) metadata: Metadata,
    pub(super) early: Pending,
    pub(super) part: Option<Segment>,
    /// The number of the latest part.
    pub(super) parts: u32,
    pub(super) names: Names,
    pub(super) marks: SplitPolicy,
    pub(super) zone: TimeZone,
    /// The time of day.
    pub(super) wall: Timestamp,
    pub(super) configuration: SequenceHeaders,
    pub(super) latest: Latest,
    pub(super) spent: Vec<Payload>,
    /// What went into the files of former parts.
    pub(super) former: Totals,
    /// The file that is gone on with, until that is begun.
    pub(super) resumed: Option<ExistingFile>,
    /// How much waits for a pipe's reader while the stream goes on; none where the stream waits.
    pub(super) backlog_bytes: Option<usize>,
    /// The bytes of former parts, those that waited included.
    pub(super) former_bytes: u64,
    pub(super) manifest: Option<Manifest>,
    pub(super) hook: Option<Hook>,
    /// Parts that are whole, and not told of yet.
    pub(super) whole: VecDeque<SegmentFacts>,
    pub(super) room: Option<FreeSpace>,
}

/// The places of the latest frames.
#[derive(Debug, Default)]
pub(super) struct Latest {
    audio_ms: Option<u64>,
    video_ms: Option<u64>,
    /// That of the latest frame of video, or of the first of all where there was none yet.
    picture_ms: Option<u64>,
}

impl Recording {
    pub(crate) fn new(destination: Destination, parts: &SegmentOptions) -> Self {
        let pattern = match &destination {
            Destination::Stdout => Pattern::Numbered(PathBuf::new()),
            Destination::Path(path) => Pattern::Numbered(path.clone()),
            Destination::Template(template) => Pattern::Template(template.clone()),
        };
        let most = if parts.has_split_condition() {
            MAX_PARTS
        } else {
            MAX_UNASKED_PARTS
        };
        Self {
            destination,
            file_options: FileOptions {
                layout: Layout::Seekable,
                sync_interval: None,
            },
            metadata: Metadata::default(),
            early: Pending::default(),
            part: None,
            parts: 0,
            names: Names::new(pattern, most),
            marks: SplitPolicy::new(parts),
            zone: parts.zone.clone(),
            wall: Timestamp::UNIX_EPOCH,
            configuration: SequenceHeaders::default(),
            latest: Latest::default(),
            spent: Vec::new(),
            former: Totals::default(),
            resumed: None,
            backlog_bytes: None,
            former_bytes: 0,
            manifest: parts.manifest.clone().map(Manifest::new),
            hook: Hook::new(&parts.hook),
            whole: VecDeque::new(),
            room: None,
        }
    }

    /// Lets the stream go on when the reader of a pipe pauses, with as many bytes waiting for it.
    pub(crate) fn allow_backlog(&mut self, backlog_bytes: usize) {
        self.backlog_bytes = Some(backlog_bytes);
        if let Some(pipe) = self.pipe_mut() {
            pipe.allow_backlog(backlog_bytes);
        }
    }

    /// Goes on with `file` behind its last intact tag. What lies behind that is cut off when the first
    /// tag comes, and nothing is changed before.
    pub(crate) fn resume_from(&mut self, file: ExistingFile) {
        self.resumed = Some(file);
    }

    /// Has so many bytes stay free on the disk: [`Recording::check_free_space`] looks.
    pub(crate) fn keep_free(&mut self, bytes: u64) {
        self.room = match &self.destination {
            Destination::Stdout => None,
            Destination::Path(path) => Some(FreeSpace::new(path, bytes)),
            Destination::Template(template) => Some(FreeSpace::new(template.source(), bytes)),
        };
    }

    /// Tells what time of day it is, for what comes next.
    pub(crate) fn set_wall_clock(&mut self, wall: Timestamp) {
        self.wall = wall;
    }

    /// Begins a new part at the next keyframe, where the output is a file.
    pub(crate) fn request_split(&mut self) {
        self.names.allow(MAX_PARTS);
        self.marks.wish();
    }

    /// Fails where less stays free on the disk than is to. Looks every now and then.
    pub(crate) fn check_free_space(&mut self, now: Instant) -> io::Result<()> {
        let bytes = self.bytes();
        match &mut self.room {
            Some(room) => room.check(now, bytes),
            None => Ok(()),
        }
    }

    /// How many bytes the output would have with this message, heads and what waits included. It may
    /// have fewer where it is a pipe.
    pub(crate) fn bytes_with(&mut self, info: FrameInfo, at_ms: u64, payload: &Payload) -> u64 {
        let framed =
            |lengths: &mut dyn Iterator<Item = usize>| lengths.map(tag_length).sum::<u64>();
        let tag = tag_length(payload.len());
        let more = if self.resumed.is_some() && !self.marks.has_wish() {
            tag
        } else if self.part.is_none() && !info.carries_media {
            0
        } else if self.part.is_none() {
            head::LENGTH as u64 + framed(&mut self.early.lengths()) + tag
        } else if info.carries_media && self.is_part_to_end(at_ms, info) {
            head::LENGTH as u64 + framed(&mut self.configuration.lengths()) + tag
        } else {
            tag
        };
        self.bytes() + more
    }

    /// A part that is whole.
    pub(crate) fn take_segment(&mut self) -> Option<SegmentFacts> {
        self.whole.pop_front()
    }

    /// What was left out for the reader of a pipe, once it goes on or all is over.
    pub(crate) fn take_gap(&mut self) -> Option<Gap> {
        let gap = self.pipe_mut()?.take_gap()?;
        tracing::debug!("{} frames ({} bytes) were left out", gap.tags, gap.bytes);
        Some(Gap {
            at_ms: gap.from_ms,
            began: gap.began,
            length_ms: gap.to_ms - gap.from_ms,
            reason: SLOW_READER.to_owned(),
        })
    }

    /// Waits until the programs that were run for parts have ended, or until `deadline`. Cancelling
    /// loses nothing.
    pub(crate) async fn finish_hooks(&mut self, deadline: Instant) {
        if let Some(hook) = &mut self.hook {
            hook.finish(deadline).await;
        }
    }

    /// Tells of the programs that were not waited for.
    pub(crate) fn abandon_hooks(&self) {
        if let Some(hook) = &self.hook {
            hook.leave();
        }
    }

    /// Has files written so from now on; at first with an index, and left to the system.
    pub(crate) fn set_file_options(&mut self, options: FileOptions) {
        self.file_options = options;
    }

    /// What is in the output. Tags that wait do not count yet.
    pub(crate) fn totals(&self) -> Totals {
        match (&self.part, &self.resumed) {
            (Some(part), _) => self.former + part.sink.written(),
            (None, Some(file)) => file.written(),
            (None, None) => self.former,
        }
    }

    /// The server's `onMetaData`, decoded and as it came: the one for the head, the other where the head
    /// is gone down a pipe.
    pub(crate) fn metadata(
        &mut self,
        now: Instant,
        at_ms: u64,
        members: Object,
        payload: Payload,
    ) -> io::Result<()> {
        let is_for_later = self.marks.has_wish();
        let is_drained = match self.part.as_mut().map(|part| &mut part.sink) {
            Some(Sink::File(file)) => is_for_later || file.set_metadata(&members),
            Some(Sink::Pipe(_)) => false,
            None => true,
        };
        self.metadata.merge(&members);
        if !is_drained {
            return self.tag(now, FrameInfo::SCRIPT, Some(at_ms), payload);
        }
        self.spent.push(payload);
        Ok(())
    }

    /// An audio or video message, or script data, at its place on the output clock. What comes before the
    /// first frame waits for it, and gets its place; a file that is gone on with had its first frame.
    pub(crate) fn media(
        &mut self,
        now: Instant,
        info: FrameInfo,
        at_ms: u64,
        payload: Payload,
    ) -> io::Result<()> {
        if info.carries_media {
            self.begin_part_for(now, info, at_ms)?;
            self.latest.note(info.track, at_ms);
        } else {
            self.configuration.keep(info, &payload);
            if self.is_for_next_part(info) {
                self.hold(info, payload);
                return Ok(());
            }
            if let Some(file) = self.resumed.take() {
                self.reopen(file, now, at_ms)?;
            }
        }
        self.tag(now, info, Some(at_ms), payload)
    }

    /// Has a part there that this frame belongs into, with all that waited for the frame.
    fn begin_part_for(&mut self, now: Instant, info: FrameInfo, at_ms: u64) -> io::Result<()> {
        if let Some(file) = self.resumed.take() {
            self.reopen(file, now, at_ms)?;
        }
        if self.part.is_none() {
            self.begin_first_part(now, at_ms)?;
        } else if self.is_part_to_end(at_ms, info) {
            self.begin_next_part(now, info.track, at_ms)?;
        }
        if !self.early.is_empty() {
            for (info, payload) in self.early.take() {
                self.tag(now, info, Some(at_ms), payload)?;
            }
        }
        Ok(())
    }

    /// Whether this, which is no frame, waits for the frame that begins a part. What came behind a gap
    /// has nothing to do with the part before it.
    fn is_for_next_part(&self, info: FrameInfo) -> bool {
        match &self.part {
            None => self.resumed.is_none() || self.marks.has_wish(),
            Some(Segment {
                sink: Sink::File(_),
                ..
            }) => info.is_sequence_header && self.marks.has_wish(),
            Some(_) => false,
        }
    }

    /// Whether the latest configuration of this kind is the same.
    pub(crate) fn has_sequence_header(&self, info: FrameInfo, payload: &Payload) -> bool {
        info.is_sequence_header && self.configuration.holds(info, payload)
    }

    /// When [`Recording::flush_due`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let part = self.part.as_ref()?;
        let of_sink = match &part.sink {
            Sink::File(file) => file.deadline(),
            Sink::Pipe(pipe) => pipe.deadline(),
        };
        part.queue.deadline().into_iter().chain(of_sink).min()
    }

    /// Writes what waits: to a pipe whenever there is something, to a file once its time has come.
    pub(crate) fn flush_due(&mut self, now: Instant) -> io::Result<()> {
        let Some(part) = &mut self.part else {
            return Ok(());
        };
        if let Sink::Pipe(pipe) = &mut part.sink {
            pipe.poll(&mut self.spent)?;
        }
        let is_due = match part.sink {
            Sink::Pipe(_) => !part.queue.is_empty(),
            Sink::File(_) => self.deadline().is_some_and(|deadline| deadline <= now),
        };
        if is_due {
            self.flush(now)?;
        }
        if let Some(pipe) = self.pipe_mut() {
            pipe.settle(now);
        }
        Ok(())
    }

    /// Whether the reader of a pipe is so far behind that the network is to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.pipe().is_some_and(Pipe::is_full)
    }

    /// Whether a live stream goes on while the reader of its pipe is behind.
    pub(crate) fn is_behind(&self) -> bool {
        self.pipe().is_some_and(Pipe::is_behind)
    }

    /// Waits for a pipe's reader. Cancelling loses nothing.
    pub(crate) async fn wait_for_reader(&mut self) -> io::Result<()> {
        if let Some(Segment {
            sink: Sink::Pipe(pipe),
            ..
        }) = &mut self.part
        {
            pipe.wait(&mut self.spent).await?;
        }
        Ok(())
    }

    /// Takes a payload whose bytes are not to be written.
    pub(crate) fn recycle(&mut self, payload: Payload) {
        self.spent.push(payload);
    }

    /// A payload whose bytes are written.
    pub(crate) fn take_spent(&mut self) -> Option<Payload> {
        self.spent.pop()
    }

    /// Writes all that is left. A pipe's reader may take until `deadline`; without one, any time.
    pub(crate) async fn finish(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.end_part()?;
        match self.part.as_mut().map(|part| &mut part.sink) {
            Some(Sink::File(file)) => file.sync_at_end(deadline).await?,
            Some(Sink::Pipe(pipe)) => pipe.end_gap(),
            None => {}
        }
        while self.pipe().is_some_and(|pipe| !pipe.is_idle()) {
            match deadline {
                None => self.wait_for_reader().await?,
                Some(deadline) => {
                    let wait = self.wait_for_reader();
                    match tokio::time::timeout_at(deadline.into(), wait).await {
                        Ok(waited) => waited?,
                        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
                    }
                }
            }
        }
        Ok(())
    }

    fn hold(&mut self, info: FrameInfo, payload: Payload) {
        if payload.is_empty() {
            self.spent.push(payload);
            return;
        }
        let dropped = &mut self.spent;
        self.early.hold(info, payload, dropped);
    }

    pub(super) fn tag(
        &mut self,
        now: Instant,
        info: FrameInfo,
        at_ms: Option<u64>,
        payload: Payload,
    ) -> io::Result<()> {
        let Some(part) = &mut self.part else {
            return Ok(());
        };
        part.push(now, info, at_ms, payload);
        let has_waited = part.queue.deadline().is_some_and(|due| due <= now);
        if part.queue.is_full() || has_waited {
            self.flush(now)?;
        }
        Ok(())
    }

    /// Whether this frame begins a new part. FLV counts in 31 bits: in the last minute the next frame
    /// that a player can begin with does, at the end any.
    fn is_part_to_end(&mut self, at_ms: u64, info: FrameInfo) -> bool {
        let Some(part) = &self.part else {
            return false;
        };
        let timestamp_ms = part.since_start_ms(at_ms);
        if timestamp_ms > LAST_TIMESTAMP_MS {
            return true;
        }
        let is_file = matches!(part.sink, Sink::File(_));
        let is_mark_passed = timestamp_ms > LAST_TIMESTAMP_MS - ENTRY_PATIENCE_MS
            || is_file && self.marks.are_passed(at_ms, part.bytes(), self.wall);
        let is_sound_alone = info.track != TagKind::VIDEO && self.latest.is_without_picture(at_ms);
        is_mark_passed && (is_sound_alone || part.can_begin_with(info))
    }

    /// Writes what waits, and sees to a file every now and then.
    fn flush(&mut self, now: Instant) -> io::Result<()> {
        self.write_out()?;
        match self.part.as_mut().map(|part| &mut part.sink) {
            Some(Sink::File(file)) => file.keep_up(now),
            _ => Ok(()),
        }
    }

    /// Writes what waits to a file, or sends it to the thread of a pipe.
    pub(super) fn write_out(&mut self) -> io::Result<()> {
        let Some(part) = self.part.as_mut().filter(|part| !part.queue.is_empty()) else {
            return Ok(());
        };
        part.settle_start(false);
        let start_ms = part.start_ms();
        match &mut part.sink {
            Sink::File(file) => {
                let appended = file.append(part.queue.units());
                self.spent
                    .extend(part.queue.drain().map(Unit::into_payload));
                appended
            }
            Sink::Pipe(pipe) => {
                pipe.poll(&mut self.spent)?;
                pipe.set_clocks(start_ms, self.wall);
                let batch = part.queue.take(pipe.spare());
                let mut dropped = Vec::new();
                let sent = pipe.send(batch, &mut dropped);
                self.spent
                    .extend(dropped.into_iter().map(Unit::into_payload));
                sent
            }
        }
    }

    /// Writes what waits and makes the head of a file true, also where the disk is full, and tells of
    /// the part.
    pub(super) fn end_part(&mut self) -> io::Result<()> {
        if let Some(part) = &mut self.part {
            part.settle_start(true);
        }
        let written = self.write_out();
        let Some(part) = &mut self.part else {
            return written;
        };
        let patched = part.sink.patch();
        if let Some(facts) = part.end() {
            self.tell(facts);
        }
        written.and(patched)
    }

    fn tell(&mut self, facts: SegmentFacts) {
        if let Some(manifest) = &mut self.manifest {
            manifest.add(&facts);
        }
        if let Some(hook) = &mut self.hook {
            hook.run(facts.clone());
        }
        self.whole.push_back(facts);
    }

    /// How many bytes the output has, what waits included.
    pub(super) fn bytes(&self) -> u64 {
        let resumed = self.resumed.as_ref().map(|file| file.written().bytes);
        self.former_bytes + self.part.as_ref().map_or(0, Segment::bytes) + resumed.unwrap_or(0)
    }

    pub(super) fn pipe(&self) -> Option<&Pipe> {
        match &self.part {
            Some(Segment {
                sink: Sink::Pipe(pipe),
                ..
            }) => Some(pipe),
            _ => None,
        }
    }

    fn pipe_mut(&mut self) -> Option<&mut Pipe> {
        match &mut self.part {
            Some(Segment {
                sink: Sink::Pipe(pipe),
                ..
            }) => Some(pipe),
            _ => None,
        }
    }
}

impl Latest {
    fn note(&mut self, kind: TagKind, at_ms: u64) {
        match kind {
            TagKind::VIDEO => {
                self.video_ms = Some(at_ms);
                self.picture_ms = Some(at_ms);
            }
            _ => {
                self.audio_ms = Some(at_ms);
                self.picture_ms.get_or_insert(at_ms);
            }
        }
    }

    /// Whether there has been no video for so long before this place that it is not waited for.
    fn is_without_picture(&self, at_ms: u64) -> bool {
        self.picture_ms
            .is_some_and(|picture_ms| at_ms.saturating_sub(picture_ms) > MAX_PICTURE_PAUSE_MS)
    }

    /// The place of the latest frame of the other kind.
    pub(super) fn other_than(&self, kind: TagKind) -> Option<u64> {
        match kind {
            TagKind::VIDEO => self.audio_ms,
            _ => self.video_ms,
        }
    }
}

/// Why a pipe lacks frames.
const SLOW_READER: &str = "the reader of the output is too slow";

/// The largest timestamp of an FLV tag: 24 days, 20 hours, 31 minutes (FLV E.4.1).
pub(super) const LAST_TIMESTAMP_MS: u64 = i32::MAX as u64;

/// How many parts a recording may have where nobody asked for parts: decades of it. Without a bound a
/// server whose clock leaps could make files without end.
const MAX_UNASKED_PARTS: u32 = 1000;

/// The same where parts are asked for: half a year of parts of 16 seconds.
const MAX_PARTS: u32 = 1_000_000;

/// The longest time between two frames of video. A publisher that switches its camera off goes on with
/// audio, and parts are to go on too.
pub(super) const MAX_PICTURE_PAUSE_MS: u64 = 60_000;

/// How long before that a good place for a cut is taken.
const ENTRY_PATIENCE_MS: u64 = 60_000;

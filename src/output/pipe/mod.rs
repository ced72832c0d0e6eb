//! A recording in a pipe, a FIFO or a device.

mod backlog;
mod writer;

use std::{io, time::Instant};

use bytes::Bytes;
use jiff::Timestamp;

pub use self::backlog::Drops;
pub(super) use self::writer::PipeTarget;
use self::writer::PipeWriter;
use super::{
    Format, Gap, PipeOptions, Totals,
    latest_frames::LatestFrames,
    muxer::Message,
    muxer::{Muxer, Tracks, Unit},
    pending::Pending,
    sequence_headers::SequenceHeaders,
    write_queue::WriteQueue,
};
use crate::core::{
    amf::{Object, amf0},
    flv::{FrameInfo, TagKind},
    payload::Payload,
};

/// A recording in a pipe. The pipe is opened at the first frame.
#[derive(Debug)]
pub(crate) struct PipeRecording {
    target: PipeTarget,
    options: PipeOptions,
    muxer: Muxer,
    sequence_headers: SequenceHeaders,
    pending: Pending,
    latest: LatestFrames,
    open: Option<OpenPipe>,
    /// Number of bytes that may wait for the reader while the stream continues; `None` if the stream waits.
    backlog_bytes: Option<usize>,
    /// Wall-clock time.
    wall: Timestamp,
    /// Payloads whose buffers can be reused.
    spent: Vec<Payload>,
    /// Units that the writer returned, until the muxer gets their buffers.
    returned: Vec<Unit>,
}

/// A pipe that frames are written to.
#[derive(Debug)]
struct OpenPipe {
    writer: PipeWriter,
    queue: WriteQueue,
    has_head: bool,
    /// Size of the head and all units that were sent to the writer.
    sent_bytes: u64,
}

impl PipeRecording {
    pub(super) fn new(target: PipeTarget, options: PipeOptions) -> Self {
        Self {
            target,
            options,
            muxer: Muxer::pipe(options.format, options.fragment_ms),
            sequence_headers: SequenceHeaders::default(),
            pending: Pending::default(),
            latest: LatestFrames::default(),
            open: None,
            backlog_bytes: None,
            wall: Timestamp::UNIX_EPOCH,
            spent: Vec::new(),
            returned: Vec::new(),
        }
    }

    /// Lets up to `bytes` wait for a slow reader while the stream continues.
    pub(super) fn allow_backlog(&mut self, bytes: usize) {
        self.backlog_bytes = Some(bytes);
        if let Some(open) = &mut self.open {
            open.writer.allow_backlog(bytes);
        }
    }

    /// Sets the wall-clock time of the following messages.
    pub(super) fn set_wall_clock(&mut self, wall: Timestamp) {
        self.wall = wall;
    }

    /// Whether a frame has arrived.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Merges fields of the server's `onMetaData` into the head, or writes `payload`, the same in its
    /// encoded form, if the head is already written or `payload` does not decode completely.
    pub(super) fn metadata(
        &mut self,
        now: Instant,
        at_ms: u64,
        fields: &Object,
        payload: Payload,
    ) -> io::Result<()> {
        if !self.is_open() && !decodes(&payload) {
            self.pending
                .hold(FrameInfo::SCRIPT, payload, &mut self.spent);
            return Ok(());
        }
        if self.muxer.set_metadata(fields) {
            self.spent.push(payload);
            return Ok(());
        }
        self.push(now, FrameInfo::SCRIPT, Some(at_ms), payload)
    }

    /// Writes a message at its output time. Messages before the first frame are pending and get its time.
    pub(super) fn media(
        &mut self,
        now: Instant,
        info: FrameInfo,
        at_ms: u64,
        payload: Payload,
    ) -> io::Result<()> {
        if info.carries_media {
            match &self.open {
                None => self.start(now, at_ms)?,
                Some(open) if self.must_restart(open, info, at_ms) => {
                    self.restart(now, info.track, at_ms)?;
                }
                Some(_) => {}
            }
        } else if self.open.is_some() {
            self.sequence_headers.keep(info, &payload);
        } else {
            // A rejoin repeats the sequence headers that `Tee::prepare_pipe` passed on before.
            if self.sequence_headers.contains(info, &payload) {
                self.spent.push(payload);
                return Ok(());
            }
            self.sequence_headers.keep(info, &payload);
            self.pending.hold(info, payload, &mut self.spent);
            return Ok(());
        }
        self.latest.note(info, at_ms);
        self.push(now, info, Some(at_ms), payload)
    }

    /// Whether the latest sequence header of this kind has the same payload.
    pub(super) fn has_sequence_header(&self, info: FrameInfo, payload: &Payload) -> bool {
        info.is_sequence_header && self.sequence_headers.contains(info, payload)
    }

    /// Returns the largest possible size of the output if this message were written.
    pub(super) fn bytes_with(&self, info: FrameInfo, at_ms: u64, payload: &Payload) -> u64 {
        let format = self.options.format;
        let unit = format.message_bytes(payload.len());
        let more = match &self.open {
            None if !info.carries_media => 0,
            None => {
                let pending = self.pending.bytes_in(format);
                format
                    .head_bytes()
                    .saturating_add(pending)
                    .saturating_add(unit)
            }
            Some(open) if info.carries_media && self.must_restart(open, info, at_ms) => {
                self.sequence_headers.bytes_in(format).saturating_add(unit)
            }
            Some(_) => unit,
        };
        let open = self.open.as_ref();
        open.map_or(0, |open| open.bytes(format))
            .saturating_add(self.muxer.pending_bytes())
            .saturating_add(more)
    }

    /// Bytes and tags that the reader or the system has accepted.
    pub(super) fn totals(&self) -> Totals {
        let open = self.open.as_ref();
        open.map_or_else(Totals::default, |open| open.writer.written())
    }

    /// Time at which [`PipeRecording::flush_due`] must be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        let deadlines = open.queue.deadline().into_iter();
        deadlines.chain(open.writer.deadline()).min()
    }

    /// Sends queued messages to the writer, and checks whether the reader keeps up.
    pub(super) fn flush_due(&mut self, now: Instant) -> io::Result<()> {
        self.flush(now)?;
        if let Some(open) = &mut self.open {
            open.writer.check_reader(now);
        }
        Ok(())
    }

    /// Whether the network must not be read until the reader has accepted more.
    pub(super) fn is_full(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.writer.is_full())
    }

    /// Whether the stream continues although the reader is slow.
    pub(super) fn is_behind(&self) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| open.writer.is_behind())
    }

    /// Whether the reader has accepted everything that was sent.
    pub(super) fn is_drained(&self) -> bool {
        self.open.as_ref().is_none_or(|open| open.writer.is_idle())
    }

    /// Waits until the reader accepts something. The future may be dropped and created again.
    pub(super) async fn wait_for_reader(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let waited = open.writer.wait(&mut self.returned).await;
        self.recycle_units();
        waited
    }

    /// Returns the oldest gap that was not returned before. A gap is complete once the reader has got the
    /// frame after it.
    pub(super) fn take_gap(&mut self) -> Option<Gap> {
        let gap = self.open.as_mut()?.writer.take_gap()?;
        tracing::debug!("dropped {} frames ({} bytes)", gap.frames, gap.bytes);
        Some(Gap {
            at_ms: gap.from_ms,
            began: gap.began,
            length_ms: gap.to_ms.saturating_sub(gap.from_ms),
            reason: SLOW_READER.to_owned(),
        })
    }

    /// Frames that were dropped because the reader was too slow.
    pub(super) fn drops(&self) -> Drops {
        let open = self.open.as_ref();
        open.map_or_else(Drops::default, |open| open.writer.drops())
    }

    /// Returns the buffer of a written payload.
    pub(super) fn take_spent(&mut self) -> Option<Payload> {
        self.spent.pop()
    }

    /// Accepts a payload that must not be written.
    pub(super) fn recycle(&mut self, payload: Payload) {
        self.spent.push(payload);
    }

    /// Sends all messages, and waits until the reader has accepted them or until `deadline`. The future may
    /// be dropped and created again.
    pub(super) async fn finish(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.send_queue(true)?;
        if let Some(open) = &mut self.open {
            open.writer.end_gap();
        }
        while !self.is_drained() {
            let wait = self.wait_for_reader();
            match deadline {
                None => wait.await?,
                Some(deadline) => tokio::time::timeout_at(deadline.into(), wait).await??,
            }
        }
        Ok(())
    }

    /// Opens the pipe. Its timestamp 0 is at output time 0, unless the first frame is too late for the
    /// container.
    fn start(&mut self, now: Instant, at_ms: u64) -> io::Result<()> {
        let start_ms = if at_ms > Muxer::LARGEST_TIMESTAMP_MS {
            at_ms
        } else {
            0
        };
        let mut writer = PipeWriter::start(self.target.clone())?;
        if let Some(bytes) = self.backlog_bytes {
            writer.allow_backlog(bytes);
        }
        self.open = Some(OpenPipe {
            writer,
            queue: WriteQueue::new(self.options.format, start_ms),
            has_head: false,
            sent_bytes: 0,
        });
        for (info, payload) in self.pending.take() {
            self.latest.note(info, at_ms);
            self.push(now, info, Some(at_ms), payload)?;
        }
        Ok(())
    }

    /// Whether the timestamps must restart at this frame, see `FileRecording::must_split`.
    fn must_restart(&self, open: &OpenPipe, info: FrameInfo, at_ms: u64) -> bool {
        if self.options.format == Format::Mp4 {
            return false;
        }
        let timestamp_ms = at_ms.saturating_sub(open.queue.start_ms());
        timestamp_ms > Muxer::LARGEST_TIMESTAMP_MS
            || timestamp_ms > Muxer::LARGEST_TIMESTAMP_MS - Muxer::KEYFRAME_SEARCH_MS
                && self.latest.is_start(info, at_ms)
    }

    /// Restarts the timestamps at 0. A second head would be garbage between two tags.
    fn restart(&mut self, now: Instant, track: TagKind, at_ms: u64) -> io::Result<()> {
        self.send_queue(false)?;
        if let Some(open) = &mut self.open {
            let other_ms = self.latest.other_than(track);
            open.queue.restart(track, at_ms, other_ms);
        }
        for (info, payload) in self.sequence_headers.copies() {
            self.push(now, info, None, payload)?;
        }
        Ok(())
    }

    /// Sends everything that needs the current tracks. MP4 describes the new ones in another `moov` box.
    fn restart_setup(&mut self) -> io::Result<()> {
        self.send_queue(false)?;
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let mut units = open.writer.spare_batch();
        self.muxer.restart_setup(&mut units);
        self.send_units(units)
    }

    fn push(
        &mut self,
        now: Instant,
        info: FrameInfo,
        at_ms: Option<u64>,
        payload: Payload,
    ) -> io::Result<()> {
        if self.open.is_some() && self.muxer.needs_new_setup(info, &payload) {
            self.restart_setup()?;
        }
        if let Err(why) = self.muxer.admit(info, &payload) {
            let why = format!("MP4 cannot hold this stream: {why} (--format flv holds it)");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let message = Message {
            info,
            at_ms,
            payload,
        };
        open.queue.push(now, message);
        if open.queue.is_due(now) {
            return self.flush(now);
        }
        Ok(())
    }

    /// Processes the results of the writer, and sends all queued messages once the tracks are known.
    fn flush(&mut self, now: Instant) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let polled = open.writer.poll(&mut self.returned);
        self.recycle_units();
        polled?;
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let tracks = if open.has_head {
            Some(open.queue.tracks())
        } else {
            open.queue.known_tracks(now)
        };
        match tracks {
            Some(tracks) => self.send(tracks, false),
            None => Ok(()),
        }
    }

    /// Sends all queued messages to the writer, after a head with the tracks so far, see [`PipeRecording::send`].
    fn send_queue(&mut self, is_last: bool) -> io::Result<()> {
        match &self.open {
            Some(open) => self.send(open.queue.tracks(), is_last),
            None => Ok(()),
        }
    }

    /// Sends all queued messages to the writer, after a head with these tracks. `is_last` means that no
    /// further message follows.
    fn send(&mut self, tracks: Tracks, is_last: bool) -> io::Result<()> {
        let is_needed = |open: &&mut OpenPipe| is_last || !open.queue.is_empty();
        let Some(open) = self.open.as_mut().filter(is_needed) else {
            return Ok(());
        };
        if !open.has_head {
            if open.queue.is_empty() {
                return Ok(());
            }
            let head = self.muxer.head(tracks);
            open.has_head = true;
            open.sent_bytes = head.len() as u64;
            open.writer.send_head(head)?;
        }
        let mut units = open.writer.spare_batch();
        let (muxer, spent) = (&mut self.muxer, &mut self.spent);
        open.queue.drain_into(muxer, is_last, &mut units, spent);
        self.send_units(units)
    }

    fn send_units(&mut self, units: Vec<Unit>) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if units.is_empty() {
            open.writer.recycle_batch(units);
            return Ok(());
        }
        let bytes = units.iter().map(|unit| unit.as_bytes().len() as u64);
        open.sent_bytes = open.sent_bytes.saturating_add(bytes.sum());
        let sent = open.writer.send(units, self.wall, &mut self.returned);
        self.recycle_units();
        sent
    }

    fn recycle_units(&mut self) {
        for unit in self.returned.drain(..) {
            self.muxer.recycle(unit, &mut self.spent);
        }
    }
}

impl OpenPipe {
    /// Size of everything that was sent or is queued, and of a head that is not sent yet.
    fn bytes(&self, format: Format) -> u64 {
        let head = if self.has_head {
            0
        } else {
            format.head_bytes()
        };
        self.sent_bytes
            .saturating_add(self.queue.bytes())
            .saturating_add(head)
    }
}

/// Cause of the gaps in a pipe.
const SLOW_READER: &str = "the reader of the output is too slow";

/// Whether script data decodes without an error.
fn decodes(payload: &Payload) -> bool {
    let (_, error) = amf0::decode_all(Bytes::copy_from_slice(payload));
    error.is_none()
}

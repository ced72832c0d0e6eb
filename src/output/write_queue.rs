//! Messages that wait for a write, and the start time of their segment.

use std::{
    io::{self, IoSlice, Write},
    time::{Duration, Instant},
};

use super::{
    Format,
    muxer::{Message, Muxer, Tracks, Unit},
};
use crate::core::{flv::TagKind, payload::Payload};

/// Messages of one segment that are collected until a system call is worthwhile.
///
/// They are muxed when they are written, because the start time of a segment may depend on messages that
/// arrive after its first frame.
#[derive(Debug)]
pub(super) struct WriteQueue {
    format: Format,
    messages: Vec<Message>,
    /// Size of the units of all messages.
    bytes: u64,
    /// Size that is worth a system call.
    worthwhile_bytes: u64,
    /// Memory of the payloads.
    capacity: usize,
    oldest_at: Option<Instant>,
    start: Start,
    /// Tracks of all messages so far.
    tracks: Tracks,
    /// Output times of the first and the latest frame.
    frames_ms: Option<(u64, u64)>,
}

/// Output time of timestamp 0.
#[derive(Debug, Clone, Copy)]
enum Start {
    At(u64),
    /// The first frame of the segment is queued. An earlier frame of the other track may follow and then
    /// gets timestamp 0.
    Undecided {
        track: TagKind,
        first_ms: u64,
        /// Frames of the other track have arrived up to this time: none before it can follow.
        other_ms: u64,
    },
}

impl WriteQueue {
    /// Creates the queue of a segment whose timestamp 0 is at `start_ms`.
    pub(super) fn new(format: Format, start_ms: u64) -> Self {
        Self {
            format,
            messages: Vec::new(),
            bytes: 0,
            worthwhile_bytes: WORTHWHILE_BYTES,
            capacity: 0,
            oldest_at: None,
            start: Start::At(start_ms),
            tracks: Tracks::default(),
            frames_ms: None,
        }
    }

    /// Creates the queue of a segment that starts with a frame of `track` at `at_ms`, see
    /// [`WriteQueue::restart`].
    pub(super) fn starting_with(
        format: Format,
        track: TagKind,
        at_ms: u64,
        other_ms: Option<u64>,
    ) -> Self {
        let mut queue = Self::new(format, at_ms);
        queue.restart(track, at_ms, other_ms);
        queue
    }

    /// Sets the number of bytes that are worth a system call.
    pub(super) fn limit(&mut self, bytes: u64) {
        self.worthwhile_bytes = bytes;
    }

    /// Restarts the timestamps with a frame of `track` at `first_ms`. The queue must be empty. `other_ms` is
    /// the output time of the last frame of the other track.
    pub(super) fn restart(&mut self, track: TagKind, first_ms: u64, other_ms: Option<u64>) {
        debug_assert!(self.is_empty(), "queued messages belong to the old start");
        let is_near = |other_ms: &u64| first_ms.abs_diff(*other_ms) <= MAX_TRACK_DISTANCE_MS;
        self.start = Start::Undecided {
            track,
            first_ms,
            other_ms: other_ms.filter(is_near).unwrap_or(first_ms),
        };
    }

    pub(super) fn push(&mut self, now: Instant, message: Message) {
        let bytes = self.format.message_bytes(message.payload.len());
        self.bytes = self.bytes.saturating_add(bytes);
        let capacity = message.payload.capacity();
        self.capacity = self.capacity.saturating_add(capacity);
        self.oldest_at.get_or_insert(now);
        self.tracks.note(&message);
        if let Some(at_ms) = message.at_ms.filter(|_| message.info.carries_media) {
            let (first_ms, _) = self.frames_ms.unwrap_or((at_ms, at_ms));
            self.frames_ms = Some((first_ms, at_ms));
        }
        self.messages.push(message);
    }

    /// Whether the messages are worth a system call. Memory counts as well: a small message may use a
    /// large buffer.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.worthwhile_bytes
            || self.capacity >= MAX_CAPACITY
            || self.messages.len() >= MAX_SLICES
    }

    /// Whether the messages must be written now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_full() || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Time at which the oldest message must be written.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.oldest_at?.checked_add(MAX_WAIT)
    }

    /// Sets the container that the messages are written to.
    pub(super) fn use_format(&mut self, format: Format) {
        self.format = format;
        let bytes = self.messages.iter().map(|message| message.payload.len());
        self.bytes = bytes.map(|bytes| format.message_bytes(bytes)).sum();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Size of the queued messages in the container.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the tracks for the flags of a head, or `None` if it is too early to decide.
    ///
    /// The flags of a head that is not rewritten must be correct at once: players wait for an announced
    /// track that does not exist, and some ignore a track that was not announced. If only one track has
    /// arrived, the head waits for the other one.
    pub(super) fn known_tracks(&self, now: Instant) -> Option<Tracks> {
        let span_ms = self
            .frames_ms
            .map_or(0, |(first_ms, latest_ms)| latest_ms.abs_diff(first_ms));
        let is_known = self.tracks.are_both()
            || span_ms >= MAX_TRACK_WAIT_MS
            || self.bytes >= MAX_TRACK_WAIT_BYTES
            || self.deadline().is_some_and(|deadline| deadline <= now);
        is_known.then_some(self.tracks)
    }

    /// Tracks of all messages so far.
    pub(super) fn tracks(&self) -> Tracks {
        self.tracks
    }

    /// Output time of timestamp 0, as far as it is known.
    pub(super) fn start_ms(&self) -> u64 {
        match self.start {
            Start::At(start_ms) => start_ms,
            Start::Undecided { first_ms, .. } => first_ms,
        }
    }

    /// Muxes all messages into `units`. `is_last` means that no further message of the segment follows.
    /// Payloads that are not part of a unit are added to `spent`.
    pub(super) fn drain_into(
        &mut self,
        muxer: &mut Muxer,
        is_last: bool,
        units: &mut Vec<Unit>,
        spent: &mut Vec<Payload>,
    ) {
        let start_ms = self.decided_start_ms(is_last);
        self.start = Start::At(start_ms);
        self.bytes = 0;
        self.capacity = 0;
        self.oldest_at = None;
        for message in self.messages.drain(..) {
            muxer.push(message, start_ms, units, spent);
        }
        if is_last {
            muxer.finish(units);
        }
    }

    /// The tracks arrive interleaved: an audio frame after the first keyframe may belong before it. The
    /// earliest queued frame gets timestamp 0. If no frame of the other track is queued yet, a frame as
    /// early as the latest one of that track may still follow.
    fn decided_start_ms(&self, is_last: bool) -> u64 {
        let (track, first_ms, other_ms) = match self.start {
            Start::At(start_ms) => return start_ms,
            Start::Undecided {
                track,
                first_ms,
                other_ms,
            } => (track, first_ms, other_ms),
        };
        let mut has_other = false;
        let mut earliest_ms = first_ms;
        for message in &self.messages {
            if message.info.carries_media {
                has_other |= message.info.track != track;
                earliest_ms = earliest_ms.min(message.at_ms.unwrap_or(first_ms));
            }
        }
        if is_last || has_other {
            earliest_ms
        } else {
            earliest_ms.min(other_ms)
        }
    }
}

/// Writes all of `units`. An error contains the number of bytes that were written before it.
pub(super) fn write_all(writer: &mut impl Write, units: &[Unit]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    for units in units.chunks(MAX_SLICES) {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        for (slice, unit) in slices.iter_mut().zip(units) {
            *slice = IoSlice::new(unit.as_bytes());
        }
        let mut slices = slices.get_mut(..units.len()).unwrap_or_default();
        // An empty slice at the front would look like a writer that accepts nothing.
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match writer.write_vectored(slices) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written = written.saturating_add(count);
                    IoSlice::advance_slices(&mut slices, count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
    }
    Ok(())
}

/// Returns the units that are complete within the first `written` bytes.
pub(super) fn complete_units(units: &[Unit], written: usize) -> &[Unit] {
    let mut end = 0;
    let complete = units.iter().take_while(|unit| {
        end = unit.as_bytes().len().saturating_add(end);
        end <= written
    });
    units.get(..complete.count()).unwrap_or(units)
}

/// Returns the number of bytes that each of `streams` recordings in one process collects for one write: 256 KiB
/// for up to 64 recordings. More recordings share 16 MiB, but each collects at least 32 KiB.
pub fn queue_bytes(streams: usize) -> u64 {
    const ALL: u64 = 64 * WORTHWHILE_BYTES;
    let share = ALL.checked_div(streams as u64).unwrap_or(ALL);
    share.clamp(LEAST_BYTES, WORTHWHILE_BYTES)
}

/// Bytes that are worth a system call if memory is plentiful.
const WORTHWHILE_BYTES: u64 = 256 * 1024;

/// Bytes of a write that costs less than receiving its messages.
const LEAST_BYTES: u64 = 32 * 1024;

/// Memory that may wait in buffers, however small the messages in them are.
const MAX_CAPACITY: usize = 1024 * 1024;

/// Buffers written at a time. Systems accept 1,024.
const MAX_SLICES: usize = 128;

/// Longest time that a message is queued. If rtmpull is killed, the queued messages are lost.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// Time of one track after which the other one is no longer expected.
const MAX_TRACK_WAIT_MS: u64 = 500;

/// The same in bytes, for streams whose clock stands still.
const MAX_TRACK_WAIT_BYTES: u64 = 2 * 1024 * 1024;

/// Largest distance between audio and video. A track that is further away has ended.
const MAX_TRACK_DISTANCE_MS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::flv::FrameInfo;
    use crate::core::flv::{Layout, Metadata};

    /// Accepts a few bytes at a time, up to a limit.
    struct SlowWriter {
        accepted: Vec<u8>,
        limit: usize,
    }

    impl SlowWriter {
        fn new(limit: usize) -> Self {
            Self {
                accepted: Vec::new(),
                limit,
            }
        }
    }

    impl Write for SlowWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.accepted.len() == self.limit {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(3).min(self.limit - self.accepted.len());
            self.accepted.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn units() -> Vec<Unit> {
        let unit = |n: usize| Unit::head(vec![n as u8; n % 7]);
        (0..300).map(unit).collect()
    }

    fn message(track: TagKind, at_ms: Option<u64>, payload: usize) -> Message {
        Message {
            info: FrameInfo {
                carries_media: at_ms.is_some(),
                ..FrameInfo::opaque(track)
            },
            at_ms,
            payload: Payload::from(&vec![0; payload][..]),
        }
    }

    #[test]
    fn partial_writes_are_continued_in_order() {
        let mut writer = SlowWriter::new(usize::MAX);
        write_all(&mut writer, &units()).unwrap();
        let bytes: Vec<u8> = units().into_iter().flat_map(|unit| unit.bytes).collect();
        assert_eq!(writer.accepted, bytes);
    }

    #[test]
    fn a_failed_write_returns_the_number_of_written_bytes() {
        let mut writer = SlowWriter::new(100);
        let (written, error) = write_all(&mut writer, &units()).unwrap_err();
        assert_eq!((written, error.kind()), (100, io::ErrorKind::StorageFull));
    }

    #[test]
    fn a_torn_unit_is_not_complete() {
        let units = [vec![1; 10], vec![2; 20], vec![3; 5]].map(Unit::head);
        let complete: Vec<usize> = [0, 9, 10, 29, 30, 34, 35]
            .into_iter()
            .map(|written| complete_units(&units, written).len())
            .collect();
        assert_eq!(complete, [0, 0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn many_recordings_share_the_memory_for_queued_messages() {
        let kibibytes = [0, 1, 64, 128, 500, 512, 2_000, usize::MAX].map(|n| queue_bytes(n) / 1024);
        assert_eq!(kibibytes, [256, 256, 256, 128, 32, 32, 32, 32]);
        let mut queue = WriteQueue::new(Format::Flv, 0);
        queue.limit(1_000);
        queue.push(Instant::now(), message(TagKind::VIDEO, Some(0), 980));
        assert!(!queue.is_full());
        queue.push(Instant::now(), message(TagKind::VIDEO, Some(0), 980));
        assert!(queue.is_full());
    }

    #[test]
    fn a_queue_is_full_by_bytes_by_memory_or_by_number() {
        let now = Instant::now();
        let mut muxer = Muxer::flv(Layout::Plain, &Metadata::default());
        let mut queue = WriteQueue::new(Format::Flv, 0);
        assert!(!queue.is_full() && queue.deadline().is_none());
        queue.push(
            now,
            message(TagKind::VIDEO, Some(0), WORTHWHILE_BYTES as usize),
        );
        assert!(queue.is_full() && queue.is_due(now));
        assert_eq!(queue.deadline(), Some(now + MAX_WAIT));
        queue.drain_into(&mut muxer, false, &mut Vec::new(), &mut Vec::new());
        assert!(queue.is_empty() && !queue.is_full() && queue.bytes() == 0);
        let payload = Payload::reuse(Vec::with_capacity(MAX_CAPACITY + Payload::HEADROOM));
        queue.push(
            now,
            Message {
                payload,
                ..message(TagKind::VIDEO, Some(0), 0)
            },
        );
        assert!(queue.is_full());
        queue.drain_into(&mut muxer, false, &mut Vec::new(), &mut Vec::new());
        for _ in 0..MAX_SLICES {
            queue.push(now, message(TagKind::VIDEO, Some(0), 0));
        }
        assert!(queue.is_full());
    }

    /// Timestamps of units for these frames of a segment that starts with video at 1,000 ms.
    fn timestamps(messages: Vec<Message>, other_ms: Option<u64>, is_last: bool) -> Vec<u32> {
        let mut muxer = Muxer::flv(Layout::Plain, &Metadata::default());
        let mut queue = WriteQueue::starting_with(Format::Flv, TagKind::VIDEO, 1_000, other_ms);
        for message in messages {
            queue.push(Instant::now(), message);
        }
        let mut units = Vec::new();
        queue.drain_into(&mut muxer, is_last, &mut units, &mut Vec::new());
        let start_ms = queue.start_ms();
        units
            .iter()
            .map(|unit| (unit.at_ms - start_ms) as u32)
            .collect()
    }

    #[test]
    fn the_earliest_queued_frame_starts_the_segment() {
        let (audio, video) = (TagKind::AUDIO, TagKind::VIDEO);
        let queued = || {
            vec![
                message(video, None, 1),
                message(video, Some(1_000), 1),
                message(audio, Some(960), 1),
            ]
        };
        assert_eq!(timestamps(queued(), Some(900), false), [0, 40, 0]);
        let queued = || vec![message(video, None, 1), message(video, Some(1_000), 1)];
        assert_eq!(timestamps(queued(), Some(900), false), [0, 100]);
        assert_eq!(timestamps(queued(), Some(900), true), [0, 0]);
        assert_eq!(timestamps(queued(), None, false), [0, 0]);
        let track_has_ended = 1_000 + MAX_TRACK_DISTANCE_MS + 1;
        assert_eq!(timestamps(queued(), Some(track_has_ended), false), [0, 0]);
    }
}

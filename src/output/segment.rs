//! One FLV: the whole output, or a part of it.

use std::{io, path::PathBuf, time::Instant};

use jiff::Zoned;
use serde::Serialize;

use super::{Totals, file::TagFile, muxer::Unit, pipe::Pipe, write_queue::WriteQueue};
use crate::core::{
    flv::{FrameInfo, Tag, TagKind},
    payload::Payload,
};

/// What is known of a part once it is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentFacts {
    /// The file. What of its name is no UTF-8 is replaced.
    pub path: String,
    /// Number of the segment, from 1.
    pub segment: u32,
    /// Where the file's 0 is on the output's clock, in milliseconds: what its timestamps lack.
    pub offset_ms: u64,
    /// How long it plays, in milliseconds.
    pub duration_ms: u32,
    /// The size of the file.
    pub bytes: u64,
    /// When its first frame came: RFC 3339, with the local offset.
    pub start: String,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) sink: Sink,
    pub(super) queue: WriteQueue,
    /// The place of its 0 on the output clock.
    start_ms: u64,
    opening: Option<Opening>,
    has_video: bool,
    /// With what waits, and with the head.
    bytes: u64,
    origin: Origin,
    /// How many tags an earlier recording left in it.
    former_tags: u64,
    /// Whether its facts were told.
    is_over: bool,
}

#[derive(Debug)]
pub(super) enum Sink {
    File(Box<TagFile>),
    Pipe(Box<Pipe>),
}

/// Where a part comes from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// None for a pipe.
    pub(super) path: Option<PathBuf>,
    pub(super) number: u32,
    pub(super) began: Zoned,
}

/// The first tags of a part, as long as they wait in the queue. They come interleaved, and one behind
/// the first frame may belong before it: the earliest becomes the part's 0.
#[derive(Debug)]
struct Opening {
    kind: TagKind,
    /// Before this nothing of the other kind is to be expected.
    other_ms: u64,
    has_other: bool,
    earliest_ms: u64,
    /// The place of each tag in the queue; none for configuration that is repeated.
    places: Vec<Option<u64>>,
}

impl Segment {
    /// The first part, whose 0 is at `start_ms`.
    pub(super) fn first(sink: Sink, head: u64, origin: Origin, start_ms: u64) -> Self {
        Self {
            sink,
            queue: WriteQueue::default(),
            start_ms,
            opening: None,
            has_video: false,
            bytes: head,
            origin,
            former_tags: 0,
            is_over: false,
        }
    }

    /// A file that was there and has so many bytes, whose 0 is that of the output clock.
    pub(super) fn resumed(sink: Sink, bytes: u64, origin: Origin, has_video: bool) -> Self {
        Self {
            has_video,
            former_tags: sink.written().tags,
            ..Self::first(sink, bytes, origin, 0)
        }
    }

    /// A later part, which a frame of `kind` at `at_ms` begins. Frames of the other kind have come up
    /// to `other_ms`.
    pub(super) fn later(
        sink: Sink,
        head: u64,
        origin: Origin,
        (kind, at_ms): (TagKind, u64),
        other_ms: Option<u64>,
    ) -> Self {
        let mut part = Self::first(sink, head, origin, at_ms);
        part.begin_anew(kind, at_ms, other_ms);
        part
    }

    /// Has the timestamps begin at 0 with what comes next. Nothing may wait.
    pub(super) fn begin_anew(&mut self, kind: TagKind, at_ms: u64, other_ms: Option<u64>) {
        let is_near = |other_ms: &u64| at_ms.abs_diff(*other_ms) <= MAX_LAG_MS;
        self.start_ms = at_ms;
        self.opening = Some(Opening {
            kind,
            other_ms: other_ms.filter(is_near).unwrap_or(at_ms),
            has_other: false,
            earliest_ms: at_ms,
            places: Vec::new(),
        });
    }

    /// Adds a tag at its place on the output's clock, or at the part's 0.
    pub(super) fn push(
        &mut self,
        now: Instant,
        info: FrameInfo,
        at_ms: Option<u64>,
        payload: Payload,
    ) {
        self.has_video |= info.track == TagKind::VIDEO;
        self.bytes += tag_length(payload.len());
        let timestamp_ms = at_ms.map_or(0, |at_ms| self.timestamp_ms(at_ms));
        self.queue.push(now, Unit::new(info, timestamp_ms, payload));
        if let Some(opening) = &mut self.opening {
            opening.push(info, at_ms);
        }
    }

    /// Settles where the part's 0 is: what waits is about to be written, and is all of it where
    /// `is_all`.
    pub(super) fn settle_start(&mut self, is_all: bool) {
        let Some(opening) = self.opening.take() else {
            return;
        };
        self.start_ms = if is_all || opening.has_other {
            opening.earliest_ms
        } else {
            opening.earliest_ms.min(opening.other_ms)
        };
        let units = self.queue.units_mut().iter_mut();
        for (unit, place) in units.zip(opening.places) {
            if let Some(at_ms) = place {
                unit.set_timestamp(u32_ms(at_ms.saturating_sub(self.start_ms)));
            }
        }
    }

    /// Whether a player can begin with this frame.
    pub(super) fn can_begin_with(&self, info: FrameInfo) -> bool {
        match info.track {
            TagKind::VIDEO => info.is_keyframe,
            _ => !self.has_video,
        }
    }

    /// How far behind the part's 0 this place is.
    pub(super) fn since_start_ms(&self, at_ms: u64) -> u64 {
        at_ms.saturating_sub(self.start_ms)
    }

    /// The place of its 0 on the output clock.
    pub(super) fn start_ms(&self) -> u64 {
        self.start_ms
    }

    /// How many bytes it has, with what waits.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends it, once: its facts, where it is a file that has come to hold anything.
    pub(super) fn end(&mut self) -> Option<SegmentFacts> {
        let (Sink::File(file), Some(path)) = (&mut self.sink, &self.origin.path) else {
            return None;
        };
        let written = file.written();
        if std::mem::replace(&mut self.is_over, true) || written.tags == self.former_tags {
            return None;
        }
        Some(SegmentFacts {
            path: path.to_string_lossy().into_owned(),
            segment: self.origin.number,
            offset_ms: self.start_ms,
            duration_ms: file.writer().duration_ms(),
            bytes: written.bytes,
            start: self.origin.began.strftime(RFC_3339).to_string(),
        })
    }

    fn timestamp_ms(&self, at_ms: u64) -> u32 {
        u32_ms(self.since_start_ms(at_ms))
    }
}

impl Sink {
    pub(super) fn written(&self) -> Totals {
        match self {
            Self::File(file) => file.written(),
            Self::Pipe(pipe) => pipe.written(),
        }
    }

    /// Makes the head of a file true.
    pub(super) fn patch(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.patch(),
            Self::Pipe(_) => Ok(()),
        }
    }
}

impl Opening {
    fn push(&mut self, info: FrameInfo, at_ms: Option<u64>) {
        if info.carries_media {
            self.has_other |= info.track != self.kind;
            let at_ms = at_ms.unwrap_or(self.earliest_ms);
            self.earliest_ms = self.earliest_ms.min(at_ms);
        }
        self.places.push(at_ms);
    }
}

/// How many bytes a tag with so many of payload has.
pub(super) fn tag_length(payload: usize) -> u64 {
    Tag::length(payload)
}

fn u32_ms(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}

/// How far audio and video may lie apart; a kind that is further behind has ended.
const MAX_LAG_MS: u64 = 10_000;

const RFC_3339: &str = "%Y-%m-%dT%H:%M:%S%.3f%:z";

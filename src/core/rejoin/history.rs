//! Fingerprints of the last written frames.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64;

use crate::core::flv::{FrameInfo, TagKind};

/// The last frames of a recording and the messages after them: 24 bytes per frame.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// Largest number of recent frames.
    most: usize,
    /// The first frames of the recording.
    head: Vec<Content>,
    /// Output time of the first frame.
    first_ms: i64,
    end_ms: i64,
    /// Number of frames written, including forgotten ones.
    frames: u64,
    recent: VecDeque<Fingerprint>,
    /// Sequence headers and script data after the last frame.
    tail: VecDeque<Content>,
}

/// A written frame: its content and its output time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) content: Content,
    pub(crate) at_ms: i64,
}

/// Identity of a message: track, length and a 64-bit hash. Two different messages collide once in
/// 10^19 pairs by chance. A server that provokes a collision only damages its own stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Content {
    kind: u8,
    length: u32,
    hash: u64,
}

/// The same frames in a searchable order.
#[derive(Debug)]
pub(crate) struct Index {
    head: Vec<Content>,
    pub(crate) first_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) frames: u64,
    pub(crate) tracks: PerTrack<Track>,
    pub(crate) tail: VecDeque<Content>,
}

/// A value for audio and one for video.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PerTrack<T> {
    pub(crate) audio: T,
    pub(crate) video: T,
}

/// The frames of one track in the order of writing.
#[derive(Debug, Default)]
pub(crate) struct Track {
    fingerprints: Vec<Fingerprint>,
    /// Frame indices sorted by content, then by output time.
    by_content: Vec<usize>,
}

impl Default for History {
    /// Creates an empty history of up to [`MAX_FRAMES`] frames.
    fn default() -> Self {
        Self {
            most: MAX_FRAMES,
            head: Vec::new(),
            first_ms: 0,
            end_ms: 0,
            frames: 0,
            recent: VecDeque::new(),
            tail: VecDeque::new(),
        }
    }
}

impl History {
    /// Keeps at most this number of recent frames from now on.
    pub(crate) fn limit(&mut self, frames: usize) {
        self.most = frames.clamp(1, MAX_FRAMES);
        let surplus = self.recent.len().saturating_sub(self.most);
        self.recent.drain(..surplus);
        self.recent.shrink_to(self.most);
    }

    /// Largest number of recent frames.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Adds a message that was written at `at_ms`. Messages without media count only after the last
    /// frame.
    pub(crate) fn note(&mut self, info: FrameInfo, at_ms: u64, body: &[u8]) {
        let content = Content::of(info, body);
        if !info.carries_media {
            if self.tail.len() < MAX_TAIL {
                self.tail.push_back(content);
            }
            return;
        }
        let at_ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
        if self.frames == 0 {
            self.first_ms = at_ms;
        }
        if self.head.len() < FIRST_FRAMES {
            self.head.push(content);
        }
        if self.recent.len() >= self.most {
            self.recent.pop_front();
        }
        self.recent.push_back(Fingerprint { content, at_ms });
        self.frames = self.frames.saturating_add(1);
        self.end_ms = self.end_ms.max(at_ms);
        self.tail.clear();
    }

    /// Returns a history of the latest frames.
    pub(crate) fn latest(&self, frames: usize) -> Self {
        let skipped = self.recent.len().saturating_sub(frames);
        let recent: VecDeque<_> = self.recent.iter().skip(skipped).copied().collect();
        Self {
            most: self.most,
            head: Vec::new(),
            first_ms: recent.front().map_or(0, |first| first.at_ms),
            end_ms: self.end_ms,
            frames: recent.len() as u64,
            recent,
            tail: self.tail.clone(),
        }
    }

    /// Number of frames written.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Highest output time of a frame, in milliseconds.
    pub(crate) fn end_ms(&self) -> u64 {
        self.end_ms.max(0).unsigned_abs()
    }

    pub(crate) fn into_index(self) -> Index {
        let mut tracks = PerTrack::<Vec<Fingerprint>>::default();
        for fingerprint in self.recent {
            let kind = TagKind(fingerprint.content.kind);
            tracks.get_mut(kind).push(fingerprint);
        }
        Index {
            head: self.head,
            first_ms: self.first_ms,
            end_ms: self.end_ms,
            frames: self.frames,
            tracks: PerTrack {
                audio: Track::new(tracks.audio),
                video: Track::new(tracks.video),
            },
            tail: self.tail,
        }
    }
}

impl Content {
    /// Returns the identity of a message.
    ///
    /// A frame is identified by its sample: an MP4 file does not contain the bytes before it.
    pub(crate) fn of(info: FrameInfo, body: &[u8]) -> Self {
        let is_main = info.carries_media && !info.is_multitrack && info.track_id == 0;
        let sample = info.sample.filter(|_| is_main);
        let body = sample.map_or(body, |position| position.of(body));
        Self {
            kind: info.track.0,
            length: u32::try_from(body.len()).unwrap_or(u32::MAX),
            hash: xxh3_64(body),
        }
    }
}

impl Index {
    /// Whether `content` is one of the first frames of the recording.
    pub(crate) fn is_head(&self, content: Content) -> bool {
        self.head.contains(&content)
    }
}

impl Track {
    fn new(fingerprints: Vec<Fingerprint>) -> Self {
        let mut by_content: Vec<usize> = (0..fingerprints.len()).collect();
        by_content.sort_by_key(|index| fingerprints.get(*index).map(Fingerprint::sort_key));
        Self {
            fingerprints,
            by_content,
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Fingerprint> {
        self.fingerprints.get(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.fingerprints.len()
    }

    pub(crate) fn first(&self) -> Option<&Fingerprint> {
        self.fingerprints.first()
    }

    pub(crate) fn last(&self) -> Option<&Fingerprint> {
        self.fingerprints.last()
    }

    /// Output time of a frame whose content was written exactly once.
    pub(crate) fn unique_time_of(&self, content: Content) -> Option<i64> {
        let mut found = self.matches_from(content, i64::MIN);
        let (_, fingerprints) = found.next()?;
        found.next().is_none().then_some(fingerprints.at_ms)
    }

    /// Index of the frame with this content at this output time.
    pub(crate) fn find(&self, content: Content, at_ms: i64) -> Option<usize> {
        let earliest_ms = at_ms.saturating_sub(TOLERANCE_MS);
        let (index, fingerprints) = self.matches_from(content, earliest_ms).next()?;
        fingerprints.is(content, at_ms).then_some(index)
    }

    fn matches_from(
        &self,
        content: Content,
        from_ms: i64,
    ) -> impl Iterator<Item = (usize, &Fingerprint)> {
        let is_before = |index: &usize| {
            let key = self.get(*index).map(Fingerprint::sort_key);
            key < Some((content, from_ms))
        };
        let start = self.by_content.partition_point(is_before);
        let indices = self.by_content.iter().skip(start);
        indices
            .filter_map(|index| Some((*index, self.get(*index)?)))
            .take_while(move |(_, fingerprints)| fingerprints.content == content)
    }
}

impl Fingerprint {
    fn sort_key(&self) -> (Content, i64) {
        (self.content, self.at_ms)
    }

    pub(crate) fn is(&self, content: Content, at_ms: i64) -> bool {
        self.content == content && self.at_ms.abs_diff(at_ms) <= TOLERANCE_MS.unsigned_abs()
    }
}

impl<T> PerTrack<T> {
    pub(crate) fn get(&self, kind: TagKind) -> &T {
        match kind {
            TagKind::VIDEO => &self.video,
            _ => &self.audio,
        }
    }

    pub(crate) fn get_mut(&mut self, kind: TagKind) -> &mut T {
        match kind {
            TagKind::VIDEO => &mut self.video,
            _ => &mut self.audio,
        }
    }
}

/// Largest number of frames: a quarter of an hour of video and audio in 1.5 MiB.
pub(crate) const MAX_FRAMES: usize = 1 << 16;

/// Number of frames that identify a stream starting at the beginning of the recording.
pub(crate) const FIRST_FRAMES: usize = 8;

/// Largest number of messages kept after the last frame.
const MAX_TAIL: usize = 64;

/// Tolerance for the time of a repeated frame: some servers convert between time units and round.
const TOLERANCE_MS: i64 = 2;

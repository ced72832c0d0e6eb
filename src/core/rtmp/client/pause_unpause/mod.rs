//! The buffer trick: a pause and its end.
//!
//! Flash Media Server sends a recorded stream up to the buffer that was announced, says Buffer Empty
//! (31) and waits until a player would have played it. A pause makes it forget that, and its end makes
//! it send another buffer's worth, from the keyframe before the position that we name. What we have
//! of that already is left out here, track by track: no frame is lost, and none comes twice.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::core::{
    flv::FrameInfo,
    rtmp::message::{Kind, Message, Timestamp},
};

/// The trick's state, and how far each track has come.
#[derive(Debug)]
pub(super) struct PauseUnpause {
    is_enabled: bool,
    is_recorded: bool,
    state: State,
    /// How often it was begun since something new has come.
    tries: u32,
    audio: Track,
    video: Track,
    data: Track,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// The server has been told to pause.
    Pausing {
        at: Timestamp,
    },
    /// The server has been told to go on, and nothing new has come yet.
    Resuming,
}

/// What a message is to the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    New,
    /// It has come before. That the server is on its way to what is new shows that it is alive.
    Repeated {
        is_progress: bool,
    },
}

/// One kind of messages.
#[derive(Debug, Default)]
struct Track {
    /// The latest timestamp of a frame.
    latest: Option<Timestamp>,
    /// Which messages had that timestamp.
    at_latest: Vec<Fingerprint>,
    sequence_header: Option<Fingerprint>,
    /// Those of `at_latest` that may still come again; none where nothing can.
    expected_repeats: Option<Vec<Fingerprint>>,
    /// The latest timestamp of what has come again.
    latest_repeat: Option<Timestamp>,
}

/// What tells messages of the same timestamp apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint(u64);

impl PauseUnpause {
    /// `is_recorded` where that is known beforehand: a live stream would lose what comes meanwhile.
    pub(super) fn new(is_enabled: bool, is_recorded: bool) -> Self {
        Self {
            is_enabled,
            is_recorded,
            state: State::Idle,
            tries: 0,
            audio: Track::default(),
            video: Track::default(),
            data: Track::default(),
        }
    }

    /// The stream turns out to be a recorded one.
    pub(super) fn set_recorded(&mut self) {
        self.is_recorded = true;
    }

    /// Whether it has not been tried since something new has come.
    pub(super) fn is_first_try_available(&self) -> bool {
        self.tries == 0 && self.next_position().is_some()
    }

    /// Begins, where it can: the position at which the server is to pause.
    pub(super) fn pause(&mut self) -> Option<Timestamp> {
        let at = self.next_position()?;
        self.state = State::Pausing { at };
        self.tries = self.tries.saturating_add(1);
        Some(at)
    }

    /// The server has paused: the position from which it is to go on.
    pub(super) fn unpause(&mut self) -> Option<Timestamp> {
        let State::Pausing { at } = self.state else {
            return None;
        };
        self.state = State::Resuming;
        for track in [&mut self.audio, &mut self.video, &mut self.data] {
            track.expected_repeats = track.latest.map(|_| track.at_latest.clone());
            track.latest_repeat = None;
        }
        Some(at)
    }

    /// Whether the server has been told to pause and not yet to go on.
    pub(super) fn is_pausing(&self) -> bool {
        matches!(self.state, State::Pausing { .. })
    }

    /// Whether a stream that begins now is the one that was paused.
    pub(super) fn is_active(&self) -> bool {
        self.state != State::Idle
    }

    /// Tells whether `message` is new, or has come before the trick already.
    pub(super) fn classify(&mut self, message: &Message, info: FrameInfo) -> Novelty {
        if !self.is_enabled {
            return Novelty::New;
        }
        let is_resuming = self.state == State::Resuming;
        // Script data has no sequence headers: each message of it is taken for a frame.
        let is_frame = info.carries_media || message.kind == Kind::DATA;
        let track = match message.kind {
            Kind::AUDIO => &mut self.audio,
            Kind::VIDEO => &mut self.video,
            _ => &mut self.data,
        };
        // Script data has timestamps that do not count; only its place in the stream does.
        if message.kind == Kind::DATA && !is_resuming {
            track.expected_repeats = None;
        }
        let fingerprint = fingerprint(&message.payload);
        let is_new = if info.is_sequence_header {
            track.is_new_sequence_header(fingerprint)
        } else {
            track.is_new(is_frame, message.timestamp, fingerprint)
        };
        if !is_new {
            let is_progress = is_frame && track.record_repeat(message.timestamp);
            return Novelty::Repeated { is_progress };
        }
        if info.carries_media {
            if !self.is_pausing() {
                self.tries = 0;
            }
            if is_resuming {
                self.state = State::Idle;
            }
        }
        Novelty::New
    }

    /// What comes has a clock of its own.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.is_enabled, self.is_recorded);
    }

    /// What both tracks have in full, first. Where that brings nothing new the buffer is shorter than
    /// the distance between the tracks, and the one that is behind may be over: then what one track
    /// has.
    fn next_position(&self) -> Option<Timestamp> {
        if !self.is_enabled || !self.is_recorded || self.is_pausing() {
            return None;
        }
        let (earlier, later) = self.positions()?;
        match self.tries {
            0 => Some(earlier),
            1 if earlier != later => Some(later),
            _ => None,
        }
    }

    /// How far the tracks have come. One that is long over does not count.
    fn positions(&self) -> Option<(Timestamp, Timestamp)> {
        let either = self.audio.latest.or(self.video.latest)?;
        let audio = self.audio.latest.unwrap_or(either);
        let video = self.video.latest.unwrap_or(either);
        let (earlier, later) = match audio.since(video) {
            ..0 => (audio, video),
            _ => (video, audio),
        };
        match later.since(earlier) {
            0..=MAX_LAG_MS => Some((earlier, later)),
            _ => Some((later, later)),
        }
    }
}

impl Track {
    fn is_new_sequence_header(&mut self, message: Fingerprint) -> bool {
        let before = self.sequence_header.replace(message);
        self.expected_repeats.is_none() || before != Some(message)
    }

    fn is_new(&mut self, is_frame: bool, timestamp: Timestamp, message: Fingerprint) -> bool {
        let step_ms = self.latest.map_or(1, |latest| timestamp.since(latest));
        match step_ms {
            0 if self.take_expected_repeat(message) => return false,
            0 => {}
            ..0 if !self.is_clock_change(step_ms) => return self.expected_repeats.is_none(),
            _ if !is_frame => return true,
            _ => self.advance(timestamp),
        }
        if self.at_latest.len() < MAX_AT_ONCE {
            self.at_latest.push(message);
        }
        true
    }

    /// Whether this is one of those of the latest moment that may come again.
    fn take_expected_repeat(&mut self, message: Fingerprint) -> bool {
        let Some(expected_repeats) = &mut self.expected_repeats else {
            return false;
        };
        let index = expected_repeats.iter().position(|this| *this == message);
        if let Some(index) = index {
            expected_repeats.swap_remove(index);
        }
        index.is_some()
    }

    /// Takes note of a frame that comes again; tells whether it is nearer to what is new.
    fn record_repeat(&mut self, timestamp: Timestamp) -> bool {
        let step_ms = self
            .latest_repeat
            .map_or(1, |latest| timestamp.since(latest));
        match step_ms {
            1.. => self.latest_repeat = Some(timestamp),
            0 => {}
            // The server goes back once more, and everything may come once more.
            _ => self.expected_repeats = Some(self.at_latest.clone()),
        }
        step_ms > 0
    }

    /// Whether a step back is more than the server's going back to a keyframe, or than disorder.
    fn is_clock_change(&self, step_ms: i32) -> bool {
        let usual_ms = match self.expected_repeats {
            Some(_) => MAX_REWIND_MS,
            None => MAX_DISORDER_MS,
        };
        step_ms.saturating_neg() > usual_ms
    }

    fn advance(&mut self, timestamp: Timestamp) {
        self.latest = Some(timestamp);
        self.at_latest.clear();
        self.expected_repeats = None;
    }
}

/// Length, beginning and end: frames of the same moment differ there.
fn fingerprint(body: &[u8]) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    body.len().hash(&mut hasher);
    let end = body.len().saturating_sub(FINGERPRINT_BYTES);
    body.get(..FINGERPRINT_BYTES)
        .unwrap_or(body)
        .hash(&mut hasher);
    body.get(end..).unwrap_or(body).hash(&mut hasher);
    Fingerprint(hasher.finish())
}

/// How far one track may be behind the other and still be waited for: more than servers interleave.
const MAX_LAG_MS: i32 = 5_000;

/// How far before the position that we named a server may begin: the longest time between keyframes.
/// What is further back is another clock.
const MAX_REWIND_MS: i32 = 60_000;

/// How far back a track may step without another clock.
const MAX_DISORDER_MS: i32 = 1_000;

/// Messages of the same track and moment that are told apart: several tracks in one.
const MAX_AT_ONCE: usize = 64;

/// Bytes at either end of a message that go into its fingerprint.
const FINGERPRINT_BYTES: usize = 64;

#[cfg(test)]
mod tests;

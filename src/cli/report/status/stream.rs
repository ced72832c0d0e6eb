//! Status of one stream.

use std::{
    fmt,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::rate::RateHistory;
use crate::{cli::exit_code::Exit, download::Progress, output::Drops};

/// What a stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// The first attempt has not begun.
    Waiting,
    /// An attempt is in progress, and no media has arrived yet.
    Connecting,
    /// Media arrives.
    Playing,
    /// An attempt has failed, and the next one follows.
    Reconnecting,
    /// The download has ended successfully.
    Ended,
    /// The download has ended with an error.
    Failed,
}

impl State {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Waiting,
        Self::Connecting,
        Self::Playing,
        Self::Reconnecting,
        Self::Ended,
        Self::Failed,
    ];

    /// Returns the word for the state.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Playing => "playing",
            Self::Reconnecting => "reconnecting",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }

    /// Whether the download has ended.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Ended | Self::Failed)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Status of one stream. Counters add up over all downloads with the same name and never fall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStatus {
    /// Name, without secrets. Not escaped.
    pub name: String,
    /// Current state.
    pub state: State,
    /// Time of the latest change of the state.
    pub since: Instant,
    /// Size of all received messages.
    pub received_bytes: u64,
    /// Bytes written to the output by this process.
    pub written_bytes: u64,
    /// Number of received audio messages.
    pub audio_frames: u64,
    /// Number of received video messages.
    pub video_frames: u64,
    /// Position of the output clock, in milliseconds.
    pub position_ms: u64,
    /// Time of the latest audio or video message.
    pub last_media: Option<Instant>,
    /// Number of gaps.
    pub gaps: u64,
    /// Length of all gaps in milliseconds.
    pub gaps_ms: u64,
    /// The latest gap.
    pub last_gap: Option<LastGap>,
    /// Number of attempts.
    pub attempts: u64,
    /// Frames that the pipe lacks because its reader was too slow.
    pub drops: Drops,
    /// Number of complete files.
    pub segments: u64,
    /// Path of the latest file, without secrets. Not escaped.
    pub current_file: Option<String>,
    /// Received bytes by second.
    pub rate: RateHistory,
    /// How the latest download ended; `None` while one runs.
    pub end: Option<End>,
    /// Progress of the current download that the counters contain.
    counted: Progress,
    /// Whether the output has started, so that its bytes are new ones.
    is_writing: bool,
    /// Whether an attempt is in progress. A redirect connects again within the same attempt.
    is_attempting: bool,
}

/// The latest gap of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastGap {
    /// Output time in milliseconds.
    pub at_ms: u64,
    /// Wall-clock time of its start.
    pub began: Timestamp,
    /// Length in milliseconds of wall-clock time.
    pub length_ms: u64,
    /// Cause, without secrets. Not escaped.
    pub reason: String,
}

/// How a download ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Ending word of the summary.
    pub word: String,
    /// Cause, without secrets. Not escaped.
    pub reason: String,
    /// Exit code of a process with only this download.
    pub exit: Exit,
}

impl StreamStatus {
    /// Creates the status of a stream that has not been started.
    pub fn new(name: String, now: Instant) -> Self {
        Self {
            name,
            state: State::Waiting,
            since: now,
            received_bytes: 0,
            written_bytes: 0,
            audio_frames: 0,
            video_frames: 0,
            position_ms: 0,
            last_media: None,
            gaps: 0,
            gaps_ms: 0,
            last_gap: None,
            attempts: 0,
            drops: Drops::default(),
            segments: 0,
            current_file: None,
            rate: RateHistory::default(),
            end: None,
            counted: Progress::default(),
            is_writing: false,
            is_attempting: false,
        }
    }

    /// Returns the time since the latest media.
    pub fn silence(&self, now: Instant) -> Option<Duration> {
        let last = self.last_media?;
        Some(now.saturating_duration_since(last))
    }

    /// Whether an operator should look at the stream: it has failed, lost its server, or is silent.
    pub fn has_trouble(&self, now: Instant) -> bool {
        let is_silent = || {
            let since = self.last_media.unwrap_or(self.since);
            now.saturating_duration_since(since) >= SILENCE
        };
        match self.state {
            State::Reconnecting | State::Failed => true,
            State::Connecting | State::Playing => is_silent(),
            State::Waiting | State::Ended => false,
        }
    }

    /// Prepares for the next download with the same name.
    pub(super) fn reopen(&mut self, now: Instant) {
        self.counted = Progress::default();
        self.is_writing = false;
        self.is_attempting = false;
        self.end = None;
        self.set_state(State::Waiting, now);
    }

    /// Notes that a connection is being made.
    pub(super) fn connect(&mut self, now: Instant) {
        self.begin_attempt();
        if self.state == State::Waiting {
            self.set_state(State::Connecting, now);
        }
    }

    /// Notes that the output starts. `existing` is the size of the recording that it continues.
    pub(super) fn start(&mut self, existing: Option<&Progress>) {
        self.is_writing = true;
        if let Some(existing) = existing {
            self.counted.bytes = existing.bytes;
            self.position_ms = existing.position_ms;
        }
    }

    /// Notes that an attempt has failed. It may have made no connection, if another stream just failed to connect
    /// to the same server.
    pub(super) fn fail_attempt(&mut self, now: Instant) {
        self.begin_attempt();
        self.is_attempting = false;
        self.set_state(State::Reconnecting, now);
    }

    pub(super) fn add_gap(&mut self, gap: LastGap) {
        self.gaps = self.gaps.saturating_add(1);
        self.gaps_ms = self.gaps_ms.saturating_add(gap.length_ms);
        self.last_gap = Some(gap);
    }

    /// Adds the progress since the previous call. `second` is the number of the current second.
    pub(super) fn advance(&mut self, progress: &Progress, now: Instant, second: u64) {
        let counted = std::mem::replace(&mut self.counted, *progress);
        let received = progress
            .received_bytes
            .saturating_sub(counted.received_bytes);
        let frames = progress.frames.saturating_sub(counted.frames);
        let video = progress.video_frames.saturating_sub(counted.video_frames);
        let written = progress.bytes.saturating_sub(counted.bytes);
        self.received_bytes = self.received_bytes.saturating_add(received);
        self.video_frames = self.video_frames.saturating_add(video);
        self.audio_frames = self
            .audio_frames
            .saturating_add(frames.saturating_sub(video));
        self.written_bytes = self.written_bytes.saturating_add(match self.is_writing {
            true => written,
            // The size of a recording that an earlier run wrote.
            false => 0,
        });
        self.position_ms = progress.position_ms;
        self.add_drops(&progress.drops, &counted.drops);
        if received > 0 {
            self.rate.add(second, received);
        }
        if frames > 0 {
            self.last_media = Some(now);
            self.set_state(State::Playing, now);
        }
    }

    pub(super) fn finish(&mut self, end: End, now: Instant) {
        self.set_state(
            match end.exit {
                Exit::Success => State::Ended,
                Exit::Failure | Exit::Incomplete | Exit::NoConnection => State::Failed,
            },
            now,
        );
        self.end = Some(end);
    }

    fn begin_attempt(&mut self) {
        if !std::mem::replace(&mut self.is_attempting, true) {
            self.attempts = self.attempts.saturating_add(1);
        }
    }

    fn add_drops(&mut self, drops: &Drops, counted: &Drops) {
        let add = |sum: &mut u64, now: u64, before: u64| {
            *sum = sum.saturating_add(now.saturating_sub(before));
        };
        add(&mut self.drops.gaps, drops.gaps, counted.gaps);
        add(&mut self.drops.frames, drops.frames, counted.frames);
        add(&mut self.drops.bytes, drops.bytes, counted.bytes);
        add(
            &mut self.drops.length_ms,
            drops.length_ms,
            counted.length_ms,
        );
    }

    fn set_state(&mut self, state: State, now: Instant) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
    }
}

/// Time without media after which a stream counts as silent.
const SILENCE: Duration = Duration::from_secs(10);

//! JSON events, one object per line. The manual lists all members.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::line_writer::{LineWriter, Priority};
use crate::{
    cli::terminal::{
        rate_limit::{Admission, Budget, RateLimits},
        sanitize::escaped_json,
        time_format::utc,
    },
    output::SegmentFacts,
};

/// Event of a download.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event<'a> {
    /// The command line is valid, and the download starts.
    Start(Start),
    /// The server accepted the connection.
    Connected {
        /// Its name or address.
        host: String,
        /// Port of the server.
        port: u16,
    },
    /// The server sent metadata of the stream.
    Metadata {
        /// Members of the metadata.
        members: Map<String, Value>,
        /// Whether nothing was left out.
        is_complete: bool,
    },
    /// A segment is complete.
    Segment(&'a SegmentFacts),
    /// Time is missing in the recording.
    Gap(GapFacts),
    /// A track of the stream arrived for the first time.
    Track {
        /// Name of the track, as in `--tracks`: `v0`, `a1`.
        track: String,
        /// `video` or `audio`.
        kind: String,
        /// Id of the track.
        id: u8,
        /// Codec of the track.
        codec: String,
        /// Whether the track is recorded.
        recorded: bool,
    },
    /// The codec, resolution or sample rate changes.
    Format {
        /// `video` or `audio`.
        track: String,
        /// Format before the change.
        from: String,
        /// Format after the change.
        to: String,
        /// Position of the change in the recording, in milliseconds.
        at_ms: u64,
    },
    /// The server requested a new connection, which replaces the current one while it plays.
    Reconnect {
        /// `started`, then `moved` or `failed`.
        state: &'static str,
        /// Name or address of the new server.
        host: String,
        /// Port of the server.
        port: u16,
        /// Reason for the request, or cause of the failure.
        reason: String,
    },
    /// Another source of the stream has taken over.
    Source {
        /// Number of the source, from 1 for the first one.
        number: usize,
        /// Name or address of its server.
        host: String,
        /// Port of the server.
        port: u16,
        /// Why the source takes over.
        reason: String,
        /// Length of the gap before its first frame, in milliseconds; `None` if the recording has none.
        gap_ms: Option<u64>,
    },
    /// Another attempt follows.
    Retry {
        /// Number of the attempt.
        attempt: u32,
        /// Maximum number of attempts; `None` is unlimited.
        limit: Option<u32>,
        /// Time until the attempt, in milliseconds.
        wait_ms: u64,
        /// Ending word of the previous attempt.
        ending: String,
        /// Reason of that ending.
        reason: String,
    },
    /// Progress of the download.
    Progress {
        /// Bytes written.
        bytes: u64,
        /// Expected duration of the recording in milliseconds, if the server announced one.
        expected_ms: Option<u64>,
    },
    /// A message, if standard error holds nothing but events.
    Log {
        /// One of error, warn, info, debug and trace.
        level: &'a str,
        /// The line that would have been printed.
        text: &'a str,
    },
    /// The download has ended.
    Summary(Summary),
}

/// Program and request.
#[derive(Debug, Serialize)]
pub struct Start {
    /// Version of the events, see [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the program.
    pub version: &'static str,
    /// Requested stream, without secrets; the first input of a conversion.
    pub url: String,
    /// Files that are converted; `-` is standard input. Empty for a download.
    pub inputs: Vec<String>,
    /// Output as requested; `-` is standard output.
    pub output: String,
    /// Options that affect the recording.
    pub options: Options,
}

/// Options that affect the recording.
#[derive(Debug, Serialize)]
pub struct Options {
    /// Whether a live stream is requested.
    pub live: bool,
    /// Whether an existing recording is continued.
    pub resume: bool,
    /// Tracks to record, as in `--tracks`; `None` is all.
    pub tracks: Option<String>,
    /// Start of the requested range, in milliseconds.
    pub start_ms: u64,
    /// Largest duration of the recording in milliseconds.
    pub length_ms: Option<u64>,
    /// Largest size of the recording in bytes.
    pub max_bytes: Option<u64>,
    /// Time of day at which the recording ends.
    pub until: Option<String>,
    /// Duration of a segment in milliseconds.
    pub segment_ms: Option<u64>,
    /// Size of a segment in bytes.
    pub segment_bytes: Option<u64>,
    /// Interval of the time of day at which a segment ends, in seconds.
    pub segment_clock_seconds: Option<u32>,
    /// Whether a segment ends if the codec, resolution or sample rate changes.
    pub split_on_change: bool,
}

/// Version of the events. It increases if a member is removed, renamed or changes its meaning; new events and
/// members may appear at any time.
pub const SCHEMA_VERSION: u32 = 1;

/// Facts of a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapFacts {
    /// Position in the recording, in milliseconds.
    pub at_ms: u64,
    /// Time of day at which it began.
    pub began: String,
    /// Missing time in milliseconds.
    pub length_ms: u64,
    /// Reason of the gap.
    pub reason: String,
}

/// Outcome of the download.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Ending word.
    pub ending: String,
    /// Reason of the ending.
    pub reason: String,
    /// Exit code of the process.
    pub exit_code: u8,
    /// Bytes written.
    pub bytes: u64,
    /// Tags written.
    pub tags: u64,
    /// Duration of the recording in milliseconds.
    pub duration_ms: u64,
    /// Number of gaps.
    pub gap_count: u64,
    /// Total missing time in milliseconds.
    pub gap_total_ms: u64,
    /// The latest gaps.
    pub gaps: Vec<GapFacts>,
    /// Tracks that players cannot decode, because no sequence header arrived.
    pub missing_sequence_headers: Vec<String>,
    /// Tracks of `--tracks` that did not arrive.
    pub missing_tracks: Vec<String>,
    /// Codes of what would probably help, the most probable first.
    pub hints: Vec<&'static str>,
    /// Number of events that were dropped because the reader was too slow, or because there were too many.
    pub left_out: u64,
}

/// Line of JSON: the event, and the members that all events have.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    /// Name of one of several streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    position_ms: u64,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// Writes events to a reader.
#[derive(Debug)]
pub struct EventWriter {
    lines: Arc<LineWriter>,
    /// Name of the stream whose events it writes, if there are several.
    stream: Option<Arc<str>>,
    position_ms: AtomicU64,
    limits: RateLimits<&'static str>,
}

impl EventWriter {
    /// Starts to write to the sink that `open` returns. Fails as [`LineWriter::start`] does.
    pub fn start<W: Write>(
        open: impl FnOnce() -> io::Result<W> + Send + 'static,
    ) -> io::Result<Self> {
        Ok(Self {
            lines: Arc::new(LineWriter::start(open)?),
            stream: None,
            position_ms: AtomicU64::new(0),
            limits: RateLimits::default(),
        })
    }

    /// Returns a writer for one of several streams. Its events carry the name, and have limits of their own.
    #[must_use]
    pub fn for_stream(&self, name: &Arc<str>) -> Self {
        Self {
            lines: Arc::clone(&self.lines),
            stream: Some(Arc::clone(name)),
            position_ms: AtomicU64::new(0),
            limits: RateLimits::default(),
        }
    }

    /// Sets the position of all further events, in milliseconds.
    pub fn set_position(&self, position_ms: u64) {
        self.position_ms.store(position_ms, Ordering::Relaxed);
    }

    /// Writes an event with the current time.
    pub fn write(&self, event: &Event<'_>) {
        let priority = match event {
            Event::Progress { .. } | Event::Log { .. } => Priority::Low,
            Event::Summary(_) => Priority::Final,
            _ => Priority::Normal,
        };
        self.lines
            .push(self.line(self.stream.as_deref(), event), priority);
    }

    /// Writes a message, which may belong to one of several streams.
    pub fn log(&self, level: &str, stream: Option<&str>, text: &str) {
        let line = self.line(stream, &Event::Log { level, text });
        self.lines.push(line, Priority::Low);
    }

    /// Writes the event that `event` returns, unless there were too many of its kind.
    pub fn write_limited<'a>(&self, kind: &'static str, event: impl FnOnce() -> Event<'a>) {
        if self.limits.admit(kind, BUDGET, Instant::now()) == Admission::Admitted {
            let line = self.line(self.stream.as_deref(), &event());
            self.limits.charge(&kind, line.len());
            self.lines.push(line, Priority::Normal);
        }
    }

    fn line(&self, stream: Option<&str>, event: &Event<'_>) -> String {
        let line = Line {
            time: utc(Timestamp::now()),
            stream,
            position_ms: self.position_ms.load(Ordering::Relaxed),
            event,
        };
        let json = serde_json::to_string(&line).expect("all keys are strings");
        escaped_json(&json) + "\n"
    }

    /// Writes the summary, and waits for the reader to receive the remaining lines. After the summary of one of
    /// several streams, other events follow.
    pub fn finish(&self, summary: Summary) {
        let suppressed = self.limits.suppressed(|_| true);
        let left_out = match self.stream {
            Some(_) => suppressed,
            None => self.lines.left_out() + suppressed,
        };
        self.write(&Event::Summary(Summary {
            left_out,
            ..summary
        }));
        if self.stream.is_none() {
            self.lines.finish(READER_TIMEOUT);
        }
    }
}

/// Output of each kind of event: about a thousand events.
const BUDGET: Budget = Budget {
    burst: 128 << 10,
    per_second: 2 << 10,
};

/// Time for the reader to receive the remaining lines: a stopped process must exit within a second.
const READER_TIMEOUT: Duration = Duration::from_millis(500);

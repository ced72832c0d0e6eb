//! What scripts are told: one JSON object a line. The README has a table of all members.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::line_writer::{LineWriter, Priority};
use crate::{
    cli::terminal::{sanitize::escaped_json, time_format::utc},
    output::SegmentFacts,
};

/// What happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event<'a> {
    /// The server accepted the connection.
    Connected {
        /// Its name or address.
        host: &'a str,
        /// Its port.
        port: u16,
    },
    /// What the server tells of the stream.
    Metadata {
        /// Its members.
        members: Map<String, Value>,
        /// Whether that is all of them.
        is_whole: bool,
    },
    /// A file is whole.
    Segment(&'a SegmentFacts),
    /// Something is missing.
    Gap(GapFacts),
    /// Another attempt follows.
    Retry {
        /// Its number.
        attempt: u32,
        /// The highest number.
        limit: Option<u32>,
        /// The time until then.
        wait_ms: u64,
        /// The word of what the attempt before ended with.
        ending: String,
        /// Why.
        reason: String,
    },
    /// How far it is.
    Progress {
        /// Bytes written.
        bytes: u64,
        /// How long the recording will be, where the server told.
        expected_ms: Option<u64>,
    },
    /// A message, where standard error has events and nothing else.
    Log {
        /// error, warn, info, debug or trace.
        level: &'a str,
        /// The line that it would have been.
        text: &'a str,
    },
    /// How it ended.
    Summary(Summary),
}

/// Where something is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapFacts {
    /// Where it is.
    pub at_ms: u64,
    /// When it began.
    pub began: String,
    /// How much is missing.
    pub length_ms: u64,
    /// What it came from.
    pub reason: String,
}

/// How it ended.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// The ending's word.
    pub ending: String,
    /// Why.
    pub reason: String,
    /// What the process returns.
    pub exit_code: u8,
    /// Bytes written.
    pub bytes: u64,
    /// Tags written.
    pub tags: u64,
    /// How far the recording came.
    pub duration_ms: u64,
    /// How many gaps it has.
    pub gap_count: u64,
    /// How much is missing in all.
    pub gap_total_ms: u64,
    /// The latest gaps.
    pub gaps: Vec<GapFacts>,
    /// Lines that the reader was too slow for.
    pub left_out: u64,
}

/// A line: the event, and what all have.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    position_ms: u64,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// The way of the events to their reader.
#[derive(Debug)]
pub struct EventWriter {
    lines: LineWriter,
    position_ms: AtomicU64,
}

impl EventWriter {
    /// To what `open` gives; fails as [`LineWriter::start`] does.
    pub fn start<W: Write>(
        open: impl FnOnce() -> io::Result<W> + Send + 'static,
    ) -> io::Result<Self> {
        Ok(Self {
            lines: LineWriter::start(open)?,
            position_ms: AtomicU64::new(0),
        })
    }

    /// Sets how far the recording has come, in milliseconds.
    pub fn set_position(&self, position_ms: u64) {
        self.position_ms.store(position_ms, Ordering::Relaxed);
    }

    /// Tells of an event that is happening.
    pub fn write(&self, event: &Event<'_>) {
        let priority = match event {
            Event::Progress { .. } | Event::Log { .. } => Priority::Low,
            Event::Summary(_) => Priority::Final,
            _ => Priority::Normal,
        };
        let line = Line {
            time: utc(Timestamp::now()),
            position_ms: self.position_ms.load(Ordering::Relaxed),
            event,
        };
        let json = serde_json::to_string(&line).expect("every key is a text");
        self.lines.push(escaped_json(&json) + "\n", priority);
    }

    /// Tells how it ended, and lets a reader that reads have what is left.
    pub fn finish(&self, summary: Summary) {
        let left_out = self.lines.left_out();
        self.write(&Event::Summary(Summary {
            left_out,
            ..summary
        }));
        self.lines.finish(READER_PATIENCE);
    }
}

/// How long the reader may take for what is left: a stopped process ends within a second.
const READER_PATIENCE: Duration = Duration::from_millis(500);

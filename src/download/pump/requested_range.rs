//! The part of the stream that the user requested.

use crate::{core::rtmp::client::config::Start, download::Job};

/// The part of the stream that the user requested.
#[derive(Debug)]
pub(super) struct RequestedRange {
    pub(super) start_ms: u64,
    pub(super) length_ms: Option<u64>,
    pub(super) keeps_timestamps: bool,
}

impl RequestedRange {
    pub(super) fn of(job: &Job) -> Self {
        Self {
            start_ms: match job.session.start {
                Start::At { ms } => ms.into(),
                Start::Live | Start::LiveElseRecorded => 0,
            },
            length_ms: job.length_ms(),
            keeps_timestamps: job.keep_timestamps,
        }
    }

    /// Whether a frame at this output time lies after the requested range.
    pub(super) fn is_past_end(&self, at_ms: u64, first_timestamp_ms: u32) -> bool {
        let output_start_ms = self.output_start_ms(first_timestamp_ms);
        self.length_ms
            .is_some_and(|length_ms| at_ms.saturating_sub(output_start_ms) >= length_ms)
    }

    /// Output time of the first frame.
    pub(super) fn output_start_ms(&self, first_timestamp_ms: u32) -> u64 {
        if self.keeps_timestamps {
            first_timestamp_ms.into()
        } else {
            0
        }
    }

    /// Position of the first frame in the stream. Some servers count from the requested start,
    /// others from the start of the stream.
    pub(super) fn stream_position_ms(&self, first_timestamp_ms: u32) -> u64 {
        match u64::from(first_timestamp_ms) {
            first_ms if first_ms < self.start_ms / 2 => self.start_ms,
            first_ms => first_ms,
        }
    }

    /// Position at which the requested range ends in the stream, if the duration is known.
    pub(super) fn stream_end_ms(&self, duration_ms: Option<u64>) -> Option<u64> {
        let duration_ms = duration_ms?;
        let end_ms = self
            .length_ms
            .map(|length_ms| self.start_ms.saturating_add(length_ms));
        Some(end_ms.map_or(duration_ms, |end_ms| end_ms.min(duration_ms)))
    }
}

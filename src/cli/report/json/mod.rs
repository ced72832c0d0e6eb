//! JSON events for scripts.

pub mod descriptor;
pub mod event;
pub mod line_writer;
mod metadata;

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use self::event::{Event, EventWriter, GapFacts, Summary};
use super::{display_options::DisplayOptions, listeners::Listener, worker::ProgressTimer};
use crate::{
    cli::{
        exit_code::Exit,
        terminal::{screen::Screen, time_format::utc},
    },
    core::amf::Object,
    download::{
        FormatChange, Hint, NewTrack, Outcome, Progress, Reconnect, ReconnectState, Report, Retry,
        SourceSwitch,
    },
    output::{Gap, SegmentFacts},
    transport::Endpoint,
};

/// Writes each event as a line of JSON, and progress once a second.
#[derive(Debug)]
pub struct JsonReport {
    events: Arc<EventWriter>,
    /// Removes secrets from texts.
    screen: Arc<Screen>,
    display: DisplayOptions,
    endpoint: Option<Endpoint>,
    timer: ProgressTimer,
    /// Whether the stream was live at the last progress.
    is_live: bool,
    /// The latest metadata, which is not repeated.
    metadata: Option<Object>,
}

impl JsonReport {
    /// Creates a report to `events`. Secrets known to `screen` are masked.
    pub fn new(events: Arc<EventWriter>, screen: Arc<Screen>, display: DisplayOptions) -> Self {
        Self {
            events,
            screen,
            display,
            endpoint: None,
            timer: ProgressTimer::new(PROGRESS_INTERVAL),
            is_live: false,
            metadata: None,
        }
    }

    fn write_progress(&self, progress: &Progress) {
        self.events.write(&Event::Progress {
            bytes: progress.bytes,
            expected_ms: self.display.expected_ms(progress, Timestamp::now()),
        });
    }

    fn progress_at(&mut self, progress: &Progress, now: Instant) {
        self.is_live = progress.is_live;
        self.events.set_position(progress.position_ms);
        if self.timer.is_due(progress, now) {
            self.write_progress(progress);
        }
    }

    fn facts(&self, gap: &Gap) -> GapFacts {
        GapFacts {
            at_ms: gap.at_ms,
            began: utc(gap.began),
            length_ms: gap.length_ms,
            reason: self.screen.redacted(&gap.reason),
        }
    }
}

impl Listener for JsonReport {
    fn finished(&mut self, outcome: &Outcome) {
        self.events.set_position(outcome.position_ms);
        if self.timer.has_fired() {
            self.write_progress(&Progress {
                bytes: outcome.bytes,
                position_ms: outcome.position_ms,
                duration_ms: outcome.duration_ms,
                is_live: self.is_live,
                ..Progress::default()
            });
        }
        let missing = outcome.missing_sequence_headers.iter();
        let missing_tracks = outcome.missing_tracks.iter();
        self.events.finish(Summary {
            ending: outcome.ending.to_string(),
            reason: self.screen.redacted(&outcome.reason),
            exit_code: Exit::from(outcome) as u8,
            bytes: outcome.bytes,
            tags: outcome.tags,
            duration_ms: outcome.position_ms,
            gap_count: outcome.gaps.count(),
            gap_total_ms: outcome.gaps.total_ms(),
            gaps: outcome.gaps.latest().map(|gap| self.facts(gap)).collect(),
            missing_sequence_headers: missing.map(ToString::to_string).collect(),
            missing_tracks: missing_tracks.map(ToString::to_string).collect(),
            hints: outcome.hints.iter().map(Hint::code).collect(),
            left_out: 0,
        });
    }
}

impl Report for JsonReport {
    fn connecting(&mut self, endpoint: &Endpoint) {
        self.endpoint = Some(endpoint.clone());
    }

    fn connected(&mut self) {
        if let Some(endpoint) = &self.endpoint {
            self.events.write_limited("connected", || Event::Connected {
                host: self.screen.redacted(&endpoint.host),
                port: endpoint.port,
            });
        }
    }

    fn metadata(&mut self, metadata: &Object) {
        if self.metadata.as_ref() == Some(metadata) {
            return;
        }
        self.metadata = Some(metadata.clone());
        self.events.write_limited("metadata", || {
            let clean = |text: &str| self.screen.redacted(text);
            let (members, is_complete) = metadata::to_json(metadata, &clean);
            Event::Metadata {
                members,
                is_complete,
            }
        });
    }

    fn gap(&mut self, gap: &Gap) {
        self.events
            .write_limited("gap", || Event::Gap(self.facts(gap)));
    }

    fn track(&mut self, new: &NewTrack) {
        self.events.write_limited("track", || Event::Track {
            track: new.track.to_string(),
            kind: new.track.kind.to_string(),
            id: new.track.id,
            codec: new.codec.to_string(),
            recorded: new.is_recorded,
        });
    }

    fn format_changed(&mut self, change: &FormatChange) {
        self.events.write_limited("format", || Event::Format {
            track: change.track.to_string(),
            from: change.from.to_string(),
            to: change.to.to_string(),
            at_ms: change.at_ms,
        });
    }

    fn reconnect(&mut self, reconnect: &Reconnect) {
        if reconnect.state == ReconnectState::Moved {
            self.endpoint = Some(reconnect.endpoint.clone());
        }
        self.events.write_limited("reconnect", || Event::Reconnect {
            state: match reconnect.state {
                ReconnectState::Started => "started",
                ReconnectState::Moved => "moved",
                ReconnectState::Failed => "failed",
            },
            host: self.screen.redacted(&reconnect.endpoint.host),
            port: reconnect.endpoint.port,
            reason: self.screen.redacted(&reconnect.reason),
        });
    }

    fn source(&mut self, switch: &SourceSwitch) {
        self.endpoint = Some(switch.endpoint.clone());
        self.events.write_limited("source", || Event::Source {
            number: switch.number,
            host: self.screen.redacted(&switch.endpoint.host),
            port: switch.endpoint.port,
            reason: self.screen.redacted(&switch.reason),
            gap_ms: switch.gap_ms,
        });
    }

    fn retry(&mut self, retry: &Retry) {
        self.events.write_limited("retry", || Event::Retry {
            attempt: retry.attempt,
            limit: retry.limit,
            wait_ms: retry.wait.as_millis().try_into().unwrap_or(u64::MAX),
            ending: retry.ending.to_string(),
            reason: self.screen.redacted(&retry.reason),
        });
    }

    fn progress(&mut self, progress: &Progress) {
        self.progress_at(progress, Instant::now());
    }

    fn segment(&mut self, facts: &SegmentFacts) {
        self.events
            .write_limited("segment", || Event::Segment(facts));
    }
}

/// Minimum time between two progress events.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

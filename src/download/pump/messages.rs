//! From the events of a session to the output.

use std::time::Instant;

use super::{Next, Pump, facts::Stage};
use crate::{
    core::{
        amf::{Object, Value},
        flv::{FrameInfo, TagKind, metadata_message},
        payload::Payload,
        rejoin::matcher::Arrival,
        rtmp::{
            client::{Client, Event},
            message::{Message, Timestamp},
        },
    },
    download::{ReceivedMessage, outcome::EndCause},
};

impl Pump<'_> {
    /// Handles all pending events of the session, and returns whether there were any.
    pub(super) fn handle_events(
        &mut self,
        now: Instant,
        client: &mut Client,
    ) -> Result<bool, Next> {
        let mut had_events = false;
        while !self.headers.is_fetch_due()
            && let Some(event) = client.poll_event()
        {
            had_events = true;
            self.handle_event(now, event)?;
            while let Some(payload) = self.output.take_spent() {
                client.recycle(payload);
            }
        }
        Ok(had_events)
    }

    fn handle_event(&mut self, now: Instant, event: Event) -> Result<(), Next> {
        match event {
            Event::Media { message, info } => {
                self.count_bytes(message.payload.len());
                if self.reports_messages {
                    self.report_message(now, message.timestamp, info, &message.payload);
                }
                if info.carries_media && self.stage < Stage::Media {
                    self.reach_media(now);
                }
                if let Some((message, info)) = self.select_tracks(now, message, info) {
                    if self.must_fetch_headers(info) {
                        self.headers.postpone(message, info);
                    } else {
                        self.message(now, message, info)?;
                    }
                }
            }
            Event::Metadata {
                members,
                timestamp,
                payload,
            } => {
                self.count_bytes(payload.len());
                if self.reports_messages {
                    self.report_message(now, timestamp, FrameInfo::SCRIPT, &payload);
                }
                self.metadata(now, members, payload)?;
            }
            Event::Connected => {
                self.stage = Stage::Connected;
                if let Some(permit) = &mut self.permit {
                    permit.succeeded();
                }
                self.report.connected();
            }
            Event::Recorded => self.is_recorded = true,
            Event::Published => self.is_published = true,
            Event::Restarted => {
                self.release_held_frame(now)?;
                self.restart();
            }
            Event::Started => self.stage = Stage::Playing,
            Event::ReconnectRequested(request) => self.handover.note(request),
            Event::Redirected(redirect) => return Err(Next::Follow(redirect)),
            Event::LoginRequired { connect } => return Err(Next::LogIn(connect)),
            Event::Ended(end) => return Err(EndCause::Session(end).into()),
        }
        Ok(())
    }

    /// Notes that the connection plays. The first frame of the download starts `Limits::media_time`.
    pub(super) fn reach_media(&mut self, now: Instant) {
        self.stage = Stage::Media;
        if self.media_deadline.is_none() {
            let media_time = self.limits.media_time;
            self.media_deadline = media_time.and_then(|time| now.checked_add(time));
        }
    }

    /// Passes a message to the report.
    fn report_message(&mut self, now: Instant, timestamp: Timestamp, info: FrameInfo, body: &[u8]) {
        self.report.message(&ReceivedMessage {
            now,
            timestamp,
            info,
            body,
        });
    }

    /// Removes the tracks that are not recorded from a message; `None` if nothing is left.
    pub(super) fn select_tracks(
        &mut self,
        now: Instant,
        mut message: Message,
        info: FrameInfo,
    ) -> Option<(Message, FrameInfo)> {
        let report = &mut *self.report;
        let tracks = &mut self.tracks;
        tracks.record(info, &message.payload, now, |track| report.track(&track));
        match tracks.select(info, &mut message.payload) {
            Some(info) => Some((message, info)),
            None => {
                self.output.recycle(message.payload);
                None
            }
        }
    }

    pub(super) fn metadata(
        &mut self,
        now: Instant,
        mut members: Object,
        mut payload: Payload,
    ) -> Result<(), EndCause> {
        let duration_ms = members.get("duration").and_then(duration_ms);
        self.duration_ms = duration_ms.or(self.duration_ms);
        self.report_start();
        self.report.metadata(&members);
        if let Some(selected) = self.tracks.selected()
            && selected.filter_metadata(&mut members)
            && let Some(filtered) = metadata_message(&members)
        {
            payload = filtered;
        }
        if self.may_split_next() {
            self.held_metadata = Some((members, payload));
            return Ok(());
        }
        self.write_metadata(now, members, payload)
    }

    pub(super) fn write_metadata(
        &mut self,
        now: Instant,
        members: Object,
        payload: Payload,
    ) -> Result<(), EndCause> {
        let at_ms = self.clock.script_time();
        if !self.fits_size_limit(FrameInfo::SCRIPT, at_ms, &payload) {
            return Err(EndCause::Limit);
        }
        let written = self.output.metadata(now, at_ms, &members, payload);
        written.map_err(EndCause::Output)
    }

    pub(super) fn report_start(&mut self) {
        if !self.is_start_reported {
            self.is_start_reported = true;
            if self.resume_target().is_some() {
                let progress = self.progress();
                self.report.resuming(&progress);
            } else {
                self.report.started(self.is_live_requested);
            }
        }
    }

    /// Passes a media message to the rejoin in progress or to the output.
    pub(super) fn message(
        &mut self,
        now: Instant,
        message: Message,
        info: FrameInfo,
    ) -> Result<(), EndCause> {
        self.frames = self.frames.saturating_add(info.carries_media.into());
        let is_video_frame = info.carries_media && info.track == TagKind::VIDEO;
        self.video_frames = self.video_frames.saturating_add(is_video_frame.into());
        self.headers.record(info);
        let arrival = Arrival {
            at: now,
            info,
            timestamp: message.timestamp,
            payload: message.payload,
        };
        match self.rejoin {
            Some(_) => self.match_arrival(now, arrival),
            None => self.assign_time(now, arrival),
        }
    }

    /// Assigns an output time to a message and writes it, or holds it until its time is known.
    pub(super) fn assign_time(&mut self, now: Instant, arrival: Arrival) -> Result<(), EndCause> {
        let info = arrival.info;
        if !info.carries_media {
            // A decoder applies a sequence header to the frames after it.
            let held = self.held_frame.as_ref();
            if held.is_some_and(|held| held.info.track == info.track) {
                self.release_held_frame(now)?;
            }
            let at_ms = self.clock.header_time(info, arrival.timestamp);
            return self.write(now, at_ms, arrival);
        }
        self.report_start();
        if !self.has_media {
            self.first_timestamp_ms = Some(arrival.timestamp.0);
            self.note_first_frame();
        }
        let (timestamp, at, is_live) = (arrival.timestamp, arrival.at, self.is_live());
        let times = self.clock.frame(info.track, timestamp, at, is_live);
        if let Some(at_ms) = times.held
            && let Some(held) = self.held_frame.take()
        {
            self.write(now, at_ms, held)?;
        }
        let Some(at_ms) = times.frame else {
            self.held_frame = Some(arrival);
            return Ok(());
        };
        self.write(now, at_ms, arrival)
    }

    /// Writes the frame that is held for its output time, if any.
    pub(super) fn release_held_frame(&mut self, now: Instant) -> Result<(), EndCause> {
        match self.clock.release().zip(self.held_frame.take()) {
            Some((at_ms, held)) => self.write(now, at_ms, held),
            None => Ok(()),
        }
    }

    /// Writes a message at its output time.
    pub(super) fn write(
        &mut self,
        now: Instant,
        at_ms: u64,
        arrival: Arrival,
    ) -> Result<(), EndCause> {
        let Arrival { info, payload, .. } = arrival;
        if info.carries_media {
            if let Some(switch) = self.source_switch.take() {
                self.report.source(&switch);
            }
            if self
                .range
                .is_past_end(at_ms, self.first_timestamp_ms.unwrap_or(0))
            {
                return Err(EndCause::Limit);
            }
            self.arrival_speed.frame(now, at_ms);
            self.frame_interval.record(info.track, at_ms);
            self.start_check
                .record(info, at_ms, &payload, self.range.start_ms);
        } else if self.is_continuation && self.output.has_sequence_header(info, &payload) {
            self.output.recycle(payload);
            return Ok(());
        }
        if let Some(change) = self.formats.record(info, at_ms, &payload) {
            self.report.format_changed(&change);
            if self.splits_on_change {
                self.output.request_split();
            }
        }
        if !self.fits_size_limit(info, at_ms, &payload) {
            return Err(EndCause::Limit);
        }
        if let Some(history) = &mut self.history {
            history.note((now, self.wall_clock), info, at_ms, &payload);
        }
        let written = self.output.media(now, info, at_ms, payload);
        written.map_err(EndCause::Output)
    }

    /// Notes that media arrived. From now on it is known whether the stream counts as live.
    pub(super) fn note_first_frame(&mut self) {
        self.has_media = true;
        if self.is_live() {
            self.output.allow_backlog(self.backlog_bytes);
        }
    }

    /// Whether the output stays within `--max-size` with this message.
    fn fits_size_limit(&mut self, info: FrameInfo, at_ms: u64, payload: &Payload) -> bool {
        let most = self.limits.bytes;
        most.is_none_or(|most| self.output.bytes_with(info, at_ms, payload) <= most)
    }

    fn count_bytes(&mut self, bytes: usize) {
        self.received_bytes = self.received_bytes.saturating_add(bytes as u64);
    }
}

/// Converts an announced duration from seconds to milliseconds. Live servers announce 0.
pub(super) fn duration_ms(value: &Value) -> Option<u64> {
    let seconds = value.as_number()?;
    let is_plausible = seconds.is_finite() && seconds > 0.0 && seconds < MAX_DURATION_SECONDS;
    is_plausible.then(|| (seconds * 1000.0).round() as u64)
}

/// Largest plausible duration: a century.
const MAX_DURATION_SECONDS: f64 = 3.2e9;

//! The main loop: network → session → output, with timers and the stop request.

mod handover;
mod rejoin;
mod sequence_headers;
mod shared_pool;
mod start_check;
mod stream_source;

use std::{
    convert::Infallible,
    pin::pin,
    time::{Duration, Instant},
};

use bytes::BytesMut;

use self::{
    handover::Handover,
    rejoin::{RecordingHistory, Rejoin},
    sequence_headers::HeaderCheck,
    shared_pool::with_shared_pool,
    start_check::StartCheck,
};
use super::frame_interval::FrameInterval;
use super::{
    Job, Limits, Progress, ReceivedMessage, Report, SourceSwitch, Stop,
    admission::Permit,
    arrival_speed::ArrivalSpeed,
    connection::{Connection, Moved},
    hint::{Attempted, Hint},
    outcome::{EndCause, Facts},
    stream_format::FormatCheck,
    tracks::Tracks,
};
use crate::core::{
    amf::{Object, Value},
    flv::{FrameInfo, TagKind, metadata_message},
    output_clock::OutputClock,
    payload::Payload,
    rejoin::matcher::Arrival,
    rtmp::{
        client::{
            Client, End, Event, Timeout,
            config::{Config, Connect, Encryption, Start, Timeouts},
        },
        command::Redirect,
        error::Error,
        handshake,
        message::{Message, Timestamp},
    },
};
use crate::output::Tee;
use crate::output::{GapPolicy, Gaps};

pub(super) use self::{
    handover::{Move, PlayingConnection},
    stream_source::StreamSource,
};

/// Creates the output of a job.
fn output(job: &Job) -> Tee {
    Tee::new(
        job.output.clone(),
        job.pipe.clone(),
        &job.segments,
        (job.file, job.pipe_options),
        job.limits.min_free,
    )
}

/// What follows the end of one connection.
#[derive(Debug)]
pub(super) enum Next {
    /// End of this attempt.
    Finish(EndCause),
    /// Connect to another server.
    Follow(Redirect),
    /// Connect to the same server again, with a login.
    LogIn(Box<Connect>),
    /// Continue with the connection that the server requested.
    Move(Box<Move>),
    /// Connect again and request the stream from this position.
    PlayFrom { start_ms: u32 },
}

impl From<EndCause> for Next {
    fn from(last: EndCause) -> Self {
        Self::Finish(last)
    }
}

/// State that outlives a connection: the output, its clock, and the facts about the stream.
pub(super) struct Pump<'a> {
    pub(super) output: Tee,
    pub(super) report: &'a mut dyn Report,
    /// Whether the report receives every message.
    pub(super) reports_messages: bool,
    clock: OutputClock,
    is_live_requested: bool,
    backlog_bytes: usize,
    is_recorded: bool,
    /// Whether the server announced a publisher.
    is_published: bool,
    arrival_speed: ArrivalSpeed,
    is_start_reported: bool,
    /// Whether a frame has arrived.
    has_media: bool,
    /// Timestamp of the first frame; `None` if the recording existed before.
    first_timestamp_ms: Option<u32>,
    timeouts: Timeouts,
    frames: u64,
    video_frames: u64,
    received_bytes: u64,
    /// Number of opened files at the latest report.
    opened_files: u64,
    duration_ms: Option<u64>,
    range: RequestedRange,
    start_check: StartCheck,
    headers: HeaderCheck,
    limits: Limits,
    /// Time at which [`Limits::media_time`] ends the download; `None` before the first frame.
    media_deadline: Option<Instant>,
    frame_interval: FrameInterval,
    formats: FormatCheck,
    pub(super) tracks: Tracks,
    splits_on_change: bool,
    stage: Stage,
    /// Time of day at `checked_at`.
    wall_clock: jiff::Timestamp,
    /// Time of the latest check of the limits.
    checked_at: Instant,
    /// Frames written so far; kept only if a rejoin may need them.
    history: Option<RecordingHistory>,
    /// Largest number of frames in `history`.
    history_frames: usize,
    /// The rejoin in progress; `None` while frames are written directly.
    rejoin: Option<Rejoin>,
    gap_policy: GapPolicy,
    gap_reason: String,
    /// A switch to another source whose first frame is not written yet.
    source_switch: Option<SourceSwitch>,
    gaps: Gaps,
    /// The stream's `onMetaData` until it is decided which segment it belongs to.
    held_metadata: Option<(Object, Payload)>,
    /// Whether an earlier stream was written to this recording.
    is_continuation: bool,
    /// The frame whose output time depends on the next frame.
    held_frame: Option<Arrival>,
    handover: Handover,
    /// The latest attempt; `None` before the first one.
    pub(super) attempted: Option<Attempted>,
    /// Right to the current connection; `None` if nothing limits connections.
    pub(super) permit: Option<Permit>,
    /// What would probably help after the latest attempt.
    pub(super) hints: Vec<Hint>,
}

/// The part of the stream that the user requested.
#[derive(Debug)]
struct RequestedRange {
    start_ms: u64,
    length_ms: Option<u64>,
    keeps_timestamps: bool,
}

/// How far the latest connection got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Handshake,
    Connect,
    Connected,
    /// The server reported the start of playback.
    Playing,
    /// Audio or video arrived, perhaps only frames that the recording contains.
    Media,
}

/// How a turn of the main loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// All received bytes were processed.
    Complete,
    /// The time of the turn is used up, and the inbox may hold more messages.
    Interrupted,
}

impl<'a> Pump<'a> {
    pub(super) fn new(job: &Job, report: &'a mut dyn Report) -> Self {
        Self {
            output: output(job),
            reports_messages: report.wants_messages(),
            report,
            clock: OutputClock::new(job.keep_timestamps),
            is_live_requested: job.session.start == Start::Live,
            backlog_bytes: job.backlog_bytes,
            is_recorded: false,
            is_published: false,
            arrival_speed: ArrivalSpeed::default(),
            is_start_reported: false,
            has_media: false,
            first_timestamp_ms: None,
            timeouts: job.session.timeouts,
            frames: 0,
            video_frames: 0,
            received_bytes: 0,
            opened_files: 0,
            duration_ms: None,
            range: RequestedRange::of(job),
            start_check: StartCheck::default(),
            headers: HeaderCheck::default(),
            limits: job.limits,
            media_deadline: None,
            frame_interval: FrameInterval::default(),
            formats: FormatCheck::default(),
            tracks: Tracks::new(job.tracks),
            splits_on_change: job.segments.on_change,
            stage: Stage::Handshake,
            wall_clock: jiff::Timestamp::now(),
            checked_at: Instant::now(),
            history: job
                .may_rejoin()
                .then(|| RecordingHistory::new(job.history_frames)),
            history_frames: job.history_frames,
            rejoin: None,
            gap_policy: job.gap,
            gap_reason: String::new(),
            source_switch: None,
            gaps: Gaps::default(),
            held_metadata: None,
            is_continuation: false,
            held_frame: None,
            handover: Handover::default(),
            attempted: None,
            permit: None,
            hints: Vec::new(),
        }
    }

    /// Plays over `connection` until an event ends it.
    pub(super) async fn run(
        &mut self,
        mut connection: Connection,
        client: &mut Client,
        source: &StreamSource<'_>,
        stop: &mut Stop,
    ) -> Next {
        // A connection that the pump has moved to already plays.
        if client.is_handshaking() {
            self.stage = Stage::Handshake;
        } else {
            self.reach_media(Instant::now());
        }
        self.timeouts = client.timeouts();
        let Err(next) = self.play(&mut connection, client, source, stop).await;
        if self.stage == Stage::Handshake && !client.is_handshaking() {
            self.stage = Stage::Connect;
        }
        let next = name_text_answer(next, self.stage, &connection.inbox);
        let next = reported_end(next, client);
        let unused = self.cancel_handover(&next);
        if let Some(facts) = connection.tunnel_facts() {
            self.report.tunnel(facts);
        }
        let close_unused = async {
            if let Some(unused) = unused {
                let (connection, mut client) = *unused;
                close(connection, &mut client).await;
            }
        };
        Box::pin(async { tokio::join!(close(connection, client), close_unused) }).await;
        let next = self.conclude_rejoin(next);
        if let Err(cause) = self.release_held_frame(Instant::now()) {
            return cause.into();
        }
        let next = self.reject_ignored_start(next, source, stop).await;
        self.move_after_end(next)
    }

    /// Runs `work` while the output continues to be flushed and limits are checked.
    pub(super) async fn flush_while<T>(
        &mut self,
        work: impl Future<Output = T>,
        stop: &mut Stop,
    ) -> Result<T, EndCause> {
        let mut work = pin!(work);
        loop {
            let waits_for_reader = self.output.is_full() || self.output.is_behind();
            let deadline = earliest(self.output.deadline(), self.limit_deadline());
            tokio::select! {
                biased;
                () = stop.requested() => return Err(EndCause::Stopped),
                done = &mut work => return Ok(done),
                waited = self.output.wait_for_reader(), if waits_for_reader => {
                    waited.map_err(EndCause::Output)?;
                }
                () = sleep_until(deadline) => {}
            }
            let now = self.check_limits()?;
            self.output.flush_due(now).map_err(EndCause::Output)?;
        }
    }

    async fn play(
        &mut self,
        connection: &mut Connection,
        client: &mut Client,
        source: &StreamSource<'_>,
        stop: &mut Stop,
    ) -> Result<Infallible, Next> {
        // The session of a connection that the pump has moved to may hold messages.
        let mut turn = Turn::Interrupted;
        loop {
            client
                .poll_transmit(&mut connection.outbox)
                .map_err(EndCause::Protocol)?;
            // While the reader of a pipe pauses, nothing is read from the network, so silence is
            // not the server's fault.
            let (is_full, is_behind) = (self.output.is_full(), self.output.is_behind());
            let is_joining = self.handover.is_joining();
            let session_deadline = earliest(client.poll_timeout(), self.clock.release_at());
            let session_deadline = session_deadline.filter(|_| !is_full && !is_joining);
            let deadline = earliest(session_deadline, self.output.deadline());
            let deadline = earliest(deadline, self.limit_deadline());
            let deadline = earliest(deadline, self.handover.deadline());
            let is_reading = !is_full && !is_joining && turn == Turn::Complete;
            let mut step = None;
            tokio::select! {
                biased;
                () = stop.requested() => return Err(EndCause::Stopped.into()),
                // Before the old connection: a recorded stream that is always readable must not
                // starve the new one.
                made = self.handover.step(), if !is_full => step = Some(made),
                moved = connection.exchange(is_reading) => {
                    if moved.map_err(EndCause::Broken)? == Moved::Closed {
                        let between_messages =
                            connection.inbox.is_empty() && client.is_between_messages();
                        return Err(EndCause::PeerClosed { between_messages }.into());
                    }
                }
                waited = self.output.wait_for_reader(), if is_full || is_behind => {
                    waited.map_err(EndCause::Output)?;
                }
                () = tokio::task::yield_now(), if turn == Turn::Interrupted && !is_joining => {}
                () = sleep_until(deadline) => {}
            }
            if is_full && !self.output.is_full() {
                client.restart_media_timeouts(Instant::now());
            }
            if is_joining {
                let now = self.check_limits()?;
                self.flush_turn(now)?;
            } else {
                turn = self.process_input(client, &mut connection.inbox)?;
            }
            if self.headers.is_fetch_due() {
                // Boxed, because few streams need it.
                Box::pin(self.fetch_due_headers(source, stop)).await?;
                client.restart_media_timeouts(Instant::now());
                turn = Turn::Interrupted;
            }
            self.advance_handover(step, source)?;
            if is_joining && !self.handover.is_joining() {
                client.restart_media_timeouts(Instant::now());
                turn = Turn::Interrupted;
            }
        }
    }

    /// Processes received bytes for up to [`TURN_BUDGET`], then everything that is due.
    fn process_input(&mut self, client: &mut Client, inbox: &mut BytesMut) -> Result<Turn, Next> {
        with_shared_pool(client, |client| self.process_turn(client, inbox))
    }

    fn process_turn(&mut self, client: &mut Client, inbox: &mut BytesMut) -> Result<Turn, Next> {
        let now = self.check_limits()?;
        let turn = loop {
            let received = client.receive(now, inbox);
            let had_events = self.handle_events(now, client)?;
            received.map_err(EndCause::Protocol)?;
            if !had_events {
                break Turn::Complete;
            }
            // A server can pack minutes of work into one read: a stop request, the limits and the
            // timers must not wait for the end of it.
            if now.elapsed() >= TURN_BUDGET {
                break Turn::Interrupted;
            }
        };
        // Timers are checked even if messages keep arriving: pings alone must not postpone the
        // media timeout.
        let is_due = client
            .poll_timeout()
            .is_some_and(|deadline| deadline <= now);
        if is_due && !self.output.is_full() {
            client.handle_timeout(now);
            self.handle_events(now, client)?;
        }
        if self.clock.release_at().is_some_and(|at| at <= now) {
            self.release_held_frame(now)?;
        }
        self.tracks.check(now);
        self.flush_turn(now)?;
        Ok(turn)
    }

    /// Reports progress and flushes the output at the end of a turn. Returns an error if the report needs no
    /// more of the stream.
    fn flush_turn(&mut self, now: Instant) -> Result<(), EndCause> {
        self.report_progress();
        self.output.flush_due(now).map_err(EndCause::Output)?;
        if self.report.is_satisfied() {
            return Err(EndCause::Limit);
        }
        Ok(())
    }

    /// Time of the next check of the limits.
    fn limit_deadline(&self) -> Option<Instant> {
        earliest(self.limits.deadline(), self.media_deadline)
    }

    /// Updates the clocks, and returns an error once a limit of time has passed or free space is too low.
    fn check_limits(&mut self) -> Result<Instant, EndCause> {
        let (now, wall_clock) = (Instant::now(), jiff::Timestamp::now());
        let elapsed = now.saturating_duration_since(self.checked_at);
        let suspended = rejoin::suspension(elapsed, self.wall_clock, wall_clock);
        if suspended > Duration::ZERO {
            tracing::info!("the computer was suspended for {} s", suspended.as_secs());
            self.clock.allow_suspension(now, suspended);
        }
        (self.checked_at, self.wall_clock) = (now, wall_clock);
        self.output.set_wall_clock(self.wall_clock);
        let limits = &self.limits;
        let is_late = limits.until.is_some_and(|until| until <= self.wall_clock);
        if is_late || self.media_deadline.is_some_and(|at| at <= now) {
            return Err(EndCause::Limit);
        }
        self.output
            .check_free_space(now)
            .map_err(EndCause::Output)?;
        Ok(now)
    }

    /// Handles all pending events of the session, and returns whether there were any.
    fn handle_events(&mut self, now: Instant, client: &mut Client) -> Result<bool, Next> {
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

    /// Notes that the connection plays. The first frame of the download starts [`Limits::media_time`].
    fn reach_media(&mut self, now: Instant) {
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
    fn select_tracks(
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

    fn metadata(
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

    fn write_metadata(
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

    fn report_start(&mut self) {
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
    fn message(&mut self, now: Instant, message: Message, info: FrameInfo) -> Result<(), EndCause> {
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
    fn assign_time(&mut self, now: Instant, arrival: Arrival) -> Result<(), EndCause> {
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
    fn release_held_frame(&mut self, now: Instant) -> Result<(), EndCause> {
        match self.clock.release().zip(self.held_frame.take()) {
            Some((at_ms, held)) => self.write(now, at_ms, held),
            None => Ok(()),
        }
    }

    /// Writes a message at its output time.
    fn write(&mut self, now: Instant, at_ms: u64, arrival: Arrival) -> Result<(), EndCause> {
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
    fn note_first_frame(&mut self) {
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

    /// Whether to retry with a plain handshake: the server disconnected during a digest handshake,
    /// which very old servers lack. Silence is not a reason, and an encrypted session never
    /// becomes a plain one.
    pub(super) fn may_need_plain_handshake(&self, cause: &EndCause, session: &Config) -> bool {
        self.stage == Stage::Handshake
            && session.handshake == handshake::Mode::Auto
            && session.encryption == Encryption::None
            && cause.is_disconnect()
    }

    /// Whether the session failed right after a handshake in which the two sides may have derived
    /// different keys.
    pub(super) fn may_have_mismatched_keys(&self, cause: &EndCause, client: &Client) -> bool {
        self.stage == Stage::Connect && client.keys_may_differ() && failed_to_communicate(cause)
    }

    /// Whether to send one command at a time on a new connection: the server did not answer
    /// `connect` in a way that can be decoded. Some servers do not expect commands before their
    /// answer to `connect`. Different keys explain such a failure better.
    pub(super) fn may_need_serial_commands(&self, cause: &EndCause, client: &Client) -> bool {
        self.stage == Stage::Connect && !client.keys_may_differ() && failed_to_communicate(cause)
    }

    /// Whether the connection ended before the server started playback.
    pub(super) fn has_failed_before_playing(&self) -> bool {
        matches!(self.stage, Stage::Connect | Stage::Connected)
    }

    /// Whether the connection ended before the server accepted `connect` and played.
    pub(super) fn has_failed_to_start(&self) -> bool {
        self.stage < Stage::Playing
    }

    /// Whether the connection ended after the start of playback and before any audio or video.
    pub(super) fn has_failed_before_media(&self) -> bool {
        self.stage == Stage::Playing
    }

    /// Returns the facts from which the ending is judged.
    pub(super) fn facts(&self) -> Facts {
        let first_timestamp_ms = self.first_timestamp_ms.unwrap_or(0);
        Facts {
            is_live: self.is_live() || self.behaves_like_live(),
            is_recorded: self.is_recorded,
            is_connected: self.stage >= Stage::Connected,
            is_shaking_hands: self.stage == Stage::Handshake,
            is_playing: self.stage >= Stage::Playing,
            has_media: self.has_media,
            first_timestamp_ms: self.range.stream_position_ms(first_timestamp_ms),
            length_ms: self
                .clock
                .position_ms()
                .saturating_sub(self.range.output_start_ms(first_timestamp_ms)),
            // Until the stream contains the end of the existing recording, nothing counts as
            // complete.
            duration_ms: self
                .range
                .stream_end_ms(self.duration_ms)
                .filter(|_| self.resume_target().is_none()),
            frame_interval_ms: self.frame_interval.interval_ms(),
            timeouts: self.timeouts,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            frames: self.frames,
            video_frames: self.video_frames,
            received_bytes: self.received_bytes,
            bytes: self.output.totals().bytes,
            position_ms: match self.resume_target() {
                Some(recording) => recording.end_ms(),
                None => self.clock.position_ms(),
            },
            duration_ms: self.duration_ms,
            is_live: self.seems_live(),
            drops: self.output.drops(),
        }
    }

    fn count_bytes(&mut self, bytes: usize) {
        self.received_bytes = self.received_bytes.saturating_add(bytes as u64);
    }

    pub(super) fn report_progress(&mut self) {
        while let Some(range) = self.output.take_segment() {
            self.report.segment(&range);
        }
        let opened_files = self.output.opened_files();
        if opened_files != self.opened_files
            && let Some(path) = self.output.current_file()
        {
            self.opened_files = opened_files;
            self.report.file_opened(path);
        }
        while let Some(gap) = self.output.take_gap() {
            self.report.gap(&gap);
            self.gaps.push(gap);
        }
        if self.has_media {
            let progress = self.progress();
            self.report.progress(&progress);
        }
    }

    /// A stream that the server does not call recorded counts as live once media has arrived.
    fn is_live(&self) -> bool {
        let is_called_recorded = self.is_recorded || self.duration_ms.is_some();
        self.is_live_requested || self.has_media && !is_called_recorded
    }

    /// Whether the ending is judged like that of a live stream, whatever the server calls it. Some
    /// servers call every stream recorded, and encoders that play a file announce its duration.
    ///
    /// A recorded stream that arrives in real time from the start is judged the same, because the
    /// two cannot be distinguished.
    fn behaves_like_live(&self) -> bool {
        let has_duration = self.duration_ms.is_some();
        self.has_media && (self.is_published || !has_duration || self.arrival_speed.is_real_time())
    }

    /// Whether the stream is live as far as is known. Without an announcement, it counts as live until it
    /// arrives faster than it plays.
    fn seems_live(&self) -> bool {
        self.is_live() || self.is_published || !self.is_recorded && !self.arrival_speed.is_faster()
    }

    pub(super) fn has_media(&self) -> bool {
        self.has_media
    }

    /// Returns the tracks with frames that cannot be decoded.
    pub(super) fn missing_sequence_headers(&self) -> Vec<TagKind> {
        self.headers.missing()
    }
}

impl Limits {
    /// Time of the next check of `--until`. The system clock can be set and computers sleep, so the
    /// wait is split.
    fn deadline(&self) -> Option<Instant> {
        let left = self.until?.duration_since(jiff::Timestamp::now());
        let left = Duration::try_from(left).unwrap_or_default();
        Instant::now().checked_add(left.min(LONGEST_SLEEP))
    }
}

impl RequestedRange {
    fn of(job: &Job) -> Self {
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
    fn is_past_end(&self, at_ms: u64, first_timestamp_ms: u32) -> bool {
        let output_start_ms = self.output_start_ms(first_timestamp_ms);
        self.length_ms
            .is_some_and(|length_ms| at_ms.saturating_sub(output_start_ms) >= length_ms)
    }

    /// Output time of the first frame.
    fn output_start_ms(&self, first_timestamp_ms: u32) -> u64 {
        if self.keeps_timestamps {
            first_timestamp_ms.into()
        } else {
            0
        }
    }

    /// Position of the first frame in the stream. Some servers count from the requested start,
    /// others from the start of the stream.
    fn stream_position_ms(&self, first_timestamp_ms: u32) -> u64 {
        match u64::from(first_timestamp_ms) {
            first_ms if first_ms < self.start_ms / 2 => self.start_ms,
            first_ms => first_ms,
        }
    }

    /// Position at which the requested range ends in the stream, if the duration is known.
    fn stream_end_ms(&self, duration_ms: Option<u64>) -> Option<u64> {
        let duration_ms = duration_ms?;
        let end_ms = self
            .length_ms
            .map(|length_ms| self.start_ms.saturating_add(length_ms));
        Some(end_ms.map_or(duration_ms, |end_ms| end_ms.min(duration_ms)))
    }
}

/// Sends the final messages of a session, and closes its connection.
async fn close(mut connection: Connection, client: &mut Client) {
    client.close();
    if client.poll_transmit(&mut connection.outbox).is_ok() {
        connection.close().await;
    }
}

/// Replaces a close by the end that the server reported before, while the client waited for another
/// publisher.
fn reported_end(next: Next, client: &Client) -> Next {
    match (next, client.pending_end()) {
        (Next::Finish(EndCause::PeerClosed { .. } | EndCause::Broken(_)), Some(end)) => {
            EndCause::Session(end.clone()).into()
        }
        (next, _) => next,
    }
}

/// Replaces the cause of a handshake that ended while the line of a text answer was incomplete: the text
/// explains more than the silence or the closed connection.
fn name_text_answer(next: Next, stage: Stage, inbox: &[u8]) -> Next {
    let is_unanswered = match &next {
        Next::Finish(EndCause::PeerClosed { .. } | EndCause::Broken(_)) => {
            stage == Stage::Handshake
        }
        Next::Finish(EndCause::Session(End::TimedOut(Timeout::Handshake))) => true,
        _ => false,
    };
    match handshake::unfinished_text_answer(inbox) {
        Some(error) if is_unanswered => EndCause::Protocol(error.into()).into(),
        _ => next,
    }
}

/// Converts an announced duration from seconds to milliseconds. Live servers announce 0.
fn duration_ms(value: &Value) -> Option<u64> {
    let seconds = value.as_number()?;
    let is_plausible = seconds.is_finite() && seconds > 0.0 && seconds < MAX_DURATION_SECONDS;
    is_plausible.then(|| (seconds * 1000.0).round() as u64)
}

/// Whether the peer disconnected, sent bytes that are not chunks, or did not answer `connect`.
fn failed_to_communicate(cause: &EndCause) -> bool {
    matches!(
        cause,
        EndCause::PeerClosed { .. }
            | EndCause::Broken(_)
            | EndCause::Protocol(Error::Chunk(_))
            | EndCause::Session(End::TimedOut(Timeout::Connect))
    )
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Time after which a turn is interrupted to check the stop request, the limits and the timers.
const TURN_BUDGET: Duration = Duration::from_millis(50);

/// Longest sleep between two checks of the time of day.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// Largest plausible duration: a century.
const MAX_DURATION_SECONDS: f64 = 3.2e9;

#[cfg(test)]
mod tests;

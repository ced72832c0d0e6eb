//! The main loop: network → session → output, with timers and the stop request.

mod facts;
mod handover;
mod messages;
mod rejoin;
mod requested_range;
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
    facts::Stage,
    handover::Handover,
    rejoin::{RecordingHistory, Rejoin},
    requested_range::RequestedRange,
    sequence_headers::HeaderCheck,
    shared_pool::with_shared_pool,
    start_check::StartCheck,
};
pub(super) use self::{
    handover::{Move, PlayingConnection},
    stream_source::StreamSource,
};
use super::{
    Job, Limits, Report, SourceSwitch, Stop,
    admission::Permit,
    arrival_speed::ArrivalSpeed,
    connection::{Connection, Moved},
    frame_interval::FrameInterval,
    hint::{Attempted, Hint},
    outcome::EndCause,
    stream_format::FormatCheck,
    tracks::Tracks,
};
use crate::{
    core::{
        amf::Object,
        output_clock::OutputClock,
        payload::Payload,
        rejoin::matcher::Arrival,
        rtmp::{
            client::{
                Client, End, Timeout,
                config::{Connect, Start, Timeouts},
            },
            command::Redirect,
            handshake,
        },
    },
    output::{GapPolicy, Gaps, Tee},
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

#[cfg(test)]
mod tests;

//! The one loop: network → session → tags → output, with the timers and the user's wish to end.

mod rejoin;

use std::{
    convert::Infallible,
    pin::pin,
    time::{Duration, Instant},
};

use bytes::BytesMut;

use self::rejoin::{Memory, Search};
use super::frame_interval::Pace;
use super::{
    Job, Limits, Progress, Report, Stop,
    connection::{Connection, Moved},
    outcome::{EndCause, Facts},
    output_clock::OutputClock,
    rejoin::matcher::Arrival,
    retry::RetryPolicy,
};
use crate::output::Tee;
use crate::output::{GapPolicy, Gaps};
use crate::{
    core::{
        amf::{Object, Value},
        flv::FrameInfo,
        payload::Payload,
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
    },
    transport::Stream,
};

/// The output that is asked for.
fn output(job: &Job) -> Tee {
    let mut output = Tee::new(job.output.clone(), &job.parts, job.pipe.clone());
    output.set_file_options(job.file);
    if let Some(bytes) = job.limits.min_free {
        output.keep_free(bytes);
    }
    output
}

/// What follows one connection.
#[derive(Debug)]
pub(super) enum Next {
    /// The download is over.
    Finish(EndCause),
    /// Another connection, elsewhere.
    Follow(Redirect),
    /// Another connection to the same server, with a login.
    Reconnect(Box<Connect>),
    /// Another connection, with the stream from this place on.
    AskAgain { start_ms: u32 },
}

impl From<EndCause> for Next {
    fn from(last: EndCause) -> Self {
        Self::Finish(last)
    }
}

/// What outlives a connection: the output, its clock, and what is known of the stream.
pub(super) struct Pump<'a> {
    pub(super) output: Tee,
    pub(super) report: &'a mut dyn Report,
    timeline: OutputClock,
    is_live_wanted: bool,
    backlog_bytes: usize,
    is_recorded: bool,
    is_start_told: bool,
    first_timestamp_ms: Option<u32>,
    timeouts: Timeouts,
    frames: u64,
    duration_ms: Option<u64>,
    part: RequestedRange,
    limits: Limits,
    pace: Pace,
    reached: Reached,
    /// The time of day.
    wall: jiff::Timestamp,
    /// What was written, where the stream may have to be found again.
    memory: Option<Memory>,
    /// What the stream is held against, as long as it is not known where it goes on.
    search: Option<Search>,
    gap_policy: GapPolicy,
    gap_reason: String,
    gaps: Gaps,
    /// The stream's `onMetaData`, as long as it is not known which part it belongs to.
    held_metadata: Option<(Object, Payload)>,
    /// Whether this is not the first stream that is written.
    has_gone_on: bool,
}

/// What part of the stream is wanted.
#[derive(Debug)]
struct RequestedRange {
    start_ms: u64,
    length_ms: Option<u64>,
    keeps_timestamps: bool,
}

/// How far the last connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    Handshake,
    Connect,
    Connected,
    /// The server said that it plays.
    Playing,
}

impl<'a> Pump<'a> {
    pub(super) fn new(job: &Job, report: &'a mut dyn Report) -> Self {
        Self {
            output: output(job),
            report,
            timeline: OutputClock::new(job.keep_timestamps),
            is_live_wanted: job.session.start == Start::Live,
            backlog_bytes: job.backlog_bytes,
            is_recorded: false,
            is_start_told: false,
            first_timestamp_ms: None,
            timeouts: job.session.timeouts,
            frames: 0,
            duration_ms: None,
            part: RequestedRange::of(job),
            limits: job.limits,
            pace: Pace::default(),
            reached: Reached::Handshake,
            wall: jiff::Timestamp::now(),
            memory: (job.retry != RetryPolicy::default() || !job.session.republish_wait.is_zero())
                .then(Memory::default),
            search: None,
            gap_policy: job.gap,
            gap_reason: String::new(),
            gaps: Gaps::default(),
            held_metadata: None,
            has_gone_on: false,
        }
    }

    /// Plays over `stream` until something ends it.
    pub(super) async fn run(
        &mut self,
        stream: Stream,
        client: &mut Client,
        stop: &mut Stop,
    ) -> Next {
        self.reached = Reached::Handshake;
        let mut line = Connection::new(stream);
        let Err(next) = self.play(&mut line, client, stop).await;
        if self.reached == Reached::Handshake && !client.is_handshaking() {
            self.reached = Reached::Connect;
        }
        let next = told(next, client);
        client.close();
        if client.poll_transmit(&mut line.outbox).is_ok() {
            line.say_goodbye().await;
        }
        self.after_search(next)
    }

    /// Keeps the output going while there is no connection.
    pub(super) async fn meanwhile<T>(
        &mut self,
        work: impl Future<Output = T>,
        stop: &mut Stop,
    ) -> Result<T, EndCause> {
        let mut work = pin!(work);
        loop {
            let waits_for_reader = self.output.is_full() || self.output.is_behind();
            let deadline = earliest(self.output.deadline(), self.limits.deadline());
            tokio::select! {
                biased;
                () = stop.requested() => return Err(EndCause::Stopped),
                done = &mut work => return Ok(done),
                waited = self.output.wait_for_reader(), if waits_for_reader => {
                    waited.map_err(EndCause::Output)?;
                }
                () = sleep_until(deadline) => {}
            }
            let now = self.look_at_the_clock()?;
            self.output.flush_due(now).map_err(EndCause::Output)?;
        }
    }

    async fn play(
        &mut self,
        line: &mut Connection,
        client: &mut Client,
        stop: &mut Stop,
    ) -> Result<Infallible, Next> {
        loop {
            client
                .poll_transmit(&mut line.outbox)
                .map_err(EndCause::Protocol)?;
            // While a pipe's reader pauses nothing is read, and silence says nothing.
            let (is_full, is_behind) = (self.output.is_full(), self.output.is_behind());
            let session_deadline = client.poll_timeout().filter(|_| !is_full);
            let deadline = earliest(session_deadline, self.output.deadline());
            let deadline = earliest(deadline, self.limits.deadline());
            tokio::select! {
                biased;
                () = stop.requested() => return Err(EndCause::Stopped.into()),
                moved = line.exchange(!is_full) => {
                    if moved.map_err(EndCause::Broken)? == Moved::Closed {
                        let between_messages =
                            line.inbox.is_empty() && client.is_between_messages();
                        return Err(EndCause::PeerClosed { between_messages }.into());
                    }
                }
                waited = self.output.wait_for_reader(), if is_full || is_behind => {
                    waited.map_err(EndCause::Output)?;
                }
                () = sleep_until(deadline) => {}
            }
            if is_full && !self.output.is_full() {
                client.restart_media_timeouts(Instant::now());
            }
            self.turn(client, &mut line.inbox)?;
        }
    }

    /// Brings everything that has come to where it belongs, and acts on what is due.
    fn turn(&mut self, client: &mut Client, inbox: &mut BytesMut) -> Result<(), Next> {
        let now = self.look_at_the_clock()?;
        loop {
            let received = client.receive(now, inbox);
            let had_events = self.events(now, client)?;
            received.map_err(EndCause::Protocol)?;
            if !had_events {
                break;
            }
        }
        // A server that talks without end must not hide what does not come.
        let is_due = client
            .poll_timeout()
            .is_some_and(|deadline| deadline <= now);
        if is_due && !self.output.is_full() {
            client.handle_timeout(now);
            self.events(now, client)?;
        }
        self.report_progress();
        self.output.flush_due(now).map_err(EndCause::Output)?;
        Ok(())
    }

    /// Ends what is to end by now.
    fn look_at_the_clock(&mut self) -> Result<Instant, EndCause> {
        let now = Instant::now();
        self.wall = jiff::Timestamp::now();
        self.output.set_wall_clock(self.wall);
        if self.limits.until.is_some_and(|until| until <= self.wall) {
            return Err(EndCause::Limit);
        }
        self.output
            .check_free_space(now)
            .map_err(EndCause::Output)?;
        Ok(now)
    }

    /// Acts on all that the session has to say; tells whether that was anything.
    fn events(&mut self, now: Instant, client: &mut Client) -> Result<bool, Next> {
        let mut had_events = false;
        while let Some(event) = client.poll_event() {
            had_events = true;
            self.event(now, event)?;
            while let Some(payload) = self.output.take_spent() {
                client.recycle(payload);
            }
        }
        Ok(had_events)
    }

    fn event(&mut self, now: Instant, event: Event) -> Result<(), Next> {
        match event {
            Event::Media { message, info } => self.message(now, message, info)?,
            Event::Metadata { members, payload } => {
                self.metadata(now, members, payload)?;
            }
            Event::Connected => {
                self.reached = Reached::Connected;
                self.report.connected();
            }
            Event::Recorded => self.is_recorded = true,
            Event::Restarted => self.restart(),
            Event::Started => self.reached = Reached::Playing,
            Event::Redirected(redirect) => return Err(Next::Follow(redirect)),
            Event::Reconnect { connect } => return Err(Next::Reconnect(connect)),
            Event::Ended(end) => return Err(EndCause::Session(end).into()),
        }
        Ok(())
    }

    fn metadata(
        &mut self,
        now: Instant,
        members: Object,
        payload: Payload,
    ) -> Result<(), EndCause> {
        let duration_ms = members.get("duration").and_then(duration_ms);
        self.duration_ms = duration_ms.or(self.duration_ms);
        self.tell_start();
        self.report.metadata(&members);
        if self.is_split_to_come() {
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
        let at_ms = self.timeline.companion();
        if !self.fits(FrameInfo::SCRIPT, at_ms, &payload) {
            return Err(EndCause::Limit);
        }
        let written = self.output.metadata(now, at_ms, members, payload);
        written.map_err(EndCause::Output)
    }

    fn tell_start(&mut self) {
        if !self.is_start_told {
            self.is_start_told = true;
            if self.sought().is_some() {
                let progress = self.progress();
                self.report.resuming(&progress);
            } else {
                self.report.started(self.is_live_wanted);
            }
        }
    }

    /// The line that turns a message into a tag.
    fn message(&mut self, now: Instant, message: Message, info: FrameInfo) -> Result<(), EndCause> {
        self.frames += u64::from(info.carries_media);
        let arrival = Arrival {
            info,
            timestamp: message.timestamp,
            payload: message.payload,
        };
        match self.search {
            Some(_) => self.compare(now, arrival),
            None => self.take(now, arrival),
        }
    }

    /// Candidates a message on the output clock.
    fn take(&mut self, now: Instant, arrival: Arrival) -> Result<(), EndCause> {
        let info = arrival.info;
        let at_ms = if info.carries_media {
            self.tell_start();
            if self.first_timestamp_ms.is_none() {
                self.begin(arrival.timestamp);
            }
            self.timeline.frame(info.track, arrival.timestamp)
        } else {
            self.timeline.companion_of(info.track)
        };
        self.put(now, at_ms, arrival)
    }

    /// Writes a message at its place.
    fn put(&mut self, now: Instant, at_ms: u64, arrival: Arrival) -> Result<(), EndCause> {
        let Arrival { info, payload, .. } = arrival;
        if info.carries_media {
            if self
                .part
                .ends_by(at_ms, self.first_timestamp_ms.unwrap_or(0))
            {
                return Err(EndCause::Limit);
            }
            self.pace.frame(info.track, at_ms);
        } else if self.has_gone_on && self.output.has_sequence_header(info, &payload) {
            self.output.recycle(payload);
            return Ok(());
        }
        if !self.fits(info, at_ms, &payload) {
            return Err(EndCause::Limit);
        }
        if let Some(memory) = &mut self.memory {
            memory.note((now, self.wall), info, at_ms, &payload);
        }
        let written = self.output.media(now, info, at_ms, payload);
        written.map_err(EndCause::Output)
    }

    /// Takes note of the first frame, and of what kind of stream it is.
    fn begin(&mut self, timestamp: Timestamp) {
        self.first_timestamp_ms = Some(timestamp.0);
        if self.is_live() {
            self.output.allow_backlog(self.backlog_bytes);
        }
    }

    /// Whether the output stays within its size with this message.
    fn fits(&mut self, info: FrameInfo, at_ms: u64, payload: &Payload) -> bool {
        let most = self.limits.bytes;
        most.is_none_or(|most| self.output.bytes_with(info, at_ms, payload) <= most)
    }

    /// Whether the server closed during a digest handshake: very old ones know the plain one only. A
    /// silent server is not asked again, and an encrypted session does not become a plain one.
    pub(super) fn is_hung_up_on(&self, last: &EndCause, session: &Config) -> bool {
        self.reached == Reached::Handshake
            && session.handshake == handshake::Mode::Auto
            && session.encryption == Encryption::None
            && last.is_hung_up()
    }

    /// Whether nothing that made sense came behind a handshake whose keys the server may not share.
    pub(super) fn is_misunderstood(&self, last: &EndCause, client: &Client) -> bool {
        let makes_no_sense = matches!(
            last,
            EndCause::PeerClosed { .. }
                | EndCause::Broken(_)
                | EndCause::Protocol(Error::Chunk(_))
                | EndCause::Session(End::TimedOut(Timeout::Connect))
        );
        self.reached == Reached::Connect && client.keys_may_differ() && makes_no_sense
    }

    /// Whether the connection came no further than `connect`, and was not answered or not played to.
    pub(super) fn is_hung_up_on_connect(&self) -> bool {
        matches!(self.reached, Reached::Connect | Reached::Connected)
    }

    /// What is known of the stream.
    pub(super) fn facts(&self) -> Facts {
        let has_media = self.has_media();
        let first_timestamp_ms = self.first_timestamp_ms.unwrap_or(0);
        Facts {
            is_live: self.is_live(),
            is_connected: self.reached >= Reached::Connected,
            is_shaking_hands: self.reached == Reached::Handshake,
            is_playing: self.reached == Reached::Playing,
            has_media,
            first_timestamp_ms: self.part.place_of(first_timestamp_ms),
            length_ms: self
                .timeline
                .position_ms()
                .saturating_sub(self.part.begin_ms(first_timestamp_ms)),
            // As long as the end of a file was not met, nothing is complete.
            duration_ms: self
                .part
                .end_of(self.duration_ms)
                .filter(|_| self.sought().is_none()),
            frame_interval_ms: self.pace.interval_ms(),
            timeouts: self.timeouts,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            frames: self.frames,
            bytes: self.output.totals().bytes,
            position_ms: match self.sought() {
                Some(recording) => recording.end_ms(),
                None => self.timeline.position_ms(),
            },
            duration_ms: self.duration_ms,
        }
    }

    pub(super) fn report_progress(&mut self) {
        while let Some(part) = self.output.take_segment() {
            self.report.segment(&part);
        }
        while let Some(gap) = self.output.take_gap() {
            self.report.gap(&gap);
            self.gaps.push(gap);
        }
        if self.has_media() {
            let progress = self.progress();
            self.report.progress(&progress);
        }
    }

    /// A stream that nobody calls recorded is taken for a live one, once there is a stream.
    fn is_live(&self) -> bool {
        let is_called_recorded = self.is_recorded || self.duration_ms.is_some();
        self.is_live_wanted || self.has_media() && !is_called_recorded
    }

    pub(super) fn has_media(&self) -> bool {
        self.first_timestamp_ms.is_some()
    }
}

impl Limits {
    /// When to look whether the time has come. Clocks are set, and computers sleep: it is not waited for
    /// in one piece.
    fn deadline(&self) -> Option<Instant> {
        let left = self.until?.duration_since(jiff::Timestamp::now());
        let left = Duration::try_from(left).unwrap_or_default();
        Some(Instant::now() + left.min(LONGEST_SLEEP))
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

    /// Whether a frame at this place of the output is behind the part's end.
    fn ends_by(&self, at_ms: u64, first_timestamp_ms: u32) -> bool {
        let begin_ms = self.begin_ms(first_timestamp_ms);
        self.length_ms
            .is_some_and(|length_ms| at_ms.saturating_sub(begin_ms) >= length_ms)
    }

    /// Where in the output the first frame is.
    fn begin_ms(&self, first_timestamp_ms: u32) -> u64 {
        if self.keeps_timestamps {
            first_timestamp_ms.into()
        } else {
            0
        }
    }

    /// Where in the stream the first frame is. Some servers count from the start that was asked for,
    /// others from the stream's own beginning.
    fn place_of(&self, first_timestamp_ms: u32) -> u64 {
        match u64::from(first_timestamp_ms) {
            first_ms if first_ms < self.start_ms / 2 => self.start_ms,
            first_ms => first_ms,
        }
    }

    /// Where in the stream the part ends, if anybody knows.
    fn end_of(&self, duration_ms: Option<u64>) -> Option<u64> {
        let duration_ms = duration_ms?;
        let end_ms = self.length_ms.map(|length_ms| self.start_ms + length_ms);
        Some(end_ms.map_or(duration_ms, |end_ms| end_ms.min(duration_ms)))
    }
}

/// A connection that closes while another publisher is waited for ended with what was told before.
fn told(next: Next, client: &Client) -> Next {
    match (next, client.pending_end()) {
        (Next::Finish(EndCause::PeerClosed { .. } | EndCause::Broken(_)), Some(end)) => {
            EndCause::Session(end.clone()).into()
        }
        (next, _) => next,
    }
}

/// A claimed duration in seconds, as milliseconds. 0 is what live servers send.
fn duration_ms(value: &Value) -> Option<u64> {
    let seconds = value.as_number()?;
    let is_plausible = seconds.is_finite() && seconds > 0.0 && seconds < MAX_DURATION_SECONDS;
    is_plausible.then(|| (seconds * 1000.0).round() as u64)
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

/// How long the time of day is not looked at.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// A century: longer durations are nonsense.
const MAX_DURATION_SECONDS: f64 = 3.2e9;

#[cfg(test)]
mod tests;

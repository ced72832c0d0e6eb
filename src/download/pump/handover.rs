//! Moves a playing stream to a new connection at the server's request (E-RTMP "Reconnect Request").
//!
//! The old connection plays until the new one has sent the frames that continue the recording:
//!
//! ```text
//! Idle ── request ──▶ Requested ── media, back-off over ──▶ Dialing ── connected ──▶ Seeking
//!                                                                                     │  ▲
//!        moved ◀── last written frame ── Joining ◀── written frame recognized ────────┘  │
//!                                           └───────────────── no match ─────────────────┘
//! ```
//!
//! - *Seeking* reads both connections. Frames of the old one are written, and those of the new one are
//!   collected until one of them is among the written frames.
//! - *Joining* does not read the old connection, so its frames wait in TCP buffers and the recording
//!   does not grow. The new connection reaches the end of the recording, and its next frame continues
//!   it. A recorded stream starts here, because the new connection could never catch up with an old one
//!   that is sent as fast as possible.
//!
//! If the new connection fails or does not match in time, the old one continues. If the old one ends
//! first, the new one replaces it as after a lost connection.

use std::{
    convert::Infallible,
    fmt, io, mem,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::rngs::StdRng;

use super::{
    Next, Pump, StreamSource, earliest,
    first_source::{FirstSource, Proof, RETURN_REASON},
    rejoin::RecordingHistory,
};
use crate::{
    core::{
        amf::Object,
        payload::Payload,
        rejoin::matcher::{Arrival, MIN_RUN, MatchPoint, Matcher, Verdict},
        rtmp::{
            client::{
                Client, End, Event,
                config::{Config, Connect, Start},
            },
            command::{ReconnectRequest, Redirect},
        },
    },
    download::{
        Reconnect, ReconnectState, SourceSwitch,
        attempts::{MAX_HOPS, starting_at},
        capture,
        connection::{Connection, Moved},
        outcome::{EndCause, Facts, judge},
        redirect::{follow, reconnect},
        tracks::Tracks,
    },
    transport::{DialError, DialFacts, Route, Stream},
};

/// The move to a requested connection.
#[derive(Debug, Default)]
pub(super) struct Handover {
    phase: Phase,
    /// A received request that is not handled yet.
    request: Option<ReconnectRequest>,
    limit: RequestLimit,
    /// The first source, while a fallback is in use.
    pub(super) first_source: Option<Box<FirstSource>>,
    /// Route and session that the latest valid request named.
    relocation: Option<Box<(Route, Arc<Config>)>>,
}

/// Progress of a move.
#[derive(Debug, Default)]
pub(super) enum Phase {
    #[default]
    Idle,
    /// The connection will be made once media arrives and the back-off is over.
    Requested(Box<Plan>),
    Dialing(Box<Plan>, Dial),
    /// The first source plays beside a fallback, and must prove that it continues to play.
    Proving(Box<NewConnection>, Proof),
    /// The first source replaces the fallback at its next keyframe.
    Keyframe(Box<NewConnection>),
    /// Both connections are read.
    Seeking(Box<NewConnection>, Backlog),
    /// Only the new connection is read.
    Joining(Box<NewConnection>, Join),
}

/// A requested connection.
#[derive(Debug)]
pub(super) struct Plan {
    request: ReconnectRequest,
    /// Whether the connection returns from a fallback to the first source.
    is_return: bool,
    route: Route,
    /// Configuration without the answer to a login request.
    session: Arc<Config>,
    /// The answer to a login request of the new server.
    login: Option<Connect>,
    /// Number of followed redirects and logins.
    hops: u32,
    /// End of the back-off.
    start: Instant,
    /// End of the time to find a match.
    pub(super) until: Instant,
}

/// A connection that is being made.
pub(super) struct Dial(Pin<Box<dyn Future<Output = Dialed>>>);

/// Result of a dial, and its facts.
#[derive(Debug)]
pub(super) struct Dialed(Result<Stream, DialError>, Box<DialFacts>);

/// A connection that does not continue the recording yet.
#[derive(Debug)]
pub(super) struct NewConnection {
    pub(super) plan: Plan,
    config: Arc<Config>,
    connection: Connection,
    client: Client,
    tracks: Tracks,
    /// The latest metadata.
    metadata: Option<(Object, Payload)>,
    /// A request of the new server, which is handled after the move.
    request: Option<ReconnectRequest>,
    /// Arrival of the first frame.
    first_frame: Option<Instant>,
    /// Sequence headers for the keyframe at which the first source replaces a fallback.
    pub(super) headers: Vec<Arrival>,
    /// Whether the first source has sent pictures.
    pub(super) has_video: bool,
}

/// Messages of the new connection that were not recognized.
#[derive(Debug)]
pub(super) struct Backlog {
    arrivals: Vec<Arrival>,
    bytes: usize,
    /// Time of the next comparison with the recording.
    next_search: Instant,
}

/// A comparison with the end of the recording.
#[derive(Debug)]
pub(super) struct Join {
    matcher: Box<Matcher>,
    until: Instant,
}

/// An event on the new connection.
#[derive(Debug)]
pub(super) enum Step {
    Dialed(Dialed),
    Moved(io::Result<Moved>),
}

/// Result of the received messages of the new connection.
pub(super) enum Received {
    /// All messages were handled.
    All,
    /// The caller takes no more messages for now.
    Enough,
    Login(Box<Connect>),
    Redirect(Redirect),
}

/// The state after a step.
pub(super) enum Advance {
    To(Phase),
    /// The recording continues at the match point, and then with the further messages.
    Match(Box<NewConnection>, Box<MatchPoint>, Vec<Arrival>),
    /// The old connection is silent, so the new one replaces it without a match.
    Replace(Box<NewConnection>, Vec<Arrival>),
}

/// The connection with which the download continues.
#[derive(Debug)]
pub(in crate::download) struct Move {
    pub(in crate::download) route: Route,
    /// Configuration without the answer to a login request.
    pub(in crate::download) session: Arc<Config>,
    /// Time at which to connect, if nothing is playing.
    pub(in crate::download) start: Instant,
    /// The new connection, if it has sent frames.
    pub(in crate::download) playing: Option<Box<PlayingConnection>>,
    /// The end of the old connection, if it ended before the move.
    pub(in crate::download) cause: Option<EndCause>,
    /// Whether the recording returns from a fallback to the first source.
    pub(in crate::download) is_return: bool,
}

/// A connection and its session.
#[derive(Debug)]
pub(in crate::download) struct PlayingConnection {
    pub(in crate::download) connection: Connection,
    pub(in crate::download) client: Client,
    pub(in crate::download) config: Arc<Config>,
}

/// The limit on requests that follow each other closely.
#[derive(Debug, Default)]
struct RequestLimit {
    /// Number of requests since the last quiet period.
    count: u32,
    latest: Option<Instant>,
}

impl RequestLimit {
    /// Counts a request. Returns the time at which to obey it: at once for the first one, then after 1,
    /// 2, 4 … 64 s. Returns `None` if there were too many requests.
    fn admit(&mut self, now: Instant) -> Option<Instant> {
        let quiet = self.latest.map(|at| now.saturating_duration_since(at));
        if quiet.is_none_or(|quiet| quiet >= QUIET_PERIOD) {
            self.count = 0;
        }
        self.latest = Some(now);
        self.count = self.count.saturating_add(1);
        match self.count {
            1 => Some(now),
            count @ ..=MAX_REQUESTS => {
                let pause = Duration::from_secs(1 << count.saturating_sub(2));
                now.checked_add(pause)
            }
            _ => None,
        }
    }
}

impl Handover {
    /// Stores a request of the server. A later request replaces an earlier one.
    pub(super) fn note(&mut self, request: ReconnectRequest) {
        self.request = Some(request);
    }

    /// Whether the old connection must not be read.
    pub(super) fn is_joining(&self) -> bool {
        matches!(self.phase, Phase::Joining(..))
    }

    /// Time of the next call of [`Pump::advance_handover`] without a step.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Idle => self.first_source.as_ref()?.deadline(),
            // Once the back-off is over, media on the old connection starts the move.
            Phase::Requested(plan) => Some(plan.start).filter(|start| *start > Instant::now()),
            Phase::Dialing(plan, _) => Some(plan.until),
            Phase::Proving(new, proof) => {
                let return_after = self.first_source.as_deref().map(FirstSource::return_after);
                let proven = return_after.and_then(|after| proof.complete_at(after));
                earliest(proven.or(Some(new.plan.until)), new.client.poll_timeout())
            }
            Phase::Keyframe(new) => new.client.poll_timeout(),
            Phase::Seeking(new, _) => earliest(Some(new.plan.until), new.client.poll_timeout()),
            Phase::Joining(new, join) => earliest(Some(join.until), new.client.poll_timeout()),
        }
    }

    /// Waits for an event on the new connection. Cancelling loses nothing.
    pub(super) async fn step(&mut self) -> Step {
        match &mut self.phase {
            Phase::Idle | Phase::Requested(_) => std::future::pending().await,
            Phase::Dialing(_, dial) => Step::Dialed(dial.0.as_mut().await),
            Phase::Proving(new, _)
            | Phase::Keyframe(new)
            | Phase::Seeking(new, _)
            | Phase::Joining(new, _) => Step::Moved(new.connection.exchange(true).await),
        }
    }

    /// Returns the request that is being obeyed.
    fn current_request(&self) -> Option<&ReconnectRequest> {
        match &self.phase {
            Phase::Idle => None,
            phase => phase.plan().map(|plan| &plan.request),
        }
    }

    /// Whether a connection to the first source is in progress.
    fn is_returning(&self) -> bool {
        self.phase.plan().is_some_and(|plan| plan.is_return)
    }
}

impl Pump<'_> {
    /// Handles a request of the server, an event on the new connection, and what is due. Returns the
    /// move once the recording continues with the new connection.
    pub(super) fn advance_handover(
        &mut self,
        step: Option<Step>,
        source: &StreamSource<'_>,
    ) -> Result<(), Next> {
        if let Some(request) = self.handover.request.take() {
            self.plan_handover(request, source);
        }
        let mut phase = mem::take(&mut self.handover.phase);
        if matches!(phase, Phase::Idle)
            && self.handover.first_source.is_some()
            && let Some(probe) = self.probe_first_source(Instant::now(), source)
        {
            phase = probe;
        }
        let Some(plan) = phase.plan() else {
            return Ok(());
        };
        let is_return = plan.is_return;
        let endpoint = plan.route.endpoint.clone();
        let now = Instant::now();
        match self.next_phase(now, phase, step, source) {
            Ok(Advance::To(phase)) => self.handover.phase = phase,
            Ok(Advance::Match(new, match_point, rest)) => {
                self.note_return(&new.plan);
                let Err(next) = self.switch(now, *new, *match_point, rest);
                return Err(next);
            }
            Ok(Advance::Replace(new, arrivals)) => {
                self.note_return(&new.plan);
                return Err(self.replace(now, *new, arrivals, None));
            }
            Err(reason) if is_return => self.first_source_failed(now, &reason),
            Err(reason) => {
                tracing::warn!(
                    "the requested connection to {endpoint} failed, so the old one continues: {reason}"
                );
                self.report.reconnect(&Reconnect {
                    state: ReconnectState::Failed,
                    endpoint,
                    reason,
                });
            }
        }
        Ok(())
    }

    /// Returns the route and the session of the latest request, for later connections.
    pub(in crate::download) fn relocation(&self) -> Option<&(Route, Arc<Config>)> {
        self.handover.relocation.as_deref()
    }

    /// Lets later connections use the original route again.
    pub(in crate::download) fn forget_relocation(&mut self) {
        self.handover.relocation = None;
    }

    /// Ends a move if the download does not continue with it. Returns the new connection.
    pub(super) fn cancel_handover(&mut self, next: &Next) -> Option<Box<(Connection, Client)>> {
        let may_move = match next {
            Next::Move(_) => true,
            Next::Finish(cause) => self.may_move_after(cause),
            Next::Follow(_) | Next::LogIn(_) | Next::PlayFrom { .. } => false,
        };
        if may_move {
            return None;
        }
        match mem::take(&mut self.handover.phase) {
            Phase::Proving(new, _)
            | Phase::Keyframe(new)
            | Phase::Seeking(new, _)
            | Phase::Joining(new, _) => Some(Box::new((new.connection, new.client))),
            Phase::Idle | Phase::Requested(_) | Phase::Dialing(..) => None,
        }
    }

    /// Continues with the requested connection if the old one ended before the move.
    pub(super) fn move_after_end(&mut self, next: Next) -> Next {
        let cause = match next {
            Next::Finish(cause) if self.may_move_after(&cause) => cause,
            next => return next,
        };
        let now = Instant::now();
        match mem::take(&mut self.handover.phase) {
            Phase::Idle | Phase::Proving(..) | Phase::Keyframe(_) => cause.into(),
            Phase::Requested(plan) | Phase::Dialing(plan, _) => {
                self.rejoin_after(&reason(&plan.request));
                plan.into_move(cause)
            }
            Phase::Seeking(new, backlog) => self.replace(now, *new, backlog.arrivals, Some(cause)),
            Phase::Joining(new, join) => {
                let arrivals = join.matcher.into_held().collect();
                self.replace(now, *new, arrivals, Some(cause))
            }
        }
    }

    /// Whether the requested connection may continue the stream after this end of the old one.
    fn may_move_after(&self, cause: &EndCause) -> bool {
        match cause {
            // The next source in turn takes over.
            _ if self.handover.is_returning() => false,
            EndCause::PeerClosed { .. } | EndCause::Broken(_) | EndCause::Protocol(_) => true,
            EndCause::Session(End::Closed(_) | End::TimedOut(_)) => true,
            // The publisher may have moved, too.
            EndCause::Session(End::Unpublished(_)) => match &self.handover.phase {
                Phase::Seeking(new, _) | Phase::Joining(new, _) => {
                    self.is_silent_since(new.first_frame)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Checks a request, and plans the connection.
    fn plan_handover(&mut self, request: ReconnectRequest, source: &StreamSource<'_>) {
        if self.handover.current_request() == Some(&request) {
            tracing::debug!("the server repeats its request for a new connection");
            return;
        }
        let now = Instant::now();
        let Some(start) = self.handover.limit.admit(now) else {
            tracing::debug!("the server requests new connections too often: ignoring the request");
            return;
        };
        match reconnect(&request, source.session_without_login, source.route) {
            Ok((route, session)) => {
                let session = Arc::new(session);
                tracing::info!(
                    "the server requests a new connection to {}: {}",
                    session.connect.tc_url,
                    reason(&request)
                );
                let wait = start.saturating_duration_since(now);
                if !wait.is_zero() {
                    tracing::info!(
                        "the request is repeated: connecting in {} s",
                        wait.as_secs()
                    );
                }
                if request.tc_url.is_some() {
                    self.handover.relocation =
                        Some(Box::new((route.clone(), Arc::clone(&session))));
                }
                // A recording without retries does not keep the frames that the search needs.
                let frames = self.history_frames;
                let create = || RecordingHistory::from_now(frames);
                self.history.get_or_insert_with(create);
                self.handover.phase = Phase::Requested(Box::new(Plan {
                    request,
                    is_return: false,
                    route,
                    session,
                    login: None,
                    hops: 0,
                    start,
                    until: start,
                }));
            }
            Err(why) => tracing::warn!("the request for a new connection is ignored: {why}"),
        }
    }

    fn next_phase(
        &mut self,
        now: Instant,
        phase: Phase,
        step: Option<Step>,
        source: &StreamSource<'_>,
    ) -> Result<Advance, String> {
        match (phase, step) {
            (Phase::Requested(plan), _) if now >= plan.start && self.can_hand_over() => {
                self.report.reconnect(&Reconnect {
                    state: ReconnectState::Started,
                    endpoint: plan.route.endpoint.clone(),
                    reason: reason(&plan.request),
                });
                let until = now.checked_add(MATCH_LIMIT).unwrap_or(now);
                Ok(Advance::To(dial(Plan { until, ..*plan }, source)))
            }
            (Phase::Dialing(plan, _), Some(Step::Dialed(Dialed(dialed, facts)))) => {
                self.report.dialed(&plan.route, &facts);
                let stream = dialed.map_err(|error| error.to_string())?;
                Ok(Advance::To(self.open(now, *plan, stream, source)))
            }
            (Phase::Dialing(plan, _), _) if now >= plan.until => {
                Err("connecting takes too long".to_owned())
            }
            (phase @ (Phase::Idle | Phase::Requested(_) | Phase::Dialing(..)), _) => {
                Ok(Advance::To(phase))
            }
            (Phase::Proving(new, proof), step) => self.prove(now, new, proof, step, source),
            (Phase::Keyframe(new), step) => self.await_keyframe(now, new, step),
            (Phase::Seeking(new, backlog), step) => self.seek(now, new, backlog, step, source),
            (Phase::Joining(new, join), step) => self.join_end(now, new, join, step, source),
        }
    }

    /// Whether the recording contains frames that the new connection can repeat, and continues with
    /// the frames of the old connection.
    pub(super) fn can_hand_over(&self) -> bool {
        let written = self.history.as_ref();
        let written = written.map_or(0, |history| history.recording.frames());
        // A recorded stream is requested from a position before these frames.
        let least = if self.is_live() { 1 } else { 2 * MIN_RUN };
        self.has_media && self.rejoin.is_none() && written >= least
    }

    /// Starts the session on a new connection.
    fn open(&self, now: Instant, plan: Plan, stream: Stream, source: &StreamSource<'_>) -> Phase {
        let is_live = self.is_live();
        let mut config = Config::clone(&plan.session);
        if let Some((start_ms, passed_ms)) = self.handover_start_ms().filter(|_| !is_live) {
            let rest_ms = |length_ms: u32| length_ms.saturating_sub(passed_ms);
            config.start = Start::At { ms: start_ms };
            config.length_ms = config.length_ms.map(rest_ms);
        }
        // The old connection plays meanwhile, so a second round trip costs nothing, and every server
        // can handle it.
        config.pipelining = false;
        if let Some(login) = &plan.login {
            config.connect.clone_from(login);
        }
        let mut rng: StdRng = rand::make_rng();
        let config = Arc::new(config);
        let mut client = Client::new(Arc::clone(&config), now, &mut rng);
        capture::observe(source.capture, &mut client);
        if self.reports_messages {
            client.keep_answers();
        }
        let mut new = Box::new(NewConnection {
            connection: Connection::new(stream),
            client,
            plan,
            config,
            tracks: self.tracks.new_filter(),
            metadata: None,
            request: None,
            first_frame: None,
            headers: Vec::new(),
            has_video: false,
        });
        if new
            .client
            .poll_transmit(&mut new.connection.outbox)
            .is_err()
        {
            tracing::debug!("cannot send the first handshake bytes");
        }
        match &self.history {
            _ if new.plan.is_return => Phase::Proving(new, Proof::new()),
            Some(history) if !is_live => {
                let matcher = Box::new(history.recording.second_connection_matcher());
                let until = now.checked_add(JOIN_LIMIT).unwrap_or(now);
                Phase::Joining(new, Join { matcher, until })
            }
            _ => Phase::Seeking(new, Backlog::new(Vec::new(), now)),
        }
    }

    /// Position from which to request a recorded stream, and the length of the recording up to there,
    /// in milliseconds.
    fn handover_start_ms(&self) -> Option<(u32, u32)> {
        let recording = &self.history.as_ref()?.recording;
        let keyframe_ms = recording
            .starts(0)
            .into_iter()
            .find(|start_ms| *start_ms > 0);
        // Without a keyframe among the remembered frames, servers start at the one before them.
        let output_ms = keyframe_ms.map_or_else(|| recording.first_ms(), u64::from);
        let first_timestamp_ms = self.first_timestamp_ms.unwrap_or(0);
        let passed_ms = output_ms.saturating_sub(self.range.output_start_ms(first_timestamp_ms));
        let position_ms = self
            .range
            .stream_position_ms(first_timestamp_ms)
            .saturating_add(passed_ms);
        Some((
            u32::try_from(position_ms).unwrap_or(u32::MAX),
            u32::try_from(passed_ms).unwrap_or(u32::MAX),
        ))
    }

    /// Collects messages of the new connection, and compares them with the recording at intervals.
    fn seek(
        &self,
        now: Instant,
        mut new: Box<NewConnection>,
        mut backlog: Backlog,
        step: Option<Step>,
        source: &StreamSource<'_>,
    ) -> Result<Advance, String> {
        let received = new.receive(now, &mut |arrival| {
            backlog.push(arrival);
            false
        })?;
        new.check_step(step)?;
        if let Received::Login(_) | Received::Redirect(_) = received {
            return Ok(Advance::To(new.plan.follow(received, source)?));
        }
        if backlog.bytes > MAX_BACKLOG_BYTES {
            return Err("it sends frames of another time, or another stream".to_owned());
        }
        if now >= new.plan.until {
            if new.plan.is_return {
                for arrival in backlog.arrivals {
                    new.client.recycle(arrival.payload);
                }
                return Ok(Advance::To(Phase::Keyframe(new)));
            }
            if self.is_silent_since(new.first_frame) {
                return Ok(Advance::Replace(new, backlog.arrivals));
            }
            return Err(NO_MATCH.to_owned());
        }
        let history = self.history.as_ref().filter(|_| self.rejoin.is_none());
        let Some(history) = history.filter(|_| backlog.bytes > 0 && now >= backlog.next_search)
        else {
            return Ok(Advance::To(Phase::Seeking(new, backlog)));
        };
        let mut matcher = history.recording.second_connection_matcher();
        let mut arrivals = backlog.arrivals.into_iter();
        while let Some(arrival) = arrivals.next() {
            match matcher.offer(arrival) {
                Verdict::Matched(match_point) => {
                    return Ok(Advance::Match(new, match_point, arrivals.collect()));
                }
                Verdict::NoMatch => {
                    // The old connection continues, so that a later comparison finds more frames.
                    let arrivals = matcher.into_held().chain(arrivals).collect();
                    return Ok(Advance::To(Phase::Seeking(
                        new,
                        Backlog::new(arrivals, now),
                    )));
                }
                Verdict::Undecided | Verdict::AlreadyWritten(_) => {}
            }
        }
        Ok(Advance::To(if matcher.is_running() {
            let matcher = Box::new(matcher);
            let until = now.checked_add(JOIN_LIMIT).unwrap_or(now);
            Phase::Joining(new, Join { matcher, until })
        } else {
            Phase::Seeking(new, Backlog::new(matcher.into_held().collect(), now))
        }))
    }

    /// Compares the messages of the new connection with the end of the recording.
    fn join_end(
        &self,
        now: Instant,
        mut new: Box<NewConnection>,
        mut join: Join,
        step: Option<Step>,
        source: &StreamSource<'_>,
    ) -> Result<Advance, String> {
        let mut verdict = Verdict::Undecided;
        let received = new.receive(now, &mut |arrival| {
            verdict = join.matcher.offer(arrival);
            matches!(verdict, Verdict::Matched(_) | Verdict::NoMatch)
        })?;
        match verdict {
            Verdict::Matched(match_point) => {
                return Ok(Advance::Match(new, match_point, Vec::new()));
            }
            Verdict::NoMatch => {
                let backlog = Backlog::new(join.matcher.into_held().collect(), now);
                return self.seek(now, new, backlog, step, source);
            }
            Verdict::Undecided | Verdict::AlreadyWritten(_) => {}
        }
        new.check_step(step)?;
        if let Received::Login(_) | Received::Redirect(_) = received {
            return Ok(Advance::To(new.plan.follow(received, source)?));
        }
        if now >= join.until {
            return Err(NO_MATCH.to_owned());
        }
        Ok(Advance::To(Phase::Joining(new, join)))
    }

    /// Whether the old connection has sent no frame since the new one sent its first.
    fn is_silent_since(&self, first_frame: Option<Instant>) -> bool {
        let latest = self.history.as_ref().and_then(|history| history.latest);
        let latest = latest.map(|(at, _)| at);
        first_frame.is_some_and(|first| latest.is_none_or(|latest| latest < first))
    }

    /// Continues the recording with the new connection, from the match point on.
    fn switch(
        &mut self,
        now: Instant,
        new: NewConnection,
        match_point: MatchPoint,
        rest: Vec<Arrival>,
    ) -> Result<Infallible, Next> {
        // The new connection repeats a frame that is not written yet.
        if let Some(held) = self.held_frame.take() {
            self.output.recycle(held.payload);
        }
        self.rejoin = None;
        self.join(now, match_point)?;
        for arrival in rest {
            self.assign_time(now, arrival)?;
        }
        Err(self.move_to(now, new, None)?)
    }

    /// Continues the recording with the new connection as after a lost connection.
    fn replace(
        &mut self,
        now: Instant,
        new: NewConnection,
        arrivals: Vec<Arrival>,
        cause: Option<EndCause>,
    ) -> Next {
        self.rejoin_after(&reason(&new.plan.request));
        if new.first_frame.is_none() || self.resume_start_ms().is_some() {
            let cause = cause.unwrap_or(EndCause::NoMatch);
            return Box::new(new.plan).into_move(cause);
        }
        if self.rejoin.is_none() {
            self.clock.restart();
        }
        let continued = arrivals
            .into_iter()
            .try_for_each(|arrival| match self.rejoin {
                Some(_) => self.match_arrival(now, arrival),
                None => self.assign_time(now, arrival),
            });
        match continued.and_then(|()| self.move_to(now, new, cause)) {
            Ok(next) => next,
            Err(cause) => cause.into(),
        }
    }

    fn move_to(
        &mut self,
        now: Instant,
        new: NewConnection,
        cause: Option<EndCause>,
    ) -> Result<Next, EndCause> {
        if let Some((members, payload)) = new.metadata {
            self.metadata(now, members, payload)?;
        }
        let (route, is_return) = (new.plan.route, new.plan.is_return);
        if !is_return {
            tracing::info!("moved to the requested connection to {}", route.endpoint);
            self.report.reconnect(&Reconnect {
                state: ReconnectState::Moved,
                endpoint: route.endpoint.clone(),
                reason: reason(&new.plan.request),
            });
        }
        self.handover.request = new.request;
        Ok(Next::Move(Box::new(Move {
            route,
            session: new.plan.session,
            start: now,
            playing: Some(Box::new(PlayingConnection {
                connection: new.connection,
                client: new.client,
                config: new.config,
            })),
            cause,
            is_return,
        })))
    }

    /// Notes the switch to the first source, before its first frame is written.
    fn note_return(&mut self, plan: &Plan) {
        if plan.is_return {
            self.handover.first_source = None;
            self.note_source_switch(SourceSwitch {
                number: 1,
                endpoint: plan.route.endpoint.clone(),
                reason: RETURN_REASON.to_owned(),
                gap_ms: None,
            });
        }
    }

    /// Returns the session that requests the rest of a recorded stream while a resume is in progress.
    pub(in crate::download) fn resuming_session(&self, session: &Arc<Config>) -> Arc<Config> {
        match self.resume_start_ms() {
            Some(start_ms) => Arc::new(starting_at(start_ms, session)),
            None => Arc::clone(session),
        }
    }
}

impl Phase {
    /// Returns the connection that is in progress.
    fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Idle => None,
            Self::Requested(plan) | Self::Dialing(plan, _) => Some(plan),
            Self::Proving(new, _)
            | Self::Keyframe(new)
            | Self::Seeking(new, _)
            | Self::Joining(new, _) => Some(&new.plan),
        }
    }
}

impl Plan {
    /// Plans a connection to the first source while a fallback plays.
    pub(super) fn to_first_source(
        request: ReconnectRequest,
        route: Route,
        session: Arc<Config>,
        start: Instant,
        until: Instant,
    ) -> Self {
        Self {
            request,
            is_return: true,
            route,
            session,
            login: None,
            hops: 0,
            start,
            until,
        }
    }

    /// Follows a redirect or a login request of the new server.
    pub(super) fn follow(
        mut self,
        received: Received,
        source: &StreamSource<'_>,
    ) -> Result<Phase, String> {
        if self.hops == MAX_HOPS {
            return Err(format!("redirected more than {MAX_HOPS} times"));
        }
        self.hops = self.hops.saturating_add(1);
        match received {
            Received::Login(connect) => self.login = Some(*connect),
            Received::Redirect(redirect) => {
                self.login = None;
                let (route, session) = follow(&redirect, &self.session, &self.route)?;
                (self.route, self.session) = (route, Arc::new(session));
            }
            Received::All | Received::Enough => {}
        }
        Ok(dial(self, source))
    }

    fn into_move(self: Box<Self>, cause: EndCause) -> Next {
        Next::Move(Box::new(Move {
            route: self.route,
            session: self.session,
            start: self.start,
            playing: None,
            cause: Some(cause),
            is_return: self.is_return,
        }))
    }
}

impl NewConnection {
    /// Returns the payload of a message that is not used.
    pub(super) fn recycle(&mut self, payload: Payload) {
        self.client.recycle(payload);
    }

    /// Handles the received messages and timers. Passes media to `take` until it returns true.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        take: &mut impl FnMut(Arrival) -> bool,
    ) -> Result<Received, String> {
        if self.client.poll_timeout().is_some_and(|at| at <= now) {
            self.client.handle_timeout(now);
        }
        loop {
            let received = self.client.receive(now, &mut self.connection.inbox);
            let mut had_events = false;
            while let Some(event) = self.client.poll_event() {
                had_events = true;
                match event {
                    Event::Media { mut message, info } => {
                        let Some(info) = self.tracks.select(info, &mut message.payload) else {
                            self.client.recycle(message.payload);
                            continue;
                        };
                        if info.carries_media {
                            self.first_frame.get_or_insert(now);
                        }
                        let is_enough = take(Arrival {
                            at: now,
                            info,
                            timestamp: message.timestamp,
                            payload: message.payload,
                        });
                        if is_enough {
                            return Ok(Received::Enough);
                        }
                    }
                    Event::Metadata {
                        members, payload, ..
                    } => {
                        self.metadata = Some((members, payload));
                    }
                    Event::ReconnectRequested(request) => self.request = Some(request),
                    Event::LoginRequired { connect } => return Ok(Received::Login(connect)),
                    Event::Redirected(redirect) => return Ok(Received::Redirect(redirect)),
                    Event::Ended(end) => return Err(self.describe(end)),
                    Event::Connected
                    | Event::Recorded
                    | Event::Published
                    | Event::Started
                    | Event::Restarted => {}
                }
            }
            received.map_err(|error| error.to_string())?;
            if !had_events {
                break;
            }
        }
        let sent = self.client.poll_transmit(&mut self.connection.outbox);
        sent.map_err(|error| error.to_string())?;
        Ok(Received::All)
    }

    /// Returns an error if the connection has ended. Call it after the received messages are handled.
    pub(super) fn check_step(&self, step: Option<Step>) -> Result<(), String> {
        match step {
            Some(Step::Moved(Ok(Moved::Closed))) => {
                Err("the server closed the connection".to_owned())
            }
            Some(Step::Moved(Err(error))) => Err(format!("the connection broke: {error}")),
            Some(Step::Moved(Ok(Moved::Bytes)) | Step::Dialed(_)) | None => Ok(()),
        }
    }

    /// Returns the reason for the end of the session.
    fn describe(&self, end: End) -> String {
        let facts = Facts {
            is_connected: true,
            timeouts: self.config.timeouts,
            ..Facts::default()
        };
        judge(&EndCause::Session(end), &facts).1
    }
}

impl Backlog {
    pub(super) fn new(arrivals: Vec<Arrival>, now: Instant) -> Self {
        let bytes = arrivals.iter().map(size).sum();
        // The first comparison follows the first message.
        let pause = if arrivals.is_empty() {
            Duration::ZERO
        } else {
            SEARCH_INTERVAL
        };
        Self {
            arrivals,
            bytes,
            next_search: now.checked_add(pause).unwrap_or(now),
        }
    }

    fn push(&mut self, arrival: Arrival) {
        self.bytes = self.bytes.saturating_add(size(&arrival));
        self.arrivals.push(arrival);
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").finish_non_exhaustive()
    }
}

pub(super) fn dial(plan: Plan, source: &StreamSource<'_>) -> Phase {
    tracing::debug!(
        "connecting to {} beside the old connection",
        plan.route.endpoint
    );
    let (dialer, route) = (source.dialer.clone(), plan.route.clone());
    let dialing = async move {
        let mut facts = Box::<DialFacts>::default();
        let dialed = dialer.dial(&route, &mut facts).await;
        Dialed(dialed, facts)
    };
    Phase::Dialing(Box::new(plan), Dial(Box::pin(dialing)))
}

/// Memory of a message, including the fields around its payload.
fn size(arrival: &Arrival) -> usize {
    arrival
        .payload
        .capacity()
        .saturating_add(size_of::<Arrival>())
}

/// Returns the server's reason for a request.
fn reason(request: &ReconnectRequest) -> String {
    match request.description.as_str() {
        "" => "the server requested a new connection".to_owned(),
        description => description.to_owned(),
    }
}

const NO_MATCH: &str = "its stream does not continue the recording";

/// Time from the first dialing step to the match. It covers servers that start with the next keyframe.
const MATCH_LIMIT: Duration = Duration::from_secs(30);

/// Longest time for which the old connection is not read.
const JOIN_LIMIT: Duration = Duration::from_secs(10);

/// Time between two comparisons with the recording.
const SEARCH_INTERVAL: Duration = Duration::from_millis(100);

/// Largest memory of the messages that were not recognized: ten seconds of a stream of 12 Mbit/s.
const MAX_BACKLOG_BYTES: usize = 16 * 1024 * 1024;

/// Largest number of requests without a quiet period between them.
const MAX_REQUESTS: u32 = 8;

/// Time without a request after which the limit starts again.
const QUIET_PERIOD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_requests_are_delayed_and_then_ignored() {
        let (mut limit, start) = (RequestLimit::default(), Instant::now());
        let waits: Vec<_> = (0..9)
            .map(|_| limit.admit(start).map(|at| (at - start).as_secs()))
            .collect();
        let expected = [0, 1, 2, 4, 8, 16, 32, 64].map(Some);
        assert_eq!(waits[..8], expected);
        assert_eq!(waits[8], None);
        let later = start + QUIET_PERIOD;
        assert_eq!(limit.admit(later), Some(later));
    }
}

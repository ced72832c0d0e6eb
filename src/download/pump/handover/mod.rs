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
//!
//! | module | contents |
//! | --- | --- |
//! | `request_limit` | the limit on requests of the server |
//! | `plan` | a requested connection, until it is made |
//! | `new_connection` | the connection and its session |
//! | `matching` | *Seeking* and *Joining* |
//! | `moving` | the change of the recording to the new connection |
//! | `first_source` | the return from a fallback to the first source |

mod first_source;
mod matching;
mod moving;
mod new_connection;
mod plan;
mod request_limit;

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

pub(in crate::download) use self::moving::{Move, PlayingConnection};
use self::{
    first_source::{FirstSource, Proof},
    matching::{Backlog, Join},
    new_connection::{Dial, Dialed, NewConnection, Step, dial},
    plan::Plan,
    request_limit::RequestLimit,
};
use super::{Next, Pump, StreamSource, earliest, rejoin::RecordingHistory};
use crate::{
    core::{
        rejoin::matcher::{Arrival, MIN_RUN, MatchPoint},
        rtmp::{
            client::{
                Client, End,
                config::{Config, Start},
            },
            command::ReconnectRequest,
        },
    },
    download::{
        Reconnect, ReconnectState, attempts::starting_at, capture::observed_client,
        connection::Connection, outcome::EndCause, redirect::reconnect,
    },
    transport::{Route, Stream},
};

/// The move to a requested connection.
#[derive(Debug, Default)]
pub(super) struct Handover {
    phase: Phase,
    /// A received request that is not handled yet.
    request: Option<ReconnectRequest>,
    limit: RequestLimit,
    /// The first source, while a fallback is in use.
    first_source: Option<Box<FirstSource>>,
    /// Route and session that the latest valid request named.
    relocation: Option<Box<(Route, Arc<Config>)>>,
}

/// Progress of a move.
#[derive(Debug, Default)]
enum Phase {
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

/// The state after a step.
enum Advance {
    To(Phase),
    /// The recording continues at the match point, and then with the further messages.
    Match(Box<NewConnection>, Box<MatchPoint>, Vec<Arrival>),
    /// The old connection is silent, so the new one replaces it without a match.
    Replace(Box<NewConnection>, Vec<Arrival>),
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
    /// Handles a request of the server, an event on the new connection, and expired timers. Returns the
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
    fn can_hand_over(&self) -> bool {
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
        let config = Arc::new(config);
        let mut client = observed_client(Arc::clone(&config), now, source.capture);
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
                let matcher = history.recording.second_connection_matcher();
                Phase::Joining(new, Join::new(matcher, now))
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

/// Returns the server's reason for a request.
fn reason(request: &ReconnectRequest) -> String {
    match request.description.as_str() {
        "" => "the server requested a new connection".to_owned(),
        description => description.to_owned(),
    }
}

/// Time from the first dialing step to the match. It covers servers that start with the next keyframe.
const MATCH_LIMIT: Duration = Duration::from_secs(30);

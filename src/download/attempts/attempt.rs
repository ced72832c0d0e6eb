//! One attempt: redirects, logins, another handshake, and other candidates.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Series;
use crate::{
    core::rtmp::{
        client::{
            Client,
            config::{Config, Connect, Start},
        },
        command::Redirect,
        handshake,
    },
    download::{
        HostFailure,
        candidates::suggests_other_candidate,
        capture::observed_client,
        connection::Connection,
        hint::Attempted,
        outcome::{EndCause, judge},
        pump::{Move, Next, PlayingConnection, StreamSource},
        redirect,
        retry::WaitPolicy,
    },
    transport::{DialError, DialFacts, Route, Stream},
};

/// One attempt. It connects and plays, and reconnects at once for a redirect, a login, a plain handshake, fresh
/// keys, a server that cannot handle pipelining, or another candidate.
pub(super) struct Attempt<'s, 'a, 'p> {
    series: &'s mut Series<'a, 'p>,
    /// Route and session without redirects and logins.
    home: (Route, Arc<Config>),
    /// Route and session of the next connection, without the answer to a login request.
    route: Route,
    session: Arc<Config>,
    /// The answer to a login request, for the next connection.
    login: Option<Connect>,
    /// Number of redirects and logins followed since the last move.
    hops: u32,
    has_fresh_keys: bool,
    /// A connection that already plays, after a move.
    playing: Option<Box<PlayingConnection>>,
    /// Why the connection before a move ended.
    before_move: Option<EndCause>,
}

/// A connection that has ended.
struct Ended<'a> {
    client: &'a Client,
    is_pipelined: bool,
    /// Whether it ended soon after its start.
    is_prompt: bool,
}

impl<'s, 'a, 'p> Attempt<'s, 'a, 'p> {
    pub(super) fn new(series: &'s mut Series<'a, 'p>) -> Self {
        // The server may have moved the stream.
        let home = match series.pump.relocation() {
            Some(relocation) => relocation.clone(),
            None => (series.sources.route().clone(), Arc::clone(&series.template)),
        };
        Self {
            route: home.0.clone(),
            session: series.pump.resuming_session(&home.1),
            series,
            home,
            login: None,
            hops: 0,
            has_fresh_keys: false,
            playing: None,
            before_move: None,
        }
    }

    /// Returns why the attempt ended.
    pub(super) async fn run(mut self) -> EndCause {
        loop {
            if let Err(cause) = self.play().await {
                return cause;
            }
        }
    }

    /// Plays over one connection, and prepares the next one. Returns an error if the attempt has ended.
    async fn play(&mut self) -> Result<(), EndCause> {
        if self.playing.is_none() {
            let admitted = Box::pin(self.admit()).await;
            admitted.map_err(|cause| self.before_move.take().unwrap_or(cause))?;
        }
        let begin = Instant::now();
        self.note_attempted();
        let mut opened = match self.playing.take() {
            Some(playing) => playing,
            None => self.connect().await?,
        };
        let is_pipelined = opened.config.pipelines();
        let source = StreamSource {
            dialer: &self.series.job.dialer,
            route: &self.route,
            session: &opened.config,
            capture: self.series.job.capture.as_ref(),
            session_without_login: &self.session,
        };
        let (client, stop) = (&mut opened.client, &mut *self.series.stop);
        let pump = &mut *self.series.pump;
        let next = Box::pin(pump.run(opened.connection, client, &source, stop)).await;
        self.note_session(client);
        let ended = Ended {
            client,
            is_pipelined,
            is_prompt: begin.elapsed() < PROMPT,
        };
        match next {
            Next::Finish(cause) => self.after_end(cause, &ended),
            Next::PlayFrom { start_ms } => {
                self.play_from(start_ms);
                Ok(())
            }
            Next::Move(to) => self.follow_move(*to).await,
            Next::LogIn(connect) => {
                self.count_hop()?;
                self.login = Some(*connect);
                Ok(())
            }
            Next::Follow(redirect) => self.follow(&redirect),
        }
    }

    /// Waits until a connection to the server may be made, if connections are limited.
    async fn admit(&mut self) -> Result<(), EndCause> {
        let (pump, stop) = (&mut *self.series.pump, &mut *self.series.stop);
        // The previous connection is closed, and its permit may be the last one.
        pump.permit = None;
        if let Some(admission) = &self.series.job.admission {
            let admitted = admission.admit(&self.route.endpoint);
            let admitted = pump.flush_while(admitted, stop).await?;
            pump.permit = Some(admitted.map_err(EndCause::HostFailed)?);
        }
        Ok(())
    }

    /// Notes what the next connection requests, for hints.
    fn note_attempted(&mut self) {
        let job = self.series.job;
        let waits = job.retry.wait != WaitPolicy::None;
        let attempted = Attempted::new(&self.route, &self.session, job.session.handshake, waits);
        self.series.pump.attempted = Some(attempted);
    }

    /// Connects to the server.
    async fn connect(&mut self) -> Result<Box<PlayingConnection>, EndCause> {
        let (job, pump) = (self.series.job, &mut *self.series.pump);
        pump.report.connecting(&self.route.endpoint);
        let mut facts = Box::<DialFacts>::default();
        let dial = Box::pin(job.dialer.dial(&self.route, &mut facts));
        let dialed = pump.flush_while(dial, self.series.stop).await;
        pump.report.dialed(&self.route, &facts);
        match dialed? {
            Ok(stream) => Ok(self.open(stream)),
            Err(error) => {
                self.note_dial_error(&error);
                let before_move = self.before_move.take();
                Err(before_move.unwrap_or(EndCause::Dial(error)))
            }
        }
    }

    /// Prepares a session over `stream`.
    fn open(&self, stream: Stream) -> Box<PlayingConnection> {
        let mut config = Arc::clone(&self.session);
        if self.series.unpipelined.contains(&self.route.endpoint) {
            Arc::make_mut(&mut config).pipelining = false;
        }
        if let Some(connect) = &self.login {
            Arc::make_mut(&mut config).connect.clone_from(connect);
        }
        let capture = self.series.job.capture.as_ref();
        let mut client = observed_client(Arc::clone(&config), Instant::now(), capture);
        if self.series.pump.reports_messages {
            client.keep_answers();
        }
        Box::new(PlayingConnection {
            connection: Connection::new(stream),
            client,
            config,
        })
    }

    /// Reports the session of a connection that has ended.
    fn note_session(&mut self, client: &Client) {
        let pump = &mut *self.series.pump;
        pump.report.session(client.facts());
        if let Some(attempted) = &mut pump.attempted {
            attempted.observe(client);
        }
        if !pump.facts().is_shaking_hands
            && let Some(permit) = &mut pump.permit
        {
            permit.succeeded();
        }
    }

    /// Prepares another connection if that may remedy the end of the last one.
    fn after_end(&mut self, cause: EndCause, ended: &Ended<'_>) -> Result<(), EndCause> {
        let pump = &*self.series.pump;
        if pump.may_need_plain_handshake(&cause, &self.session) {
            tracing::info!(
                "the server closed the connection during the handshake, trying the plain handshake"
            );
            Arc::make_mut(&mut self.session).handshake = handshake::Mode::Plain;
            return Ok(());
        }
        if !self.has_fresh_keys && pump.may_have_mismatched_keys(&cause, ended.client) {
            tracing::info!("the two sides may have derived different keys, trying new keys");
            self.has_fresh_keys = true;
            return Ok(());
        }
        // A server that has sent media can handle pipelining.
        let may_be_pipelining = ended.is_pipelined && !pump.has_media();
        if may_be_pipelining && pump.may_need_serial_commands(&cause, ended.client) {
            tracing::debug!(
                "connect was not answered, connecting again to send one command at a time"
            );
            self.series.unpipelined.push(self.route.endpoint.clone());
            return Ok(());
        }
        self.note_failed_handshake(&cause);
        let pump = &*self.series.pump;
        if let Some(before) = self.before_move.take_if(|_| pump.has_failed_to_start()) {
            tracing::debug!("the requested connection failed: {cause:?}");
            return Err(before);
        }
        let is_prompt = ended.is_prompt && pump.has_failed_before_playing();
        if pump.has_media() || !suggests_other_candidate(&cause, &self.session, is_prompt) {
            return Err(cause);
        }
        let candidate = self.series.candidates.next(&self.session);
        self.session = Arc::new(candidate.ok_or(cause)?);
        self.series.template.clone_from(&self.session);
        Ok(())
    }

    /// Prepares a connection that requests the stream from another position.
    fn play_from(&mut self, start_ms: u32) {
        tracing::info!(
            "the stream does not contain the end of the file, requesting it again from {}.{:03} s",
            start_ms / 1000,
            start_ms % 1000
        );
        self.hops = 0;
        self.route.clone_from(&self.home.0);
        self.session = Arc::new(starting_at(start_ms, &self.home.1));
        self.login = None;
    }

    /// Continues with the connection that the server requested, or makes it once it is due.
    async fn follow_move(&mut self, to: Move) -> Result<(), EndCause> {
        let series = &mut *self.series;
        if to.is_return {
            series.sources.return_to_first();
            series.template.clone_from(&to.session);
            series.pump.forget_relocation();
        }
        series.candidates.clear();
        self.hops = 0;
        self.home = (to.route, to.session);
        self.route.clone_from(&self.home.0);
        self.session = series.pump.resuming_session(&self.home.1);
        (self.login, self.playing, self.before_move) = (None, to.playing, to.cause);
        if self.playing.is_none() {
            let wait = tokio::time::sleep_until(to.start.into());
            Box::pin(series.pump.flush_while(wait, series.stop)).await?;
        }
        Ok(())
    }

    fn follow(&mut self, redirect: &Redirect) -> Result<(), EndCause> {
        self.count_hop()?;
        self.login = None;
        let followed = redirect::follow(redirect, &self.session, &self.route);
        let (route, session) = followed.map_err(EndCause::RedirectRefused)?;
        let handshake = self.series.job.session.handshake;
        self.session = Arc::new(Config {
            handshake,
            ..session
        });
        self.route = route;
        Ok(())
    }

    /// Counts a redirect or a login. The server has answered for this app, so no candidate is tried any more.
    fn count_hop(&mut self) -> Result<(), EndCause> {
        if self.hops == MAX_HOPS {
            let reason = format!("redirected more than {MAX_HOPS} times");
            return Err(EndCause::RedirectRefused(reason));
        }
        self.hops = self.hops.saturating_add(1);
        self.series.candidates.clear();
        Ok(())
    }

    /// Starts the back-off of a server that cannot be reached.
    fn note_dial_error(&mut self, error: &DialError) {
        if let Some(permit) = &mut self.series.pump.permit {
            permit.failed(HostFailure {
                reason: error.to_string(),
                is_unreachable: matches!(error, DialError::Tcp { .. }),
            });
        }
    }

    /// Starts the back-off of a server that did not complete the handshake.
    fn note_failed_handshake(&mut self, cause: &EndCause) {
        let facts = self.series.pump.facts();
        let is_of_server = matches!(
            cause,
            EndCause::Session(_)
                | EndCause::Protocol(_)
                | EndCause::PeerClosed { .. }
                | EndCause::Broken(_)
        );
        if let Some(permit) = &mut self.series.pump.permit
            && facts.is_shaking_hands
            && is_of_server
        {
            permit.failed(HostFailure {
                reason: judge(cause, &facts).1,
                is_unreachable: false,
            });
        }
    }
}

/// Returns a session that requests the stream from `start_ms` on.
pub(in crate::download) fn starting_at(start_ms: u32, session: &Config) -> Config {
    let rest_ms = |length_ms: u32| length_ms.saturating_sub(start_ms);
    Config {
        start: Start::At { ms: start_ms },
        length_ms: session.length_ms.map(rest_ms),
        ..session.clone()
    }
}

/// Largest number of redirects and logins that are followed.
pub(in crate::download) const MAX_HOPS: u32 = 5;

/// Time within which a close counts as the answer to an unknown app. A later close may have any
/// cause.
const PROMPT: Duration = Duration::from_secs(5);

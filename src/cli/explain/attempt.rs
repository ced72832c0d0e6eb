//! One attempt: a download without output that ends with the first media.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};

use super::change::{Change, scheme_of};
use crate::{
    core::rtmp::{
        client::{config::Start, facts::SessionFacts},
        handshake::Mode,
        target::Scheme,
    },
    download::{self, Ending, Job, Limits, Outcome, Report, Stop, retry::RetryPolicy},
    output::{Destination, SegmentOptions},
    transport::{DialFacts, Endpoint, Route, dial_facts::DialStep},
};

/// The last step that an attempt completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reached {
    /// No step.
    Nothing,
    /// Name lookup.
    Name,
    /// TCP connection.
    Tcp,
    /// Connection through the proxy.
    Proxy,
    /// TLS handshake.
    Tls,
    /// RTMPT session.
    Tunnel,
    /// RTMP handshake.
    Handshake,
    /// Accepted `connect`.
    Connect,
    /// Answered `createStream`.
    CreateStream,
    /// Announced media.
    Play,
    /// First audio or video frame.
    Media,
}

impl Reached {
    /// Stable word for scripts and people.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Name => "name",
            Self::Tcp => "tcp",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Tunnel => "tunnel",
            Self::Handshake => "handshake",
            Self::Connect => "connect",
            Self::CreateStream => "createStream",
            Self::Play => "play",
            Self::Media => "media",
        }
    }

    /// Returns the last completed step of a dial.
    fn by_dial(route: &Route, facts: &DialFacts) -> Self {
        let tcp = match &facts.proxy {
            Some(_) => Self::Proxy,
            None => Self::Tcp,
        };
        let secured = match route.carrier.is_tls() {
            true => Self::Tls,
            false => tcp,
        };
        match facts.failure.as_ref().map(|failure| failure.step) {
            None if facts.remote.is_none() => Self::Nothing,
            None if facts.tunnel_time.is_some() => Self::Tunnel,
            None => secured,
            Some(DialStep::Tunnel) => secured,
            Some(DialStep::Tls) => tcp,
            Some(DialStep::Tcp) => Self::Name,
            Some(DialStep::Lookup | DialStep::Proxy | DialStep::Replay) => Self::Nothing,
        }
    }

    /// Returns the last completed step of a session; `None` if there is none.
    fn by_session(facts: &SessionFacts) -> Option<Self> {
        let steps = &facts.steps;
        let steps = [
            (steps.play_start, Self::Play),
            (steps.create_stream_answer, Self::CreateStream),
            (steps.handshake, Self::Handshake),
        ];
        let step = steps.into_iter().find(|(time, _)| time.is_some());
        step.map(|(_, reached)| reached)
    }
}

/// How far an attempt got: a dialed connection is further than one that failed at the same step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Progress {
    /// Whether a dial succeeded, with all of its steps.
    pub(super) is_dialed: bool,
    /// The last completed step.
    pub(super) reached: Reached,
}

impl Progress {
    const NONE: Self = Self {
        is_dialed: false,
        reached: Reached::Nothing,
    };
}

/// A finished attempt.
#[derive(Debug)]
pub(super) struct Tried {
    /// Changes of the original request.
    pub(super) changes: Vec<Change>,
    /// The request.
    pub(super) what: What,
    /// Number of connections that it made.
    pub(super) connections: u32,
    /// How far it got.
    pub(super) progress: Progress,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// Whether a limit of the explanation ended it.
    pub(super) cut_short: Option<CutShort>,
    /// Time from its start to its end.
    pub(super) time: Duration,
}

/// A limit of the explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CutShort {
    /// The time of the attempt.
    Time,
    /// The number of connections.
    Connections,
}

impl Tried {
    /// Whether media arrived.
    pub(super) fn plays(&self) -> bool {
        self.outcome.media_arrived
    }

    /// Word for the end of the attempt: `plays`, or the ending word of a download.
    pub(super) fn word(&self) -> String {
        match self.cut_short {
            _ if self.plays() => "plays".to_owned(),
            Some(CutShort::Time) => Ending::Stalled.to_string(),
            _ => self.outcome.ending.to_string(),
        }
    }

    /// Cause of the end. Text of the server in it is not escaped.
    pub(super) fn reason(&self) -> String {
        match self.cut_short {
            _ if self.plays() => String::new(),
            Some(CutShort::Time) => {
                format!("no media within {} s", self.time.as_secs())
            }
            Some(CutShort::Connections) => {
                format!("it needs more than {MAX_CONNECTIONS} connections")
            }
            None => self.outcome.reason.clone(),
        }
    }
}

/// The request of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct What {
    pub(super) scheme: Scheme,
    pub(super) endpoint: Endpoint,
    pub(super) app: String,
    pub(super) playpath: String,
    pub(super) tc_url: String,
    pub(super) start: Start,
    pub(super) handshake: Mode,
    pub(super) swf_url: Option<String>,
    pub(super) page_url: Option<String>,
    pub(super) is_enhanced: bool,
    pub(super) has_proxy: bool,
}

impl What {
    pub(super) fn of(job: &Job) -> Self {
        let (session, connect) = (&job.session, &job.session.connect);
        Self {
            scheme: scheme_of(job),
            endpoint: job.route.endpoint.clone(),
            app: connect.app.clone(),
            playpath: session.playpath.clone(),
            tc_url: connect.tc_url.clone(),
            start: session.start,
            handshake: session.handshake,
            swf_url: connect.swf_url.clone(),
            page_url: connect.page_url.clone(),
            is_enhanced: session.enhanced,
            has_proxy: job.dialer.proxy.is_some(),
        }
    }
}

/// Makes attempts within the limits of an explanation.
#[derive(Debug)]
pub(super) struct Attempts {
    /// Number of connections that were made.
    connections: u32,
    /// Start of the latest connection.
    latest: Option<Instant>,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self {
            connections: 0,
            latest: None,
        }
    }

    /// Whether another connection may be made.
    pub(super) fn may_continue(&self) -> bool {
        self.connections < MAX_CONNECTIONS
    }

    /// Waits until the next connection may be made, then makes the attempt. Returns `None` if the user stops it.
    pub(super) async fn make(
        &mut self,
        changes: Vec<Change>,
        job: Job,
        limit: Duration,
        stop: &mut Stop,
    ) -> Option<Tried> {
        let what = What::of(&job);
        let job = without_output(job);
        let since = self.latest.map(|latest| latest.elapsed());
        let pause = since.map_or(Duration::ZERO, |since| INTERVAL.saturating_sub(since));
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.requested() => return None,
        }
        let (sender, own_stop) = Stop::new();
        let sender = Arc::new(sender);
        let mut watcher = Watcher {
            attempts: self,
            stop: Arc::clone(&sender),
            connections: 0,
            progress: Progress::NONE,
            has_too_many: false,
        };
        let began = Instant::now();
        let mut cut_short = None;
        let outcome = {
            let mut run = pin!(download::run(&job, &mut watcher, own_stop));
            tokio::select! {
                outcome = &mut run => outcome,
                () = sleep(limit) => {
                    cut_short = Some(CutShort::Time);
                    sender.send_replace(true);
                    run.await
                }
                () = stop.requested() => {
                    sender.send_replace(true);
                    run.await;
                    return None;
                }
            }
        };
        if watcher.has_too_many {
            cut_short = Some(CutShort::Connections);
        }
        if outcome.media_arrived {
            watcher.reach(Reached::Media);
        }
        Some(Tried {
            changes,
            what,
            connections: watcher.connections,
            progress: watcher.progress,
            outcome,
            cut_short,
            time: began.elapsed(),
        })
    }
}

/// Changes a job to one that ends with the first media, makes one connection after the other, and writes nothing.
fn without_output(mut job: Job) -> Job {
    job.output = Destination::Discard;
    job.pipe = None;
    job.segments = SegmentOptions::none();
    job.resume = None;
    job.candidates = Vec::new();
    job.retry = RetryPolicy::default();
    Arc::make_mut(&mut job.session).republish_wait = Duration::ZERO;
    job.limits = Limits {
        media_time: Some(Duration::ZERO),
        ..Limits::default()
    };
    job.admission = Some(Arc::new(download::Admission::new(None, INTERVAL)));
    job
}

/// Counts connections, and notes how far an attempt gets.
#[derive(Debug)]
struct Watcher<'a> {
    attempts: &'a mut Attempts,
    stop: Arc<watch::Sender<bool>>,
    connections: u32,
    progress: Progress,
    has_too_many: bool,
}

impl Watcher<'_> {
    fn reach(&mut self, step: Reached) {
        self.progress.reached = self.progress.reached.max(step);
    }
}

impl Report for Watcher<'_> {
    fn connecting(&mut self, _: &Endpoint) {
        if !self.attempts.may_continue() {
            // Ends the attempt before it dials.
            self.has_too_many = true;
            self.stop.send_replace(true);
            return;
        }
        self.attempts.connections = self.attempts.connections.saturating_add(1);
        self.attempts.latest = Some(Instant::now());
        self.connections = self.connections.saturating_add(1);
    }

    fn dialed(&mut self, route: &Route, facts: &DialFacts) {
        self.progress.is_dialed |= facts.failure.is_none();
        self.reach(Reached::by_dial(route, facts));
    }

    fn connected(&mut self) {
        self.reach(Reached::Connect);
    }

    fn session(&mut self, facts: &SessionFacts) {
        if let Some(reached) = Reached::by_session(facts) {
            self.reach(reached);
        }
    }
}

/// Largest number of connections of an explanation.
pub(super) const MAX_CONNECTIONS: u32 = 10;

/// Shortest time between the starts of two connections.
const INTERVAL: Duration = Duration::from_secs(1);

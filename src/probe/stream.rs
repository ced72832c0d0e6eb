//! Probe of a stream on a server: a download without output.

use std::time::{Duration, Instant};

use super::{ProbeReport, Source};
use crate::{
    core::{
        analysis::{Extent, MediaTime, MessageTime, StreamAnalysis},
        rtmp::client::facts::SessionFacts,
    },
    download::{self, Job, Outcome, ReceivedMessage, Report, Stop},
    output::Destination,
    transport::{DialFacts, Route, TunnelFacts},
};

/// How a stream arrived.
#[derive(Debug)]
pub struct StreamProbe {
    /// The latest connection; `None` if none was tried.
    pub connection: Option<Connection>,
    /// The latest session; `None` without one.
    pub session: Option<SessionFacts>,
    /// How the probe ended.
    pub outcome: Outcome,
    /// Times from the start of the probe.
    pub times: Times,
}

/// A connection, perhaps a failed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Server, and the transport to reach it.
    pub route: Route,
    /// Steps of the connection.
    pub facts: DialFacts,
    /// The RTMPT session; `None` without one.
    pub tunnel: Option<TunnelFacts>,
}

/// Times from the start of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// First byte of the server in the latest session.
    pub first_byte: Option<Duration>,
    /// First audio or video frame.
    pub first_frame: Option<Duration>,
    /// First video keyframe.
    pub first_keyframe: Option<Duration>,
    /// End of the probe.
    pub end: Duration,
}

/// When a probe ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Time from the first media to the end.
    pub media_time: Duration,
    /// Whether the probe ends as soon as the properties of the stream are known.
    pub ends_early: bool,
}

/// Plays the stream of `job` until `limit`, and returns its facts.
pub async fn run(job: &Job, limit: Limit, stop: Stop) -> ProbeReport {
    let mut job = job.clone();
    job.output = Destination::Discard;
    job.limits.media_time = Some(limit.media_time);
    let mut observer = Observer::new(limit.ends_early);
    let outcome = download::run(&job, &mut observer, stop).await;
    observer.report(outcome)
}

/// Collects the facts of a stream while it plays.
struct Observer {
    ends_early: bool,
    start: Instant,
    analysis: StreamAnalysis,
    connection: Option<Connection>,
    /// Time from the start of the probe to the latest connection.
    connected: Duration,
    session: Option<SessionFacts>,
    first_frame: Option<Duration>,
    first_keyframe: Option<Duration>,
}

impl Observer {
    fn new(ends_early: bool) -> Self {
        Self {
            ends_early,
            start: Instant::now(),
            analysis: StreamAnalysis::new(Extent::Excerpt),
            connection: None,
            connected: Duration::ZERO,
            session: None,
            first_frame: None,
            first_keyframe: None,
        }
    }

    fn report(mut self, outcome: Outcome) -> ProbeReport {
        let session = self.session.as_ref();
        if let Some(session) = session {
            self.analysis.set_malformed_messages(session.malformed);
        }
        let first_byte = session
            .and_then(|session| session.steps.first_byte)
            .map(|after| self.connected.saturating_add(after));
        ProbeReport {
            media: self.analysis.facts(),
            source: Source::Stream(Box::new(StreamProbe {
                connection: self.connection,
                session: self.session,
                outcome,
                times: Times {
                    first_byte,
                    first_frame: self.first_frame,
                    first_keyframe: self.first_keyframe,
                    end: self.start.elapsed(),
                },
            })),
        }
    }
}

impl Report for Observer {
    fn dialed(&mut self, route: &Route, facts: &DialFacts) {
        self.connected = self.start.elapsed();
        self.connection = Some(Connection {
            route: route.clone(),
            facts: facts.clone(),
            tunnel: None,
        });
        self.session = None;
    }

    fn tunnel(&mut self, facts: &TunnelFacts) {
        if let Some(connection) = &mut self.connection {
            connection.tunnel = Some(facts.clone());
        }
    }

    fn session(&mut self, facts: &SessionFacts) {
        self.session = Some(facts.clone());
    }

    fn wants_messages(&self) -> bool {
        true
    }

    fn message(&mut self, message: &ReceivedMessage<'_>) {
        let ReceivedMessage {
            now,
            timestamp,
            info,
            body,
        } = message;
        let after = now.saturating_duration_since(self.start);
        if info.carries_media {
            self.first_frame.get_or_insert(after);
        }
        if info.is_keyframe && info.carries_media {
            self.first_keyframe.get_or_insert(after);
        }
        let time = MessageTime {
            arrived_at: Some(*now),
            unix_ms: Some(jiff::Timestamp::now().as_millisecond()),
            media: MediaTime::Timestamp(timestamp.0),
        };
        self.analysis.message(time, info, body);
    }

    fn is_satisfied(&self) -> bool {
        self.ends_early && self.analysis.is_described()
    }
}

//! The new connection, which plays beside the old one.

use std::{fmt, io, pin::Pin, sync::Arc, time::Instant};

use super::{Phase, plan::Plan};
use crate::{
    core::{
        amf::Object,
        payload::Payload,
        rejoin::matcher::Arrival,
        rtmp::{
            client::{
                Client, End, Event,
                config::{Config, Connect},
            },
            command::{ReconnectRequest, Redirect},
        },
    },
    download::{
        connection::{Connection, Moved},
        outcome::{EndCause, Facts, judge},
        pump::StreamSource,
        tracks::Tracks,
    },
    transport::{DialError, DialFacts, Stream},
};

/// A connection that is being made.
pub(super) struct Dial(pub(super) Pin<Box<dyn Future<Output = Dialed>>>);

/// Result of a dial, and its facts.
#[derive(Debug)]
pub(in crate::download::pump) struct Dialed(
    pub(super) Result<Stream, DialError>,
    pub(super) Box<DialFacts>,
);

/// A connection that does not continue the recording yet.
#[derive(Debug)]
pub(super) struct NewConnection {
    pub(super) plan: Plan,
    pub(super) config: Arc<Config>,
    pub(super) connection: Connection,
    pub(super) client: Client,
    pub(super) tracks: Tracks,
    /// The latest metadata.
    pub(super) metadata: Option<(Object, Payload)>,
    /// A request of the new server, which is handled after the move.
    pub(super) request: Option<ReconnectRequest>,
    /// Arrival of the first frame.
    pub(super) first_frame: Option<Instant>,
    /// Sequence headers for the keyframe at which the first source replaces a fallback.
    pub(super) headers: Vec<Arrival>,
    /// Whether the first source has sent pictures.
    pub(super) has_video: bool,
}

/// An event on the new connection.
#[derive(Debug)]
pub(in crate::download::pump) enum Step {
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

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").finish_non_exhaustive()
    }
}

/// Starts to connect.
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

//! The calls from `connect` to `play`, and the transitions up to the first media.

use std::{mem, time::Instant};

use super::{
    Client,
    config::Start,
    event::{End, Event},
    outgoing::NETWORK_CONNECTION,
    state::{AwaitingMedia, CreatingStream, EarlyAnswer, EarlyCalls, SentCall, State},
};
use crate::core::{
    amf::Text,
    rtmp::{
        challenge::{answer_login, login_scheme, secure_token_answer},
        command::Command,
        properties,
    },
};

impl Client {
    /// Sends `connect`, and `createStream` and `play` with it if nothing must be sent in between.
    pub(super) fn connect(&mut self, now: Instant) {
        let transaction = self.transaction_ids.next();
        debug_assert_eq!(transaction, CONNECT, "connect is the first call");
        let command = Command::connect(transaction, &self.config.connect, self.config.enhanced);
        self.send_command(NETWORK_CONNECTION, 0, &command);
        properties::log(&command.arguments);
        self.round_trips.connect.begin(now);
        let early = self.config.pipelines().then(|| EarlyCalls {
            create_stream: EarlyAnswer::Pending(self.call_create_stream(now)),
            play: Some(self.play_on(now, USUAL_STREAM, self.config.start)),
        });
        self.state = State::Connecting { since: now, early };
    }

    /// Continues after the server has accepted `connect`.
    pub(super) fn connected(&mut self, now: Instant) {
        // Called only in `Connecting`. Each branch below sets the next state.
        let State::Connecting { early, .. } = mem::replace(&mut self.state, State::Closed) else {
            return;
        };
        self.events.push_back(Event::Connected);
        let Some(EarlyCalls {
            create_stream,
            play,
        }) = early
        else {
            return self.create_stream(now, None);
        };
        match create_stream {
            EarlyAnswer::Accepted => self.await_media(now, play),
            EarlyAnswer::Refused => self.create_stream(now, play),
            EarlyAnswer::Pending(transaction) => {
                self.state = State::CreatingStream(CreatingStream {
                    since: now,
                    early: Some(transaction),
                    call: None,
                    early_play: play,
                });
            }
        }
    }

    /// Sends `createStream` in [`State::CreatingStream`] again.
    pub(super) fn create_stream_again(&mut self, now: Instant) {
        let call = self.call_create_stream_at(now);
        if let State::CreatingStream(creating) = &mut self.state {
            creating.call = Some(call);
        }
    }

    /// Handles the answer to a `createStream` for which [`State::is_create_stream`] is true.
    pub(super) fn stream_created(&mut self, now: Instant, transaction: u32, stream: u32) {
        self.refusal = None;
        let is_early = self.state.is_early_create_stream(transaction);
        let is_guessed = self.message_stream == Some(stream);
        // An early play may have started on the guessed message stream.
        if let Some(guess) = self.message_stream.filter(|_| !is_guessed) {
            self.send_command(NETWORK_CONNECTION, 0, &Command::delete_stream(guess));
        }
        self.message_stream = Some(stream);
        // An early play on another message stream is lost, and so is one that was sent together with
        // a lost createStream.
        let is_played = is_early && is_guessed;
        match &mut self.state {
            State::Connecting {
                early: Some(early), ..
            } => {
                early.create_stream = EarlyAnswer::Accepted;
                early.play = early.play.filter(|_| is_played);
            }
            State::CreatingStream(creating) => {
                let play = creating.early_play.filter(|_| is_played);
                let since = if play.is_some() { creating.since } else { now };
                self.await_media(since, play);
            }
            _ => {}
        }
    }

    /// Handles an `_error` for a `createStream` for which [`State::is_create_stream`] is true.
    pub(super) fn create_stream_refused(&mut self, now: Instant, transaction: u32, reason: String) {
        let is_early = self.state.is_early_create_stream(transaction);
        match &mut self.state {
            State::Connecting {
                early: Some(early), ..
            } => early.create_stream = EarlyAnswer::Refused,
            State::CreatingStream(creating) if is_early => {
                creating.early = None;
                if creating.call.is_none() {
                    self.create_stream_again(now);
                }
            }
            _ => return self.end(End::Refused(reason)),
        }
        tracing::debug!("early createStream refused, sending it again after connect: {reason}");
        self.refusal = Some(reason);
    }

    /// Handles an `_error` for the `play` with the id [`State::play_transaction`].
    pub(super) fn play_refused(&mut self, now: Instant, reason: String) {
        match &mut self.state {
            State::Connecting {
                early: Some(early), ..
            } => early.play = None,
            State::CreatingStream(creating) => creating.early_play = None,
            // The server may have refused the early play before it accepted connect, although the
            // answers arrive in another order.
            State::AwaitingMedia(awaiting) if awaiting.is_early => self.await_media(now, None),
            State::AwaitingMedia(awaiting) if awaiting.starts_tried > 0 => {
                tracing::debug!("play from another start position refused: {reason}");
                return self.play_from_next_start(now);
            }
            _ => return self.end(End::Refused(reason)),
        }
        tracing::debug!("early play refused, sending it again after connect: {reason}");
        self.refusal = Some(reason);
    }

    /// Returns the start position to try after Play.Start and silence.
    ///
    /// Without a start position, `play` requests "live, else recorded" (−2). Some file servers answer
    /// that with Play.Start and never send media; they need a start of at least 0. The last choice is
    /// live only, which restores the subscription on servers that treat 0 as a request for a file.
    pub(super) fn next_start(&self) -> Option<Start> {
        let State::AwaitingMedia(awaiting) = &self.state else {
            return None;
        };
        if self.config.start != Start::LiveElseRecorded || self.is_published {
            return None;
        }
        OTHER_STARTS.get(awaiting.starts_tried).copied()
    }

    /// Sends `play` again with the next start position, if one is left.
    pub(super) fn play_from_next_start(&mut self, now: Instant) {
        let Some((start, stream)) = self.next_start().zip(self.message_stream) else {
            return;
        };
        tracing::debug!(
            "no media after Play.Start, playing from {} ms",
            start.wire_ms()
        );
        let play = self.play_on(now, stream, start);
        if let State::AwaitingMedia(awaiting) = &mut self.state {
            awaiting.play = play;
            awaiting.is_early = false;
            // Some servers do not repeat Play.Start.
            awaiting.started_at = Some(now);
            awaiting.starts_tried = awaiting.starts_tried.saturating_add(1);
        }
    }

    /// Records Play.Start.
    pub(super) fn play_started(&mut self, now: Instant) {
        self.refusal = None;
        if let State::AwaitingMedia(awaiting) = &mut self.state {
            awaiting.started_at.get_or_insert(now);
        }
    }

    /// Answers Wowza's secure token.
    pub(super) fn answer_secure_token(&mut self, token: &Text) {
        self.facts.needs_secure_token = true;
        let Some(key) = &self.config.secure_token else {
            tracing::warn!("the server requires a secure token and may stop: --token sets the key");
            return;
        };
        match secure_token_answer(key, token.as_bytes()) {
            Some(answer) => {
                let response = Command::secure_token_response(answer);
                self.send_command(NETWORK_CONNECTION, 0, &response);
            }
            None => tracing::warn!("the server's secure token is not hexadecimal"),
        }
    }

    /// Requests a new connection with a login, or ends the session if no login is possible.
    pub(super) fn request_login(&mut self, description: &str) {
        self.facts.record_login_request(login_scheme(description));
        let config = &self.config;
        let login = config.login.as_ref();
        match answer_login(&config.connect, login, description, self.nonce) {
            Ok(connect) => {
                tracing::info!("the server requires a login, connecting again with it");
                self.finish(Event::LoginRequired {
                    connect: Box::new(connect),
                });
            }
            Err(error) => {
                self.end(End::Refused(error.to_string()));
                self.login_error = Some(error);
            }
        }
    }

    /// Sends `createStream` after the answer to `connect`.
    fn create_stream(&mut self, now: Instant, early_play: Option<u32>) {
        let call = self.call_create_stream_at(now);
        self.state = State::CreatingStream(CreatingStream {
            since: now,
            early: None,
            call: Some(call),
            early_play,
        });
    }

    /// Waits for media on an existing message stream. Sends `play` unless an early one is in flight.
    fn await_media(&mut self, since: Instant, early_play: Option<u32>) {
        let stream = self.message_stream.unwrap_or(USUAL_STREAM);
        self.state = State::AwaitingMedia(AwaitingMedia {
            since,
            play: early_play.unwrap_or_else(|| self.play_on(since, stream, self.config.start)),
            is_early: early_play.is_some(),
            started_at: None,
            starts_tried: 0,
        });
    }

    fn call_create_stream_at(&mut self, now: Instant) -> SentCall {
        SentCall {
            transaction: self.call_create_stream(now),
            at: now,
        }
    }
}

/// Transaction id of `connect` (RTMP 7.2.1.1: always 1).
pub(super) const CONNECT: u32 = 1;

/// Start positions to try after Play.Start and silence.
const OTHER_STARTS: [Start; 2] = [Start::At { ms: 0 }, Start::Live];

/// The id that nearly all servers return for the first `createStream`.
const USUAL_STREAM: u32 = 1;

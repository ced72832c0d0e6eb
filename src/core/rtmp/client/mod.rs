//! The client side of a session that plays one stream, without I/O.
//!
//! Five methods drive it: [`Client::receive`], [`Client::poll_event`], [`Client::poll_transmit`],
//! [`Client::poll_timeout`] and [`Client::handle_timeout`]. Each documents when to call it again.
//!
//! The start takes two round trips: one for the handshake and one for everything else, because
//! `createStream` and `play` are sent together with `connect`. The client guesses the message
//! stream id that `createStream` will return. If the guess is wrong, it sends `play` again.
//!
//! `state` holds the state of the session. Transitions up to the first media are in `start_up`,
//! later ones in `playing`. `incoming` and `commands` translate received messages into
//! transitions, and `outgoing` builds the messages that transitions send.

mod buffer_length;
mod commands;
pub mod config;
mod encrypted;
mod event;
pub mod facts;
mod incoming;
mod liveness;
mod observer;
mod outgoing;
mod pause_unpause;
mod playing;
mod start_up;
mod state;
mod trace;

use std::{collections::VecDeque, mem, sync::Arc, time::Instant};

use bytes::BytesMut;
use rand::Rng;

use self::{
    buffer_length::BufferLengthControl,
    config::{Config, Start, Timeouts},
    encrypted::SessionCipher,
    facts::SessionFacts,
    liveness::Liveness,
    observer::Observation,
    outgoing::{NETWORK_CONNECTION, TransactionIds},
    pause_unpause::PauseUnpause,
    state::{Due, State},
    trace::{Elapsed, RoundTrips},
};
pub use self::{
    event::{End, Event},
    observer::Observer,
    state::Timeout,
};
use super::{
    challenge::LoginError,
    chunk,
    command::Command,
    error::Error,
    handshake::{Handshake, Progress},
    message::AggregateUnpacker,
};
use crate::core::{
    flv::FrameParser,
    payload::{Payload, Pool},
};

/// One session that plays one stream.
#[derive(Debug)]
pub struct Client {
    config: Arc<Config>,
    state: State,
    decoder: chunk::Decoder,
    encoder: chunk::Encoder,
    /// Bytes for the next [`Client::poll_transmit`].
    outgoing: BytesMut,
    encrypted: Option<Box<SessionCipher>>,
    observation: Option<Observation>,
    /// The last 32 bytes of S1, which answer SWF verification.
    s1_tail: [u8; 32],
    keys_may_differ: bool,
    events: VecDeque<Event>,
    flow: Flow,
    transaction_ids: TransactionIds,
    /// The message stream on which `play` was sent. With pipelining it is a guess until
    /// `createStream` is answered, so that it outlives several states.
    message_stream: Option<u32>,
    /// The refusal of an early call that was sent again. It explains why the repeated call is not
    /// answered.
    refusal: Option<String>,
    /// The server has reported that the stream is published, so it is live.
    is_published: bool,
    buffer_length: BufferLengthControl,
    pause_unpause: PauseUnpause,
    frame_parser: FrameParser,
    liveness: Liveness,
    round_trips: RoundTrips,
    /// An aggregate whose messages have not all been handled.
    aggregate: Option<AggregateUnpacker>,
    /// The server has requested SWF verification, and the client could not answer.
    lacks_swf_proof: bool,
    /// Why the client could not log in.
    login_error: Option<LoginError>,
    has_warned_of_metadata: bool,
    facts: SessionFacts,
    /// A random number for the answer to a login challenge.
    nonce: u32,
}

/// Received bytes and their acknowledgement (RTMP 5.4.3, 5.4.4).
#[derive(Debug)]
struct Flow {
    received: u64,
    acknowledged: u64,
    /// The server's Window Acknowledgement Size.
    window: u32,
    /// The Window Acknowledgement Size that the client sent last.
    announced_window: Option<u32>,
}

impl Client {
    /// Starts a session. `rng` fills the random bytes of the handshake. Call
    /// [`Client::poll_transmit`] next.
    pub fn new(config: impl Into<Arc<Config>>, now: Instant, rng: &mut impl Rng) -> Self {
        let config = config.into();
        // RTMP 5.2.3: the time in C1 has any origin. No server uses it, so it is always 0.
        let handshake = Handshake::new(config.handshake, config.encryption, 0, rng);
        let is_live = config.start == Start::Live;
        Self {
            state: State::Handshake {
                handshake: Box::new(handshake),
                since: now,
            },
            buffer_length: BufferLengthControl::new(config.buffer, is_live),
            pause_unpause: PauseUnpause::new(
                config.pause_unpause && !is_live,
                matches!(config.start, Start::At { .. }),
            ),
            config,
            decoder: chunk::Decoder::new(),
            encoder: chunk::Encoder::new(),
            outgoing: BytesMut::new(),
            encrypted: None,
            observation: None,
            s1_tail: [0; 32],
            keys_may_differ: false,
            events: VecDeque::new(),
            flow: Flow {
                received: 0,
                acknowledged: 0,
                window: DEFAULT_WINDOW,
                announced_window: None,
            },
            transaction_ids: TransactionIds::default(),
            message_stream: None,
            refusal: None,
            is_published: false,
            frame_parser: FrameParser::new(),
            liveness: Liveness::new(now),
            round_trips: RoundTrips::default(),
            aggregate: None,
            lacks_swf_proof: false,
            login_error: None,
            has_warned_of_metadata: false,
            facts: SessionFacts::new(now),
            nonce: rng.next_u32(),
        }
    }

    /// Passes all bytes of the session to `observer`. Call it before the first [`Client::poll_transmit`].
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observation = Some(Observation::new(observer));
    }

    /// Keeps the answers of the server for [`Client::facts`], about 2 KiB. Call it before the first
    /// [`Client::poll_transmit`].
    pub fn keep_answers(&mut self) {
        let config = &self.config;
        self.facts
            .keep_answers(config.names(), config.credentials());
    }

    /// Consumes bytes from the front of `inbox` up to the first message that causes an event.
    ///
    /// Call it when bytes have arrived, then call [`Client::poll_event`] until it returns `None`, and
    /// repeat both as long as there was an event. Append new bytes to the bytes left in `inbox` and
    /// do not change these: they may already be decrypted.
    ///
    /// # Errors
    ///
    /// After an error the connection cannot be used. Events that precede it can still be polled.
    pub fn receive(&mut self, now: Instant, inbox: &mut BytesMut) -> Result<(), Error> {
        if let State::Handshake { handshake, since } = &mut self.state {
            let since = *since;
            if let Some(first) = inbox.first() {
                self.facts.record_first_byte(now, *first);
            }
            let observed = self.observation.as_ref().map(|_| inbox.clone());
            let progress = handshake.receive(inbox);
            if let (Some(observation), Some(observed)) = (&mut self.observation, observed) {
                let is_done = matches!(progress, Ok(Progress::Done(_)));
                observation.handshake_received(&observed, inbox.len(), is_done);
            }
            match progress? {
                Progress::NeedsMore => return Ok(()),
                Progress::Done(summary) => {
                    tracing::debug!("handshake answered after {}", Elapsed { since, now });
                    handshake.poll_transmit(&mut self.outgoing);
                    let ciphers = handshake.take_ciphers();
                    // `outgoing` contains only bytes of the handshake, which are sent in the clear.
                    self.encrypted = ciphers
                        .map(|ciphers| Box::new(SessionCipher::new(ciphers, self.outgoing.len())));
                    self.facts.record_handshake(now, &summary);
                    self.s1_tail = summary.s1_tail;
                    self.keys_may_differ = summary.keys_may_differ;
                    self.connect(now);
                }
            }
        }
        if let Some(encrypted) = &mut self.encrypted {
            encrypted.decrypt_new(inbox);
        }
        if let Some(observation) = &mut self.observation {
            observation.received(inbox);
        }
        let received = self.receive_messages(now, inbox);
        if let Some(encrypted) = &mut self.encrypted {
            // The remaining bytes are decrypted, and the next call must not decrypt them again.
            encrypted.set_decrypted_len(inbox.len());
        }
        if let Some(observation) = &mut self.observation {
            observation.set_left(inbox.len());
        }
        received
    }

    /// Returns the next event. Call it until it returns `None`, after each [`Client::receive`] and
    /// [`Client::handle_timeout`].
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Appends the bytes to send to `out`, which holds the bytes that are not sent yet.
    ///
    /// Call it after [`Client::new`], [`Client::handle_timeout`] and [`Client::close`], and after
    /// [`Client::receive`] has consumed all that has arrived: one acknowledgement then covers many
    /// messages.
    ///
    /// # Errors
    ///
    /// Fails if `out` exceeds 1 MiB because the server does not read answers that it requests.
    pub fn poll_transmit(&mut self, out: &mut BytesMut) -> Result<(), Error> {
        if let State::Handshake { handshake, .. } = &mut self.state {
            handshake.poll_transmit(&mut self.outgoing);
        }
        self.acknowledge();
        if let Some(observation) = &mut self.observation
            && !self.outgoing.is_empty()
        {
            observation.sent(&self.outgoing);
        }
        if let Some(encrypted) = &mut self.encrypted {
            encrypted.encrypt_pending(&mut self.outgoing);
        }
        if out.is_empty() {
            // Nothing is copied, and the session keeps no memory for the long messages of its start.
            mem::swap(out, &mut self.outgoing);
        } else {
            out.extend_from_slice(&self.outgoing);
        }
        self.outgoing.clear();
        if out.len() > MAX_UNSENT {
            return Err(Error::AnswersUnread(out.len()));
        }
        Ok(())
    }

    /// Returns the time at which to call [`Client::handle_timeout`]. Call it again after every other
    /// method, because each can change the deadline.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_deadline().map(|(at, _)| at)
    }

    /// Acts on the deadlines that have passed. Call it at the time that [`Client::poll_timeout`]
    /// returned, and not before.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, due)) = self.next_deadline()
            && at <= now
        {
            match due {
                Due::TimedOut(timeout) => self.timed_out(timeout),
                Due::CreateStreamAgain => {
                    tracing::debug!("createStream is not answered, sending it again");
                    self.create_stream_again(now);
                }
                Due::PlayFromNextStart => self.play_from_next_start(now),
                Due::LengthenBuffer => self.lengthen_buffer(now),
                Due::Pause => self.pause(now),
                Due::Unpause => self.unpause(),
                Due::ConfirmEndOfStream => self.confirm_end_of_stream(),
                Due::PublisherGone => self.publisher_gone(),
            }
        }
    }

    /// Returns the facts of the session so far.
    pub fn facts(&self) -> &SessionFacts {
        &self.facts
    }

    /// Returns the timeouts of the session.
    pub fn timeouts(&self) -> Timeouts {
        self.config.timeouts
    }

    /// Restarts the timeouts that wait for media. Call it after the caller has stopped reading for a
    /// while, because the server is then not to blame for the silence.
    pub fn restart_media_timeouts(&mut self, now: Instant) {
        self.liveness.restart(now);
        self.restart_first_media_timeout(now);
    }

    /// Ends the session and deletes the stream on the server. Call [`Client::poll_transmit`] for the
    /// last bytes.
    pub fn close(&mut self) {
        if let Some(stream) = self.message_stream.take() {
            self.send_command(NETWORK_CONNECTION, 0, &Command::delete_stream(stream));
        }
        self.state = State::Closed;
    }

    /// Returns the payload of a finished message to the pool.
    pub fn recycle(&mut self, payload: Payload) {
        self.decoder.recycle(payload);
    }

    /// Returns the pool, which the caller may exchange for one that several sessions share.
    pub fn pool_mut(&mut self) -> &mut Pool {
        self.decoder.pool_mut()
    }

    /// Returns true if no message is unfinished. If the connection closes now and the inbox is empty,
    /// it closes at a message boundary.
    pub fn is_between_messages(&self) -> bool {
        !self.is_handshaking() && self.decoder.is_between_messages()
    }

    /// Returns the end that the server has reported while the client waits for another publisher. A
    /// connection that closes now has ended for this reason.
    pub fn pending_end(&self) -> Option<&End> {
        match &self.state {
            State::AwaitingPublisher { end, .. } => Some(end),
            _ => None,
        }
    }

    /// Returns true if the handshake is not complete.
    pub fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshake { .. })
    }

    /// Returns true if the server may have derived other keys than the client, through no fault of
    /// either side. If the messages then cannot be decoded, a new session with fresh keys is the
    /// remedy.
    pub fn keys_may_differ(&self) -> bool {
        self.keys_may_differ
    }

    /// Whether the server requested SWF verification that the client could not answer.
    pub fn lacks_swf_proof(&self) -> bool {
        self.lacks_swf_proof
    }

    /// Returns why the client could not log in.
    pub fn login_error(&self) -> Option<&LoginError> {
        self.login_error.as_ref()
    }

    /// Handles messages up to the first that causes an event.
    fn receive_messages(&mut self, now: Instant, inbox: &mut BytesMut) -> Result<(), Error> {
        while self.events.is_empty() && !matches!(self.state, State::Closed) {
            // The messages of an aggregate precede those in the inbox.
            if self.unpack_aggregate(now) {
                continue;
            }
            let before = inbox.len();
            let message = self.decoder.decode(inbox);
            let consumed = before.saturating_sub(inbox.len());
            self.flow.received = self.flow.received.wrapping_add(consumed as u64);
            self.facts.received_bytes = self.flow.received;
            let Some(message) = message? else {
                self.record_progress(now);
                break;
            };
            self.handle_message(now, message);
        }
        Ok(())
    }

    fn timed_out(&mut self, timeout: Timeout) {
        let refusal = match timeout {
            Timeout::CreateStream | Timeout::FirstMedia => self.refusal.take(),
            _ => None,
        };
        self.end(refusal.map_or(End::TimedOut(timeout), End::Refused));
    }

    fn end(&mut self, end: End) {
        self.finish(Event::Ended(end));
    }

    /// Ends the session with `event`, the last one.
    fn finish(&mut self, event: Event) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.events.push_back(event);
        }
    }
}

/// Window of the server until it announces one: the value of Adobe's servers.
const DEFAULT_WINDOW: u32 = 2_500_000;

/// Largest size of unsent bytes: the answers to minutes of pings and bandwidth checks.
const MAX_UNSENT: usize = 1 << 20;

#[cfg(test)]
mod tests;

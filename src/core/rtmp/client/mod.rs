//! The playing side of a session, without I/O.
//!
//! Five verbs drive it: [`Client::receive`], [`Client::poll_event`], [`Client::poll_transmit`],
//! [`Client::poll_timeout`] and [`Client::handle_timeout`]. After any of the others, ask
//! `poll_event`, `poll_transmit` and `poll_timeout` again.
//!
//! Start-up takes two round trips: one for the handshake, one for everything else, since
//! `createStream` and `play` follow `connect` without waiting. The id that `createStream` will
//! answer is nearly always 1; where it is not, `play` is sent again.

mod buffer_length;
pub mod config;
mod deadlines;
mod encrypted;
mod event;
mod incoming;
mod outgoing;
mod pause_unpause;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use rand::Rng;

use self::{
    buffer_length::BufferLengthControl,
    config::{Config, Start},
    deadlines::Deadlines,
    encrypted::SessionCipher,
    outgoing::NETWORK_CONNECTION,
    pause_unpause::PauseUnpause,
};
pub use self::{
    deadlines::Timeout,
    event::{End, Event},
};
use super::{
    challenge::answer_login,
    chunk,
    command::Command,
    error::Error,
    handshake::{Handshake, Progress},
    message::AggregateUnpacker,
};
use crate::core::{flv::FrameParser, payload::Payload};

/// One session that plays one stream.
#[derive(Debug)]
pub struct Client {
    config: Config,
    phase: Phase,
    decoder: chunk::Decoder,
    encoder: chunk::Encoder,
    outgoing: BytesMut,
    encrypted: Option<SessionCipher>,
    /// The last bytes of S1, once it has come.
    s1_tail: [u8; 32],
    keys_may_differ: bool,
    command_body: Vec<u8>,
    events: VecDeque<Event>,
    deadlines: Deadlines,
    flow: Flow,
    calls: Calls,
    /// The message stream that `play` went to.
    playing_on: Option<u32>,
    buffer_length_control: BufferLengthControl,
    pause_unpause: PauseUnpause,
    frame_parser: FrameParser,
    has_media: bool,
    /// The end that was told, while another publisher is waited for.
    farewell: Option<End>,
    /// When the last media came.
    alive_at: Instant,
    /// Bytes of unfinished messages when waiting for media last began anew.
    unfinished_bytes: usize,
    /// An aggregate whose parts are not yet all handed out.
    aggregate: Option<AggregateUnpacker>,
    has_warned_of_swf: bool,
    /// A random number for the answer to a login's challenge.
    nonce: u32,
}

/// How far the session is.
#[derive(Debug)]
enum Phase {
    Handshake(Box<Handshake>),
    Connecting,
    Connected,
    Over,
}

/// Bytes received, and what the server was told of them (RTMP 5.4.3, 5.4.4).
#[derive(Debug)]
struct Flow {
    received: u64,
    acknowledged: u64,
    /// The server's window; acknowledgements go out at half of it.
    window: u32,
    /// The Window Acknowledgement Size that we last sent.
    announced_window: Option<u32>,
}

/// Transaction ids of the calls whose answers matter.
#[derive(Debug, Default)]
struct Calls {
    last: u32,
    connect: Option<u32>,
    /// Sent ahead of `connect`'s result, with a `play` behind it.
    early_create_stream: Option<u32>,
    create_stream: Option<u32>,
    is_stream_created: bool,
    play: Option<u32>,
}

impl Calls {
    fn next(&mut self) -> u32 {
        self.last = self.last.saturating_add(1);
        self.last
    }

    /// Whether `createStream` is yet to be answered.
    fn awaits_stream(&self) -> bool {
        self.early_create_stream.is_some() || self.create_stream.is_some()
    }
}

impl Client {
    /// Begins a session. `rng` fills the handshake's random bytes.
    pub fn new(config: Config, now: Instant, rng: &mut impl Rng) -> Self {
        let mut deadlines = Deadlines::default();
        deadlines.start(Timeout::Handshake, now, config.timeouts.handshake);
        Self {
            // The time in C1 is our own clock's, and nobody looks at it (RTMP 5.2.3).
            phase: Phase::Handshake(Box::new(Handshake::new(
                config.handshake,
                config.encryption,
                0,
                rng,
            ))),
            buffer_length_control: BufferLengthControl::new(
                config.buffer,
                config.start == Start::Live,
            ),
            frame_parser: FrameParser::new(),
            pause_unpause: PauseUnpause::new(
                config.pause_unpause && config.start != Start::Live,
                matches!(config.start, Start::At { .. }),
            ),
            config,
            decoder: chunk::Decoder::new(),
            encoder: chunk::Encoder::new(),
            outgoing: BytesMut::new(),
            encrypted: None,
            s1_tail: [0; 32],
            keys_may_differ: false,
            command_body: Vec::new(),
            events: VecDeque::new(),
            deadlines,
            flow: Flow {
                received: 0,
                acknowledged: 0,
                window: DEFAULT_WINDOW,
                announced_window: None,
            },
            calls: Calls::default(),
            playing_on: None,
            has_media: false,
            farewell: None,
            alive_at: now,
            unfinished_bytes: 0,
            aggregate: None,
            has_warned_of_swf: false,
            nonce: rng.next_u32(),
        }
    }

    /// Takes bytes from the front of `inbox`, up to the first that bring an event. Call it when bytes
    /// have come, and again until [`Client::poll_event`] has none. What it leaves there may have been
    /// decrypted in place, and nobody else is to change it: more bytes come behind it.
    pub fn receive(&mut self, now: Instant, inbox: &mut BytesMut) -> Result<(), Error> {
        if let Phase::Handshake(handshake) = &mut self.phase {
            match handshake.receive(inbox)? {
                Progress::NeedsMore => return Ok(()),
                Progress::Done(summary) => {
                    handshake.poll_transmit(&mut self.outgoing);
                    let ciphers = handshake.take_ciphers();
                    self.encrypted =
                        ciphers.map(|ciphers| SessionCipher::new(ciphers, self.outgoing.len()));
                    self.s1_tail = summary.s1_tail;
                    self.keys_may_differ = summary.keys_may_differ;
                    self.connect(now);
                }
            }
        }
        if let Some(encrypted) = &mut self.encrypted {
            encrypted.decrypt_new(inbox);
        }
        let received = self.receive_messages(now, inbox);
        if let Some(encrypted) = &mut self.encrypted {
            encrypted.set_decrypted_len(inbox.len());
        }
        received
    }

    /// Takes messages, up to the first that brings an event.
    fn receive_messages(&mut self, now: Instant, inbox: &mut BytesMut) -> Result<(), Error> {
        while self.events.is_empty() && !matches!(self.phase, Phase::Over) {
            if self.unpack(now) {
                continue;
            }
            let before = inbox.len();
            let message = self.decoder.decode(inbox);
            let taken = before.saturating_sub(inbox.len());
            self.flow.received = self.flow.received.wrapping_add(taken as u64);
            let Some(message) = message? else {
                self.take_note_of_progress(now);
                break;
            };
            self.handle_message(now, message);
        }
        Ok(())
    }

    /// The next thing that happened. Call it until there is none, after `receive` and
    /// `handle_timeout`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Appends to `out`, which holds what is not yet sent, what is to be sent. Call it at the start,
    /// after everything else, and once all that has come was received: acknowledgements are told
    /// here, one for many messages. Fails where the server asks and asks, and reads no answer.
    pub fn poll_transmit(&mut self, out: &mut BytesMut) -> Result<(), Error> {
        if let Phase::Handshake(handshake) = &mut self.phase {
            handshake.poll_transmit(&mut self.outgoing);
        }
        self.acknowledge();
        if let Some(encrypted) = &mut self.encrypted {
            encrypted.encrypt_pending(&mut self.outgoing);
        }
        out.extend_from_slice(&self.outgoing);
        self.outgoing.clear();
        if out.len() > MAX_UNSENT {
            return Err(Error::AnswersUnread(out.len()));
        }
        Ok(())
    }

    /// When [`Client::handle_timeout`] is to be called, if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.earliest()
    }

    /// Acts on the deadlines that have come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(wait) = self.deadlines.take_expired(now) {
            match wait {
                Timeout::CreateStreamAgain => {
                    tracing::debug!("createStream is not answered, it is sent again");
                    self.create_stream(now);
                }
                Timeout::EndOfStream => self.end_of_stream_confirmed(),
                Timeout::Pause => self.go_on(),
                Timeout::Republish => {
                    if let Some(end) = self.farewell.take() {
                        self.end(end);
                    }
                }
                Timeout::Silence if self.pause_unpause.is_first_try_available() => {
                    self.pause(now);
                }
                // What was not answered says more than what could not come without it.
                Timeout::FirstMedia if self.calls.awaits_stream() => {
                    self.end(End::TimedOut(Timeout::CreateStream));
                }
                _ => self.end(End::TimedOut(wait)),
            }
        }
    }

    /// Waits for media anew: for a while nothing was received, and the server is not to blame.
    pub fn restart_media_timeouts(&mut self, now: Instant) {
        self.alive_at = now;
        if self.deadlines.is_running(Timeout::FirstMedia) {
            let bound = self.config.timeouts.first_media;
            self.deadlines.start(Timeout::FirstMedia, now, bound);
        }
        if self.deadlines.is_running(Timeout::Silence) {
            self.await_media();
        }
    }

    /// Tells the server that we leave. What is left to send comes from [`Client::poll_transmit`].
    pub fn close(&mut self) {
        if let Some(stream) = self.playing_on.take() {
            self.send_command(NETWORK_CONNECTION, 0, &Command::delete_stream(stream));
        }
        self.phase = Phase::Over;
        self.deadlines.clear();
    }

    /// Takes back the payload of a message that is done with.
    pub fn recycle(&mut self, payload: Payload) {
        self.decoder.recycle(payload);
    }

    /// Whether all that came so far are whole messages: a connection that closes now closes cleanly.
    pub fn is_between_messages(&self) -> bool {
        match self.phase {
            Phase::Handshake(_) => false,
            _ => self.decoder.is_between_messages(),
        }
    }

    /// The end that the server told of, while another publisher is waited for: a connection that closes
    /// now ended with it.
    pub fn pending_end(&self) -> Option<&End> {
        self.farewell.as_ref()
    }

    /// Whether the server's handshake is still to come.
    pub fn is_handshaking(&self) -> bool {
        matches!(self.phase, Phase::Handshake(_))
    }

    /// Whether the server may have come to other keys than we have, through no fault of either side:
    /// if it makes no sense of what we say, or we of what it says, a new session will do.
    pub fn keys_may_differ(&self) -> bool {
        self.keys_may_differ
    }

    fn connected(&mut self, now: Instant) {
        self.phase = Phase::Connected;
        self.deadlines.stop(Timeout::Connect);
        self.events.push_back(Event::Connected);
        if self.calls.early_create_stream.is_some() {
            self.deadlines
                .start(Timeout::CreateStreamAgain, now, Some(EARLY_CALL_PATIENCE));
            self.await_first_media(now);
        } else if self.calls.is_stream_created {
            self.await_first_media(now);
        } else {
            self.create_stream(now);
        }
    }

    /// Asks for a stream, and plays on it once it is there.
    fn create_stream(&mut self, now: Instant) {
        self.deadlines.stop(Timeout::CreateStreamAgain);
        self.deadlines
            .start(Timeout::CreateStream, now, self.config.timeouts.command);
        self.calls.create_stream = Some(self.call_create_stream());
    }

    fn stream_created(&mut self, now: Instant, transaction: u32, stream: u32) {
        let was_early = self.calls.early_create_stream == Some(transaction);
        self.settle_create_stream();
        let is_played = was_early && self.playing_on == Some(stream);
        if is_played || self.has_media {
            return;
        }
        if let Some(guessed) = self.playing_on.filter(|guessed| *guessed != stream) {
            self.send_command(NETWORK_CONNECTION, 0, &Command::delete_stream(guessed));
        }
        self.play_on(stream);
        self.await_first_media(now);
    }

    /// No answer to `createStream` matters any more.
    fn settle_create_stream(&mut self) {
        self.calls.is_stream_created = true;
        self.calls.early_create_stream = None;
        self.calls.create_stream = None;
        self.deadlines.stop(Timeout::CreateStream);
        self.deadlines.stop(Timeout::CreateStreamAgain);
    }

    fn await_first_media(&mut self, now: Instant) {
        if !self.has_media {
            self.deadlines
                .start(Timeout::FirstMedia, now, self.config.timeouts.first_media);
        }
    }

    /// Waits for the next media message, half the time only where the other half is needed to see
    /// whether the buffer trick helps.
    fn await_media(&mut self) {
        let bound = match self.config.timeouts.silence {
            bound if !self.pause_unpause.is_first_try_available() => bound,
            bound => Some(part(bound, 2).unwrap_or(PATIENCE_BEFORE_TRICK)),
        };
        self.deadlines.start(Timeout::Silence, self.alive_at, bound);
    }

    /// Begins the buffer trick, where it can help.
    fn pause(&mut self, now: Instant) {
        if let Some(at) = self.pause_unpause.pause() {
            tracing::debug!("pausing at {at}, to have another buffer's worth");
            let bound = part(self.config.timeouts.silence, 4)
                .map_or(PAUSE_PATIENCE, |part| part.min(PAUSE_PATIENCE));
            self.deadlines.start(Timeout::Pause, now, Some(bound));
            self.await_media();
            self.call_pause(true, at);
        }
    }

    /// Ends the pause.
    fn go_on(&mut self) {
        self.deadlines.stop(Timeout::Pause);
        if let Some(at) = self.pause_unpause.unpause() {
            self.call_pause(false, at);
        }
    }

    /// Says on a new connection who we are, or gives up.
    fn log_in(&mut self, description: &str) {
        let config = &self.config;
        let login = config.login.as_ref();
        match answer_login(&config.connect, login, description, self.nonce) {
            Ok(connect) => {
                tracing::info!("the server wants a login, connecting again with it");
                self.finish(Event::Reconnect {
                    connect: Box::new(connect),
                });
            }
            Err(error) => self.end(End::Refused(error.to_string())),
        }
    }

    /// The publisher has left. Another may come, on the same connection.
    fn publisher_left(&mut self, now: Instant, end: End) {
        let wait = self.config.republish_wait;
        if wait.is_zero() || !self.has_media {
            return self.end(end);
        }
        if self.farewell.is_none() {
            tracing::info!("the publisher left, waiting for another");
            self.farewell = Some(end);
            self.deadlines.clear();
            self.deadlines.start(Timeout::Republish, now, Some(wait));
        }
    }

    fn end(&mut self, end: End) {
        self.finish(Event::Ended(end));
    }

    /// Nothing comes behind `event`.
    fn finish(&mut self, event: Event) {
        if !matches!(self.phase, Phase::Over) {
            self.phase = Phase::Over;
            self.deadlines.clear();
            self.events.push_back(event);
        }
    }
}

fn part(bound: Option<Duration>, divisor: u32) -> Option<Duration> {
    bound.and_then(|bound| bound.checked_div(divisor))
}

/// How long after `connect`'s result a `createStream` that went out before it may stay unanswered: a
/// server that drops what comes too early is asked again.
const EARLY_CALL_PATIENCE: Duration = Duration::from_secs(2);

/// The window until the server names one: what Adobe's servers use.
const DEFAULT_WINDOW: u32 = 2_500_000;

/// Answers that may wait while the server does not read: pings and probes of minutes.
const MAX_UNSENT: usize = 1 << 20;

/// Bytes of a message under way that count as a sign of life: a large keyframe takes its time on a
/// slow line, and drops must not keep a dead stream alive.
const SIGN_OF_LIFE_BYTES: usize = 4096;

/// How long the server's word that it has paused is waited for.
const PAUSE_PATIENCE: Duration = Duration::from_secs(1);

/// The silence before the buffer trick is tried where any silence is allowed.
const PATIENCE_BEFORE_TRICK: Duration = Duration::from_secs(15);

/// How long after a Stream EOF a server may take to say what it means.
const END_OF_STREAM_GRACE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;

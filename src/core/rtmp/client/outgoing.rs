//! What the player says.

use std::time::Instant;

use super::{Client, Phase, Timeout};
use crate::core::rtmp::{
    command::Command,
    message::{Acknowledgement, Kind, Timestamp, UserControl},
};

impl Client {
    pub(super) fn connect(&mut self, now: Instant) {
        self.phase = Phase::Connecting;
        self.deadlines.stop(Timeout::Handshake);
        self.deadlines
            .start(Timeout::Connect, now, self.config.timeouts.command);
        let transaction = self.calls.next();
        self.calls.connect = Some(transaction);
        let command = Command::connect(transaction, &self.config.connect, self.config.enhanced);
        self.send_command(NETWORK_CONNECTION, 0, &command);
        if self.may_pipeline() {
            let transaction = self.call_create_stream();
            self.calls.early_create_stream = Some(transaction);
            self.play_on(USUAL_STREAM);
        }
    }

    /// Whether nothing has to come between `connect` and `play`.
    fn may_pipeline(&self) -> bool {
        let config = &self.config;
        let must_wait = config.playlist
            || config.secure_token.is_some()
            || config.usher_token.is_some()
            || config.login.is_some();
        config.pipelining && !must_wait
    }

    /// `createStream`, and what servers want to hear before `play`.
    pub(super) fn call_create_stream(&mut self) -> u32 {
        let transaction = self.calls.next();
        let create_stream = Command::create_stream(transaction);
        self.send_command(NETWORK_CONNECTION, 0, &create_stream);
        if let Some(token) = &self.config.usher_token {
            let usher_token = Command::usher_token(self.calls.next(), token);
            self.send_command(NETWORK_CONNECTION, 0, &usher_token);
        }
        if let Some(name) = &self.config.subscribe {
            let subscribe = Command::fc_subscribe(self.calls.next(), name);
            self.send_command(NETWORK_CONNECTION, 0, &subscribe);
        }
        transaction
    }

    pub(super) fn play_on(&mut self, stream: u32) {
        let config = &self.config;
        let transaction = self.calls.next();
        let play = Command::play(
            transaction,
            &config.playpath,
            config.start,
            config.length_ms,
        );
        let playlist = config
            .playlist
            .then(|| Command::set_playlist(&config.playpath));
        if let Some(set_playlist) = playlist {
            self.send_command(PLAYING, stream, &set_playlist);
        }
        self.calls.play = Some(transaction);
        self.playing_on = Some(stream);
        self.send_command(PLAYING, stream, &play);
        self.announce_buffer_length(self.buffer_length_control.initial_ms());
    }

    pub(super) fn call_pause(&mut self, is_pause: bool, at: Timestamp) {
        if let Some(stream) = self.playing_on {
            let pause = Command::pause(self.calls.next(), is_pause, at.0);
            self.send_command(PLAYING, stream, &pause);
        }
    }

    pub(super) fn announce_buffer_length(&mut self, ms: u32) {
        if let Some(stream) = self.playing_on {
            self.send_user_control(UserControl::SetBufferLength {
                stream,
                buffer_ms: ms,
            });
        }
    }

    /// An acknowledgement is due at the latest after a whole window (RTMP 5.4.3); half a window
    /// leaves the server room while ours is under way.
    pub(super) fn acknowledge(&mut self) {
        let unacknowledged = self.flow.received.wrapping_sub(self.flow.acknowledged);
        if unacknowledged == 0 || unacknowledged < u64::from(self.flow.window / 2) {
            return;
        }
        self.flow.acknowledged = self.flow.received;
        let sequence_number = Acknowledgement::of_total(self.flow.received);
        self.send_control(Kind::ACKNOWLEDGEMENT, &sequence_number.to_bytes());
    }

    pub(super) fn send_command(&mut self, chunk_stream: u32, stream: u32, command: &Command) {
        tracing::debug!("sending {} on message stream {stream}", command.name);
        self.command_body.clear();
        command.write(&mut self.command_body);
        let sent = self.encoder.encode(
            chunk_stream,
            Kind::COMMAND,
            stream,
            Timestamp(0),
            &self.command_body,
            &mut self.outgoing,
        );
        if let Err(error) = sent {
            tracing::warn!("{} is not sent: {error}", command.name);
        }
    }

    pub(super) fn send_user_control(&mut self, event: UserControl) {
        self.send_control(Kind::USER_CONTROL, &event.to_bytes());
    }

    pub(super) fn send_control(&mut self, kind: Kind, payload: &[u8]) {
        let sent = self.encoder.encode(
            PROTOCOL_CONTROL,
            kind,
            0,
            Timestamp(0),
            payload,
            &mut self.outgoing,
        );
        debug_assert!(sent.is_ok(), "a control message is a few bytes long");
    }
}

/// The chunk stream of protocol control messages (RTMP 5.4).
const PROTOCOL_CONTROL: u32 = 2;

/// The chunk stream on which players send their NetConnection commands.
pub(super) const NETWORK_CONNECTION: u32 = 3;

/// The chunk stream on which players send `play`.
const PLAYING: u32 = 8;

/// What `createStream` nearly always answers.
const USUAL_STREAM: u32 = 1;

//! Messages from the client.

use std::time::Instant;

use super::{Client, config::Start, trace::Call};
use crate::core::rtmp::{
    command::Command,
    message::{Acknowledgement, Kind, Timestamp, UserControl},
};

/// Transaction ids of the client's calls: 1, 2, 3 …
#[derive(Debug, Default)]
pub(super) struct TransactionIds {
    last: u32,
}

impl TransactionIds {
    pub(super) fn next(&mut self) -> u32 {
        self.last = self.last.saturating_add(1);
        self.last
    }
}

impl Client {
    /// Sends `createStream` and the calls that servers require before `play`. Returns the
    /// transaction id of `createStream`.
    pub(super) fn call_create_stream(&mut self, now: Instant) -> u32 {
        self.round_trips.create_stream.begin(now);
        let transaction = self.transaction_ids.next();
        let create_stream = Command::create_stream(transaction);
        self.send_command(NETWORK_CONNECTION, 0, &create_stream);
        if let Some(token) = &self.config.usher_token {
            let usher_token = Command::usher_token(self.transaction_ids.next(), token);
            self.send_command(NETWORK_CONNECTION, 0, &usher_token);
        }
        if let Some(name) = &self.config.subscribe {
            let subscribe = Command::fc_subscribe(self.transaction_ids.next(), name);
            self.send_command(NETWORK_CONNECTION, 0, &subscribe);
        }
        transaction
    }

    /// Sends `play` and the first buffer length on a message stream. Returns the transaction id.
    pub(super) fn play_on(&mut self, now: Instant, stream: u32, start: Start) -> u32 {
        self.round_trips.play.begin(now);
        self.round_trips.first_media.begin(now);
        let transaction = self.transaction_ids.next();
        let config = &self.config;
        let play = Command::play(transaction, &config.playpath, start, config.length_ms);
        let playlist = config
            .playlist
            .then(|| Command::set_playlist(&config.playpath));
        if let Some(set_playlist) = playlist {
            self.send_command(PLAYING, stream, &set_playlist);
        }
        self.message_stream = Some(stream);
        self.send_command(PLAYING, stream, &play);
        self.announce_buffer_length(self.buffer_length.initial_ms());
        transaction
    }

    /// Sends `pause` if `is_pause`, otherwise the unpause. Returns the transaction id.
    pub(super) fn call_pause(&mut self, is_pause: bool, at: Timestamp) -> u32 {
        let transaction = self.transaction_ids.next();
        if let Some(stream) = self.message_stream {
            let pause = Command::pause(transaction, is_pause, at.0);
            self.send_command(PLAYING, stream, &pause);
        }
        transaction
    }

    /// Sends Set Buffer Length.
    pub(super) fn announce_buffer_length(&mut self, ms: u32) {
        if let Some(stream) = self.message_stream {
            self.send_user_control(UserControl::SetBufferLength {
                stream,
                buffer_ms: ms,
            });
        }
    }

    /// Sends an acknowledgement if one is due. RTMP 5.4.3: it must be sent after each window of
    /// received bytes. The client sends it after half a window, so that the server does not stop
    /// while the acknowledgement is in flight.
    pub(super) fn acknowledge(&mut self) {
        let unacknowledged = self.flow.received.wrapping_sub(self.flow.acknowledged);
        if unacknowledged == 0 || unacknowledged < u64::from(self.flow.window / 2) {
            return;
        }
        self.flow.acknowledged = self.flow.received;
        tracing::trace!("sending acknowledgement of {} B", self.flow.received);
        let sequence_number = Acknowledgement::of_total(self.flow.received);
        self.send_control(Kind::ACKNOWLEDGEMENT, &sequence_number.to_bytes());
    }

    pub(super) fn send_command(&mut self, chunk_stream: u32, stream: u32, command: &Command) {
        tracing::debug!("sending on message stream {stream}: {}", Call(command));
        let mut body = Vec::new();
        command.write(&mut body);
        let sent = self.encoder.encode(
            chunk_stream,
            Kind::COMMAND,
            stream,
            Timestamp(0),
            &body,
            &mut self.outgoing,
        );
        if let Err(error) = sent {
            tracing::warn!("cannot send {}: {error}", command.name);
        }
    }

    pub(super) fn send_user_control(&mut self, event: UserControl) {
        tracing::debug!("sending user control: {event}");
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
        debug_assert!(sent.is_ok(), "control messages are short");
    }
}

/// Chunk stream of protocol control messages (RTMP 5.4).
const PROTOCOL_CONTROL: u32 = 2;

/// Chunk stream on which players send NetConnection commands.
pub(super) const NETWORK_CONNECTION: u32 = 3;

/// Chunk stream on which players send NetStream commands.
const PLAYING: u32 = 8;

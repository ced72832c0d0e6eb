//! What servers send, message by message.

use std::time::Instant;

use bytes::Bytes;

use super::config::Start;
use super::{
    Client, END_OF_STREAM_GRACE, End, Event, Phase, SIGN_OF_LIFE_BYTES, Timeout,
    outgoing::NETWORK_CONNECTION, pause_unpause::Novelty,
};
use crate::core::{
    amf::{Object, Text, Value, amf0},
    flv::{FrameInfo, TagKind},
    payload::Payload,
    rtmp::{
        challenge::{is_login_required, secure_token_answer},
        command::{Command, Meaning, Status, selector_len},
        message::{
            AggregateUnpacker, Kind, Message, SetPeerBandwidth, Timestamp, UserControl,
            WindowAcknowledgementSize,
        },
        properties,
    },
};

impl Client {
    /// Control is recognised by its type alone: some servers send it on any chunk stream.
    pub(super) fn handle_message(&mut self, now: Instant, message: Message) {
        tracing::trace!(
            "{} of {} bytes at {} on message stream {}",
            message.kind,
            message.payload.len(),
            message.timestamp,
            message.message_stream
        );
        match message.kind {
            Kind::AUDIO | Kind::VIDEO => return self.media(now, message),
            Kind::DATA | Kind::DATA_AMF3 => return self.data(now, message),
            Kind::COMMAND | Kind::COMMAND_AMF3 => self.command(now, &message),
            Kind::AGGREGATE => {
                self.aggregate = Some(AggregateUnpacker::new(message));
                return;
            }
            Kind::USER_CONTROL => self.user_control(now, &message.payload),
            Kind::WINDOW_ACKNOWLEDGEMENT_SIZE => self.window_size(&message.payload),
            Kind::SET_PEER_BANDWIDTH => self.peer_bandwidth(&message.payload),
            // The decoder has acted on the first two; what the server has received tells us nothing.
            Kind::SET_CHUNK_SIZE | Kind::ABORT | Kind::ACKNOWLEDGEMENT => {}
            kind => tracing::debug!("message of type {kind} skipped"),
        }
        self.recycle(message.payload);
    }

    fn media(&mut self, now: Instant, message: Message) {
        // The types of audio and video messages are those of the tags (RTMP 7.1.4, 7.1.5).
        let info = self
            .frame_parser
            .parse(TagKind(message.kind.0), &message.payload);
        if let Novelty::Repeated { is_progress } = self.pause_unpause.classify(&message, info) {
            if is_progress {
                self.take_note_of_life(now);
            }
            return self.recycle(message.payload);
        }
        if !message.payload.is_empty() {
            if self.farewell.is_some() {
                self.publisher_returned(now);
            }
            self.take_note_of_media(now, message.timestamp);
        }
        self.events.push_back(Event::Media { message, info });
    }

    fn take_note_of_life(&mut self, now: Instant) {
        self.unfinished_bytes = 0;
        self.deadlines.stop(Timeout::EndOfStream);
        self.alive_at = now;
        self.await_media();
    }

    fn take_note_of_media(&mut self, now: Instant, timestamp: Timestamp) {
        if !self.has_media {
            self.has_media = true;
            self.deadlines.stop(Timeout::FirstMedia);
            if self.playing_on.is_some() {
                self.settle_create_stream();
            }
        }
        self.take_note_of_life(now);
        if let Some(announcement) = self.buffer_length_control.record_media(now, timestamp) {
            if announcement.gave_up_growing {
                tracing::info!(
                    "the server keeps to real time, asking for {} s at once",
                    announcement.ms / 1000
                );
            }
            self.announce_buffer_length(announcement.ms);
        }
    }

    /// A message that grows is a sign of life, though it is no media before it is whole.
    pub(super) fn take_note_of_progress(&mut self, now: Instant) {
        let unfinished_bytes = self.decoder.unfinished_bytes();
        let grown = unfinished_bytes.saturating_sub(self.unfinished_bytes);
        if grown >= SIGN_OF_LIFE_BYTES {
            self.unfinished_bytes = unfinished_bytes;
            self.restart_media_timeouts(now);
        }
    }

    /// Hands out one part of an aggregate; tells whether there was one. Parts go the way of single
    /// messages (RTMP 7.1.6).
    pub(super) fn unpack(&mut self, now: Instant) -> bool {
        let Some(unpacking) = &mut self.aggregate else {
            return false;
        };
        let decoder = &mut self.decoder;
        match unpacking.next_message(|length| decoder.take_payload(length)) {
            Some(part) if part.kind == Kind::AUDIO || part.kind == Kind::VIDEO => {
                self.media(now, part);
            }
            Some(part) => self.data(now, part),
            None => {
                if let Some(unpacking) = self.aggregate.take() {
                    self.recycle(unpacking.into_payload());
                }
            }
        }
        true
    }

    fn user_control(&mut self, now: Instant, payload: &[u8]) {
        let Ok(event) = UserControl::read(payload) else {
            tracing::debug!("user control message of {} bytes skipped", payload.len());
            return;
        };
        tracing::debug!("user control: {event:?}");
        match event {
            UserControl::PingRequest(time) => {
                self.send_user_control(UserControl::PingResponse(time));
            }
            UserControl::StreamBegin(_) => self.lift_end_of_stream(now),
            UserControl::StreamEof(_)
                if self.has_media && !self.config.republish_wait.is_zero() =>
            {
                self.publisher_left(now, End::Unpublished(STREAM_EOF.to_owned()));
            }
            // A hint: nginx-rtmp sends it before a seek too, and others before a publisher's return.
            UserControl::StreamEof(_) if self.has_media && !self.pause_unpause.is_pausing() => {
                let silence = self.config.timeouts.silence;
                let grace = silence
                    .unwrap_or(END_OF_STREAM_GRACE)
                    .min(END_OF_STREAM_GRACE);
                self.deadlines.start(Timeout::EndOfStream, now, Some(grace));
                self.deadlines.stop(Timeout::Silence);
            }
            UserControl::StreamIsRecorded(_) => {
                self.pause_unpause.set_recorded();
                self.events.push_back(Event::Recorded);
            }
            UserControl::BufferEmpty(_) if !self.deadlines.is_running(Timeout::EndOfStream) => {
                self.pause(now);
            }
            UserControl::SwfVerificationRequest(kind) => self.prove_player(kind),
            _ => {}
        }
    }

    fn prove_player(&mut self, kind: u8) {
        match &self.config.swf_proof {
            Some(proof) if kind <= SWF_VERIFICATION => {
                let response = proof.response(&self.s1_tail);
                self.send_user_control(UserControl::SwfVerificationResponse(response));
            }
            _ if self.has_warned_of_swf => {}
            known => {
                self.has_warned_of_swf = true;
                tracing::warn!(
                    "the server asks for proof of the player{}, and may stop without it",
                    if known.is_some() {
                        " in a way that is not known"
                    } else {
                        ""
                    }
                );
            }
        }
    }

    /// What was over begins again, perhaps with another publisher.
    fn lift_end_of_stream(&mut self, now: Instant) {
        if self.farewell.is_some() {
            return self.publisher_returned(now);
        }
        if self.deadlines.is_running(Timeout::EndOfStream) {
            self.take_note_of_life(now);
            if !self.pause_unpause.is_active() {
                self.pause_unpause.restart();
                self.events.push_back(Event::Restarted);
            }
        }
    }

    fn publisher_returned(&mut self, now: Instant) {
        tracing::info!("the stream is published again");
        self.farewell = None;
        self.deadlines.stop(Timeout::Republish);
        self.take_note_of_life(now);
        self.events.push_back(Event::Restarted);
    }

    pub(super) fn end_of_stream_confirmed(&mut self) {
        let reason = STREAM_EOF.to_owned();
        self.end(match self.config.start {
            Start::Live => End::Unpublished(reason),
            Start::LiveElseRecorded | Start::At { .. } => End::Complete(reason),
        });
    }

    fn window_size(&mut self, payload: &[u8]) {
        // A size of 0 is a server that has not set one.
        if let Ok(WindowAcknowledgementSize(window @ 1..)) =
            WindowAcknowledgementSize::read(payload)
        {
            self.flow.window = window;
        }
    }

    /// The answer is a Window Acknowledgement Size, if it differs from the last one (RTMP 5.4.5).
    fn peer_bandwidth(&mut self, payload: &[u8]) {
        let Ok(SetPeerBandwidth { window, .. }) = SetPeerBandwidth::read(payload) else {
            return;
        };
        if window > 0 && self.flow.announced_window != Some(window) {
            self.flow.announced_window = Some(window);
            let size = WindowAcknowledgementSize(window);
            self.send_control(Kind::WINDOW_ACKNOWLEDGEMENT_SIZE, &size.to_bytes());
        }
    }

    fn data(&mut self, now: Instant, mut message: Message) {
        let Some(selector_len) = selector_len(message.kind, &message.payload) else {
            return self.recycle(message.payload);
        };
        message.payload.drop_front(selector_len);
        message.kind = Kind::DATA;
        let mut decoder = amf0::Decoder::new(Bytes::copy_from_slice(&message.payload));
        let mut name = decoder.value().ok();
        // Publishers wrap the metadata that they set, and some servers relay it as it is.
        if name
            .as_ref()
            .is_some_and(|name| is_text(name, "@setDataFrame"))
        {
            message.payload.drop_front(decoder.position());
            name = decoder.value().ok();
        }
        match name
            .as_ref()
            .and_then(Value::as_text)
            .map(|name| name.as_bytes())
        {
            Some(b"onMetaData") => match decoder.value().ok().as_ref().and_then(Value::as_object) {
                Some(members) => {
                    properties::log_object(members);
                    if has_duration(members) {
                        self.pause_unpause.set_recorded();
                    }
                    return self.events.push_back(Event::Metadata {
                        members: members.clone(),
                        payload: message.payload,
                    });
                }
                None => tracing::debug!("onMetaData that does not decode skipped"),
            },
            Some(b"onStatus" | b"onPlayStatus") => {
                let mut arguments = Vec::new();
                while let Ok(argument) = decoder.value() {
                    arguments.push(argument);
                }
                properties::log(&arguments);
                self.status(now, &arguments);
            }
            Some(b"|RtmpSampleAccess" | b"@clearDataFrame") => {}
            Some(_) if self.pause_unpause.classify(&message, FrameInfo::SCRIPT) == Novelty::New => {
                return self.events.push_back(Event::Media {
                    message,
                    info: FrameInfo::SCRIPT,
                });
            }
            Some(_) => {}
            None if !message.payload.is_empty() && decodes(&message.payload) => {
                return self.events.push_back(Event::Media {
                    message,
                    info: FrameInfo::SCRIPT,
                });
            }
            None => tracing::debug!("data message of {} bytes skipped", message.payload.len()),
        }
        self.recycle(message.payload);
    }

    fn command(&mut self, now: Instant, message: &Message) {
        let Some(command) = Command::read(message.kind, &message.payload) else {
            tracing::debug!("command message of {} bytes skipped", message.payload.len());
            return;
        };
        tracing::debug!(
            "received {}, transaction {}",
            command.name,
            command.transaction
        );
        properties::log(&command.arguments);
        match command.name.as_bytes() {
            b"_result" => self.result(now, &command),
            b"_error" => self.error(now, &command),
            b"onStatus" => self.status(now, &command.arguments),
            b"onBWDone" => {
                let check = Command::check_bandwidth(self.calls.next());
                self.send_command(NETWORK_CONNECTION, 0, &check);
            }
            b"_onbwcheck" => self.answer("_result", &command),
            b"ping" => self.answer("pong", &command),
            b"close" => self.end(End::Closed(reason(&command.arguments, "close"))),
            // The publisher's own commands, which ffmpeg as a server sends on to its player.
            b"onFCUnsubscribe" | b"FCUnpublish" | b"deleteStream" | b"closeStream" => {
                self.publisher_left(now, End::Unpublished(command.name.to_string()));
            }
            name => tracing::debug!("{} is not for us", String::from_utf8_lossy(name)),
        }
    }

    fn answer(&mut self, name: &str, command: &Command) {
        let answer = Command::answer(name, command.transaction, Value::Number(0.0));
        self.send_command(NETWORK_CONNECTION, 0, &answer);
    }

    fn result(&mut self, now: Instant, command: &Command) {
        let transaction = command.transaction_id();
        let calls = &self.calls;
        if matches!(self.phase, Phase::Connecting) && is_connect_result(calls.connect, command) {
            return self.connect_result(now, command);
        }
        if let Some(transaction) = transaction
            && (calls.early_create_stream == Some(transaction)
                || calls.create_stream == Some(transaction))
        {
            return match stream_id(command) {
                Some(stream) => self.stream_created(now, transaction, stream),
                None => self.end(End::Refused(reason(
                    &command.arguments,
                    "createStream was answered without a stream id",
                ))),
            };
        }
        tracing::debug!("the answer to {:?} is not waited for", command.transaction);
    }

    /// `_result` means success whatever the code says, but for the codes that say the contrary.
    fn connect_result(&mut self, now: Instant, command: &Command) {
        let status = Status::find(&command.arguments).unwrap_or_default();
        match Meaning::of(&status) {
            Meaning::Refused => self.refused(&status),
            _ => {
                if let Some(token) = command.arguments.iter().find_map(secure_token) {
                    self.answer_secure_token(token);
                }
                self.connected(now);
            }
        }
    }

    fn answer_secure_token(&mut self, token: &Text) {
        let Some(key) = &self.config.secure_token else {
            tracing::warn!("the server wants a secure token, and may stop without it");
            return;
        };
        match secure_token_answer(key, token.as_bytes()) {
            Some(answer) => {
                let response = Command::secure_token_response(answer);
                self.send_command(NETWORK_CONNECTION, 0, &response);
            }
            None => tracing::warn!("the server's secure token is not made of hexadecimal digits"),
        }
    }

    fn error(&mut self, now: Instant, command: &Command) {
        let transaction = command.transaction_id();
        let is = |call: Option<u32>| call.is_some() && call == transaction;
        let status = Status::find(&command.arguments).unwrap_or_default();
        if matches!(self.phase, Phase::Connecting) && is_connect_result(self.calls.connect, command)
        {
            self.refused(&status);
        } else if is(self.calls.early_create_stream) {
            // Too early for this server; once connected, it is asked again.
            self.calls.early_create_stream = None;
            if matches!(self.phase, Phase::Connected) {
                self.create_stream(now);
            }
        } else if is(self.calls.create_stream) {
            self.end(End::Refused(reason(
                &command.arguments,
                "createStream failed",
            )));
        } else if is(self.calls.play) && !self.has_media {
            self.end(End::Refused(reason(&command.arguments, "play failed")));
        } else {
            tracing::debug!("the server calls it an error: {status}");
        }
    }

    fn refused(&mut self, status: &Status) {
        match status.redirect() {
            Some(redirect) => {
                // SRS waits for a call that carries a string before it lets go.
                let answer = Command::answer("redirected", 0.0, "accepted".into());
                self.send_command(NETWORK_CONNECTION, 0, &answer);
                self.finish(Event::Redirected(redirect));
            }
            None if is_login_required(&status.description)
                && matches!(self.phase, Phase::Connecting) =>
            {
                self.log_in(&status.description);
            }
            None if Meaning::of(status) == Meaning::NotFound => {
                self.end(End::NotFound(status.to_string()));
            }
            None => {
                let reason = match status.to_string() {
                    reason if reason.is_empty() => "the server gives no reason".to_owned(),
                    reason => reason,
                };
                self.end(End::Refused(reason));
            }
        }
    }

    /// Statuses are told apart by their code: message stream ids and places differ among servers.
    fn status(&mut self, now: Instant, arguments: &[Value]) {
        let Some(status) = Status::find(arguments) else {
            return;
        };
        if status.level == "warning" {
            tracing::warn!("server: {status}");
        } else if !is_login_required(&status.description) {
            tracing::debug!("server: {status}");
        }
        let is_live = self.config.start == Start::Live;
        match Meaning::of(&status) {
            Meaning::Started => {
                self.lift_end_of_stream(now);
                self.events.push_back(Event::Started);
            }
            Meaning::Paused => self.go_on(),
            Meaning::Complete if is_live => {
                self.publisher_left(now, End::Unpublished(status.to_string()));
            }
            Meaning::Complete => self.end(End::Complete(status.to_string())),
            Meaning::Unpublished => {
                self.publisher_left(now, End::Unpublished(status.to_string()));
            }
            Meaning::Closed => self.end(End::Closed(status.to_string())),
            Meaning::NotFound | Meaning::Refused if self.has_media => {
                self.end(End::Failed(status.to_string()));
            }
            Meaning::NotFound | Meaning::Refused => self.refused(&status),
            Meaning::Unknown if status.is_error() && !self.has_media => self.refused(&status),
            Meaning::Unknown | Meaning::Information => {}
        }
    }
}

/// The answer to `connect` is the first that comes; one whose transaction id is off still says
/// what it is about.
fn is_connect_result(connect: Option<u32>, command: &Command) -> bool {
    command.transaction_id() == connect
        || Status::find(&command.arguments)
            .is_some_and(|status| status.code.starts_with("NetConnection.Connect."))
}

/// The `secureToken`, wherever it stands in what `connect` is answered. AMF's limits bound the depth.
fn secure_token(value: &Value) -> Option<&Text> {
    let members = value.as_object()?;
    let token = members.get("secureToken").and_then(Value::as_text);
    token.or_else(|| members.iter().find_map(|(_, member)| secure_token(member)))
}

/// The stream id is the first number behind the command object.
fn stream_id(command: &Command) -> Option<u32> {
    let id = command.arguments.iter().find_map(Value::as_number)?;
    (id >= 0.0 && id <= f64::from(u32::MAX)).then_some(id as u32)
}

fn reason(arguments: &[Value], otherwise: &str) -> String {
    match Status::find(arguments) {
        Some(status) => status.to_string(),
        None => otherwise.to_owned(),
    }
}

fn is_text(value: &Value, text: &str) -> bool {
    value
        .as_text()
        .is_some_and(|value| value.as_bytes() == text.as_bytes())
}

/// Live streams have no duration, or one of 0.
fn has_duration(metadata: &Object) -> bool {
    let duration = metadata.get("duration").and_then(Value::as_number);
    duration.is_some_and(|seconds| seconds > 0.0)
}

fn decodes(payload: &Payload) -> bool {
    let (_, error) = amf0::decode_all(Bytes::copy_from_slice(payload));
    error.is_none()
}

/// The one type of SWF verification that is known.
const SWF_VERIFICATION: u8 = 1;

/// What a Stream EOF is called where nothing else was told.
const STREAM_EOF: &str = "Stream EOF";

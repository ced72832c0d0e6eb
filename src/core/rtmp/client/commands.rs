//! Received command messages: answers, statuses and calls of the server.

use std::time::Instant;

use super::{
    Client,
    config::Start,
    event::{End, Event},
    outgoing::NETWORK_CONNECTION,
    start_up::CONNECT,
    state::State,
};
use crate::core::{
    amf::{Text, Value},
    rtmp::{
        command::{Command, Meaning, ReconnectRequest, Status},
        message::Message,
        properties,
    },
};

impl Client {
    pub(super) fn command(&mut self, now: Instant, message: &Message) {
        let Some(command) = Command::read(message.kind, &message.payload) else {
            tracing::debug!("command message of {} bytes skipped", message.payload.len());
            return self.facts.record_malformed();
        };
        tracing::debug!(
            "received {:.MAX_NAME$}, transaction {}",
            command.name,
            command.transaction
        );
        properties::log(&command.arguments);
        self.end_round_trip(now, &command);
        self.record_command(now, &command, message.message_stream);
        match command.name.as_bytes() {
            b"_result" => self.result(now, &command),
            b"_error" => self.error(now, &command),
            b"onStatus" => self.status(now, &command.arguments, message.message_stream),
            b"onFCSubscribe" => self.subscribed(&command),
            b"onBWDone" => {
                let check = Command::check_bandwidth(self.transaction_ids.next());
                self.send_command(NETWORK_CONNECTION, 0, &check);
            }
            b"_onbwcheck" => self.answer("_result", &command),
            b"ping" => self.answer("pong", &command),
            b"close" => self.end(End::Closed(reason(&command.arguments, "close"))),
            // Commands of the publisher, which ffmpeg as a server forwards to its player.
            b"onFCUnsubscribe" | b"FCUnpublish" | b"deleteStream" | b"closeStream" => {
                self.publisher_left(now, End::Unpublished(command.name.to_string()));
            }
            _ => tracing::debug!("command {:.MAX_NAME$} ignored", command.name),
        }
    }

    /// Handles a status. The code alone decides: message stream id and position differ between
    /// servers.
    pub(super) fn status(&mut self, now: Instant, arguments: &[Value], message_stream: u32) {
        let Some(status) = Status::find(arguments) else {
            return self.facts.record_malformed();
        };
        self.facts
            .record_status(now, &status, arguments, message_stream);
        if status.level == "warning" {
            tracing::warn!("server: {status}");
        } else if status.login_request.is_none() {
            tracing::debug!("server: {status}");
        }
        let is_live = self.config.start == Start::Live;
        let has_media = self.state.has_media();
        let meaning = Meaning::of(&status);
        match meaning {
            // These statuses may belong to the first play, which another start position replaced.
            Meaning::Complete
            | Meaning::Unpublished
            | Meaning::NotFound
            | Meaning::Refused
            | Meaning::Unknown
                if self.state.has_tried_other_starts() && status.is_of_stream() =>
            {
                if status.is_error() {
                    self.play_refused(now, status.to_string());
                }
            }
            Meaning::Started | Meaning::Published => {
                self.is_published |= meaning == Meaning::Published;
                self.stream_begun(now);
                self.play_started(now);
                if meaning == Meaning::Published {
                    self.events.push_back(Event::Published);
                }
                self.events.push_back(Event::Started);
            }
            Meaning::Paused => self.unpause(),
            // A live stream has no end of its own: its publisher has left.
            Meaning::Complete if is_live => {
                self.publisher_left(now, End::Unpublished(status.to_string()));
            }
            Meaning::Complete => self.end(End::Complete(status.to_string())),
            Meaning::Unpublished => {
                self.publisher_left(now, End::Unpublished(status.to_string()));
            }
            Meaning::Closed => self.end(End::Closed(status.to_string())),
            Meaning::ReconnectRequest => self.reconnect_requested(status),
            Meaning::NotFound | Meaning::Refused if has_media => {
                self.end(End::Failed(status.to_string()));
            }
            Meaning::NotFound | Meaning::Refused
                if status.is_of_stream() && self.state.is_connecting_with_early_play() =>
            {
                self.play_refused(now, status.to_string());
            }
            Meaning::NotFound | Meaning::Refused => self.refused(&status),
            Meaning::Unknown if status.is_error() && !has_media => self.refused(&status),
            Meaning::Unknown | Meaning::Information => {}
        }
    }

    /// Reports a request to reconnect. Without the members of Enhanced RTMP in `connect`, the client
    /// has not announced that it obeys such a request.
    fn reconnect_requested(&mut self, status: Status) {
        if !self.config.enhanced {
            return;
        }
        match status.reconnect_to.transpose() {
            Ok(tc_url) => self
                .events
                .push_back(Event::ReconnectRequested(ReconnectRequest {
                    tc_url,
                    description: status.description,
                })),
            Err(start) => tracing::warn!(
                "the server requests a new connection, but its URL is too long: ignoring {start}"
            ),
        }
    }

    /// Records an answer or a call of the server.
    fn record_command(&mut self, now: Instant, command: &Command, message_stream: u32) {
        let is_connecting = matches!(self.state, State::Connecting { .. });
        let is_answer = matches!(command.name.as_bytes(), b"_result" | b"_error");
        if is_answer && is_connecting && is_connect_answer(command) {
            let is_accepted = command.name == "_result";
            self.facts.record_connect_answer(now, command, is_accepted);
        }
        match command.name.as_bytes() {
            b"_result" | b"onStatus" => {}
            b"_error" => {
                if let Some(status) = Status::find(&command.arguments) {
                    let arguments = &command.arguments;
                    self.facts
                        .record_status(now, &status, arguments, message_stream);
                }
            }
            _ => self.facts.record_call(&command.name),
        }
    }

    /// Ends the round trip of the call that `command` answers first.
    fn end_round_trip(&mut self, now: Instant, command: &Command) {
        let is_connecting = matches!(self.state, State::Connecting { .. });
        let transaction = command.transaction_id();
        match command.name.as_bytes() {
            b"_result" | b"_error" if is_connecting && is_connect_answer(command) => {
                let time = &mut self.facts.round_trips.connect;
                self.round_trips.connect.end(now, "connect answered", time);
            }
            b"_result" | b"_error" => {
                if transaction.is_some_and(|id| self.state.is_create_stream(id)) {
                    let create_stream = &mut self.round_trips.create_stream;
                    let time = &mut self.facts.round_trips.create_stream;
                    create_stream.end(now, "createStream answered", time);
                } else if transaction.is_some() && transaction == self.state.play_transaction() {
                    let time = &mut self.facts.round_trips.play;
                    self.round_trips.play.end(now, "play answered", time);
                }
            }
            b"onStatus" => {
                let status = Status::find(&command.arguments);
                if status.is_some_and(|status| status.is_of_stream()) {
                    let time = &mut self.facts.round_trips.play;
                    self.round_trips.play.end(now, "play answered", time);
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, name: &str, command: &Command) {
        let answer = Command::answer(name, command.transaction, Value::Number(0.0));
        self.send_command(NETWORK_CONNECTION, 0, &answer);
    }

    fn result(&mut self, now: Instant, command: &Command) {
        if matches!(self.state, State::Connecting { .. }) && is_connect_answer(command) {
            return self.connect_result(now, command);
        }
        let transaction = command.transaction_id();
        match transaction.filter(|transaction| self.state.is_create_stream(*transaction)) {
            Some(transaction) => match stream_id(command) {
                Some(stream) => {
                    self.facts.record_created_stream(now, stream);
                    self.stream_created(now, transaction, stream);
                }
                None => self.end(End::Refused(reason(
                    &command.arguments,
                    "the answer to createStream contains no stream id",
                ))),
            },
            None => tracing::debug!("answer to transaction {} ignored", command.transaction),
        }
    }

    /// Handles the `_result` of `connect`. It means success for all codes except refusals.
    fn connect_result(&mut self, now: Instant, command: &Command) {
        let status = Status::find(&command.arguments).unwrap_or_default();
        if Meaning::of(&status) == Meaning::Refused {
            return self.refused(&status);
        }
        if let Some(token) = command.arguments.iter().find_map(secure_token) {
            self.answer_secure_token(token);
        }
        self.connected(now);
    }

    fn error(&mut self, now: Instant, command: &Command) {
        let status = Status::find(&command.arguments).unwrap_or_default();
        if matches!(self.state, State::Connecting { .. }) && is_connect_answer(command) {
            return self.refused(&status);
        }
        match command.transaction_id() {
            Some(transaction) if self.state.is_create_stream(transaction) => {
                let reason = reason(&command.arguments, "createStream failed");
                self.create_stream_refused(now, transaction, reason);
            }
            Some(transaction) if self.state.play_transaction() == Some(transaction) => {
                self.play_refused(now, reason(&command.arguments, "play failed"));
            }
            Some(transaction) if self.state.is_pause(transaction) => {
                tracing::debug!("pause refused: {status}");
                self.pause_refused();
            }
            _ if self.state.is_before_media() && Meaning::of(&status).is_refusal() => {
                self.refused(&status);
            }
            // Most servers do not support all calls that some servers require.
            _ => tracing::debug!("error of the server ignored: {status}"),
        }
    }

    /// Handles the answer to `FCSubscribe`. CDNs report here that a stream is not published.
    fn subscribed(&mut self, command: &Command) {
        let refusal = Status::find(&command.arguments).filter(Status::is_error);
        if let Some(status) = refusal {
            if self.state.is_before_media() {
                self.end(End::NotFound(status.to_string()));
            } else {
                tracing::debug!("subscription refused: {status}");
            }
        }
    }

    /// Ends a session that the server refuses, or follows its redirect or login request.
    fn refused(&mut self, status: &Status) {
        if let Some(redirect) = &status.redirect {
            // SRS waits for a call with a string before it closes the connection.
            let answer = Command::answer("redirected", 0.0, "accepted".into());
            self.send_command(NETWORK_CONNECTION, 0, &answer);
            return match redirect {
                Ok(redirect) => self.finish(Event::Redirected(redirect.clone())),
                Err(start) => {
                    let reason = format!("redirected to {start}, which is too long");
                    self.end(End::Refused(reason));
                }
            };
        }
        let is_connecting = matches!(self.state, State::Connecting { .. });
        if let Some(request) = status.login_request.as_deref()
            && is_connecting
        {
            return self.request_login(request);
        }
        let reason = match status.to_string() {
            reason if reason.is_empty() => "the server gives no reason".to_owned(),
            reason => reason,
        };
        self.end(match Meaning::of(status) {
            Meaning::NotFound => End::NotFound(reason),
            _ => End::Refused(reason),
        });
    }
}

/// Returns true if a command that arrives in [`State::Connecting`] answers `connect`. Some servers
/// answer with a wrong transaction id, but the status code still identifies the answer.
fn is_connect_answer(command: &Command) -> bool {
    command.transaction_id() == Some(CONNECT)
        || Status::find(&command.arguments)
            .is_some_and(|status| status.code.starts_with("NetConnection.Connect."))
}

/// Finds `secureToken` anywhere in a value. The AMF decoder bounds the depth of the recursion.
fn secure_token(value: &Value) -> Option<&Text> {
    let members = value.as_object()?;
    let token = members.get("secureToken").and_then(Value::as_text);
    token.or_else(|| members.iter().find_map(|(_, member)| secure_token(member)))
}

/// Returns the stream id of a `createStream` answer: the first number after the command object
/// (RTMP 7.2.1.3).
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

/// Number of characters of a command's name in the log.
const MAX_NAME: usize = 100;

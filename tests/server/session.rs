//! Answers of a typical media server.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit, Mac};
use rtmpull::core::{
    amf::{Object, Value, amf0},
    rtmp::{
        challenge::SwfProof,
        message::{Kind, Message},
    },
};
use sha2::Sha256;

use super::{
    broadcast::SentFrame,
    clip::Tag,
    config::{
        Config, EndSignal, FaultAction, OnConnect, OnMissing, Pipelining, Reconnect, SecureToken,
        Source, Step, Stream,
    },
    connection::{
        BUFFER_EMPTY, Command, Connection, Disconnected, PING_REQUEST, STATUS, STREAM_BEGIN,
        STREAM_EOF, STREAM_IS_RECORDED, SWF_VERIFICATION_REQUEST, command_payload,
    },
    playback::Playback,
};

/// Session with one client.
pub struct Session<'a> {
    config: &'a Config,
    connection: Connection,
    /// Buffer length announced by the client.
    buffer: Duration,
    playback: Option<Playback<'a>>,
    /// Whether sending stops until the client unpauses.
    is_paused: bool,
    is_token_answered: bool,
    /// Whether the client has proved the required player.
    is_player_proved: bool,
    /// `play` command to process once the player is proved.
    deferred_play: Option<Command>,
    has_playlist: bool,
    next_ping: Option<Instant>,
    pings: usize,
    tags_sent: usize,
    reconnects_sent: usize,
}

impl<'a> Session<'a> {
    /// Creates a session before its handshake.
    pub fn new(config: &'a Config, connection: Connection) -> Self {
        Self {
            config,
            connection,
            buffer: Duration::from_secs(1),
            playback: None,
            is_paused: false,
            is_token_answered: false,
            is_player_proved: config.required_player.is_none(),
            deferred_play: None,
            has_playlist: false,
            next_ping: config.ping_every.map(|every| Instant::now() + every),
            pings: 0,
            tags_sent: 0,
            reconnects_sent: 0,
        }
    }

    /// Serves the client until one side disconnects.
    pub fn serve(mut self, is_faulty: bool) -> Disconnected {
        match self.handshake(is_faulty).and_then(|()| self.run()) {
            Err(disconnected) => disconnected,
        }
    }

    fn handshake(&mut self, is_faulty: bool) -> Result<(), Disconnected> {
        self.connection.trigger_fault_at(Step::Handshake)?;
        if self.config.s2_after_c2 {
            self.connection.withhold_s2();
        }
        let drops_early_bytes = self.config.pipelining == Pipelining::DroppedAfterC1;
        let handshake = match self.config.handshake {
            handshake if is_faulty => handshake,
            handshake => handshake.without_flaw(),
        };
        self.connection.handshake(handshake, drops_early_bytes)
    }

    fn run(&mut self) -> Result<Infallible, Disconnected> {
        loop {
            self.ping()?;
            let wait = self.send_due()?;
            self.connection.flush()?;
            if let Some(message) = self.connection.receive(wait)? {
                self.answer(&message)?;
            }
        }
    }

    fn answer(&mut self, message: &Message) -> Result<(), Disconnected> {
        if let Some(&(_, ms)) = self.connection.record().buffer_lengths.last() {
            self.buffer = Duration::from_millis(ms.into());
        }
        let Some(command) = Command::read(message) else {
            return self.check_proof();
        };
        match &*command.name {
            "connect" => self.connect(&command),
            "createStream" => self.create_stream(&command),
            "play" if command.stream == self.config.stream_id => self.play(&command),
            "pause" => self.pause(&command),
            "secureTokenResponse" => {
                self.check_token_answer(&command);
                Ok(())
            }
            "set_playlist" => {
                self.store_playlist(&command);
                Ok(())
            }
            "FCSubscribe" => self.confirm_subscription(),
            "getStreamLength" => self.answer_stream_length(&command),
            "_checkbw" => self
                .connection
                .queue_command(0, "_onbwdone", 0.0, &[Value::Null]),
            "closeStream" | "deleteStream" => {
                self.playback = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn connect(&mut self, command: &Command) -> Result<(), Disconnected> {
        self.connection.trigger_fault_at(Step::Connect)?;
        self.handle_pipelined_commands()?;
        let window = self.config.window.to_be_bytes();
        self.connection
            .queue_control(Kind::WINDOW_ACKNOWLEDGEMENT_SIZE, &window)?;
        let dynamic = [&window[..], &[2]].concat();
        self.connection
            .queue_control(Kind::SET_PEER_BANDWIDTH, &dynamic)?;
        self.connection.queue_chunk_size(self.config.chunk_size)?;
        self.connection.queue_event(STREAM_BEGIN, 0)?;
        if let Some(description) = self.login_refusal(command) {
            return self.reject(command, "NetConnection.Connect.Rejected", &description);
        }
        match &self.config.connect {
            OnConnect::Accept => self.accept(command),
            OnConnect::Reject { code, description } => self.reject(command, code, description),
            OnConnect::RedirectInError { redirect } => self.redirect(command, redirect),
            OnConnect::RedirectToItself => {
                let redirect = format!("rtmp://127.0.0.1:{}/app", self.connection.port());
                self.redirect(command, &redirect)
            }
            OnConnect::RedirectInStatus {
                redirect,
                redirect2,
            } => {
                let info = redirection(redirect, Some(redirect2));
                self.queue_command(0, "onStatus", 0.0, &[Value::Null, info.into()])
            }
        }
    }

    fn reject(
        &mut self,
        command: &Command,
        code: &str,
        description: &str,
    ) -> Result<(), Disconnected> {
        let info = status("error", code, description);
        let values = [Value::Null, info.into()];
        self.queue_command(0, "_error", command.transaction, &values)?;
        self.connection.flush()?;
        self.connection.fail(FaultAction::Fin)
    }

    /// Returns the reason to reject the client's login, if any. The login must be present in both
    /// app and tcUrl.
    fn login_refusal(&self, command: &Command) -> Option<String> {
        let login = self.config.login?;
        let member = |name| Some(command.values.first()?.member(name)?.as_text()?.to_string());
        let (app, tc_url) = (member("app")?, member("tcUrl")?);
        match login.refusal(&app) {
            None if !tc_url.ends_with(&format!("/{app}")) => Some(format!("{tc_url} is not {app}")),
            refusal => refusal,
        }
    }

    /// Checks the SWF verification response and disconnects a client with another player.
    fn check_proof(&mut self) -> Result<(), Disconnected> {
        let (Some(player), Some(proof)) = (
            self.config.required_player,
            self.connection.record().swf_proof,
        ) else {
            return Ok(());
        };
        if proof != expected_proof(player, &self.connection.s1_tail()) {
            return self.connection.fail(FaultAction::Fin);
        }
        self.is_player_proved = true;
        match self.deferred_play.take() {
            Some(play) => self.play(&play),
            None => Ok(()),
        }
    }

    fn check_token_answer(&mut self, command: &Command) {
        let token = self.config.secure_token;
        let answer = command.values.get(1).and_then(Value::as_text);
        self.is_token_answered =
            token.map(|token| token.answer) == answer.map(|text| text.as_bytes());
    }

    fn store_playlist(&mut self, command: &Command) {
        let first = command.values.get(1).and_then(|list| list.member("0"));
        self.has_playlist = first.is_some_and(|name| self.stream(name).is_some());
    }

    /// Handles pause and unpause as Flash Media Server does: playback restarts at the keyframe
    /// before the unpause time.
    fn pause(&mut self, command: &Command) -> Result<(), Disconnected> {
        let id = self.config.stream_id;
        let Some(playback) = &mut self.playback else {
            return Ok(());
        };
        if command.values.get(1) == Some(&Value::Boolean(true)) {
            self.is_paused = true;
            self.connection.queue_event(STREAM_EOF, id)?;
            return self.queue_status("status", "NetStream.Pause.Notify", "Paused.");
        }
        let at_ms = command.values.get(2).and_then(Value::as_number);
        *playback = Playback::new(playback.stream, at_ms.unwrap_or(0.0));
        self.is_paused = false;
        self.queue_status("status", "NetStream.Unpause.Notify", "Going on.")?;
        self.connection.queue_event(STREAM_BEGIN, id)
    }

    fn redirect(&mut self, command: &Command, redirect: &str) -> Result<(), Disconnected> {
        let info = redirection(redirect, None);
        let values = [Value::Null, info.into()];
        self.queue_command(0, "_error", command.transaction, &values)
    }

    /// Handles messages that arrived before the answer to `connect` as [`Config::pipelining`]
    /// defines.
    fn handle_pipelined_commands(&mut self) -> Result<(), Disconnected> {
        let pipelining = self.config.pipelining;
        if matches!(
            pipelining,
            Pipelining::Answered | Pipelining::DroppedAfterC1
        ) {
            return Ok(());
        }
        while let Some(message) = self.connection.receive(Duration::from_millis(100))? {
            match Command::read(&message) {
                Some(command) if pipelining == Pipelining::Rejected => {
                    let info = status("error", "NetConnection.Call.Failed", "not connected");
                    let values = [Value::Null, info.into()];
                    self.queue_command(0, "_error", command.transaction, &values)?;
                }
                Some(_) if pipelining == Pipelining::Refused => {
                    return self.connection.fail(FaultAction::Fin);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn accept(&mut self, command: &Command) -> Result<(), Disconnected> {
        let properties = object([
            ("fmsVer", "FMS/3,5,7,7009".into()),
            ("capabilities", 31.0.into()),
            ("mode", 1.0.into()),
        ]);
        let mut info = status(
            "status",
            "NetConnection.Connect.Success",
            "Connection succeeded.",
        );
        info.insert("objectEncoding", 0.0);
        if let Some(SecureToken { token, .. }) = self.config.secure_token {
            info.insert("data", object([("secureToken", token.into())]));
        }
        let values = [properties.into(), info.into()];
        self.queue_command(0, "_result", command.transaction, &values)?;
        if self.config.required_player.is_some() {
            let request = [&SWF_VERIFICATION_REQUEST.to_be_bytes()[..], &[1]].concat();
            self.connection
                .queue_control(Kind::USER_CONTROL, &request)?;
        }
        self.queue_command(0, "onBWDone", 0.0, &[Value::Null, 8192.0.into()])
    }

    fn create_stream(&mut self, command: &Command) -> Result<(), Disconnected> {
        self.connection.trigger_fault_at(Step::CreateStream)?;
        if self.config.secure_token.is_some() && !self.is_token_answered {
            return self.connection.fail(FaultAction::Fin);
        }
        let id = f64::from(self.config.stream_id);
        self.queue_command(0, "_result", command.transaction, &[Value::Null, id.into()])
    }

    fn confirm_subscription(&mut self) -> Result<(), Disconnected> {
        let info = status("status", "NetStream.Play.Start", "subscribed");
        self.queue_command(0, "onFCSubscribe", 0.0, &[Value::Null, info.into()])
    }

    fn answer_stream_length(&mut self, command: &Command) -> Result<(), Disconnected> {
        let stream = command.values.get(1).and_then(|name| self.stream(name));
        let seconds = match stream.map(|stream| &stream.source) {
            Some(Source::Recorded(clip)) => f64::from(clip.last_timestamp_ms()) / 1000.0,
            _ => 0.0,
        };
        self.queue_command(
            0,
            "_result",
            command.transaction,
            &[Value::Null, seconds.into()],
        )
    }

    fn play(&mut self, command: &Command) -> Result<(), Disconnected> {
        if !self.is_player_proved {
            self.deferred_play = Some(command.clone());
            return Ok(());
        }
        self.connection.trigger_fault_at(Step::Play)?;
        let start_ms = command
            .values
            .get(2)
            .and_then(Value::as_number)
            .unwrap_or(-2000.0);
        let Some(stream) = command.values.get(1).and_then(|name| self.stream(name)) else {
            return self.answer_missing_stream();
        };
        let id = self.config.stream_id;
        let is_live = match stream.source {
            Source::Live { .. } | Source::Broadcast(_) | Source::LiveReplay(_) => true,
            Source::Recorded(_) => false,
            // A replay serves as recorded or live stream, as the client requests.
            Source::Replay(_) => start_ms == -1000.0,
        };
        if start_ms == -1000.0 && !is_live || self.config.requires_playlist && !self.has_playlist {
            return self.answer_missing_stream();
        }
        self.connection.queue_event(STREAM_BEGIN, id)?;
        if !is_live {
            self.connection.queue_event(STREAM_IS_RECORDED, id)?;
        }
        let mut playback = Playback::new(stream, start_ms);
        for tag in playback.take(self.config.tags_before_start) {
            self.send_tag(&tag)?;
        }
        self.queue_status("status", "NetStream.Play.Reset", "Playing and resetting.")?;
        self.queue_status("status", "NetStream.Play.Start", "Started playing.")?;
        self.connection.trigger_fault_at(Step::Media)?;
        self.send_script(&data_payload(
            "|RtmpSampleAccess",
            &[false.into(), false.into()],
        ))?;
        self.send_metadata(&stream.source)?;
        if let Source::Replay(replay) = &stream.source {
            self.connection.flush()?;
            replay.send(&mut self.connection)?;
        }
        if let Source::LiveReplay(live) = &stream.source {
            live.send(&mut self.connection)?;
        }
        self.playback = Some(playback);
        Ok(())
    }

    fn answer_missing_stream(&mut self) -> Result<(), Disconnected> {
        let missing = self.config.missing;
        match missing {
            OnMissing::Silence => return Ok(()),
            OnMissing::StreamNotFound => {
                return self.queue_status(
                    "error",
                    "NetStream.Play.StreamNotFound",
                    "No such stream.",
                );
            }
            OnMissing::StartThenSilence | OnMissing::StartThenFin => {}
        }
        self.connection
            .queue_event(STREAM_BEGIN, self.config.stream_id)?;
        self.queue_status("status", "NetStream.Play.Start", "Start live")?;
        if missing == OnMissing::StartThenFin {
            self.connection.flush()?;
            return self.connection.fail(FaultAction::Fin);
        }
        Ok(())
    }

    /// Sends all due tags and returns the time until the next one.
    fn send_due(&mut self) -> Result<Duration, Disconnected> {
        loop {
            if self.playback.is_some() && self.is_reconnect_due() {
                self.request_reconnect()?;
            }
            let Some(playback) = &mut self.playback else {
                return Ok(match self.config.ping_every {
                    Some(_) => MAX_IDLE,
                    None => NOTHING_TO_SEND,
                });
            };
            if self.is_paused {
                return Ok(MAX_IDLE);
            }
            if playback.has_filled_buffer() {
                self.is_paused = true;
                self.connection
                    .queue_event(BUFFER_EMPTY, self.config.stream_id)?;
                continue;
            }
            let Some(wait) = playback.wait(self.buffer) else {
                let end = &playback.stream.end;
                self.playback = None;
                self.send_end(end)?;
                continue;
            };
            if !wait.is_zero() {
                return Ok(wait.min(MAX_IDLE));
            }
            if self.must_wait_for_acknowledgement() {
                return Ok(MAX_IDLE);
            }
            let before = self.connection.sent();
            self.send_next()?;
            if self.connection.sent() - before >= MAX_BURST || self.config.enforces_window {
                return Ok(Duration::ZERO);
            }
        }
    }

    fn is_reconnect_due(&self) -> bool {
        let next = self.next_reconnect();
        next.is_some_and(|next| next.after_tags <= self.tags_sent)
    }

    fn next_reconnect(&self) -> Option<&'a Reconnect> {
        let number = self.connection.number();
        let own = self.config.reconnects.iter();
        let mut own = own.filter(|reconnect| reconnect.connection == number);
        own.nth(self.reconnects_sent)
    }

    fn request_reconnect(&mut self) -> Result<(), Disconnected> {
        let tc_url = self
            .next_reconnect()
            .and_then(|next| next.tc_url.as_deref());
        let mut info = status(
            "status",
            "NetConnection.Connect.ReconnectRequest",
            "The server is being updated.",
        );
        if let Some(tc_url) = tc_url {
            info.insert("tcUrl", tc_url);
        }
        self.reconnects_sent += 1;
        self.queue_command(0, "onStatus", 0.0, &[Value::Null, info.into()])
    }

    /// Sends the next tag or aggregate message.
    fn send_next(&mut self) -> Result<(), Disconnected> {
        let Some(playback) = &mut self.playback else {
            return Ok(());
        };
        self.tags_sent += 1;
        match &playback.take(self.config.tags_per_aggregate.max(1))[..] {
            [tag] => {
                let at_ms = playback.clip_time_ms(tag);
                let source = &playback.stream.source;
                let sent_at = Instant::now();
                self.send_tag(tag)?;
                if let Source::Broadcast(broadcast) = source {
                    broadcast.record_frame(SentFrame {
                        connection: self.connection.number(),
                        end: self.connection.sent(),
                        kind: tag.kind,
                        at_ms,
                        is_sequence_header: tag.is_sequence_header(),
                        sent_at,
                    });
                }
                Ok(())
            }
            tags => self.send_aggregate(tags),
        }
    }

    fn send_tag(&mut self, tag: &Tag) -> Result<(), Disconnected> {
        if tag.kind == Tag::SCRIPT {
            return self.send_script(&tag.body);
        }
        let chunk_stream = self.config.media_chunk_stream + u32::from(tag.kind - Tag::AUDIO);
        let stream = self.media_stream();
        self.connection.queue(
            chunk_stream,
            Kind(tag.kind),
            stream,
            tag.timestamp_ms,
            &tag.body,
        )
    }

    /// Sends tags in one aggregate message. The timestamps inside use another origin; only their
    /// differences to the first one count (RTMP 7.1.6).
    fn send_aggregate(&mut self, tags: &[Tag]) -> Result<(), Disconnected> {
        let mut payload = Vec::new();
        for tag in tags {
            let [high, low @ ..] = tag.timestamp_ms.wrapping_add(12_345).to_be_bytes();
            let length = tag.body.len() as u32;
            payload.push(tag.kind);
            payload.extend_from_slice(&length.to_be_bytes()[1..]);
            payload.extend_from_slice(&low);
            payload.extend_from_slice(&[high, 0, 0, 0]);
            payload.extend_from_slice(&tag.body);
            payload.extend_from_slice(&(11 + length).to_be_bytes());
        }
        let timestamp_ms = tags.first().map_or(0, |tag| tag.timestamp_ms);
        let stream = self.media_stream();
        let chunk_stream = self.config.media_chunk_stream;
        self.connection.queue(
            chunk_stream,
            Kind::AGGREGATE,
            stream,
            timestamp_ms,
            &payload,
        )
    }

    fn send_metadata(&mut self, source: &Source) -> Result<(), Disconnected> {
        let metadata = match source {
            Source::Recorded(clip) | Source::Live { clip, .. } => {
                clip.metadata().map(|tag| &*tag.body)
            }
            Source::Broadcast(broadcast) => broadcast.clip.metadata().map(|tag| &*tag.body),
            Source::Replay(replay) => Some(replay.metadata()),
            Source::LiveReplay(_) => None,
        };
        let Some(metadata) = metadata else {
            return Ok(());
        };
        if self.config.keeps_set_data_frame {
            let prefixed = [&data_payload("@setDataFrame", &[]), metadata].concat();
            return self.send_script(&prefixed);
        }
        self.send_script(metadata)
    }

    fn send_script(&mut self, body: &[u8]) -> Result<(), Disconnected> {
        let stream = self.media_stream();
        let chunk_stream = self.config.media_chunk_stream + 2;
        if self.config.sends_amf3 {
            let body = [&[0], body].concat();
            return self
                .connection
                .queue(chunk_stream, Kind::DATA_AMF3, stream, 0, &body);
        }
        self.connection
            .queue(chunk_stream, Kind::DATA, stream, 0, body)
    }

    fn send_end(&mut self, end: &[EndSignal]) -> Result<(), Disconnected> {
        let id = self.config.stream_id;
        for ending in end {
            match ending {
                EndSignal::StreamEof => self.connection.queue_event(STREAM_EOF, id)?,
                EndSignal::PlayComplete => {
                    let info = status("status", "NetStream.Play.Complete", "");
                    self.send_script(&data_payload("onPlayStatus", &[info.into()]))?;
                }
                EndSignal::PlayStop => {
                    self.queue_status("status", "NetStream.Play.Stop", "Stopped playing.")?
                }
                EndSignal::UnpublishNotify => {
                    self.queue_status(
                        "status",
                        "NetStream.Play.UnpublishNotify",
                        "The publisher left.",
                    )?;
                }
                EndSignal::Fin | EndSignal::Rst => {
                    self.connection.flush()?;
                    let is_fin = *ending == EndSignal::Fin;
                    return self.connection.fail(if is_fin {
                        FaultAction::Fin
                    } else {
                        FaultAction::Rst
                    });
                }
            }
        }
        Ok(())
    }

    /// Sends a due ping and disconnects a client that has not answered the previous one.
    fn ping(&mut self) -> Result<(), Disconnected> {
        let (Some(every), Some(at)) = (self.config.ping_every, self.next_ping) else {
            return Ok(());
        };
        if Instant::now() < at {
            return Ok(());
        }
        if self.connection.record().pongs.len() < self.pings {
            return self.connection.fail(FaultAction::Fin);
        }
        // Count from now, not from the due time: a client that was busy still gets a full interval.
        self.next_ping = Some(Instant::now() + every);
        self.pings += 1;
        self.connection
            .queue_event(PING_REQUEST, 1000 + self.pings as u32)
    }

    /// Returns whether a complete window is unacknowledged. Some clients count from the first byte
    /// and others from the end of the handshake, so a client may seem ahead.
    fn must_wait_for_acknowledgement(&self) -> bool {
        let acknowledged = self.connection.record().acknowledgements.last().copied();
        let sent = self.connection.sent() - HANDSHAKE_LEN;
        let unacknowledged = (sent as u32).wrapping_sub(acknowledged.unwrap_or(0));
        let window = self.config.window.cast_signed();
        self.config.enforces_window && unacknowledged.cast_signed() >= window
    }

    fn media_stream(&self) -> u32 {
        self.config.media_stream_id.unwrap_or(self.config.stream_id)
    }

    fn stream(&self, name: &Value) -> Option<&'a Stream> {
        let name = name.as_text()?.to_string();
        let name = name.split('?').next().unwrap_or_default();
        self.config.streams.get(name)
    }

    fn queue_status(
        &mut self,
        level: &str,
        code: &str,
        description: &str,
    ) -> Result<(), Disconnected> {
        let info = status(level, code, description);
        let stream = self.config.stream_id;
        self.queue_command(stream, "onStatus", 0.0, &[Value::Null, info.into()])
    }

    fn queue_command(
        &mut self,
        stream: u32,
        name: &str,
        transaction: f64,
        values: &[Value],
    ) -> Result<(), Disconnected> {
        if self.config.sends_amf3 {
            let payload = [&[0], &command_payload(name, transaction, values)[..]].concat();
            return self
                .connection
                .queue(STATUS, Kind::COMMAND_AMF3, stream, 0, &payload);
        }
        self.connection
            .queue_command(stream, name, transaction, values)
    }
}

/// Returns the proof of `player`: two ones, the size twice, and an HMAC of the player's hash keyed
/// with the end of S1.
fn expected_proof(player: SwfProof, s1_tail: &[u8; 32]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(s1_tail).expect("HMAC accepts any key length");
    mac.update(&player.hash);
    let size = player.size.to_be_bytes();
    [&[1, 1], &size[..], &size, &mac.finalize().into_bytes()].concat()
}

/// Creates the information object of an `onStatus` message.
pub fn status(level: &str, code: &str, description: &str) -> Object {
    object([
        ("level", level.into()),
        ("code", code.into()),
        ("description", description.into()),
    ])
}

/// Creates an object with the given members.
pub fn object<const N: usize>(members: [(&str, Value); N]) -> Object {
    let mut object = Object::new();
    for (name, value) in members {
        object.insert(name, value);
    }
    object
}

fn redirection(redirect: &str, redirect2: Option<&str>) -> Object {
    let mut target = object([("code", 302.0.into()), ("redirect", redirect.into())]);
    if let Some(redirect2) = redirect2 {
        target.insert("redirect2", redirect2);
    }
    let mut info = status(
        "error",
        "NetConnection.Connect.Rejected",
        "RTMP 302 Redirect",
    );
    info.insert("ex", target);
    info
}

/// Encodes a data message: a name and values.
fn data_payload(name: &str, values: &[Value]) -> Vec<u8> {
    let mut payload = Vec::new();
    for value in std::iter::once(&Value::from(name)).chain(values) {
        amf0::encode(value, &mut payload);
    }
    payload
}

/// Length of S0, S1 and S2.
const HANDSHAKE_LEN: u64 = 1 + 2 * 1536;

/// Longest wait for a message while no tag is due.
const MAX_IDLE: Duration = Duration::from_millis(20);

/// Wait for a message while neither tags nor pings follow. Thousands of idle sessions then cost nothing.
const NOTHING_TO_SEND: Duration = Duration::from_secs(60);

/// Number of bytes sent before the session checks for received messages.
const MAX_BURST: u64 = 1 << 16;

//! Received messages: media, data and control messages.

use std::{mem, time::Instant};

use bytes::Bytes;

use super::{Client, event::Event, pause_unpause::Novelty, state::State, trace::Frame};
use crate::core::{
    amf::{Object, Value, amf0},
    flv::{FrameInfo, TagKind},
    payload::Payload,
    rtmp::{
        command::selector_len,
        message::{
            AggregateUnpacker, Kind, Message, SetChunkSize, SetPeerBandwidth, UserControl,
            WindowAcknowledgementSize,
        },
        properties,
    },
};

impl Client {
    /// Handles one message. The type alone decides: some servers send control messages on any chunk
    /// stream.
    pub(super) fn handle_message(&mut self, now: Instant, message: Message) {
        if message.kind != Kind::AUDIO && message.kind != Kind::VIDEO {
            tracing::trace!(
                "{} of {} bytes at {} on message stream {}",
                message.kind,
                message.payload.len(),
                message.timestamp,
                message.message_stream
            );
        }
        self.facts.record_message(&message);
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
            // The chunk decoder has applied the first two. The client sends too little for the
            // server's acknowledgements to matter.
            Kind::SET_CHUNK_SIZE => self.chunk_size(&message.payload),
            Kind::ABORT | Kind::ACKNOWLEDGEMENT => {}
            kind => tracing::debug!("message of type {kind} skipped"),
        }
        self.recycle(message.payload);
    }

    /// Handles the next message of an aggregate. Returns false if there is no aggregate. RTMP 7.1.6:
    /// the messages of an aggregate are handled like single messages.
    pub(super) fn unpack_aggregate(&mut self, now: Instant) -> bool {
        let Some(unpacker) = &mut self.aggregate else {
            return false;
        };
        let decoder = &mut self.decoder;
        match unpacker.next_message(|length| decoder.take_payload(length)) {
            Some(message) => {
                self.facts.record_message(&message);
                match message.kind {
                    Kind::AUDIO | Kind::VIDEO => self.media(now, message),
                    _ => self.data(now, message),
                }
            }
            None => {
                if let Some(unpacker) = self.aggregate.take() {
                    self.recycle(unpacker.into_payload());
                }
            }
        }
        true
    }

    fn media(&mut self, now: Instant, message: Message) {
        // The types of audio and video messages are those of the tags (RTMP 7.1.4, 7.1.5).
        let info = self
            .frame_parser
            .parse(TagKind(message.kind.0), &message.payload);
        let frame = Frame {
            message: &message,
            info,
        };
        tracing::trace!("{frame}");
        let is_resuming = self.state.is_resuming();
        if let Novelty::Repeated { is_progress } =
            self.pause_unpause.classify(&message, info, is_resuming)
        {
            if is_progress {
                self.record_repeated_frame(now);
            }
            return self.recycle(message.payload);
        }
        // A frame that was in flight when the pause was sent does not show that the pause helped.
        if info.carries_media && !matches!(self.state, State::Pausing { .. }) {
            self.pause_unpause.record_new_frame();
        }
        // Servers send empty messages as keep-alives.
        if !message.payload.is_empty() {
            self.facts
                .record_media(now, &message, info.carries_media, info.is_keyframe);
            self.record_media(now, message.timestamp, info.carries_media);
        }
        self.events.push_back(Event::Media { message, info });
    }

    fn user_control(&mut self, now: Instant, payload: &[u8]) {
        let Ok(event) = UserControl::read(payload) else {
            tracing::debug!("user control message of {} bytes skipped", payload.len());
            return self.facts.record_malformed();
        };
        tracing::debug!("received user control: {event}");
        self.facts.record_control(event);
        match event {
            UserControl::PingRequest(time) => {
                self.send_user_control(UserControl::PingResponse(time));
            }
            UserControl::StreamBegin(_) => self.stream_begun(now),
            UserControl::StreamEof(_) => self.stream_eof(now),
            UserControl::StreamIsRecorded(_) => {
                self.pause_unpause.set_recorded();
                self.events.push_back(Event::Recorded);
            }
            UserControl::BufferEmpty(_) => self.pause(now),
            UserControl::SwfVerificationRequest(kind) => self.answer_swf_verification(kind),
            _ => {}
        }
    }

    fn answer_swf_verification(&mut self, kind: u8) {
        match &self.config.swf_proof {
            Some(proof) if kind <= SWF_VERIFICATION => {
                let response = proof.response(&self.s1_tail);
                self.send_user_control(UserControl::SwfVerificationResponse(response));
            }
            _ if self.lacks_swf_proof => {}
            known => {
                self.lacks_swf_proof = true;
                tracing::warn!(
                    "the server requests SWF verification{} and may stop without it",
                    if known.is_some() {
                        " of an unknown type"
                    } else {
                        ""
                    }
                );
            }
        }
    }

    fn window_size(&mut self, payload: &[u8]) {
        let Ok(WindowAcknowledgementSize(window)) = WindowAcknowledgementSize::read(payload) else {
            return self.facts.record_malformed();
        };
        self.facts.window = Some(window);
        // Servers that do not configure a size send 0.
        if window > 0 {
            tracing::debug!("received window acknowledgement size {window} B");
            self.flow.window = window;
        }
    }

    /// Records a chunk size, which the chunk decoder has already applied.
    fn chunk_size(&mut self, payload: &[u8]) {
        match SetChunkSize::read(payload) {
            Ok(SetChunkSize(size)) => self.facts.chunk_size = Some(size),
            Err(_) => self.facts.record_malformed(),
        }
    }

    /// RTMP 5.4.5: the answer to Set Peer Bandwidth is a Window Acknowledgement Size if the size
    /// differs from the last one sent.
    fn peer_bandwidth(&mut self, payload: &[u8]) {
        let Ok(SetPeerBandwidth { window, limit }) = SetPeerBandwidth::read(payload) else {
            return self.facts.record_malformed();
        };
        self.facts.peer_bandwidth = Some((window, limit));
        tracing::debug!("received peer bandwidth {window} B{}", limit_name(limit));
        if window > 0 && self.flow.announced_window != Some(window) {
            self.flow.announced_window = Some(window);
            tracing::debug!("sending window acknowledgement size {window} B");
            let size = WindowAcknowledgementSize(window);
            self.send_control(Kind::WINDOW_ACKNOWLEDGEMENT_SIZE, &size.to_bytes());
        }
    }

    fn data(&mut self, now: Instant, mut message: Message) {
        let Some(selector_len) = selector_len(message.kind, &message.payload) else {
            self.facts.record_malformed();
            return self.recycle(message.payload);
        };
        message.payload.drop_front(selector_len);
        message.kind = Kind::DATA;
        let mut decoder = amf0::Decoder::new(Bytes::copy_from_slice(&message.payload));
        let mut name = decoder.value().ok();
        // Publishers send metadata inside @setDataFrame, and some servers relay it unchanged.
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
            Some(b"onMetaData") => return self.metadata(now, &mut decoder, message),
            Some(b"onStatus" | b"onPlayStatus") => {
                let mut arguments = Vec::new();
                while let Ok(argument) = decoder.value() {
                    arguments.push(argument);
                }
                properties::log(&arguments);
                self.status(now, &arguments, message.message_stream);
            }
            Some(b"|RtmpSampleAccess" | b"@clearDataFrame") => {}
            Some(_) => {
                let info = FrameInfo::SCRIPT;
                let is_resuming = self.state.is_resuming();
                let novelty = self.pause_unpause.classify(&message, info, is_resuming);
                if novelty == Novelty::New {
                    return self.events.push_back(Event::Media { message, info });
                }
            }
            None if !message.payload.is_empty() && decodes(&message.payload) => {
                return self.events.push_back(Event::Media {
                    message,
                    info: FrameInfo::SCRIPT,
                });
            }
            None => {
                tracing::debug!("data message of {} bytes skipped", message.payload.len());
                self.facts.record_malformed();
            }
        }
        self.recycle(message.payload);
    }

    /// Reports the metadata of the stream. If it does not decode completely, the values before the error are
    /// reported, and the payload is passed on unchanged.
    fn metadata(&mut self, now: Instant, decoder: &mut amf0::Decoder, message: Message) {
        let (value, error) = decoder.partial_value();
        let members = match (value.as_ref().and_then(Value::as_object), &error) {
            (Some(members), _) => members.clone(),
            (None, Some(_)) => Object::new(),
            (None, None) => {
                tracing::debug!("onMetaData without members skipped");
                self.facts.record_malformed();
                return self.recycle(message.payload);
            }
        };
        if error.is_some() {
            self.facts.record_malformed();
        }
        if let Some(error) = error
            && !mem::replace(&mut self.has_warned_of_metadata, true)
        {
            tracing::warn!("onMetaData is incomplete: {error} (the values before it are kept)");
        }
        properties::log_object(&members);
        self.facts.record_metadata(now, &members);
        if has_duration(&members) {
            self.pause_unpause.set_recorded();
        }
        self.events.push_back(Event::Metadata {
            members,
            timestamp: message.timestamp,
            payload: message.payload,
        });
    }
}

/// Returns the limit type of Set Peer Bandwidth in words (RTMP 5.4.5).
fn limit_name(limit: Option<u8>) -> &'static str {
    match limit {
        None => "",
        Some(0) => ", hard limit",
        Some(1) => ", soft limit",
        Some(2) => ", dynamic limit",
        Some(_) => ", unknown limit type",
    }
}

fn is_text(value: &Value, text: &str) -> bool {
    value
        .as_text()
        .is_some_and(|value| value.as_bytes() == text.as_bytes())
}

/// Returns true if the metadata has a positive duration. Live streams have none, or 0.
fn has_duration(metadata: &Object) -> bool {
    let duration = metadata.get("duration").and_then(Value::as_number);
    duration.is_some_and(|seconds| seconds > 0.0)
}

fn decodes(payload: &Payload) -> bool {
    let (_, error) = amf0::decode_all(Bytes::copy_from_slice(payload));
    error.is_none()
}

/// The only known type of SWF verification.
const SWF_VERIFICATION: u8 = 1;

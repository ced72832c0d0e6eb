//! Messages and the payloads of the control ones (RTMP 5.4, 7.1).

use std::fmt;

use tracing::debug;

use crate::{
    payload::Payload,
    wire::{Missing, Reader},
};

/// A whole message as it came off a chunk stream (RTMP 6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The chunk stream that carried it; means nothing beyond that.
    pub chunk_stream: u32,
    /// What the payload is.
    pub kind: Kind,
    /// The message stream that it belongs to, 0 for the connection itself.
    pub stream: u32,
    /// When it is due on its stream's clock.
    pub timestamp: Timestamp,
    /// The message's bytes.
    pub payload: Payload,
}

impl Message {
    /// The messages inside an [aggregate](Kind::AGGREGATE).
    pub fn aggregate(&self) -> Aggregate<'_> {
        Aggregate::new(&self.payload, self.timestamp)
    }
}

/// A message type id (RTMP 5.4, 6.2, 7.1). Unknown ones are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// [`SetChunkSize`].
    pub const SET_CHUNK_SIZE: Self = Self(1);
    /// [`Abort`].
    pub const ABORT: Self = Self(2);
    /// [`Acknowledgement`].
    pub const ACKNOWLEDGEMENT: Self = Self(3);
    /// [`UserControl`].
    pub const USER_CONTROL: Self = Self(4);
    /// [`WindowAcknowledgementSize`].
    pub const WINDOW_ACKNOWLEDGEMENT_SIZE: Self = Self(5);
    /// [`SetPeerBandwidth`].
    pub const SET_PEER_BANDWIDTH: Self = Self(6);
    /// The body of an FLV audio tag (RTMP 7.1.4).
    pub const AUDIO: Self = Self(8);
    /// The body of an FLV video tag (RTMP 7.1.5).
    pub const VIDEO: Self = Self(9);
    /// A format selector and then as [`DATA`](Self::DATA) (RTMP 7.1.2).
    pub const DATA_AMF3: Self = Self(15);
    /// A format selector and then as [`SHARED_OBJECT`](Self::SHARED_OBJECT) (RTMP 7.1.3).
    pub const SHARED_OBJECT_AMF3: Self = Self(16);
    /// A format selector and then as [`COMMAND`](Self::COMMAND) (RTMP 7.1.1).
    pub const COMMAND_AMF3: Self = Self(17);
    /// A handler's name and values, in AMF0 (RTMP 7.1.2).
    pub const DATA: Self = Self(18);
    /// Events of a shared object, in AMF0 (RTMP 7.1.3).
    pub const SHARED_OBJECT: Self = Self(19);
    /// Name, transaction id, command object and arguments, in AMF0 (RTMP 7.1.1).
    pub const COMMAND: Self = Self(20);
    /// [`Aggregate`].
    pub const AGGREGATE: Self = Self(22);
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::SET_CHUNK_SIZE => "set chunk size",
            Self::ABORT => "abort",
            Self::ACKNOWLEDGEMENT => "acknowledgement",
            Self::USER_CONTROL => "user control",
            Self::WINDOW_ACKNOWLEDGEMENT_SIZE => "window acknowledgement size",
            Self::SET_PEER_BANDWIDTH => "set peer bandwidth",
            Self::AUDIO => "audio",
            Self::VIDEO => "video",
            Self::DATA_AMF3 => "data (amf3)",
            Self::SHARED_OBJECT_AMF3 => "shared object (amf3)",
            Self::COMMAND_AMF3 => "command (amf3)",
            Self::DATA => "data",
            Self::SHARED_OBJECT => "shared object",
            Self::COMMAND => "command",
            Self::AGGREGATE => "aggregate",
            Self(code) => return write!(f, "message type {code}"),
        })
    }
}

/// Milliseconds on a clock of 32 bits that wraps after 49.7 days (RTMP 5.3.1).
///
/// Deliberately without an order: which of two is the later one is told by [`Timestamp::since`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// This much later, past the end of the 32 bits to their beginning.
    #[must_use]
    pub const fn wrapping_add(self, delta_ms: u32) -> Self {
        Self(self.0.wrapping_add(delta_ms))
    }

    /// Milliseconds from `earlier` to here by serial arithmetic: the shorter way round, negative
    /// where `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// The largest chunk payload from here on, 1 to 0x7FFF_FFFF bytes (RTMP 5.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetChunkSize(pub u32);

impl SetChunkSize {
    /// Reads the four bytes, whatever the size.
    pub fn read(payload: &[u8]) -> Result<Self, Missing> {
        Reader::new(payload).u32("chunk size").map(Self)
    }

    /// The message's payload.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// The chunk stream whose unfinished message is to be dropped (RTMP 5.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort(pub u32);

impl Abort {
    /// Reads the four bytes.
    pub fn read(payload: &[u8]) -> Result<Self, Missing> {
        Reader::new(payload).u32("chunk stream id").map(Self)
    }

    /// The message's payload.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// Bytes received so far, modulo 2^32 (RTMP 5.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledgement(pub u32);

impl Acknowledgement {
    /// After `bytes` were received in all.
    pub const fn of_total(bytes: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
        Self(bytes as u32)
    }

    /// Reads the four bytes.
    pub fn read(payload: &[u8]) -> Result<Self, Missing> {
        Reader::new(payload).u32("sequence number").map(Self)
    }

    /// The message's payload.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// After how many bytes the other end wants an [`Acknowledgement`] (RTMP 5.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowAcknowledgementSize(pub u32);

impl WindowAcknowledgementSize {
    /// Reads the four bytes.
    pub fn read(payload: &[u8]) -> Result<Self, Missing> {
        Reader::new(payload)
            .u32("acknowledgement window size")
            .map(Self)
    }

    /// The message's payload.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// How many bytes we may have sent and not yet seen acknowledged (RTMP 5.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetPeerBandwidth {
    /// The window in bytes.
    pub window: u32,
    /// 0 hard, 1 soft, 2 dynamic; some servers leave it out.
    pub limit: Option<u8>,
}

impl SetPeerBandwidth {
    /// Reads four bytes, and a fifth if there is one.
    pub fn read(payload: &[u8]) -> Result<Self, Missing> {
        let mut reader = Reader::new(payload);
        Ok(Self {
            window: reader.u32("acknowledgement window size")?,
            limit: reader.u8("limit type").ok(),
        })
    }

    /// The message's payload.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.window.to_be_bytes().to_vec();
        bytes.extend(self.limit);
        bytes
    }
}

/// An event and its data (RTMP 6.2, 7.1.7); the numbers that no document explains are those which
/// servers send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserControl {
    /// 0: the message stream can be used; after a seek, data comes again.
    StreamBegin(u32),
    /// 1: nothing more to play on the message stream, or a seek is under way.
    StreamEof(u32),
    /// 2: the live source is silent.
    StreamDry(u32),
    /// 3: the client's buffer.
    SetBufferLength {
        /// The message stream.
        stream: u32,
        /// How much of it the client buffers.
        buffer_ms: u32,
    },
    /// 4: the message stream plays a recording.
    StreamIsRecorded(u32),
    /// 6: to be answered with the same number.
    PingRequest(u32),
    /// 7: the number of the request.
    PingResponse(u32),
    /// 26: the server wants to know which SWF file is playing; holds the type of proof, 1 as a rule.
    SwfVerificationRequest(u8),
    /// 27: the proof.
    SwfVerificationResponse([u8; 42]),
    /// 31: the server has sent a buffer's worth and pauses.
    BufferEmpty(u32),
    /// 32: the buffer is full again.
    BufferReady(u32),
    /// Any other event.
    Other {
        /// Its number.
        event: u16,
    },
}

impl UserControl {
    /// Reads event and data. Bytes behind them do not matter.
    pub fn read(payload: &[u8]) -> Result<Self, Missing> {
        let mut reader = Reader::new(payload);
        Ok(match reader.u16("event type")? {
            STREAM_BEGIN => Self::StreamBegin(reader.u32("stream id")?),
            STREAM_EOF => Self::StreamEof(reader.u32("stream id")?),
            STREAM_DRY => Self::StreamDry(reader.u32("stream id")?),
            SET_BUFFER_LENGTH => Self::SetBufferLength {
                stream: reader.u32("stream id")?,
                buffer_ms: reader.u32("buffer length")?,
            },
            STREAM_IS_RECORDED => Self::StreamIsRecorded(reader.u32("stream id")?),
            PING_REQUEST => Self::PingRequest(reader.u32("ping timestamp")?),
            PING_RESPONSE => Self::PingResponse(reader.u32("ping timestamp")?),
            // One byte of data or none: a request is a request.
            SWF_VERIFICATION_REQUEST => {
                Self::SwfVerificationRequest(reader.u8("verification type").unwrap_or(1))
            }
            SWF_VERIFICATION_RESPONSE => {
                Self::SwfVerificationResponse(reader.array("verification")?)
            }
            BUFFER_EMPTY => Self::BufferEmpty(reader.u32("stream id")?),
            BUFFER_READY => Self::BufferReady(reader.u32("stream id")?),
            event => Self::Other { event },
        })
    }

    /// The message's payload.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.event().to_be_bytes().to_vec();
        match self {
            Self::StreamBegin(number)
            | Self::StreamEof(number)
            | Self::StreamDry(number)
            | Self::StreamIsRecorded(number)
            | Self::PingRequest(number)
            | Self::PingResponse(number)
            | Self::BufferEmpty(number)
            | Self::BufferReady(number) => bytes.extend(number.to_be_bytes()),
            Self::SetBufferLength { stream, buffer_ms } => {
                bytes.extend(stream.to_be_bytes());
                bytes.extend(buffer_ms.to_be_bytes());
            }
            Self::SwfVerificationRequest(proof) => bytes.push(proof),
            Self::SwfVerificationResponse(proof) => bytes.extend(proof),
            Self::Other { .. } => {}
        }
        bytes
    }

    /// The event's number.
    pub const fn event(self) -> u16 {
        match self {
            Self::StreamBegin(_) => STREAM_BEGIN,
            Self::StreamEof(_) => STREAM_EOF,
            Self::StreamDry(_) => STREAM_DRY,
            Self::SetBufferLength { .. } => SET_BUFFER_LENGTH,
            Self::StreamIsRecorded(_) => STREAM_IS_RECORDED,
            Self::PingRequest(_) => PING_REQUEST,
            Self::PingResponse(_) => PING_RESPONSE,
            Self::SwfVerificationRequest(_) => SWF_VERIFICATION_REQUEST,
            Self::SwfVerificationResponse(_) => SWF_VERIFICATION_RESPONSE,
            Self::BufferEmpty(_) => BUFFER_EMPTY,
            Self::BufferReady(_) => BUFFER_READY,
            Self::Other { event } => event,
        }
    }
}

/// The audio, video and data messages inside an aggregate (RTMP 7.1.6), which is laid out like the
/// tags of an FLV file:
///
/// ```text
/// ┌──────┬────────┬───────────┬────────────┬───────────┬─────────┬──────────────┐
/// │ type │ length │ timestamp │ bits 24-31 │ stream id │ payload │ back pointer │ …
/// │  1   │   3    │     3     │     1      │     3     │ length  │      4       │
/// └──────┴────────┴───────────┴────────────┴───────────┴─────────┴──────────────┘
/// ```
///
/// Their message stream is the aggregate's, whatever the stream id says. A last one that is cut
/// short is dropped; the back pointer behind the last one may be absent.
#[derive(Debug, Clone)]
pub struct Aggregate<'a> {
    rest: Reader<'a>,
    timestamp: Timestamp,
    offset_ms: Option<u32>,
}

/// An aggregate that is taken apart message by message.
#[derive(Debug)]
pub struct Unpacking {
    aggregate: Message,
    /// Bytes not yet looked at.
    rest_len: usize,
    offset_ms: Option<u32>,
}

impl Unpacking {
    /// At the first part.
    pub fn new(aggregate: Message) -> Self {
        Self {
            rest_len: aggregate.payload.len(),
            aggregate,
            offset_ms: None,
        }
    }

    /// The next part as a message of its own, in a payload that `fresh_payload` gives for so many
    /// bytes.
    pub fn next_part(&mut self, fresh_payload: impl FnOnce(usize) -> Payload) -> Option<Message> {
        let taken = self.aggregate.payload.len().saturating_sub(self.rest_len);
        let rest = self.aggregate.payload.get(taken..)?;
        let mut parts = Aggregate {
            rest: Reader::new(rest),
            timestamp: self.aggregate.timestamp,
            offset_ms: self.offset_ms,
        };
        let part = parts.next()?;
        let mut payload = fresh_payload(part.payload.len());
        payload.extend_from_slice(part.payload);
        (self.rest_len, self.offset_ms) = (parts.rest.len(), parts.offset_ms);
        Some(Message {
            chunk_stream: self.aggregate.chunk_stream,
            kind: part.kind,
            stream: self.aggregate.stream,
            timestamp: part.timestamp,
            payload,
        })
    }

    /// The aggregate's own payload, for the pool.
    pub fn into_payload(self) -> Payload {
        self.aggregate.payload
    }
}

/// A message inside an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubMessage<'a> {
    /// Audio, video or data.
    pub kind: Kind,
    /// On the aggregate's clock.
    pub timestamp: Timestamp,
    /// The message's bytes.
    pub payload: &'a [u8],
}

impl<'a> Aggregate<'a> {
    /// Of the aggregate's payload and timestamp.
    pub fn new(payload: &'a [u8], timestamp: Timestamp) -> Self {
        Self {
            rest: Reader::new(payload),
            timestamp,
            offset_ms: None,
        }
    }

    fn read(&mut self) -> Result<SubMessage<'a>, Missing> {
        let kind = Kind(self.rest.u8("sub-message type")? & KIND_BITS);
        let length = self.rest.u24("sub-message length")?.get();
        let [high, middle, low, highest] = self.rest.array("sub-message timestamp")?;
        let time_ms = u32::from_be_bytes([highest, high, middle, low]);
        self.rest.u24("sub-message stream id")?;
        let payload = self.rest.take(
            usize::try_from(length).unwrap_or(usize::MAX),
            "sub-message payload",
        )?;
        let back_pointer = self.rest.len().min(BACK_POINTER);
        self.rest.take(back_pointer, "back pointer")?;
        // The first one is due at the aggregate's own time.
        let offset_ms = *self
            .offset_ms
            .get_or_insert_with(|| self.timestamp.0.wrapping_sub(time_ms));
        Ok(SubMessage {
            kind,
            timestamp: Timestamp(time_ms).wrapping_add(offset_ms),
            payload,
        })
    }
}

impl<'a> Iterator for Aggregate<'a> {
    type Item = SubMessage<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.read() {
                Ok(message) if KINDS_IN_AGGREGATES.contains(&message.kind) => return Some(message),
                Ok(message) => debug!(kind = %message.kind, "skipped inside an aggregate"),
                Err(missing) => {
                    debug!("aggregate {missing}");
                    self.rest = Reader::new(&[]);
                }
            }
        }
        None
    }
}

const STREAM_BEGIN: u16 = 0;
const STREAM_EOF: u16 = 1;
const STREAM_DRY: u16 = 2;
const SET_BUFFER_LENGTH: u16 = 3;
const STREAM_IS_RECORDED: u16 = 4;
const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;
const SWF_VERIFICATION_REQUEST: u16 = 26;
const SWF_VERIFICATION_RESPONSE: u16 = 27;
const BUFFER_EMPTY: u16 = 31;
const BUFFER_READY: u16 = 32;

/// The bits of an FLV tag's first byte that are the type (FLV E.4.1).
const KIND_BITS: u8 = 0x1F;

/// What an aggregate may carry; an aggregate inside an aggregate is not opened.
const KINDS_IN_AGGREGATES: [Kind; 4] = [Kind::AUDIO, Kind::VIDEO, Kind::DATA_AMF3, Kind::DATA];

/// Length of the number behind each sub-message, which nobody needs.
const BACK_POINTER: usize = 4;

#[cfg(test)]
pub(super) mod tests {
    use bytes::BytesMut;
    use serde_json::Value;

    use super::*;
    use crate::rtmp::chunk::Encoder;

    /// The vectors of one area, as many as the file has.
    pub(in crate::rtmp) fn vectors(area: &str) -> Vec<Value> {
        let file = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/vectors/vectors.json"
        ));
        let file = serde_json::from_str::<Value>(file).unwrap();
        let vectors = file["vectors"].as_array().unwrap().iter();
        vectors
            .filter(|vector| vector["area"] == area)
            .cloned()
            .collect()
    }

    pub(in crate::rtmp) fn from_hex(hex: &Value) -> Vec<u8> {
        let digits = hex.as_str().unwrap().as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    pub(in crate::rtmp) fn number(value: &Value) -> u32 {
        value.as_u64().unwrap().try_into().unwrap()
    }

    fn chunk(kind: Kind, payload: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        let mut encoder = Encoder::new();
        encoder
            .encode(2, kind, 0, Timestamp(0), payload, &mut out)
            .unwrap();
        out
    }

    #[test]
    fn control_vectors() {
        let vectors = vectors("control");
        assert_eq!(vectors.len(), 14);
        for vector in vectors {
            let kind = Kind(
                number(&vector["params"]["message_type"])
                    .try_into()
                    .unwrap(),
            );
            let payload = from_hex(&vector["input"]);
            let expected = &vector["expected"];
            match kind {
                Kind::ACKNOWLEDGEMENT => check_acknowledgement(&payload, expected),
                Kind::WINDOW_ACKNOWLEDGEMENT_SIZE => {
                    let size = WindowAcknowledgementSize::read(&payload).unwrap();
                    assert_eq!(size.0, number(&expected["window_ack_size"]));
                    assert_eq!(size.to_bytes(), *payload);
                }
                Kind::SET_PEER_BANDWIDTH => {
                    let bandwidth = SetPeerBandwidth::read(&payload).unwrap();
                    assert_eq!(bandwidth.window, number(&expected["window"]));
                    let limit = expected["limit_type"].as_u64().map(|limit| limit as u8);
                    assert_eq!(bandwidth.limit, limit);
                    assert_eq!(bandwidth.to_bytes(), payload);
                }
                Kind::USER_CONTROL => check_user_control(&payload, expected),
                kind => panic!("{kind}"),
            }
        }
    }

    fn check_acknowledgement(payload: &[u8], expected: &Value) {
        let total = expected["total_bytes_received"].as_u64().unwrap();
        let acknowledgement = Acknowledgement::of_total(total);
        assert_eq!(acknowledgement.0, number(&expected["sequence_number"]));
        assert_eq!(acknowledgement.to_bytes(), payload);
        assert_eq!(Acknowledgement::read(payload), Ok(acknowledgement));
        let chunk = chunk(Kind::ACKNOWLEDGEMENT, payload);
        assert_eq!(chunk, from_hex(&expected["full_chunk"]));
    }

    fn check_user_control(payload: &[u8], expected: &Value) {
        let event = UserControl::read(payload).unwrap();
        assert_eq!(u32::from(event.event()), number(&expected["event"]));
        match event {
            UserControl::StreamBegin(stream)
            | UserControl::StreamEof(stream)
            | UserControl::StreamDry(stream)
            | UserControl::StreamIsRecorded(stream)
            | UserControl::BufferEmpty(stream)
            | UserControl::BufferReady(stream) => {
                assert_eq!(stream, number(&expected["stream_id"]));
            }
            UserControl::SetBufferLength { stream, buffer_ms } => {
                assert_eq!(stream, number(&expected["stream_id"]));
                assert_eq!(buffer_ms, number(&expected["buffer_ms"]));
            }
            UserControl::PingRequest(time) => {
                assert_eq!(time, number(&expected["timestamp"]));
                let reply = UserControl::PingResponse(time).to_bytes();
                assert_eq!(reply, from_hex(&expected["reply_payload"]));
                let chunk = chunk(Kind::USER_CONTROL, &reply);
                assert_eq!(chunk, from_hex(&expected["reply_chunk"]));
            }
            UserControl::SwfVerificationRequest(proof) => {
                assert_eq!(u32::from(proof), number(&expected["swf_verification_type"]));
            }
            UserControl::Other { .. } => return,
            event => panic!("{event:?}"),
        }
        assert_eq!(event.to_bytes(), payload);
        let is_swf_request = matches!(event, UserControl::SwfVerificationRequest(_));
        for cut in 0..payload.len() {
            let cut_event = UserControl::read(&payload[..cut]);
            assert_eq!(
                cut_event.is_ok(),
                is_swf_request && cut == 2,
                "{cut_event:?}"
            );
        }
    }

    #[test]
    fn a_control_message_that_is_cut_names_what_it_lacks() {
        assert_eq!(SetChunkSize::read(&[0; 3]), Err(Missing("chunk size")));
        assert_eq!(Abort::read(&[0; 3]), Err(Missing("chunk stream id")));
        assert_eq!(Acknowledgement::read(&[]), Err(Missing("sequence number")));
        let window = Missing("acknowledgement window size");
        assert_eq!(WindowAcknowledgementSize::read(&[0; 3]), Err(window));
        assert_eq!(SetPeerBandwidth::read(&[0; 3]), Err(window));
    }

    #[test]
    fn a_swf_verification_response_has_44_bytes() {
        let response = UserControl::SwfVerificationResponse([7; 42]);
        let bytes = response.to_bytes();
        assert_eq!(bytes[..3], [0, 27, 7]);
        assert_eq!(bytes.len(), 44);
        assert_eq!(UserControl::read(&bytes), Ok(response));
        let cut = UserControl::read(&bytes[..43]);
        assert_eq!(cut, Err(Missing("verification")));
    }

    #[test]
    fn unknown_kinds_are_named_by_number() {
        assert_eq!(Kind(99).to_string(), "message type 99");
        assert_eq!(Kind::DATA_AMF3.to_string(), "data (amf3)");
    }

    #[test]
    fn time_wraps_both_ways() {
        let late = Timestamp(0xFFFF_FFF0);
        let wrapped = late.wrapping_add(0x20);
        assert_eq!(wrapped, Timestamp(0x10));
        assert_eq!(wrapped.since(late), 0x20);
        assert_eq!(late.since(wrapped), -0x20);
    }

    #[test]
    fn aggregate_vectors() {
        let vectors = vectors("aggregate");
        assert_eq!(vectors.len(), 5);
        for vector in vectors {
            let timestamp = Timestamp(number(&vector["params"]["timestamp"]));
            let stream = number(&vector["params"]["msid"]);
            let bytes = from_hex(&vector["input"]);
            let message = Message {
                chunk_stream: 4,
                kind: Kind::AGGREGATE,
                stream,
                timestamp,
                payload: bytes[..].into(),
            };
            let expected = vector["expected"]["messages"].as_array().unwrap();
            let messages = message.aggregate().collect::<Vec<_>>();
            assert_eq!(messages.len(), expected.len(), "{}", vector["name"]);
            for (message, expected) in messages.iter().zip(expected) {
                assert_eq!(u32::from(message.kind.0), number(&expected["type"]));
                assert_eq!(message.timestamp.0, number(&expected["timestamp"]));
                assert_eq!(stream, number(&expected["msid"]));
                assert_eq!(message.payload.len(), number(&expected["length"]) as usize);
                assert_eq!(message.payload, from_hex(&expected["payload"]));
            }
            check_aggregate_cuts(&bytes, timestamp, &messages);
        }
    }

    /// Cut anywhere, an aggregate gives the messages that are whole.
    fn check_aggregate_cuts(bytes: &[u8], timestamp: Timestamp, messages: &[SubMessage<'_>]) {
        for cut in 0..bytes.len() {
            let mut end = 0;
            let whole = messages.iter().take_while(|message| {
                end += 11 + message.payload.len();
                let is_whole = end <= cut;
                end += 4;
                is_whole
            });
            let cut_messages = Aggregate::new(&bytes[..cut], timestamp);
            assert!(cut_messages.eq(whole.copied()), "cut at {cut}");
        }
    }

    #[test]
    fn an_aggregate_inside_an_aggregate_is_skipped_and_still_sets_the_clock() {
        #[rustfmt::skip]
        let bytes = [
            0x36, 0, 0, 1, 0, 0, 100, 0, 0, 0, 0, 0xAA, 0, 0, 0, 12, // filtered, type 22, at 100
            0x09, 0, 0, 1, 0, 0, 130, 0, 0, 0, 0, 0xBB, 0, 0, 0, 12, // video, at 130
        ];
        let messages = Aggregate::new(&bytes, Timestamp(1000)).collect::<Vec<_>>();
        let video = SubMessage {
            kind: Kind::VIDEO,
            timestamp: Timestamp(1030),
            payload: &[0xBB],
        };
        assert_eq!(messages, [video]);
    }
}

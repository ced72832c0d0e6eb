//! Payloads of protocol control messages (RTMP 5.4) and user control messages (RTMP 7.1.7).

use std::fmt;

use crate::core::wire::{Missing, Reader};

/// Set Chunk Size: the largest chunk payload from now on, 1 to 0x7FFF_FFFF bytes (RTMP 5.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetChunkSize(pub u32);

impl SetChunkSize {
    /// Reads the four bytes without checking the range.
    pub fn read(payload: &[u8]) -> Result<Self, Missing> {
        Reader::new(payload).u32("chunk size").map(Self)
    }

    /// Returns the message payload.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// Abort Message: the chunk stream whose unfinished message must be dropped (RTMP 5.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort(pub u32);

impl Abort {
    /// Reads the four bytes.
    pub fn read(payload: &[u8]) -> Result<Self, Missing> {
        Reader::new(payload).u32("chunk stream id").map(Self)
    }

    /// Returns the message payload.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// Acknowledgement: the number of bytes received so far, modulo 2^32 (RTMP 5.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledgement(pub u32);

impl Acknowledgement {
    /// Returns the acknowledgement for a total of `bytes` received.
    pub const fn of_total(bytes: u64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "RTMP 5.4.3: the sequence number is modulo 2^32"
        )]
        Self(bytes as u32)
    }

    /// Reads the four bytes.
    pub fn read(payload: &[u8]) -> Result<Self, Missing> {
        Reader::new(payload).u32("sequence number").map(Self)
    }

    /// Returns the message payload.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// Window Acknowledgement Size: the number of bytes after which the sender of this message expects
/// an [`Acknowledgement`] (RTMP 5.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowAcknowledgementSize(pub u32);

impl WindowAcknowledgementSize {
    /// Reads the four bytes.
    pub fn read(payload: &[u8]) -> Result<Self, Missing> {
        Reader::new(payload)
            .u32("acknowledgement window size")
            .map(Self)
    }

    /// Returns the message payload.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// Set Peer Bandwidth: the number of bytes that the receiver of this message may have sent without
/// an acknowledgement (RTMP 5.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetPeerBandwidth {
    /// The window in bytes.
    pub window: u32,
    /// The limit type: 0 hard, 1 soft, 2 dynamic. Some servers omit it.
    pub limit: Option<u8>,
}

impl SetPeerBandwidth {
    /// Reads four bytes, and the fifth if it exists.
    pub fn read(payload: &[u8]) -> Result<Self, Missing> {
        let mut reader = Reader::new(payload);
        Ok(Self {
            window: reader.u32("acknowledgement window size")?,
            limit: reader.u8("limit type").ok(),
        })
    }

    /// Returns the message payload.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.window.to_be_bytes().to_vec();
        bytes.extend(self.limit);
        bytes
    }
}

/// A user control event and its data (RTMP 6.2, 7.1.7). Events above 7 are not specified; they are
/// numbers that servers send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserControl {
    /// 0: the message stream can be used; after a seek, media follows again.
    StreamBegin(u32),
    /// 1: the message stream has no more media, or a seek is in progress.
    StreamEof(u32),
    /// 2: the live source sends nothing at the moment.
    StreamDry(u32),
    /// 3: the length of the client's buffer.
    SetBufferLength {
        /// The message stream.
        stream: u32,
        /// The buffer length in milliseconds.
        buffer_ms: u32,
    },
    /// 4: the message stream plays a recorded stream.
    StreamIsRecorded(u32),
    /// 6: a ping; the answer repeats its number.
    PingRequest(u32),
    /// 7: the answer to a ping, with the number of the request.
    PingResponse(u32),
    /// 26: the server requests proof of the SWF file; holds the verification type, normally 1.
    SwfVerificationRequest(u8),
    /// 27: the answer to 26.
    SwfVerificationResponse([u8; 42]),
    /// 31: the server has sent one buffer length of media and pauses.
    BufferEmpty(u32),
    /// 32: the server has filled the buffer again.
    BufferReady(u32),
    /// Any other event.
    Other {
        /// The event number.
        event: u16,
    },
}

impl fmt::Display for UserControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StreamBegin(stream) => write!(f, "Stream Begin, message stream {stream}"),
            Self::StreamEof(stream) => write!(f, "Stream EOF, message stream {stream}"),
            Self::StreamDry(stream) => write!(f, "Stream Dry, message stream {stream}"),
            Self::SetBufferLength { stream, buffer_ms } => write!(
                f,
                "Set Buffer Length, message stream {stream}, {buffer_ms} ms"
            ),
            Self::StreamIsRecorded(stream) => {
                write!(f, "Stream Is Recorded, message stream {stream}")
            }
            Self::PingRequest(number) => write!(f, "Ping Request {number}"),
            Self::PingResponse(number) => write!(f, "Ping Response {number}"),
            Self::SwfVerificationRequest(kind) => {
                write!(f, "SWF Verification Request, type {kind}")
            }
            Self::SwfVerificationResponse(_) => f.write_str("SWF Verification Response"),
            Self::BufferEmpty(stream) => write!(f, "Buffer Empty, message stream {stream}"),
            Self::BufferReady(stream) => write!(f, "Buffer Ready, message stream {stream}"),
            Self::Other { event } => write!(f, "event {event}"),
        }
    }
}

impl UserControl {
    /// Reads the event number and its data. Bytes after them are ignored.
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
            // Some servers omit the verification type.
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

    /// Returns the message payload.
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

    /// Returns the event number.
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

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use serde_json::Value;

    use super::*;
    use crate::core::rtmp::{
        chunk::Encoder,
        message::{
            Kind, Timestamp,
            tests::{from_hex, number, vectors},
        },
    };

    fn chunk(kind: Kind, payload: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        let mut encoder = Encoder::new();
        encoder
            .encode(2, kind, 0, Timestamp(0), payload, &mut out)
            .unwrap();
        out
    }

    #[test]
    fn control_vectors_round_trip() {
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
    fn truncated_control_message_names_the_missing_field() {
        assert_eq!(SetChunkSize::read(&[0; 3]), Err(Missing("chunk size")));
        assert_eq!(Abort::read(&[0; 3]), Err(Missing("chunk stream id")));
        assert_eq!(Acknowledgement::read(&[]), Err(Missing("sequence number")));
        let window = Missing("acknowledgement window size");
        assert_eq!(WindowAcknowledgementSize::read(&[0; 3]), Err(window));
        assert_eq!(SetPeerBandwidth::read(&[0; 3]), Err(window));
    }

    #[test]
    fn swf_verification_response_has_44_bytes() {
        let response = UserControl::SwfVerificationResponse([7; 42]);
        let bytes = response.to_bytes();
        assert_eq!(bytes[..3], [0, 27, 7]);
        assert_eq!(bytes.len(), 44);
        assert_eq!(UserControl::read(&bytes), Ok(response));
        let cut = UserControl::read(&bytes[..43]);
        assert_eq!(cut, Err(Missing("verification")));
    }
}

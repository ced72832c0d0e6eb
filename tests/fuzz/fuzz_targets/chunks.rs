//! Chunks: decoding in pieces changes nothing, and the decoder reads what the encoder writes.
//!
//! The first byte of the input selects one of the two checks and the sizes of the pieces.

#![no_main]

mod pieces;

use arbitrary::{Arbitrary, Unstructured};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use pieces::pieces;
use rtmpull::core::rtmp::{
    chunk::{Decoder, EncodeError, Encoder, Error, MAX_CHUNK_SIZE},
    message::{Kind, Message, Timestamp},
};

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let cut = first >> 1;
    if first & 1 == 0 {
        decode_bytes(data, cut);
    } else if let Ok(operations) = Vec::arbitrary_take_rest(Unstructured::new(data)) {
        decode_encoded(operations, cut);
    }
});

fn decode_bytes(bytes: &[u8], cut: u8) {
    let at_once = Received::from([bytes].into_iter());
    let in_pieces = Received::from(pieces(bytes, cut));
    assert_eq!(at_once.messages, in_pieces.messages);
    assert_eq!(at_once.error, in_pieces.error);
    if at_once.error.is_none() {
        assert_eq!(at_once.rest, in_pieces.rest);
        assert_eq!(at_once.unfinished_bytes, in_pieces.unfinished_bytes);
        assert_eq!(at_once.is_between_messages, in_pieces.is_between_messages);
    }
}

/// Result of decoding some bytes.
struct Received {
    messages: Vec<Message>,
    error: Option<Error>,
    /// Remaining bytes in the inbox.
    rest: BytesMut,
    unfinished_bytes: usize,
    is_between_messages: bool,
}

impl Received {
    fn from<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut decoder = Decoder::new();
        let mut received = Self {
            messages: Vec::new(),
            error: None,
            rest: BytesMut::new(),
            unfinished_bytes: 0,
            is_between_messages: true,
        };
        for read in reads {
            received.rest.extend_from_slice(read);
            if let Err(error) = received.receive(&mut decoder) {
                received.error = Some(error);
                break;
            }
        }
        received.unfinished_bytes = decoder.unfinished_bytes();
        received.is_between_messages = decoder.is_between_messages();
        assert!(!received.is_between_messages || received.unfinished_bytes == 0);
        received
    }

    fn receive(&mut self, decoder: &mut Decoder) -> Result<(), Error> {
        while let Some(message) = decoder.decode(&mut self.rest)? {
            self.messages.push(message.clone());
            decoder.recycle(message.payload);
        }
        assert!(
            self.rest.len() < MAX_HEADER_LEN,
            "payload remains in the inbox"
        );
        Ok(())
    }
}

#[derive(Debug, Arbitrary)]
enum Operation<'a> {
    Send {
        chunk_stream: ChunkStream,
        kind: u8,
        stream: u8,
        time: Time,
        repeats: u8,
        payload: &'a [u8],
    },
    SmallChunks(u8),
    Chunks(u32),
}

#[derive(Debug, Arbitrary)]
enum ChunkStream {
    Low(u8),
    High(u16),
    Any(u32),
}

#[derive(Debug, Arbitrary)]
enum Time {
    Step(u8),
    Back(u8),
    Leap(u32),
}

fn decode_encoded(operations: Vec<Operation<'_>>, cut: u8) {
    let mut encoder = Encoder::new();
    let mut wire = BytesMut::new();
    let mut sent = Vec::new();
    let mut now = Timestamp::default();
    // The decoder limits the number of chunk streams.
    for operation in operations.into_iter().take(MAX_OPERATIONS) {
        match operation {
            Operation::Send {
                chunk_stream,
                kind,
                stream,
                time,
                repeats,
                payload,
            } => {
                now = time.after(now);
                let message = Message {
                    chunk_stream: chunk_stream.id(),
                    kind: without_chunk_size(kind),
                    message_stream: stream.into(),
                    timestamp: now,
                    payload: payload.repeat(usize::from(repeats)).as_slice().into(),
                };
                match encode(&mut encoder, &message, &mut wire) {
                    Ok(()) => sent.push(message),
                    Err(error) => {
                        assert_eq!(error, EncodeError::ChunkStream(message.chunk_stream));
                        assert!(!(2..=65_599).contains(&message.chunk_stream));
                    }
                }
            }
            Operation::SmallChunks(size) => {
                sent.push(announce(&mut encoder, u32::from(size).max(1), &mut wire));
            }
            Operation::Chunks(size) => {
                let size = size.clamp(1, MAX_CHUNK_SIZE);
                sent.push(announce(&mut encoder, size, &mut wire));
            }
        }
    }
    let received = Received::from(pieces(&wire, cut));
    assert_eq!(received.error, None);
    assert_eq!(received.messages, sent);
    assert!(received.rest.is_empty());
    assert!(received.is_between_messages);
}

impl ChunkStream {
    fn id(self) -> u32 {
        match self {
            Self::Low(id) => u32::from(id % 64),
            Self::High(id) => u32::from(id) + 64,
            Self::Any(id) => id,
        }
    }
}

impl Time {
    fn after(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Step(ms) => now.wrapping_add(ms.into()),
            Self::Back(ms) => now.wrapping_add(u32::from(ms).wrapping_neg()),
            Self::Leap(ms) => now.wrapping_add(ms),
        }
    }
}

fn without_chunk_size(kind: u8) -> Kind {
    match Kind(kind) {
        Kind::SET_CHUNK_SIZE => Kind::AUDIO,
        kind => kind,
    }
}

fn announce(encoder: &mut Encoder, size: u32, wire: &mut BytesMut) -> Message {
    let message = Message {
        chunk_stream: 2,
        kind: Kind::SET_CHUNK_SIZE,
        message_stream: 0,
        timestamp: Timestamp(0),
        payload: size.to_be_bytes().as_slice().into(),
    };
    encode(encoder, &message, wire).expect("a control message");
    encoder.set_chunk_size(size);
    message
}

fn encode(
    encoder: &mut Encoder,
    message: &Message,
    wire: &mut BytesMut,
) -> Result<(), EncodeError> {
    encoder.encode(
        message.chunk_stream,
        message.kind,
        message.message_stream,
        message.timestamp,
        &message.payload,
        wire,
    )
}

/// Length of the largest basic header, message header and extended timestamp: 3 + 11 + 4 bytes.
const MAX_HEADER_LEN: usize = 18;

const MAX_OPERATIONS: usize = 4000;

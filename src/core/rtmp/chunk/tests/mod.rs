use bytes::{BufMut, BytesMut};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;
use crate::core::{
    payload::Payload,
    rtmp::message::{
        Kind, Message, SetChunkSize, Timestamp,
        tests::{from_hex, number, vectors},
    },
};

mod generated;
mod hostile;

/// Decodes `pieces` up to the first error. Returns the messages, and whether the input ended at a
/// message boundary.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Message>, Result<bool, Error>) {
    let mut decoder = Decoder::new();
    let mut inbox = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        inbox.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut inbox) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (
        messages,
        Ok(inbox.is_empty() && decoder.is_between_messages()),
    )
}

/// Decodes in one piece, in two pieces with the cut at every byte, and byte by byte.
fn decode_cut_everywhere(bytes: &[u8]) -> (Vec<Message>, Result<bool, Error>) {
    let whole = decode([bytes]);
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(decode([first, second]), whole, "cut at {cut}");
    }
    assert_eq!(decode(bytes.chunks(1)), whole, "byte by byte");
    whole
}

fn message(chunk_stream: u32, kind: u8, stream: u32, timestamp: u32, payload: &[u8]) -> Message {
    Message {
        chunk_stream,
        kind: Kind(kind),
        message_stream: stream,
        timestamp: Timestamp(timestamp),
        payload: Payload::from(payload),
    }
}

fn timestamps(bytes: &[u8]) -> Vec<u32> {
    let (messages, end) = decode_cut_everywhere(bytes);
    assert_eq!(end, Ok(true));
    messages.iter().map(|message| message.timestamp.0).collect()
}

#[test]
fn chunk_vectors_decode_as_expected() {
    let vectors = vectors("chunk");
    assert_eq!(vectors.len(), 36);
    for vector in vectors {
        let name = vector["name"].as_str().unwrap();
        let expected = &vector["expected"];
        let (messages, end) = decode_cut_everywhere(&from_hex(&vector["input"]));
        match expected["error"].as_str() {
            None => assert_eq!(end, Ok(name != "chunk-max-length-header"), "{name}"),
            Some(text) => assert_eq!(end, Err(expected_error(name)), "{name}: {text}"),
        }
        let expected = expected["messages"].as_array().unwrap();
        assert_eq!(messages.len(), expected.len(), "{name}");
        for (message, expected) in messages.iter().zip(expected) {
            check(name, message, expected);
        }
    }
}

fn expected_error(name: &str) -> Error {
    match name {
        "chunk-setsize-zero" => Error::ChunkSize(0),
        "chunk-setsize-topbit" => Error::ChunkSize(0x8000_0080),
        "chunk-fmt2-first" => Error::NoHeader {
            chunk_stream: 4,
            format: 2,
        },
        "chunk-fmt3-first" => Error::NoHeader {
            chunk_stream: 9,
            format: 3,
        },
        _ => panic!("{name}"),
    }
}

fn check(name: &str, message: &Message, expected: &Value) {
    for (field, value) in expected.as_object().unwrap() {
        match field.as_str() {
            "csid" => assert_eq!(message.chunk_stream, number(value), "{name}"),
            "type" => assert_eq!(u32::from(message.kind.0), number(value), "{name}"),
            "msid" => assert_eq!(message.message_stream, number(value), "{name}"),
            "timestamp" => assert_eq!(message.timestamp.0, number(value), "{name}"),
            "length" | "payload_len" => {
                assert_eq!(message.payload.len(), number(value) as usize, "{name}");
            }
            "payload" => assert_eq!(*message.payload, from_hex(value), "{name}"),
            "payload_sha256" => {
                assert_eq!(
                    Sha256::digest(&*message.payload)[..],
                    from_hex(value),
                    "{name}"
                );
            }
            _ => panic!("{name}: {field}"),
        }
    }
}

#[test]
fn decoded_messages_survive_a_round_trip() {
    for vector in vectors("chunk") {
        let (messages, _) = decode([&from_hex(&vector["input"])[..]]);
        // The announced chunk sizes do not apply to the re-encoded messages.
        let messages = messages
            .into_iter()
            .filter(|message| message.kind != Kind::SET_CHUNK_SIZE)
            .collect::<Vec<_>>();
        let mut encoder = Encoder::new();
        let mut wire = BytesMut::new();
        for message in &messages {
            encode(&mut encoder, message, &mut wire).unwrap();
        }
        assert_eq!(
            decode([&wire[..]]),
            (messages, Ok(true)),
            "{}",
            vector["name"]
        );
    }
}

fn encode(encoder: &mut Encoder, message: &Message, out: &mut BytesMut) -> Result<(), EncodeError> {
    encoder.encode(
        message.chunk_stream,
        message.kind,
        message.message_stream,
        message.timestamp,
        &message.payload,
        out,
    )
}

#[test]
fn type_3_chunk_after_type_0_repeats_the_timestamp_as_delta_below_ten_seconds() {
    #[rustfmt::skip]
    let mut bytes = [
        0x04, 0, 0x27, 0x0F, 0, 0, 1, 8, 1, 0, 0, 0, 0xAA, // type 0 at 9,999
        0xC4, 0xAA,                                        // type 3
        0xC4, 0xAA,
    ];
    assert_eq!(timestamps(&bytes), [9_999, 19_998, 29_997]);
    bytes[3] = 0x10; // at 10,000
    assert_eq!(timestamps(&bytes), [10_000; 3]);
}

#[test]
fn extended_timestamp_below_24_bits_is_accepted() {
    #[rustfmt::skip]
    let bytes = [
        0x04, 0xFF, 0xFF, 0xFF, 0, 0, 1, 8, 1, 0, 0, 0, 0, 0, 0, 26, 0xAA, // type 0 at 26, in 32 bits
        0xC4, 0, 0, 0, 26, 0xAA,                                           // type 3 repeats the field
    ];
    assert_eq!(timestamps(&bytes), [26, 52]);
}

/// Returns a message of 130 bytes, 16,777,216 ms after 1,000, whose last two bytes are `last`.
/// `field` is the extended timestamp of the type 3 chunk.
fn continued_after_extended_delta(field: &[u8], last: [u8; 2]) -> (Vec<u8>, Vec<Message>) {
    let mut payload = vec![0xAA; 128];
    payload.extend(last);
    #[rustfmt::skip]
    let mut bytes = vec![
        0x04, 0, 0x03, 0xE8, 0, 0, 1, 8, 1, 0, 0, 0, 0xAA,   // type 0 at 1,000
        0x44, 0xFF, 0xFF, 0xFF, 0, 0, 130, 9, 1, 0, 0, 0,    // type 1, 130 bytes, delta 0x01000000
    ];
    bytes.extend(&payload[..128]);
    bytes.push(0xC4); // type 3
    bytes.extend(field);
    bytes.extend(last);
    let messages = vec![
        message(4, 8, 1, 1_000, &[0xAA]),
        message(4, 9, 1, 0x0100_03E8, &payload),
    ];
    (bytes, messages)
}

#[test]
fn type_3_chunk_may_repeat_the_delta_or_the_timestamp_or_neither() {
    for field in [&[1, 0, 0, 0][..], &[1, 0, 3, 0xE8], &[]] {
        let (bytes, messages) = continued_after_extended_delta(field, [0xBB; 2]);
        assert_eq!(
            decode_cut_everywhere(&bytes),
            (messages, Ok(true)),
            "{field:?}"
        );
    }
}

#[test]
fn payload_that_resembles_an_extended_timestamp_is_decoded_with_the_next_bytes() {
    let (bytes, messages) = continued_after_extended_delta(&[], [1, 0]);
    let (before, end) = decode_cut_everywhere(&bytes);
    assert_eq!((&before[..], end), (&messages[..1], Ok(false)));
    let next = [0x05, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0]; // type 0, without payload
    let (after, end) = decode_cut_everywhere(&[&bytes[..], &next].concat());
    assert_eq!((&after[..2], end), (&messages[..], Ok(true)));
}

#[test]
fn omitted_extended_timestamp_is_remembered_for_later_chunks() {
    let (mut bytes, mut messages) = continued_after_extended_delta(&[], [0xBB; 2]);
    let payload = [[1; 128].as_slice(), &[1, 0]].concat();
    bytes.push(0xC4); // type 3, a new message, without the field
    bytes.extend(&payload[..128]);
    bytes.push(0xC4);
    bytes.extend(&payload[128..]); // starts like the delta
    messages.push(message(4, 9, 1, 0x0200_03E8, &payload));
    assert_eq!(decode_cut_everywhere(&bytes), (messages, Ok(true)));
}

#[test]
fn header_with_another_message_stream_drops_the_unfinished_message() {
    #[rustfmt::skip]
    let mut bytes = vec![
        0x04, 0, 0, 9, 0, 0, 129, 8, 1, 0, 0, 0, // type 0 at 9, 129 bytes, message stream 1
    ];
    bytes.extend([0xAA; 128]);
    let mut continued = bytes.clone();
    #[rustfmt::skip]
    continued.extend([
        0x04, 0, 0, 50, 0, 0, 129, 8, 1, 0, 0, 0, 0xAA, // the same header at 50
    ]);
    let whole = message(4, 8, 1, 9, &[0xAA; 129]);
    assert_eq!(decode_cut_everywhere(&continued), (vec![whole], Ok(true)));

    #[rustfmt::skip]
    bytes.extend([
        0x04, 0, 0, 50, 0, 0, 129, 8, 2, 0, 0, 0, // the same on message stream 2
    ]);
    bytes.extend([0xBB; 128]);
    bytes.extend([0xC4, 0xBB]);
    let second = message(4, 8, 2, 50, &[0xBB; 129]);
    assert_eq!(decode_cut_everywhere(&bytes), (vec![second], Ok(true)));
}

#[test]
fn dropped_message_still_advances_the_timestamp() {
    #[rustfmt::skip]
    let bytes = [
        &[0x04, 0, 0, 50, 0, 0, 129, 8, 1, 0, 0, 0][..], // type 0 at 50, 129 bytes
        &[0xAA; 128],
        &[0x44, 0, 0, 20, 0, 0, 1, 9, 0xBB], // type 1, 20 later, 1 byte
        &[0xC4, 0xBB],                       // type 3
    ]
    .concat();
    assert_eq!(timestamps(&bytes), [70, 90]);
}

#[test]
fn abort_without_an_unfinished_message_is_ignored() {
    #[rustfmt::skip]
    let bytes = [
        0x02, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 9,          // chunk stream 9, not used before
        0x02, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0xFF, 0, 0, 0,       // not a valid chunk stream id
        0x02, 0, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0, 0,             // too short
    ];
    let (messages, end) = decode_cut_everywhere(&bytes);
    assert_eq!((messages.len(), end), (3, Ok(true)));
}

#[test]
fn truncated_set_chunk_size_is_an_error() {
    #[rustfmt::skip]
    let bytes = [
        0x02, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 16, 0,
    ];
    let (messages, end) = decode_cut_everywhere(&bytes);
    assert_eq!(
        (messages.len(), end),
        (0, Err(Error::NoChunkSize(Missing("chunk size"))))
    );
}

#[test]
fn error_texts_describe_the_violation() {
    let first = Error::NoHeader {
        chunk_stream: 9,
        format: 3,
    };
    let texts = [
        (first, "chunk stream 9 starts with a type 3 chunk"),
        (
            Error::ChunkSize(0),
            "chunk size 0 is not between 1 and 2147483647",
        ),
        (
            Error::NoChunkSize(Missing("chunk size")),
            "set chunk size ends inside chunk size",
        ),
        (Error::TooManyChunkStreams, "more than 4096 chunk streams"),
        (
            Error::TooMuchUnfinished,
            "more than 67108864 bytes of unfinished messages",
        ),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn encoder_omits_fields_equal_to_the_previous_header() {
    let mut encoder = Encoder::new();
    let mut out = BytesMut::new();
    for message in [
        message(4, 8, 1, 1_000, &[0xAA]),
        message(4, 8, 1, 1_020, &[0xAA]),
        message(4, 8, 1, 1_040, &[0xAA]),
        message(4, 8, 1, 1_050, &[0xAA]),
        message(4, 9, 1, 1_060, &[0xAA]),
        message(4, 9, 1, 1_050, &[0xAA]),
        message(4, 9, 2, 1_060, &[0xAA]),
        message(4, 9, 2, 2_120, &[0xAA]),
    ] {
        encode(&mut encoder, &message, &mut out).unwrap();
    }
    #[rustfmt::skip]
    assert_eq!(out[..], [
        0x04, 0, 0x03, 0xE8, 0, 0, 1, 8, 1, 0, 0, 0, 0xAA, // first message: type 0
        0x84, 0, 0, 20, 0xAA,                              // a delta: type 2
        0xC4, 0xAA,                                        // the same delta: type 3
        0x84, 0, 0, 10, 0xAA,                              // another delta: type 2
        0x44, 0, 0, 10, 0, 0, 1, 9, 0xAA,                  // another message type: type 1
        0x04, 0, 0x04, 0x1A, 0, 0, 1, 9, 1, 0, 0, 0, 0xAA, // negative step: type 0
        0x04, 0, 0x04, 0x24, 0, 0, 1, 9, 2, 0, 0, 0, 0xAA, // another message stream: type 0
        0x84, 0, 0x04, 0x24, 0xAA,                         // step equal to the timestamp of type 0: type 2
    ]);
}

#[test]
fn encoder_repeats_extended_timestamps_and_never_extends_a_delta() {
    let mut encoder = Encoder::new();
    let mut out = BytesMut::new();
    encoder.set_chunk_size(2);
    for timestamp in [0xFF_FFFE, 0x1FF_FFFC, 0x2FF_FFFB] {
        encode(
            &mut encoder,
            &message(400, 8, 1, timestamp, &[0xAA; 3]),
            &mut out,
        )
        .unwrap();
    }
    #[rustfmt::skip]
    assert_eq!(out[..], [
        0x01, 0x50, 0x01, 0xFF, 0xFF, 0xFE, 0, 0, 3, 8, 1, 0, 0, 0, 0xAA, 0xAA,
        0xC1, 0x50, 0x01, 0xAA,
        0x81, 0x50, 0x01, 0xFF, 0xFF, 0xFE, 0xAA, 0xAA, // the longest short delta
        0xC1, 0x50, 0x01, 0xAA,
        0x01, 0x50, 0x01, 0xFF, 0xFF, 0xFF, 0, 0, 3, 8, 1, 0, 0, 0, 0x02, 0xFF, 0xFF, 0xFB, 0xAA, 0xAA,
        0xC1, 0x50, 0x01, 0x02, 0xFF, 0xFF, 0xFB, 0xAA,
    ]);
}

#[test]
fn encoder_rejects_messages_that_cannot_be_encoded() {
    let mut encoder = Encoder::new();
    encoder.set_chunk_size(MAX_CHUNK_SIZE);
    let mut out = BytesMut::new();
    let longest = vec![0; 0xFF_FFFF];
    assert_eq!(
        encode(&mut encoder, &message(2, 8, 0, 0, &longest), &mut out),
        Ok(())
    );
    assert_eq!(out.len(), 12 + 0xFF_FFFF);
    out.clear();

    let too_long = message(2, 8, 0, 0, &[&longest[..], &[0]].concat());
    let error = EncodeError::MessageTooLong(1 << 24);
    assert_eq!(encode(&mut encoder, &too_long, &mut out), Err(error));
    for id in [0, 1, 65_600] {
        let error = EncodeError::ChunkStream(id);
        assert_eq!(
            encode(&mut encoder, &message(id, 8, 0, 0, &[]), &mut out),
            Err(error)
        );
    }
    assert!(out.is_empty());
}

#[test]
fn warm_decoder_allocates_nothing_per_message() {
    let mut decoder = Decoder::new();
    let mut wires = [0, 20_000].map(|start_ms| {
        let mut encoder = Encoder::new();
        let mut wire = BytesMut::new();
        for frame in 0..500 {
            let timestamp = start_ms + 40 * frame;
            let video = message(400, 9, 1, timestamp, &[7; 30_000]);
            encode(&mut encoder, &video, &mut wire).unwrap();
            let audio = message(4, 8, 1, timestamp, &[8; 300]);
            encode(&mut encoder, &audio, &mut wire).unwrap();
        }
        wire
    });
    let mut drain = |wire: &mut BytesMut| {
        let mut count = 0;
        while let Some(message) = decoder.decode(wire).unwrap() {
            decoder.recycle(message.payload);
            count += 1;
        }
        assert_eq!(count, 1_000);
    };
    let [first, second] = &mut wires;
    drain(first);
    let allocations = allocation_counter::measure(|| drain(second));
    assert_eq!(allocations.count_total, 0);
}

//! Tests against hostile peers.

use super::*;

/// A type 0 header at 0 ms with message type 9 on message stream 1.
fn header(chunk_stream: u16, length: u32) -> BytesMut {
    let [low, high] = (chunk_stream - 64).to_le_bytes();
    let [_, length @ ..] = length.to_be_bytes();
    let mut bytes = BytesMut::from(&[0x01, low, high, 0, 0, 0][..]);
    bytes.extend(length);
    bytes.extend([9, 1, 0, 0, 0]);
    bytes
}

fn set_chunk_size(size: u32) -> BytesMut {
    let mut bytes = BytesMut::from(&[0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0][..]);
    bytes.put_u32(size);
    bytes
}

#[test]
fn announced_length_alone_allocates_nothing() {
    let mut decoder = Decoder::new();
    let mut inbox = header(64, 0xFF_FFFF);
    inbox.extend([0; 100]);
    let allocations = allocation_counter::measure(|| {
        assert_eq!(decoder.decode(&mut inbox), Ok(None));
    });
    assert!(allocations.bytes_max < 4096, "{}", allocations.bytes_max);
    assert!(inbox.is_empty());
}

#[test]
fn too_many_chunk_streams_are_an_error() {
    let mut decoder = Decoder::new();
    let mut results = (64..5_064).map(|id| decoder.decode(&mut header(id, 0)));
    let mut accepted = results.by_ref().take(MAX_CHUNK_STREAMS - 64);
    assert!(accepted.all(|result| result.is_ok_and(|message| message.is_some())));
    assert_eq!(results.next(), Some(Err(Error::TooManyChunkStreams)));
    drop(results);
    // Known chunk streams still work.
    assert!(decoder.decode(&mut header(64, 0)).unwrap().is_some());
}

#[test]
fn total_size_of_unfinished_messages_is_limited() {
    let mut decoder = Decoder::new();
    let mut inbox = set_chunk_size(0xFF_FFFE);
    assert!(decoder.decode(&mut inbox).unwrap().is_some());
    let all_but_one = vec![0; 0xFF_FFFE];
    let mut begin = |id| {
        inbox.unsplit(header(id, 0xFF_FFFF));
        inbox.extend_from_slice(&all_but_one);
        decoder.decode(&mut inbox)
    };
    for id in 64..68 {
        assert_eq!(begin(id), Ok(None));
    }
    assert_eq!(begin(68), Err(Error::TooMuchUnfinished));
}

/// Decodes five times a chunk that is one byte shorter than its message, followed by `rest`.
fn decode_repeatedly(rest: &[u8]) {
    let mut decoder = Decoder::new();
    let mut inbox = set_chunk_size(0xFF_FFF0);
    let chunk = vec![0; 0xFF_FFF0];
    for _ in 0..5 {
        inbox.unsplit(header(64, 0xFF_FFF1));
        inbox.extend_from_slice(&chunk);
        inbox.extend_from_slice(rest);
        while decoder.decode(&mut inbox).unwrap().is_some() {}
    }
    assert!(decoder.is_between_messages());
}

#[test]
fn finished_messages_do_not_count_as_unfinished() {
    decode_repeatedly(&[0xC0, 0, 0xAA]); // type 3, the last byte
}

#[test]
fn aborted_messages_do_not_count_as_unfinished() {
    decode_repeatedly(&[0x02, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 64]);
}

#[test]
fn dropped_messages_do_not_count_as_unfinished() {
    decode_repeatedly(&[0x40, 0, 0, 0, 0, 0, 0, 0, 8]); // type 1, without payload
}

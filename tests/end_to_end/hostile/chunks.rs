use super::*;
use crate::server::FaultAction;

#[test]
fn invalid_chunks_cut_the_download() {
    for (bytes, cause) in INVALID_CHUNKS {
        for count in [0, 10] {
            let peer = playing_peer(count, move |peer| peer.send(bytes));
            let ended = Invocation::new(&peer.url("clip")).run();
            assert_cut(&ended, count, cause);
        }
    }
}

#[test]
fn unfinished_large_message_ends_with_close_or_timeout() {
    let cases = [
        (FaultAction::Fin, "cut", "in the middle of a message"),
        (FaultAction::Silence, "stalled", "no more media arrived"),
    ];
    parallel::for_each(cases, |(then, word, cause)| {
        let peer = playing_peer(10, move |peer| {
            // The header announces 0xFFFFFF bytes, three follow.
            peer.send(&[6, 0, 0, 0, 0xFF, 0xFF, 0xFF, 8, 1, 0, 0, 0, 1, 2, 3])?;
            peer.fail(then)
        });
        let ended = Invocation::new(&peer.url("clip"))
            .options(ONE_SECOND_TIMEOUT)
            .run();
        ended
            .assert_ended(2, word, cause)
            .assert_within(ONE_SECOND_LIMIT)
            .assert_tags(&sample_media()[..10]);
    });
}

#[test]
fn too_many_chunk_streams_cut_the_download() {
    let peer = playing_peer(10, |peer| {
        let streams = 320..5320_u32;
        let bytes: Vec<u8> = streams
            .flat_map(|id| first_chunk(id, 0xFF_FFFF, &[1]))
            .collect();
        peer.queue_chunk_size(1)?;
        peer.send(&bytes)
    });
    let ended = Invocation::new(&peer.url("clip")).run();
    assert_cut(&ended, 10, "more than 4096 chunk streams");
}

#[test]
fn too_many_unfinished_bytes_cut_the_download() {
    let peer = playing_peer(10, |peer| {
        peer.queue_chunk_size(128)?;
        let messages = (320..4320).map(|id| first_chunk(id, 20_000, &[1; 128]));
        peer.send(&messages.collect::<Vec<_>>().concat())?;
        // Continue each of the 4,000 messages by 128 bytes at a time, up to almost 20,000 bytes.
        let continuations: Vec<u8> = (320..4320)
            .flat_map(|id| [&header(3, id)[..], &[1; 128]].concat())
            .collect();
        (0..155).try_for_each(|_| peer.send(&continuations))
    });
    let ended = Invocation::new(&peer.url("clip")).run();
    assert_cut(
        &ended,
        10,
        "more than 67108864 bytes of unfinished messages",
    );
}

#[test]
#[cfg(target_os = "linux")]
fn announced_lengths_allocate_no_memory() {
    use std::sync::mpsc;

    let (sender, media_sent) = mpsc::sync_channel(1);
    let peer = playing_peer(10, move |peer| {
        // Headers of 4,000 messages of 16 MiB each.
        let bytes: Vec<u8> = (320..4320)
            .flat_map(|id| first_chunk(id, 0xFF_FFFF, &[1]))
            .collect();
        peer.queue_chunk_size(1)?;
        peer.send(&bytes)?;
        send_tags(peer, &sample_media()[10..20])?;
        thread::sleep(Duration::from_millis(300));
        sender.send(()).map_err(|_| Disconnected)?;
        peer.wait_for_close()
    });
    let running = Invocation::new(&peer.url("clip")).start();
    media_sent
        .recv_timeout(LIMIT)
        .expect("the stream continues");
    let memory = running.process.peak_memory();
    assert!(memory < 24 << 20, "peak memory of {memory} bytes");
    running.process.signal("TERM");
    running.finish().assert_tags(&sample_media()[..20]);
}

#[test]
fn unusual_control_messages_are_harmless() {
    for bytes in UNUSUAL_MESSAGES {
        let peer = playing_peer(10, move |peer| {
            peer.send(bytes)?;
            send_tags(peer, &sample_media()[10..])?;
            peer.fail(FaultAction::Fin)
        });
        let ended = Invocation::new(&peer.url("clip")).run();
        ended
            .assert_ended(0, "closed", "the server closed the connection")
            .assert_tags(&sample_media());
    }
}

/// Panics unless the download was cut for `cause` after `count` tags.
#[track_caller]
fn assert_cut(ended: &Ended, count: usize, cause: &str) {
    let code = if count == 0 { 1 } else { 2 };
    ended.assert_ended(code, "cut", cause);
    match count {
        0 => ended.assert_unchanged(),
        _ => ended.assert_tags(&sample_media()[..count]),
    }
}

/// Encodes the first chunk of an audio message (RTMP 5.3.1.2.1).
fn first_chunk(id: u32, length: u32, bytes: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = length.to_be_bytes();
    [
        &header(0, id)[..],
        &[0; 3],
        &length,
        &[8, 1, 0, 0, 0],
        bytes,
    ]
    .concat()
}

/// Encodes a basic header of three bytes (RTMP 5.3.1.1).
fn header(format: u8, id: u32) -> [u8; 3] {
    let [low, high, ..] = (id - 64).to_le_bytes();
    [format << 6 | 1, low, high]
}

/// Invalid chunks and the expected errors.
const INVALID_CHUNKS: [(&[u8], &str); 6] = [
    // Set Chunk Size (RTMP 5.4.1).
    (
        &[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        "chunk size 0 is not between",
    ),
    (
        &[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0x80, 0, 0, 0x80],
        "chunk size 2147483776 is not between",
    ),
    (
        &[2, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 9],
        "set chunk size",
    ),
    // Type 3 and type 2 chunks on a new chunk stream (RTMP 5.3.1.2).
    (&[0xC9], "chunk stream 9 starts with a type 3 chunk"),
    (
        &[0x89, 0, 0, 1],
        "chunk stream 9 starts with a type 2 chunk",
    ),
    (
        &[0xC1, 0xFF, 0xFF],
        "chunk stream 65599 starts with a type 3 chunk",
    ),
];

/// Unusual messages on chunk stream 2 that must be ignored.
const UNUSUAL_MESSAGES: [&[u8]; 13] = [
    // Abort of an unused chunk stream, and Abort without a chunk stream id.
    &[2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 99],
    &[2, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0],
    // Window Acknowledgement Size 0, 1, the maximum, and truncated to one byte.
    &[2, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0],
    &[2, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0, 0, 0, 1],
    &[2, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
    &[2, 0, 0, 0, 0, 0, 1, 5, 0, 0, 0, 0, 7],
    // Set Peer Bandwidth 0 with an unknown limit type, and without a limit type.
    &[2, 0, 0, 0, 0, 0, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 77],
    &[2, 0, 0, 0, 0, 0, 4, 6, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
    // An unknown user control event, and a truncated one.
    &[2, 0, 0, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0xFF, 0xFF, 1],
    &[2, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 0],
    // Unknown message type.
    &[2, 0, 0, 0, 0, 0, 2, 0xEE, 9, 9, 9, 9, 1, 2],
    // Aggregates: a tag with a false length of 0xFFFFFF bytes, and a nested aggregate.
    &[
        2, 0, 0, 0, 0, 0, 12, 22, 1, 0, 0, 0, 9, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1,
    ],
    &[
        2, 0, 0, 0, 0, 0, 15, 22, 1, 0, 0, 0, 22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11,
    ],
];

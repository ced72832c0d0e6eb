//! Time and allocations of the codecs: `cargo bench --bench codecs`.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use divan::{
    AllocProfiler, Bencher,
    counter::{BytesCount, ItemsCount},
};
use rtmpull::core::{
    amf::{Object, Value, amf0},
    analysis::{Extent, MediaTime, MessageTime, StreamAnalysis},
    flv::{FrameInfo, FrameParser, Tag, TagKind, codec::VideoTag},
    payload::Payload,
    rtmp::{
        chunk::{Decoder, Encoder},
        message::{Kind, Message, Timestamp},
    },
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Decodes one second of 16 Mbit/s into tags; every buffer returns to the pool.
#[divan::bench(args = [128, 4_096, 60_000])]
fn chunks_to_tags(bencher: Bencher<'_, '_>, chunk_size: u32) {
    let second = second_of_chunks(chunk_size);
    let mut decoder = Decoder::new();
    announce(&mut decoder, chunk_size);
    bencher
        .counter(BytesCount::new(second.len()))
        .with_inputs(|| BytesMut::from(&second[..]))
        .bench_local_values(|mut inbox| {
            while let Some(message) = decoder.decode(&mut inbox).expect("valid chunks") {
                decoder.recycle(tag(message));
            }
        });
}

#[divan::bench]
fn metadata_from_amf0(bencher: Bencher<'_, '_>) {
    let body = metadata();
    bencher.bench(|| amf0::decode_all(divan::black_box(body.clone())));
}

#[divan::bench]
fn video_tag_header(bencher: Bencher<'_, '_>) {
    let body = [0x27, 1, 0, 0, 0, 0, 0, 0, 1, 0x41];
    bencher.bench(|| VideoTag::parse(divan::black_box(&body)).map(|tag| tag.carries_media()));
}

/// Analyzes 1000 messages of AVC and AAC. The items per second are the messages that a probe can analyze.
#[divan::bench]
fn analyzed_messages(bencher: Bencher<'_, '_>) {
    let messages = messages_of_stream(1000);
    let now = Instant::now();
    bencher
        .counter(ItemsCount::new(messages.len()))
        .with_inputs(|| StreamAnalysis::new(Extent::Excerpt))
        .bench_local_values(|mut analysis| {
            for (time_ms, info, body) in &messages {
                let time = MessageTime {
                    arrived_at: Some(now + Duration::from_millis((*time_ms).into())),
                    unix_ms: None,
                    media: MediaTime::Timestamp(*time_ms),
                };
                analysis.message(time, info, body);
            }
            analysis
        });
}

/// Returns sequence headers and frames in turn: 50 pictures of 5 kB and 50 sounds of 300 bytes per second.
fn messages_of_stream(count: u32) -> Vec<(u32, FrameInfo, Vec<u8>)> {
    let mut parser = FrameParser::new();
    let bodies = (0..count).map(|message| {
        let time_ms = message / 2 * 20;
        let (kind, body) = match (message, message % 2) {
            (0, _) => (TagKind::VIDEO, AVC_HEADER.to_vec()),
            (1, _) => (TagKind::AUDIO, vec![0xAF, 0, 0x12, 0x10]),
            (_, 0) => (TagKind::VIDEO, picture(message % 100 == 2)),
            _ => (TagKind::AUDIO, [&[0xAF, 1, 0x21][..], &[0; 297]].concat()),
        };
        (time_ms, kind, body)
    });
    let messages = bodies.map(|(time_ms, kind, body)| {
        let info = parser.parse(kind, &body);
        (time_ms, info, body)
    });
    messages.collect()
}

/// Returns a picture of four slices.
fn picture(is_keyframe: bool) -> Vec<u8> {
    let (first, slice) = if is_keyframe {
        (0x17, 0x65)
    } else {
        (0x27, 0x41)
    };
    let slice = [&[0, 0, 0x04, 0xE2, slice][..], &[0; 1249]].concat();
    [&[first, 1, 0, 0, 0][..], &slice.repeat(4)].concat()
}

/// Converts a message to a tag, as on the way from the decoder to the file.
fn tag(message: Message) -> Payload {
    let kind = match message.kind {
        Kind::VIDEO => TagKind::VIDEO,
        _ => TagKind::AUDIO,
    };
    let tag = Tag::new(kind, message.timestamp.0, message.payload);
    Payload::reuse(divan::black_box(tag).into_bytes())
}

fn announce(decoder: &mut Decoder, chunk_size: u32) {
    let mut inbox = BytesMut::new();
    put(
        &mut Encoder::new(),
        Kind::SET_CHUNK_SIZE,
        0,
        &chunk_size.to_be_bytes(),
        &mut inbox,
    );
    decoder.decode(&mut inbox).expect("a chunk size");
}

fn second_of_chunks(chunk_size: u32) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.set_chunk_size(chunk_size);
    let mut second = BytesMut::new();
    for frame in 0..50 {
        put(
            &mut encoder,
            Kind::AUDIO,
            frame * 20,
            &[0xAF; 320],
            &mut second,
        );
        if frame % 2 == 0 {
            put(
                &mut encoder,
                Kind::VIDEO,
                frame * 20,
                &[0x27; 80_000],
                &mut second,
            );
        }
    }
    second.to_vec()
}

fn put(encoder: &mut Encoder, kind: Kind, timestamp: u32, payload: &[u8], out: &mut BytesMut) {
    encoder
        .encode(6, kind, 1, Timestamp(timestamp), payload, out)
        .expect("a valid message");
}

/// Sequence header of AVC with 320x240 pixels, main profile, level 3.1.
#[rustfmt::skip]
const AVC_HEADER: [u8; 36] = [
    0x17, 0, 0, 0, 0,
    1, 0x4D, 0x40, 0x1F, 0xFF, 0xE1, 0, 14,
    // Sequence parameter set.
    0x67, 0x4D, 0x40, 0x1F, 0xEC, 0xA0, 0xA0, 0xFD, 0x80, 0x88, 0, 0, 0x1F, 0x40,
    1, 0, 4,
    // Picture parameter set.
    0x68, 0xEF, 0xBC, 0xB0, 0, 0,
];

fn metadata() -> Bytes {
    let mut members = Object::new();
    for number in 0..20 {
        members.push(format!("member {number}"), f64::from(number));
    }
    let mut body = Vec::new();
    amf0::encode(&Value::from("onMetaData"), &mut body);
    amf0::encode(&Value::EcmaArray(members), &mut body);
    body.into()
}

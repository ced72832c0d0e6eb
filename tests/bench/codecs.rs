//! Time and allocations of the codecs: `cargo bench --bench codecs`.

use bytes::{Bytes, BytesMut};
use divan::{AllocProfiler, Bencher, counter::BytesCount};
use rtmpull::core::{
    amf::{Object, Value, amf0},
    flv::{Tag, TagKind, codec::VideoTag},
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

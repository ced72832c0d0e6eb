use super::*;
use crate::core::{
    flv::FrameParser,
    payload::Payload,
    rtmp::{
        command::Start,
        message::{Kind, Timestamp},
    },
};

fn line(kind: Kind, body: &[u8]) -> String {
    let message = Message {
        chunk_stream: 6,
        kind,
        timestamp: Timestamp(80),
        message_stream: 1,
        payload: Payload::from(body),
    };
    let info = FrameParser::new().parse(TagKind(kind.0), body);
    let message = &message;
    Frame { message, info }.to_string()
}

#[test]
fn a_frame_has_codec_kind_size_and_times() {
    let mut key = vec![0x17, 1, 0, 0, 40];
    key.resize(12_345, 0);
    let cases = [
        (
            Kind::VIDEO,
            &key[..],
            "video h264 key 12,345 B dts 80 cts 40",
        ),
        (
            Kind::VIDEO,
            &[0x27, 1, 0, 0, 0, 9],
            "video h264 6 B dts 80 cts 0",
        ),
        (
            Kind::VIDEO,
            &[0x17, 0, 0, 0, 0, 1],
            "video h264 header 6 B dts 80",
        ),
        (Kind::AUDIO, &[0xAF, 1, 0x21], "audio aac 3 B dts 80"),
        (Kind::AUDIO, &[], "audio 0 B dts 80"),
    ];
    for (kind, body, expected) in cases {
        assert_eq!(line(kind, body), expected);
    }
}

#[test]
fn calls_have_names_and_values_without_secrets() {
    let cases = [
        (
            Command::play(3, "clip", Start::LiveElseRecorded, Some(5000)),
            "play, transaction 3, playpath clip, start -2000 ms, duration 5000 ms",
        ),
        (
            Command::play(4, "clip", Start::Live, None),
            "play, transaction 4, playpath clip, start -1000 ms",
        ),
        (
            Command::fc_subscribe(5, "clip"),
            "FCSubscribe, transaction 5, name clip",
        ),
        (
            Command::pause(6, true, 80),
            "pause, transaction 6, pause true, position 80 ms",
        ),
        (Command::create_stream(2), "createStream, transaction 2"),
        (Command::delete_stream(1), "deleteStream, stream 1"),
        (
            Command::usher_token(7, "s3cret"),
            "NetStream.Authenticate.UsherToken, transaction 7",
        ),
        (
            Command::secure_token_response(b"s3cret".to_vec()),
            "secureTokenResponse",
        ),
    ];
    for (command, expected) in cases {
        assert_eq!(Call(&command).to_string(), expected);
    }
}

#[test]
fn elapsed_time_has_tenths_of_a_millisecond() {
    let since = Instant::now();
    let now = since + Duration::from_micros(12_340);
    assert_eq!(Elapsed { since, now }.to_string(), "12.3 ms");
    let earlier = Elapsed {
        since: now,
        now: since,
    };
    assert_eq!(earlier.to_string(), "0.0 ms");
}

#[test]
fn numbers_are_grouped() {
    for (number, expected) in [
        (0, "0"),
        (999, "999"),
        (1_000, "1,000"),
        (1_234_567, "1,234,567"),
    ] {
        assert_eq!(grouped(number), expected);
    }
}

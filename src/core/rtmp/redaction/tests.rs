use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::core::{
    amf::{Object, Value, amf0},
    rtmp::{
        chunk::{Decoder, Encoder},
        message::{Message, Timestamp},
        secret::Secret,
    },
};

#[test]
fn version_of_an_encrypted_session_becomes_plain() {
    let mut session = vec![6];
    session.extend((1..HANDSHAKE_BYTES).map(|byte| byte as u8));
    let redacted = redact(rules(None, &[]), &session, 100);
    assert_eq!(redacted[0], 3);
    assert_eq!(redacted[1..], session[1..]);
}

#[test]
fn media_is_shortened_to_valid_messages() {
    let messages = [
        message(6, Kind::VIDEO, 0, &[1; 1000]),
        message(4, Kind::AUDIO, 10, &[2; 100]),
        message(6, Kind::VIDEO, 40, &[3; 1000]),
        message(6, Kind::VIDEO, 80, &[4; 200]),
        message(3, Kind::COMMAND, 0, &[5; 600]),
    ];
    for step in [1, 7, 5000] {
        let redacted = redact(rules(Some(256), &[]), &session(&messages), step);
        let decoded = decode(&redacted);
        let lengths: Vec<usize> = decoded
            .iter()
            .map(|message| message.payload.len())
            .collect();
        assert_eq!(lengths, [256, 100, 256, 200, 600]);
        for (decoded, message) in decoded.iter().zip(&messages) {
            assert_eq!(decoded.timestamp, message.timestamp);
            assert!(message.payload.starts_with(&decoded.payload));
        }
    }
}

#[test]
fn secrets_are_overwritten_across_chunks() {
    let mut object = Object::new();
    object.push("app", "live");
    object.push("tcUrl", "rtmp://host/live?token=abcdefgh");
    object.push("filler", "f".repeat(80));
    object.push("password", "p1");
    let connect = [
        Value::from("connect"),
        Value::from(1.0),
        Value::from(object),
        Value::from("known secret"),
    ];
    let answer = [
        Value::from("secureTokenResponse"),
        0.0.into(),
        Value::Null,
        "tt".into(),
    ];
    let session = session(&[command(&connect), command(&answer)]);
    for step in [1, 50, 5000] {
        let redacted = redact(rules(None, &["known secret"]), &session, step);
        assert_eq!(redacted.len(), session.len());
        let decoded = decode(&redacted);
        let (values, _) = amf0::decode_all(decoded[0].payload.to_vec().into());
        let text = |value: Option<&Value>| {
            value
                .unwrap()
                .as_text()
                .unwrap()
                .to_str_lossy()
                .into_owned()
        };
        assert_eq!(text(values[2].member("app")), "live");
        assert_eq!(
            text(values[2].member("tcUrl")),
            "rtmp://host/live?token=xxxxxxxx"
        );
        assert_eq!(text(values[2].member("password")), "xx");
        assert_eq!(text(values.get(3)), "xxxxxxxxxxxx");
        let (values, _) = amf0::decode_all(decoded[1].payload.to_vec().into());
        assert_eq!(text(values.get(3)), "xx");
    }
}

#[test]
fn members_of_metadata_are_kept() {
    let mut object = Object::new();
    object.push("author", "the author");
    let payload = encode(&[Value::from("onMetaData"), Value::from(object)]);
    let session = session(&[message(5, Kind::DATA, 0, &payload)]);
    assert_eq!(redact(rules(None, &[]), &session, 5000), session);
}

#[test]
fn values_of_parameters_are_overwritten_after_their_names() {
    let text = "1 client: bad key 1, key='1'";
    let bytes = session(&[command(&[Value::from("onStatus"), text.into()])]);
    let mut rules = rules(None, &[]);
    let secrets = Arc::get_mut(rules.secrets.as_mut().unwrap()).unwrap();
    secrets.values = vec![Secret::Parameter {
        name: "key".to_owned(),
        value: "1".to_owned(),
    }];
    let redacted = redact(rules, &bytes, 5000);
    assert!(redacted.ends_with(b"1 client: bad key x, key='x'"));
}

#[test]
fn unfinished_message_is_overwritten_at_the_end() {
    let complete = session(&[command(&[Value::from("play"), "known secret".into()])]);
    let cut = &complete[..complete.len() - 3];
    let mut redactor = Redactor::new(rules(None, &["known secret"]));
    let mut out = Vec::new();
    redactor.redact(cut, &mut out);
    assert!(out.len() < cut.len());
    redactor.finish(&mut out);
    assert_eq!(out.len(), cut.len());
    assert!(out.ends_with(b"xxxxxxxx"), "{:?}", &out[HANDSHAKE_BYTES..]);
}

#[test]
fn message_that_never_ends_does_not_delay_the_capture_without_limit() {
    let mut messages = vec![message(3, Kind::COMMAND, 0, &[1; 200])];
    messages.extend((0..40).map(|_| message(6, Kind::VIDEO, 0, &[0; 65_000])));
    let mut bytes = session(&messages);
    // The command loses its second chunk: 1 byte of header and 72 bytes of payload.
    let second = HANDSHAKE_BYTES + 12 + 128;
    bytes.drain(second..second + 73);
    let mut redactor = Redactor::new(rules(None, &[]));
    let mut out = Vec::new();
    for piece in bytes.chunks(10_000) {
        redactor.redact(piece, &mut out);
        assert!(redactor.held.len() <= MAX_HELD_BYTES + 20_000);
    }
    assert!(out.len() > bytes.len() / 2);
}

#[test]
fn bytes_after_a_violation_are_kept_without_known_secrets() {
    let mut bytes = session(&[]);
    // A type 3 chunk on a chunk stream without a header.
    bytes.extend(b"\xFFgarbage, known secret, garbage");
    let redacted = redact(rules(Some(256), &["known secret"]), &bytes, 5000);
    assert!(redacted.ends_with(b"\xFFgarbage, xxxxxxxxxxxx, garbage"));
}

proptest! {
    #[test]
    fn without_limits_and_secrets_all_bytes_are_kept(
        lengths in proptest::collection::vec((3_u32..9, 0_usize..700), 0..20),
        step in 1_usize..400,
    ) {
        let kinds = [Kind::AUDIO, Kind::VIDEO, Kind::COMMAND, Kind::DATA];
        let messages: Vec<Message> = lengths
            .iter()
            .map(|(stream, length)| message(*stream, kinds[*stream as usize % 4], 0, &vec![0; *length]))
            .collect();
        let bytes = session(&messages);
        prop_assert_eq!(redact(Rules { media_bytes: None, secrets: None }, &bytes, step), &bytes[..]);
        prop_assert_eq!(redact(rules(None, &[]), &bytes, step), bytes);
    }

    #[test]
    fn arbitrary_bytes_are_redacted(bytes in proptest::collection::vec(any::<u8>(), 0..600), step in 1_usize..50) {
        let mut session = session(&[]);
        session.extend(bytes);
        redact(rules(Some(10), &["secret"]), &session, step);
    }
}

fn rules(media_bytes: Option<u32>, values: &[&str]) -> Rules {
    let secrets = Secrets {
        values: values
            .iter()
            .map(|value| (*value).to_owned().into())
            .collect(),
        is_secret_name: |name| name.contains("Token") || name == "password" || name == "author",
        find: |text| {
            let token = text.find("token=").map(|at| at + 6..text.len());
            token.into_iter().collect()
        },
    };
    Rules {
        media_bytes,
        secrets: Some(Arc::new(secrets)),
    }
}

fn redact(rules: Rules, bytes: &[u8], step: usize) -> Vec<u8> {
    let mut redactor = Redactor::new(rules);
    let mut out = Vec::new();
    for piece in bytes.chunks(step) {
        redactor.redact(piece, &mut out);
    }
    redactor.finish(&mut out);
    out
}

fn message(chunk_stream: u32, kind: Kind, time_ms: u32, payload: &[u8]) -> Message {
    Message {
        chunk_stream,
        kind,
        message_stream: 1,
        timestamp: Timestamp(time_ms),
        payload: payload.into(),
    }
}

fn command(values: &[Value]) -> Message {
    message(3, Kind::COMMAND, 0, &encode(values))
}

fn encode(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    values
        .iter()
        .for_each(|value| amf0::encode(value, &mut out));
    out
}

/// Returns the bytes of a session with a handshake of zeros.
fn session(messages: &[Message]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let mut out = BytesMut::from(&[0; HANDSHAKE_BYTES][..]);
    out[0] = 3;
    for message in messages {
        let (kind, timestamp) = (message.kind, message.timestamp);
        encoder
            .encode(
                message.chunk_stream,
                kind,
                1,
                timestamp,
                &message.payload,
                &mut out,
            )
            .unwrap();
    }
    out.to_vec()
}

fn decode(session: &[u8]) -> Vec<Message> {
    let mut inbox = BytesMut::from(&session[HANDSHAKE_BYTES..]);
    let mut decoder = Decoder::new();
    let mut messages = Vec::new();
    while let Some(message) = decoder.decode(&mut inbox).unwrap() {
        messages.push(message);
    }
    assert!(inbox.is_empty() && decoder.is_between_messages());
    messages
}

use rtmpull::core::amf::Value;

use super::*;
use crate::server::{FaultAction, command_payload, status};

#[test]
fn deeply_nested_values_are_dropped() {
    for level in NESTING {
        for position in [
            Position::Connect,
            Position::CreateStream,
            Position::Status,
            Position::Metadata,
        ] {
            assert_complete_despite(position, level.repeat(200_000));
        }
    }
}

#[test]
fn false_counts_and_lengths_are_dropped() {
    for value in FALSE_LENGTHS {
        for position in [Position::Connect, Position::Status, Position::Metadata] {
            assert_complete_despite(position, value.to_vec());
        }
    }
}

#[test]
fn excessive_numbers_of_values_are_dropped() {
    // An array with 300,000 nulls and a correct count.
    let nulls = [&[0x0A, 0, 4, 0x93, 0xE0][..], &[5; 300_000]].concat();
    let members = [&[3][..], &b"\0\x01a\x05".repeat(300_000), &[0, 0, 9]].concat();
    for value in [nulls, members] {
        for position in [Position::Connect, Position::Status, Position::Metadata] {
            assert_complete_despite(position, value.clone());
        }
    }
}

#[test]
fn impossible_stream_id_is_refused() {
    for id in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
        let peer = ScriptedPeer::start(move |peer, _| {
            peer.accept_plain_handshake();
            let _ = answer_with(peer, "connect", &[])
                .and_then(|()| answer_with(peer, "createStream", &id.to_be_bytes()))
                .and_then(|()| peer.wait_for_close::<()>());
        });
        let ended = Invocation::new(&peer.url("clip")).run();
        ended
            .assert_ended(1, "refused", "createStream")
            .assert_unchanged();
    }
}

/// Position of the faulty value in the session.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Position {
    Connect,
    CreateStream,
    Status,
    Metadata,
}

/// Panics unless the stream is complete despite `value` at `position`.
#[track_caller]
fn assert_complete_despite(position: Position, value: Vec<u8>) {
    let start: [u8; 16] = value[..value.len().min(16)].try_into().unwrap_or_default();
    let peer = ScriptedPeer::start(move |peer, _| {
        let _ = serve_with(peer, position, &value);
    });
    let ended = Invocation::new(&peer.url("clip")).run();
    assert_eq!(
        ended.finished.code(),
        Some(0),
        "{start:x?}… in {position:?}: {}",
        ended.finished
    );
    let stderr = &ended.finished.stderr;
    let ending = ", ended (NetStream.Play.Stop: Thank you.)\n";
    assert!(stderr.ends_with(ending), "{stderr}");
    // Metadata that does not decode completely is reported once. Some faulty values still decode.
    let warnings = stderr.matches("WARNING: ").count();
    let incomplete = stderr
        .matches("WARNING: onMetaData is incomplete: ")
        .count();
    assert!(warnings == incomplete && warnings <= 1, "{stderr}");
    ended.assert_safe_output().assert_tags(&sample_media());
}

fn serve_with(peer: &mut Connection, position: Position, value: &[u8]) -> Result<(), Disconnected> {
    let extra = |this| if position == this { value } else { &[] };
    peer.accept_plain_handshake();
    answer_with(peer, "connect", extra(Position::Connect))?;
    let id = [&[0][..], &1_f64.to_be_bytes()].concat();
    answer_with(
        peer,
        "createStream",
        &[&id, extra(Position::CreateStream)].concat(),
    )?;
    peer.expect_command("play");
    let payload = command_payload("onStatus", 0.0, &[Value::Null]);
    let payload = [&payload, extra(Position::Status)].concat();
    peer.queue(5, Kind::COMMAND, 1, 0, &payload)?;
    let payload = [&b"\x02\0\x0aonMetaData"[..], extra(Position::Metadata)].concat();
    peer.queue(4, Kind::DATA, 1, 0, &payload)?;
    send_tags(peer, &sample_media())?;
    let stop = status("status", "NetStream.Play.Stop", "Thank you.");
    peer.queue_command(1, "onStatus", 0.0, &[Value::Null, stop.into()])?;
    peer.flush()?;
    peer.fail(FaultAction::Silence)
}

/// Answers `call` with null followed by the encoded `values`.
fn answer_with(peer: &mut Connection, call: &str, values: &[u8]) -> Result<(), Disconnected> {
    let call = peer.expect_command(call);
    let payload = command_payload("_result", call.transaction, &[Value::Null]);
    peer.queue(3, Kind::COMMAND, 0, 0, &[&payload, values].concat())?;
    peer.flush()
}

/// One level of nesting: AMF0 object, ECMA array, strict array and typed object; AMF3 object and
/// array after their AMF0 marker.
const NESTING: [&[u8]; 6] = [
    b"\x03\0\x01a",
    b"\x08\0\0\0\x01\0\x01a",
    b"\x0a\0\0\0\x01",
    b"\x10\0\x01c\0\x01a",
    b"\x11\x0a\x0b\x01\x03a",
    b"\x11\x09\x03\x01",
];

/// Strict array and ECMA array with 0xFFFFFFFF values, truncated long string, XML document and
/// string, references to nothing, unknown markers, object without an end; truncated AMF3 array,
/// byte array, vector, dictionary, string and class.
const FALSE_LENGTHS: [&[u8]; 16] = [
    b"\x0a\xff\xff\xff\xff",
    b"\x08\xff\xff\xff\xff",
    b"\x0c\xff\xff\xff\xffx",
    b"\x0f\xff\xff\xff\xffx",
    b"\x02\xff\xffx",
    b"\x07\0\0",
    b"\x07\xff\xff",
    b"\x04",
    b"\xff",
    b"\x03\0\x01a",
    b"\x11\x09\xff\xff\xff\xff\x01",
    b"\x11\x0c\xff\xff\xff\xff",
    b"\x11\x0d\xff\xff\xff\xff\0",
    b"\x11\x11\xff\xff\xff\xff\0",
    b"\x11\x06\xff\xff\xff\xff",
    b"\x11\x0a\xff\xff\xff\xff\x01",
];

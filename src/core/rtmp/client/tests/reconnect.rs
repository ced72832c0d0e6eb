//! Requests of servers to continue on a new connection (E-RTMP "Reconnect Request").

use super::*;

/// An `onStatus` with the members of the specification's example.
fn request(members: &[&[u8]]) -> Vec<u8> {
    let start: &[&[u8]] = &[
        b"\x02\x00\x08onStatus",                 // string: the name of the command
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00", // number 0: no answer is expected
        b"\x05",                                 // null: no command object
        b"\x03",                                 // object: the status
        b"\x00\x04code\x02\x00\x26NetConnection.Connect.ReconnectRequest",
        b"\x00\x05level\x02\x00\x06status",
    ];
    let end: &[&[u8]] = &[b"\x00\x00\x09"]; // end of the object
    [start, members, end].concat().concat()
}

const DESCRIPTION: &[u8] =
    b"\x00\x0Bdescription\x02\x00\x2BThe streaming server is undergoing updates.";
const TC_URL: &[u8] = b"\x00\x05tcUrl\x02\x00\x18//192.0.2.10/realtimeapp";

fn requested(conversation: &mut Conversation) -> ReconnectRequest {
    match conversation.only_event() {
        Event::ReconnectRequested(request) => request,
        event => panic!("not a request: {event:?}"),
    }
}

#[test]
fn connect_announces_reconnect() {
    let mut conversation = Conversation::connecting(config());
    let sent = conversation.sent();
    let [Sent::Command(0, connect), ..] = &sent[..] else {
        panic!("{sent:?}");
    };
    let caps_ex = connect.arguments[0].member("capsEx");
    let caps_ex = caps_ex.and_then(Value::as_number).expect("capsEx");
    assert_eq!(caps_ex as u32 & 1, 1);
}

#[test]
fn reconnect_request_is_reported_and_the_session_continues() {
    let mut conversation = Conversation::playing(live());
    conversation.send(Kind::COMMAND, 0, 0, &request(&[DESCRIPTION, TC_URL]));
    let expected = ReconnectRequest {
        tc_url: Some("//192.0.2.10/realtimeapp".into()),
        description: "The streaming server is undergoing updates.".into(),
    };
    assert_eq!(requested(&mut conversation), expected);
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1, 0, 0, 0]);
    assert!(matches!(conversation.only_event(), Event::Media { .. }));
}

#[test]
fn tc_url_and_description_are_optional() {
    let empty: &[u8] = b"\x00\x05tcUrl\x02\x00\x00";
    let null: &[u8] = b"\x00\x05tcUrl\x05";
    for members in [&[][..], &[empty], &[null]] {
        let mut conversation = Conversation::playing(live());
        conversation.send(Kind::COMMAND, 0, 0, &request(members));
        assert_eq!(requested(&mut conversation), ReconnectRequest::default());
    }
}

/// Red5 sends the request on another chunk stream, and other servers on the message stream.
#[test]
fn message_stream_and_type_of_the_request_do_not_matter() {
    for (kind, stream, start) in [
        (Kind::COMMAND, 1, &[][..]),
        (Kind::COMMAND_AMF3, 0, &[0]),
        (Kind::DATA, 1, &[]),
    ] {
        let mut conversation = Conversation::playing(live());
        let body = request(&[DESCRIPTION, TC_URL]);
        conversation.send(kind, stream, 0, &[start, &body].concat());
        let request = requested(&mut conversation);
        assert_eq!(request.tc_url.as_deref(), Some("//192.0.2.10/realtimeapp"));
    }
}

#[test]
fn reconnect_request_that_was_not_announced_is_ignored() {
    let mut conversation = Conversation::playing(Config {
        enhanced: false,
        ..live()
    });
    conversation.send(Kind::COMMAND, 0, 0, &request(&[TC_URL]));
    assert!(conversation.events().is_empty());
}

#[test]
fn reconnect_request_with_an_overlong_tc_url_is_ignored() {
    let mut conversation = Conversation::playing(live());
    let mut info = Object::new();
    info.push(
        "code",
        Value::from("NetConnection.Connect.ReconnectRequest"),
    );
    info.push("tcUrl", "rtmp://server.example/".repeat(1_000));
    let arguments = vec![Value::Null, Value::Object(info)];
    conversation.command(answer("onStatus", 0.0, arguments));
    assert!(conversation.events().is_empty());
}

/// A request that is cut short is read as far as it decodes.
#[test]
fn damaged_reconnect_request_is_harmless() {
    let body = request(&[DESCRIPTION, TC_URL]);
    for length in 0..body.len() {
        let mut conversation = Conversation::playing(live());
        conversation.send(Kind::COMMAND, 0, 0, &body[..length]);
        for event in conversation.events() {
            assert!(matches!(event, Event::ReconnectRequested(_)), "{length}");
        }
    }
}

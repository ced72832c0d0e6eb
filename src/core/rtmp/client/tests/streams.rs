//! Media, metadata and other data messages.

use super::*;

#[test]
fn media_before_play_start_is_kept() {
    let mut conversation = Conversation::connecting(config());
    conversation.accept();
    conversation.stream_created(2, 1.0);
    conversation.send(Kind::AUDIO, 1, 7, &[0xAF, 0, 0x11, 0x90]);
    conversation.status("NetStream.Play.Start");
    let mut events = conversation.events();
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(
        media(events.remove(1)),
        (Kind::AUDIO, 7, vec![0xAF, 0, 0x11, 0x90])
    );
}

#[test]
fn media_is_accepted_on_any_message_stream() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::VIDEO, 0, 40, &[0x17, 1]);
    assert_eq!(
        media(conversation.only_event()),
        (Kind::VIDEO, 40, vec![0x17, 1])
    );
}

#[test]
fn metadata_is_recognized_with_and_without_set_data_frame() {
    let mut members = Object::new();
    members.push("width", Value::Number(16.0));
    let metadata = Value::EcmaArray(members);
    for values in [
        vec!["onMetaData".into(), metadata.clone()],
        vec![
            "@setDataFrame".into(),
            "onMetaData".into(),
            metadata.clone(),
        ],
    ] {
        let mut conversation = Conversation::playing(config());
        conversation.data(&values);
        let Event::Metadata {
            members, payload, ..
        } = conversation.only_event()
        else {
            panic!("no metadata");
        };
        assert_eq!(members.get("width"), Some(&Value::Number(16.0)));
        assert_eq!(*payload, encoded(&["onMetaData".into(), metadata.clone()]));
    }
}

#[test]
fn metadata_that_does_not_decode_completely_keeps_the_values_before_the_error() {
    let array = |members: &[u8]| [b"\x02\0\x0aonMetaData\x08\0\0\0\0\0\x01w", members].concat();
    let width = b"\0\x40\x30\0\0\0\0\0\0"; // 16
    #[rustfmt::skip]
    let bodies: [(&str, Vec<u8>); 7] = [
        ("reference to the enclosing array", array(&[&width[..], b"\0\x01r\x07\0\0\0\0\x09"].concat())),
        ("reference that does not exist", array(&[&width[..], b"\0\x01r\x07\0\x09\0\0\x09"].concat())),
        ("movie clip marker", array(&[&width[..], b"\0\x01m\x04\0\x01x\x05\0\0\x09"].concat())),
        ("array shorter than announced", array(&[&width[..], b"\0\x01a\x0a\0\0\0\x63\x05\x05\0\0\x09"].concat())),
        ("truncated text", array(&[&width[..], b"\0\x01t\x02\0\x20text"].concat())),
        ("truncated name", array(&[&width[..], b"\0\x20na"].concat())),
        ("externalizable AMF3 object", array(&[&width[..], b"\0\x01e\x11\x0a\x07\x03X\x05\0\0\x09"].concat())),
    ];
    for (name, body) in bodies {
        let mut conversation = Conversation::playing(config());
        conversation.send(Kind::DATA, 1, 0, &body);
        let events = conversation.events();
        let [
            Event::Metadata {
                members, payload, ..
            },
        ] = &events[..]
        else {
            panic!("{name}: {events:?}");
        };
        assert_eq!(members.get("w"), Some(&Value::Number(16.0)), "{name}");
        assert_eq!(**payload, body, "{name}");
    }
}

#[test]
fn members_after_an_unresolvable_reference_are_kept() {
    let body =
        b"\x02\0\x0aonMetaData\x08\0\0\0\0\0\x01r\x07\0\0\0\x01h\0\x40\x30\0\0\0\0\0\0\0\0\x09";
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::DATA, 1, 0, body);
    let Event::Metadata { members, .. } = conversation.only_event() else {
        panic!("no metadata");
    };
    assert_eq!(members.get("r"), Some(&Value::Undefined));
    assert_eq!(members.get("h"), Some(&Value::Number(16.0)));
}

#[test]
fn metadata_without_a_decodable_value_is_passed_on_without_members() {
    let body = b"\x02\0\x0aonMetaData\x04";
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::DATA, 1, 0, body);
    let Event::Metadata {
        members, payload, ..
    } = conversation.only_event()
    else {
        panic!("no metadata");
    };
    assert!(members.is_empty());
    assert_eq!(*payload, body[..]);
}

#[test]
fn other_script_data_is_passed_on_unchanged() {
    let cue: [Value; 2] = ["onCuePoint".into(), info("x", "y")];
    let body = encoded(&cue);
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::DATA, 1, 90, &body);
    assert_eq!(
        media(conversation.only_event()),
        (Kind::DATA, 90, body.clone())
    );
    let amf3 = [&[0][..], &body].concat();
    conversation.send(Kind::DATA_AMF3, 1, 91, &amf3);
    assert_eq!(
        media(conversation.only_event()),
        (Kind::DATA, 91, body.clone())
    );
    let wrapped = [encoded(&["@setDataFrame".into()]), body.clone()].concat();
    conversation.send(Kind::DATA, 1, 92, &wrapped);
    assert_eq!(media(conversation.only_event()), (Kind::DATA, 92, body));
}

#[test]
fn notifications_and_undecodable_data_are_not_media() {
    let mut conversation = Conversation::playing(config());
    conversation.data(&["|RtmpSampleAccess".into(), true.into(), true.into()]);
    conversation.data(&["@clearDataFrame".into(), "onMetaData".into()]);
    conversation.data(&["onStatus".into(), info("status", "NetStream.Data.Start")]);
    conversation.send(Kind::DATA, 1, 0, &[0x2A, 1, 2]);
    conversation.send(Kind::DATA, 1, 0, &[]);
    conversation.data(&["@setDataFrame".into()]);
    conversation.send(Kind::DATA_AMF3, 1, 0, &[9, 9]);
    conversation.send(Kind(99), 1, 0, &[1, 2, 3]);
    conversation.send(Kind::SHARED_OBJECT, 1, 0, &[1, 2, 3]);
    assert!(conversation.events().is_empty());
}

#[test]
fn aggregate_is_split_into_its_messages() {
    #[rustfmt::skip]
    let body = [
        8, 0, 0, 2, 0, 0, 100, 0, 0, 0, 0, 0x72, 1, 0, 0, 0, 13,
        9, 0, 0, 2, 0, 0, 140, 0, 0, 0, 0, 0x27, 2, 0, 0, 0, 13,
    ];
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::AGGREGATE, 1, 5_000, &body);
    let got: Vec<_> = conversation.events().into_iter().map(media).collect();
    let expected = [
        (Kind::AUDIO, 5_000, vec![0x72, 1]),
        (Kind::VIDEO, 5_040, vec![0x27, 2]),
    ];
    assert_eq!(got, expected);
}

#[test]
fn large_aggregate_is_split_one_message_per_event() {
    let part = [8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 11];
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::AGGREGATE, 1, 0, &part.repeat(10_000));
    conversation.send(Kind::AUDIO, 1, 9, &[0xAF, 1]);
    let now = conversation.now;
    let client = &mut conversation.client;
    client.receive(now, &mut conversation.to_client).unwrap();
    assert!(client.poll_event().is_some());
    assert!(client.poll_event().is_none());
    assert_eq!(conversation.events().len(), 10_000);
}

#[test]
fn amf3_data_without_selector_is_decoded() {
    let metadata = encoded(&["onMetaData".into(), info("a", "b")]);
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::DATA_AMF3, 1, 0, &metadata);
    assert!(matches!(conversation.only_event(), Event::Metadata { .. }));
}

#[test]
fn stream_begin_after_eof_is_a_restart() {
    let mut conversation = Conversation::playing(live());
    conversation.send(Kind::VIDEO, 1, 500_000, &[0x17, 1]);
    conversation.user_control(1, 1);
    conversation.user_control(0, 1);
    conversation.status("NetStream.Play.Start");
    let events = conversation.events();
    let [Event::Media { .. }, Event::Restarted, Event::Started] = &events[..] else {
        panic!("{events:?}");
    };
}

#[test]
fn announced_buffer_length_grows_with_received_media() {
    let mut conversation = Conversation::playing(config());
    for timestamp in [0, 500, 1_000, 1_500, 2_000, 2_500, 3_000] {
        conversation.send(Kind::VIDEO, 1, timestamp, &[0x27, 1]);
    }
    let announced = [Sent::buffer_length(1, 4_500), Sent::buffer_length(1, 6_000)];
    assert_eq!(conversation.sent(), announced);
}

#[test]
fn server_bytes_may_be_split_anywhere() {
    let script = || {
        let mut conversation = Conversation::connecting(config());
        conversation.accept();
        conversation.stream_created(2, 1.0);
        conversation.status("NetStream.Play.Start");
        conversation.data(&["onMetaData".into(), info("a", "b")]);
        conversation.send(Kind::VIDEO, 1, 0, &[0x17; 300]);
        conversation.send(Kind::AUDIO, 1, 20, &[0xAF; 9]);
        conversation.status("NetStream.Play.Stop");
        conversation
    };
    let whole = format!("{:?}", script().events());
    for cut in 0..script().to_client.len() {
        let mut conversation = script();
        let second = conversation.to_client.split_off(cut);
        let mut events = conversation.events();
        assert!(!events.iter().any(|event| matches!(event, Event::Ended(_))));
        conversation.to_client.unsplit(second);
        events.extend(conversation.events());
        assert_eq!(format!("{events:?}"), whole, "cut at {cut}");
    }
}

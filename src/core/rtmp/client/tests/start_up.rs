//! From the handshake to Play.Start.

use super::*;

#[test]
fn everything_follows_the_handshake_without_waiting() {
    let mut conversation = Conversation::with(config());
    let said = conversation.said();
    let calls: Vec<_> = said.iter().filter_map(Said::call).collect();
    let expected: [(&[u8], f64, u32); 3] = [
        (b"connect", 1.0, 0),
        (b"createStream", 2.0, 0),
        (b"play", 3.0, 1),
    ];
    assert_eq!(calls, expected);
    assert_eq!(said[3..], [Said::buffer_length(1, 3_000)]);
    let Said::Command(_, play) = &said[2] else {
        unreachable!()
    };
    assert_eq!(
        play.arguments,
        [Value::Null, "clip".into(), Value::Number(-2000.0)]
    );
}

#[test]
fn connect_says_what_we_are_and_can_do() {
    let mut conversation = Conversation::with(Config {
        connect: Connect {
            swf_url: Some("http://page.example/player.swf".into()),
            page_url: Some("http://page.example/".into()),
            arguments: vec!["token".into()],
            ..config().connect
        },
        ..config()
    });
    let said = conversation.said();
    let Said::Command(0, connect) = &said[0] else {
        unreachable!()
    };
    let object = connect.arguments[0].as_object().unwrap();
    let names: Vec<String> = object.iter().map(|(name, _)| name.to_string()).collect();
    let expected = [
        "app",
        "flashVer",
        "swfUrl",
        "tcUrl",
        "fpad",
        "capabilities",
        "audioCodecs",
        "videoCodecs",
        "videoFunction",
        "pageUrl",
        "objectEncoding",
        "fourCcList",
        "videoFourCcInfoMap",
        "audioFourCcInfoMap",
        "capsEx",
    ];
    assert_eq!(names, expected);
    assert_eq!(connect.arguments[1..], [Value::from("token")]);
}

#[test]
fn without_pipelining_each_call_waits_for_the_answer_before() {
    let mut conversation = Conversation::with(Config {
        pipelining: false,
        ..config()
    });
    assert_eq!(conversation.said().len(), 1);
    conversation.accept();
    let said = conversation.said();
    assert_eq!(said[0].call(), Some((&b"createStream"[..], 2.0, 0)));
    assert_eq!(said.len(), 1);
    conversation.created(2, 7.0);
    let said = conversation.said();
    assert_eq!(said[0].call(), Some((&b"play"[..], 3.0, 7)));
    assert_eq!(said[1..], [Said::buffer_length(7, 3_000)]);
}

#[test]
fn a_live_stream_is_subscribed_to_and_nothing_else_is_taken_for_it() {
    let mut conversation = Conversation::with(live());
    let said = conversation.said();
    let names: Vec<_> = said
        .iter()
        .filter_map(Said::call)
        .map(|call| call.0)
        .collect();
    let expected: [&[u8]; 4] = [b"connect", b"createStream", b"FCSubscribe", b"play"];
    assert_eq!(names, expected);
    let Said::Command(_, play) = &said[3] else {
        unreachable!()
    };
    assert_eq!(play.arguments[2], Value::Number(-1000.0));
}

#[test]
fn another_stream_id_than_1_is_played_on_after_the_guess_is_deleted() {
    let mut conversation = Conversation::with(config());
    conversation.said();
    conversation.accept();
    conversation.created(2, 4.0);
    let said = conversation.said();
    assert_eq!(said[0], Said::Command(0, Command::delete_stream(1)));
    assert_eq!(said[1].call(), Some((&b"play"[..], 4.0, 4)));
    assert_eq!(said[2], Said::buffer_length(4, 3_000));
}

#[test]
fn another_stream_id_does_not_matter_once_media_has_come() {
    let mut conversation = Conversation::with(config());
    conversation.said();
    conversation.accept();
    conversation.send(Kind::AUDIO, 1, 0, &[0x2F, 1]);
    conversation.created(2, 4.0);
    assert_eq!(conversation.said(), []);
}

#[test]
fn an_early_create_stream_that_is_dropped_is_sent_again_after_2_seconds() {
    let mut conversation = Conversation::with(config());
    conversation.said();
    conversation.accept();
    conversation.wait(SECOND * 19 / 10);
    assert_eq!(conversation.said(), []);
    conversation.wait(SECOND / 5);
    let said = conversation.said();
    assert_eq!(said[0].call(), Some((&b"createStream"[..], 4.0, 0)));
    conversation.created(4, 1.0);
    assert_eq!(conversation.said()[0].call(), Some((&b"play"[..], 5.0, 1)));
}

#[test]
fn an_early_create_stream_that_is_refused_is_sent_again_once_connected() {
    let mut conversation = Conversation::with(config());
    conversation.said();
    conversation.call(answer("_error", 2.0, vec![Value::Null]));
    assert_eq!(conversation.said(), []);
    conversation.accept();
    let said = conversation.said();
    assert_eq!(said[0].call(), Some((&b"createStream"[..], 4.0, 0)));
}

#[test]
fn a_result_with_a_strange_transaction_id_still_connects() {
    let mut conversation = Conversation::with(config());
    let info = info("status", "NetConnection.Connect.Success");
    conversation.call(answer("_result", 0.0, vec![Value::Null, info]));
    assert!(matches!(conversation.only_event(), Event::Connected));
}

#[test]
fn commands_of_the_amf3_type_are_understood() {
    let mut conversation = Conversation::with(config());
    let info = info("status", "NetConnection.Connect.Success");
    let mut body = vec![0];
    answer("_result", 1.0, vec![Value::Null, info]).write(&mut body);
    conversation.send(Kind::COMMAND_AMF3, 0, 0, &body);
    assert!(matches!(conversation.only_event(), Event::Connected));
}

#[test]
fn once_media_comes_no_answer_to_create_stream_is_needed() {
    let mut conversation = Conversation::with(config());
    conversation.accept();
    for second in 0..20 {
        conversation.send(Kind::VIDEO, 1, second * 1_000, &[0x27, 1]);
        for event in conversation.wait(SECOND) {
            assert!(!matches!(event, Event::Ended(_)), "{event:?}");
        }
    }
    let calls = conversation.said();
    let calls = calls.iter().filter_map(Said::call);
    assert_eq!(calls.filter(|call| call.0 == b"createStream").count(), 1);
    conversation.call(answer("_error", 2.0, vec![Value::Null]));
    assert_eq!(conversation.said(), []);
}

#[test]
fn a_stream_that_is_created_before_the_connection_is_accepted_is_played_once() {
    let mut conversation = Conversation::with(config());
    conversation.said();
    conversation.created(2, 1.0);
    conversation.accept();
    assert_eq!(conversation.said(), []);
    conversation.wait(3 * SECOND);
    assert_eq!(conversation.said(), []);
}

#[test]
fn media_is_not_waited_for_without_end_where_the_stream_was_created_first() {
    let mut conversation = Conversation::with(config());
    conversation.created(2, 1.0);
    conversation.accept();
    assert!(matches!(conversation.only_event(), Event::Connected));
    let first_media = conversation.now + 30 * SECOND;
    assert_eq!(conversation.client.poll_timeout(), Some(first_media));
}

#[test]
fn leaving_deletes_the_stream_on_message_stream_0() {
    let mut conversation = Conversation::playing(config());
    conversation.client.close();
    let said = conversation.said();
    assert_eq!(said, [Said::Command(0, Command::delete_stream(1))]);
    assert_eq!(conversation.client.poll_timeout(), None);
}

//! From the handshake to Play.Start.

use super::*;

#[test]
fn all_commands_follow_the_handshake_immediately() {
    let mut conversation = Conversation::connecting(config());
    let sent = conversation.sent();
    let calls: Vec<_> = sent.iter().filter_map(Sent::summary).collect();
    let expected: [(&[u8], f64, u32); 3] = [
        (b"connect", 1.0, 0),
        (b"createStream", 2.0, 0),
        (b"play", 3.0, 1),
    ];
    assert_eq!(calls, expected);
    assert_eq!(sent[3..], [Sent::buffer_length(1, 3_000)]);
    let Sent::Command(_, play) = &sent[2] else {
        unreachable!()
    };
    assert_eq!(
        play.arguments,
        [Value::Null, "clip".into(), Value::Number(-2000.0)]
    );
}

#[test]
fn c2_follows_s1_and_connect_follows_s2() {
    let mut conversation = Conversation::start(config());
    let mut c0_c1 = BytesMut::new();
    conversation.client.poll_transmit(&mut c0_c1).unwrap();
    conversation.to_client.extend_from_slice(&[3]);
    conversation.to_client.extend_from_slice(&[7; 1536]);
    assert!(conversation.events().is_empty());
    assert_eq!(conversation.to_server[..], [7; 1536]);
    conversation.to_server.clear();
    conversation.to_client.extend_from_slice(&c0_c1[1..]);
    let sent = conversation.sent();
    assert_eq!(sent[0].summary(), Some((&b"connect"[..], 1.0, 0)));
}

#[test]
fn connect_announces_identity_and_capabilities() {
    let mut conversation = Conversation::connecting(Config {
        connect: Connect {
            swf_url: Some("http://page.example/player.swf".into()),
            page_url: Some("http://page.example/".into()),
            arguments: vec!["token".into()],
            ..config().connect
        },
        ..config()
    });
    let sent = conversation.sent();
    let Sent::Command(0, connect) = &sent[0] else {
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
fn without_pipelining_each_command_waits_for_the_previous_answer() {
    let mut conversation = Conversation::connecting(Config {
        pipelining: false,
        ..config()
    });
    assert_eq!(conversation.sent().len(), 1);
    conversation.accept();
    let sent = conversation.sent();
    assert_eq!(sent[0].summary(), Some((&b"createStream"[..], 2.0, 0)));
    assert_eq!(sent.len(), 1);
    conversation.stream_created(2, 7.0);
    let sent = conversation.sent();
    assert_eq!(sent[0].summary(), Some((&b"play"[..], 3.0, 7)));
    assert_eq!(sent[1..], [Sent::buffer_length(7, 3_000)]);
}

#[test]
fn live_stream_sends_fc_subscribe_and_live_only_start() {
    let mut conversation = Conversation::connecting(live());
    let sent = conversation.sent();
    let names: Vec<_> = sent
        .iter()
        .filter_map(Sent::summary)
        .map(|call| call.0)
        .collect();
    let expected: [&[u8]; 4] = [b"connect", b"createStream", b"FCSubscribe", b"play"];
    assert_eq!(names, expected);
    let Sent::Command(_, play) = &sent[3] else {
        unreachable!()
    };
    assert_eq!(play.arguments[2], Value::Number(-1000.0));
}

#[test]
fn unexpected_stream_id_deletes_the_guess_and_plays_again() {
    let mut conversation = Conversation::connecting(config());
    conversation.sent();
    conversation.accept();
    conversation.stream_created(2, 4.0);
    let sent = conversation.sent();
    assert_eq!(sent[0], Sent::Command(0, Command::delete_stream(1)));
    assert_eq!(sent[1].summary(), Some((&b"play"[..], 4.0, 4)));
    assert_eq!(sent[2], Sent::buffer_length(4, 3_000));
}

#[test]
fn unexpected_stream_id_is_ignored_once_media_arrived() {
    let mut conversation = Conversation::connecting(config());
    conversation.sent();
    conversation.accept();
    conversation.send(Kind::AUDIO, 1, 0, &[0x2F, 1]);
    conversation.stream_created(2, 4.0);
    assert_eq!(conversation.sent(), []);
}

#[test]
fn unanswered_early_create_stream_is_sent_again_after_2_seconds() {
    let mut conversation = Conversation::connecting(config());
    conversation.sent();
    conversation.accept();
    conversation.advance(SECOND * 19 / 10);
    assert_eq!(conversation.sent(), []);
    conversation.advance(SECOND / 5);
    let sent = conversation.sent();
    assert_eq!(sent[0].summary(), Some((&b"createStream"[..], 4.0, 0)));
    conversation.stream_created(4, 1.0);
    assert_eq!(
        conversation.sent()[0].summary(),
        Some((&b"play"[..], 5.0, 1))
    );
}

#[test]
fn refused_early_create_stream_is_sent_again_after_connect() {
    let mut conversation = Conversation::connecting(config());
    conversation.sent();
    conversation.command(answer("_error", 2.0, vec![Value::Null]));
    assert_eq!(conversation.sent(), []);
    conversation.accept();
    let sent = conversation.sent();
    assert_eq!(sent[0].summary(), Some((&b"createStream"[..], 4.0, 0)));
}

#[test]
fn connect_result_with_a_wrong_transaction_id_is_accepted() {
    let mut conversation = Conversation::connecting(config());
    let info = info("status", "NetConnection.Connect.Success");
    conversation.command(answer("_result", 0.0, vec![Value::Null, info]));
    assert!(matches!(conversation.only_event(), Event::Connected));
}

#[test]
fn amf3_commands_are_decoded() {
    let mut conversation = Conversation::connecting(config());
    let info = info("status", "NetConnection.Connect.Success");
    let mut body = vec![0];
    answer("_result", 1.0, vec![Value::Null, info]).write(&mut body);
    conversation.send(Kind::COMMAND_AMF3, 0, 0, &body);
    assert!(matches!(conversation.only_event(), Event::Connected));
}

#[test]
fn media_makes_the_create_stream_answer_optional() {
    let mut conversation = Conversation::connecting(config());
    conversation.accept();
    for second in 0..20 {
        conversation.send(Kind::VIDEO, 1, second * 1_000, &[0x27, 1]);
        for event in conversation.advance(SECOND) {
            assert!(!matches!(event, Event::Ended(_)), "{event:?}");
        }
    }
    let calls = conversation.sent();
    let calls = calls.iter().filter_map(Sent::summary);
    assert_eq!(calls.filter(|call| call.0 == b"createStream").count(), 1);
    conversation.command(answer("_error", 2.0, vec![Value::Null]));
    assert_eq!(conversation.sent(), []);
}

#[test]
fn media_before_the_connect_result_counts_as_accepted() {
    let mut conversation = Conversation::connecting(config());
    conversation.send(Kind::VIDEO, 1, 0, &[0x27, 1]);
    conversation.accept();
    let events = conversation.advance(15 * SECOND);
    assert!(
        matches!(events[..], [Event::Connected, Event::Media { .. }]),
        "{events:?}"
    );
}

#[test]
fn create_stream_answer_before_connect_result_plays_once() {
    let mut conversation = Conversation::connecting(config());
    conversation.sent();
    conversation.stream_created(2, 1.0);
    conversation.accept();
    assert_eq!(conversation.sent(), []);
    conversation.advance(3 * SECOND);
    assert_eq!(conversation.sent(), []);
}

#[test]
fn create_stream_answer_before_connect_result_starts_the_first_media_timeout() {
    let mut conversation = Conversation::connecting(config());
    conversation.stream_created(2, 1.0);
    conversation.accept();
    assert!(matches!(conversation.only_event(), Event::Connected));
    let first_media = conversation.now + 30 * SECOND;
    assert_eq!(conversation.client.poll_timeout(), Some(first_media));
}

#[test]
fn close_sends_delete_stream_on_message_stream_0() {
    let mut conversation = Conversation::playing(config());
    conversation.client.close();
    let sent = conversation.sent();
    assert_eq!(sent, [Sent::Command(0, Command::delete_stream(1))]);
    assert_eq!(conversation.client.poll_timeout(), None);
}

/// An `_error` that names the reason in the words of Node-Media-Server.
fn too_early(transaction: f64) -> Command {
    let Value::Object(mut info) = info("error", "NetStream.Play.Failed") else {
        unreachable!()
    };
    info.push("description", "Can't play before connecting");
    answer(
        "_error",
        transaction,
        vec![Value::Null, Value::Object(info)],
    )
}

#[test]
fn early_play_refused_before_the_connect_result_is_sent_again() {
    let mut conversation = Conversation::connecting(config());
    conversation.sent();
    conversation.stream_created(2, 1.0);
    conversation.command(too_early(3.0));
    assert_eq!(conversation.sent(), []);
    conversation.accept();
    let sent = conversation.sent();
    assert_eq!(sent[0].summary(), Some((&b"play"[..], 4.0, 1)));
    assert_eq!(sent[1..], [Sent::buffer_length(1, 3_000)]);
    conversation.status("NetStream.Play.Start");
    conversation.send(Kind::VIDEO, 1, 0, &[0x27, 1]);
    assert!(matches!(
        conversation.events()[..],
        [Event::Started, Event::Media { .. }]
    ));
}

#[test]
fn early_play_refused_before_create_stream_is_answered_waits_for_the_answer() {
    let mut conversation = Conversation::connecting(config());
    conversation.sent();
    conversation.command(too_early(3.0));
    conversation.accept();
    assert_eq!(conversation.sent(), []);
    conversation.stream_created(2, 1.0);
    assert_eq!(
        conversation.sent()[0].summary(),
        Some((&b"play"[..], 4.0, 1))
    );
}

#[test]
fn all_early_calls_refused_are_sent_again_in_turn() {
    let mut conversation = Conversation::connecting(config());
    conversation.sent();
    conversation.command(too_early(2.0));
    conversation.command(too_early(3.0));
    conversation.accept();
    let sent = conversation.sent();
    assert_eq!(sent[0].summary(), Some((&b"createStream"[..], 4.0, 0)));
    assert_eq!(sent.len(), 1);
    conversation.stream_created(4, 1.0);
    assert_eq!(
        conversation.sent()[0].summary(),
        Some((&b"play"[..], 5.0, 1))
    );
}

#[test]
fn early_play_refused_by_status_before_the_connect_result_is_sent_again() {
    let mut conversation = Conversation::connecting(config());
    conversation.sent();
    conversation.stream_created(2, 1.0);
    conversation.status("NetStream.Play.StreamNotFound");
    conversation.accept();
    assert!(matches!(conversation.only_event(), Event::Connected));
    assert_eq!(
        conversation.sent()[0].summary(),
        Some((&b"play"[..], 4.0, 1))
    );
    conversation.status("NetStream.Play.StreamNotFound");
    assert!(matches!(end(conversation.only_event()), End::NotFound(_)));
}

#[test]
fn early_play_is_sent_again_only_once() {
    for is_stream_created in [true, false] {
        let mut conversation = Conversation::connecting(config());
        conversation.accept();
        if is_stream_created {
            conversation.stream_created(2, 1.0);
        }
        conversation.command(too_early(3.0));
        if !is_stream_created {
            conversation.stream_created(2, 1.0);
        }
        let sent = conversation.sent();
        let last_call = sent.iter().rev().find_map(Sent::summary);
        assert_eq!(last_call, Some((&b"play"[..], 4.0, 1)));
        conversation.command(too_early(4.0));
        let reason = "NetStream.Play.Failed: Can't play before connecting";
        assert_eq!(end(conversation.only_event()), End::Refused(reason.into()));
    }
}

/// Returns the `start` arguments of the `play` commands that the client has sent.
fn starts(conversation: &mut Conversation) -> Vec<i32> {
    let sent = conversation.sent();
    let plays = sent.iter().filter_map(|sent| match sent {
        Sent::Command(1, command) if command.name == "play" => command.arguments[2].as_number(),
        _ => None,
    });
    plays.map(|start| start as i32).collect()
}

#[test]
fn silence_after_play_start_tries_start_0_and_then_live_only() {
    let mut conversation = Conversation::playing(config());
    assert!(conversation.advance(SECOND * 99 / 10).is_empty());
    assert_eq!(starts(&mut conversation), [0; 0]);
    conversation.advance(SECOND);
    assert_eq!(starts(&mut conversation), [0]);
    // Neither a refusal nor the end of the first play ends the session.
    conversation.status("NetStream.Play.Stop");
    conversation.status("NetStream.Play.StreamNotFound");
    assert!(conversation.events().is_empty());
    assert_eq!(starts(&mut conversation), [-1000]);
    conversation.command(answer("_error", 5.0, vec![Value::Null]));
    let mut events = conversation.advance(20 * SECOND);
    let timed_out = End::TimedOut(Timeout::FirstMedia);
    assert_eq!(end(events.remove(0)), timed_out);
    assert_eq!(starts(&mut conversation), [0; 0]);
}

#[test]
fn media_after_another_start_plays_the_stream() {
    let mut conversation = Conversation::playing(Config {
        timeouts: Timeouts::all(Some(3 * SECOND)),
        ..config()
    });
    conversation.advance(SECOND * 11 / 10);
    assert_eq!(starts(&mut conversation), [0]);
    conversation.status("NetStream.Play.Start");
    conversation.advance(SECOND / 2);
    conversation.send(Kind::VIDEO, 1, 0, &[0x27, 1]);
    assert!(matches!(conversation.events()[..], [Event::Media { .. }]));
    conversation.advance(SECOND * 29 / 10);
    assert_eq!(starts(&mut conversation), [0; 0]);
}

#[test]
fn other_starts_are_tried_only_after_play_start_and_without_a_given_start() {
    let mut without_play_start = Conversation::connecting(config());
    without_play_start.accept();
    without_play_start.stream_created(2, 1.0);
    without_play_start.sent();
    let mut live_after_all = Conversation::playing(config());
    live_after_all.status("NetStream.Play.PublishNotify");
    let at = Config {
        start: Start::At { ms: 5_000 },
        ..config()
    };
    let live = Conversation::playing(live());
    for mut conversation in [
        without_play_start,
        live_after_all,
        live,
        Conversation::playing(at),
    ] {
        conversation.advance(SECOND * 29);
        assert_eq!(starts(&mut conversation), [0; 0]);
    }
}

#[test]
fn silence_after_a_repeated_call_reports_the_earlier_refusal() {
    let reason = "NetStream.Play.Failed: Can't play before connecting";
    // createStream, refused before and after the answer to connect.
    for is_early in [true, false] {
        let mut conversation = Conversation::connecting(config());
        if is_early {
            conversation.command(too_early(2.0));
        }
        conversation.accept();
        if !is_early {
            conversation.command(too_early(2.0));
        }
        let end = conversation.advance(30 * SECOND).pop().map(end);
        assert_eq!(end, Some(End::Refused(reason.into())));
    }
    // play.
    let mut conversation = Conversation::connecting(config());
    conversation.accept();
    conversation.stream_created(2, 1.0);
    conversation.command(too_early(3.0));
    let end = conversation.advance(30 * SECOND).pop().map(end);
    assert_eq!(end, Some(End::Refused(reason.into())));
}

#[test]
fn accepted_repeated_call_clears_the_earlier_refusal() {
    let mut conversation = Conversation::connecting(config());
    conversation.command(too_early(2.0));
    conversation.command(too_early(3.0));
    conversation.accept();
    conversation.sent();
    conversation.stream_created(4, 1.0);
    conversation.status("NetStream.Play.Start");
    let end = conversation.advance(40 * SECOND).pop().map(end);
    assert_eq!(end, Some(End::TimedOut(Timeout::FirstMedia)));
}

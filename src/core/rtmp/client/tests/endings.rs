//! Sessions that end with a message from the server.

use super::*;

#[test]
fn each_status_code_has_its_end() {
    let ended = |config: Config, code: &str| {
        let mut conversation = Conversation::playing(config);
        conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
        conversation.status(code);
        end(conversation.events().remove(1))
    };
    let word = |code: &str| code.to_owned();
    let complete = "NetStream.Play.Complete";
    let stop = "NetStream.Play.Stop";
    let unpublished = "NetStream.Play.UnpublishNotify";
    let closed = "NetConnection.Connect.Closed";
    let not_found = "NetStream.Play.StreamNotFound";
    assert_eq!(ended(config(), complete), End::Complete(word(complete)));
    assert_eq!(ended(config(), stop), End::Complete(word(stop)));
    assert_eq!(ended(live(), stop), End::Unpublished(word(stop)));
    assert_eq!(
        ended(live(), unpublished),
        End::Unpublished(word(unpublished))
    );
    assert_eq!(ended(live(), closed), End::Closed(word(closed)));
    assert_eq!(ended(live(), not_found), End::Failed(word(not_found)));
}

#[test]
fn stream_not_found_ends_with_not_found() {
    let mut conversation = Conversation::playing(config());
    conversation.status("NetStream.Play.StreamNotFound");
    assert_eq!(
        end(conversation.only_event()),
        End::NotFound("NetStream.Play.StreamNotFound".into())
    );
}

#[test]
fn status_object_is_found_at_any_position() {
    let stop = || info("status", "NetStream.Play.Stop");
    let Value::Object(members) = stop() else {
        unreachable!()
    };
    for arguments in [
        vec![stop()],
        vec![Value::Null, stop()],
        vec![Value::Null, Value::EcmaArray(members)],
    ] {
        let mut conversation = Conversation::playing(live());
        conversation.command(answer("onStatus", 0.0, arguments));
        let stopped = End::Unpublished("NetStream.Play.Stop".into());
        assert_eq!(end(conversation.only_event()), stopped);
    }
}

#[test]
fn play_complete_is_accepted_as_data_message() {
    let mut conversation = Conversation::playing(config());
    conversation.data(&[
        "onPlayStatus".into(),
        info("status", "NetStream.Play.Switch"),
    ]);
    assert!(conversation.events().is_empty());
    conversation.data(&[
        "onPlayStatus".into(),
        info("status", "NetStream.Play.Complete"),
    ]);
    let complete = End::Complete("NetStream.Play.Complete".into());
    assert_eq!(end(conversation.only_event()), complete);
}

#[test]
fn rejected_connect_reports_the_servers_reason() {
    let mut conversation = Conversation::connecting(config());
    let mut info = Object::new();
    info.push("level", Value::from("error"));
    info.push("code", Value::from("NetConnection.Connect.Rejected"));
    info.push("description", Value::from("no guests"));
    let refusal = vec![Value::Null, Value::Object(info)];
    conversation.command(answer("_error", 1.0, refusal));
    assert_eq!(
        end(conversation.only_event()),
        End::Refused("NetConnection.Connect.Rejected: no guests".into())
    );
}

#[test]
fn unknown_error_code_refuses_only_before_media() {
    let mut conversation = Conversation::playing(config());
    let error = || {
        answer(
            "onStatus",
            0.0,
            vec![Value::Null, info("error", "Vendor.Odd")],
        )
    };
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    conversation.command(error());
    assert_eq!(conversation.events().len(), 1);
    let mut conversation = Conversation::playing(config());
    conversation.command(error());
    assert_eq!(
        end(conversation.only_event()),
        End::Refused("Vendor.Odd".into())
    );
}

/// A status with a description, as the server's own words.
fn described(level: &str, code: &str, description: &str) -> Value {
    let Value::Object(mut info) = info(level, code) else {
        unreachable!()
    };
    info.push("description", description);
    Value::Object(info)
}

#[test]
fn refused_subscription_ends_with_the_servers_words() {
    let mut conversation = Conversation::playing(live());
    let refusal = described("error", "NetStream.Play.StreamNotFound", "clip is not live");
    conversation.command(answer("onFCSubscribe", 0.0, vec![Value::Null, refusal]));
    let reason = "NetStream.Play.StreamNotFound: clip is not live";
    assert_eq!(end(conversation.only_event()), End::NotFound(reason.into()));
}

#[test]
fn accepted_subscription_and_refusals_after_media_are_ignored() {
    let mut conversation = Conversation::playing(live());
    let accepted = described("status", "NetStream.Play.Start", "subscribed");
    conversation.command(answer("onFCSubscribe", 0.0, vec![Value::Null, accepted]));
    assert!(conversation.events().is_empty());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    let refusal = described("error", "NetStream.Play.StreamNotFound", "too late");
    conversation.command(answer("onFCSubscribe", 0.0, vec![Value::Null, refusal]));
    assert_eq!(conversation.events().len(), 1);
}

#[test]
fn error_for_any_other_call_ends_only_with_the_code_of_a_missing_stream() {
    // connect is 1, createStream 2, FCSubscribe 3, play 4.
    for (code, expected) in [
        ("NetConnection.Call.Failed", None),
        ("Vendor.Odd", None),
        (
            "NetStream.Play.StreamNotFound",
            Some(End::NotFound("NetStream.Play.StreamNotFound".into())),
        ),
        (
            "NetStream.Authenticate.UsherToken",
            Some(End::Refused("NetStream.Authenticate.UsherToken".into())),
        ),
    ] {
        let mut conversation = Conversation::playing(live());
        let error = vec![Value::Null, info("error", code)];
        conversation.command(answer("_error", 3.0, error));
        let ends: Vec<_> = conversation.events().into_iter().map(end).collect();
        assert_eq!(ends.first(), expected.as_ref(), "{code}");
    }
}

#[test]
fn stream_eof_is_confirmed_by_three_seconds_of_silence() {
    let mut conversation = Conversation::playing(live());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    conversation.user_control(1, 1);
    assert_eq!(conversation.advance(SECOND * 29 / 10).len(), 1);
    let mut events = conversation.advance(SECOND / 5);
    assert_eq!(end(events.remove(0)), End::Unpublished("Stream EOF".into()));
}

#[test]
fn short_silence_timeout_after_stream_eof_is_not_a_stall() {
    let mut conversation = Conversation::playing(Config {
        timeouts: Timeouts::all(Some(SECOND)),
        ..live()
    });
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    conversation.user_control(1, 1);
    let mut events = conversation.advance(2 * SECOND);
    assert_eq!(end(events.remove(1)), End::Unpublished("Stream EOF".into()));
}

#[test]
fn stream_eof_is_ignored_before_media_and_if_media_follows() {
    let mut conversation = Conversation::playing(live());
    conversation.user_control(1, 1);
    assert!(conversation.advance(4 * SECOND).is_empty());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    conversation.user_control(1, 1);
    conversation.user_control(0, 1);
    assert_eq!(conversation.advance(4 * SECOND).len(), 2);
    conversation.user_control(1, 1);
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    assert_eq!(conversation.advance(4 * SECOND).len(), 1);
}

#[test]
fn redirect_is_reported_and_answered() {
    let members = [
        ("redirect", "rtmp://a.example/vod"),
        ("redirect2", "rtmp://b.example/vod/clip"),
    ];
    for (members, expected) in [
        (
            &members[..1],
            Redirect::Application("rtmp://a.example/vod".into()),
        ),
        (
            &members[..],
            Redirect::Stream("rtmp://b.example/vod/clip".into()),
        ),
    ] {
        for name in ["_error", "onStatus"] {
            let mut conversation = Conversation::connecting(config());
            conversation.sent();
            let info = redirecting_info(members);
            conversation.command(answer(name, 1.0, vec![Value::Null, info]));
            let Event::Redirected(redirect) = conversation.only_event() else {
                panic!("not redirected");
            };
            assert_eq!(redirect, expected);
            let sent = conversation.sent();
            assert_eq!(sent[0].summary(), Some((&b"redirected"[..], 0.0, 0)));
        }
    }
}

#[test]
fn call_failed_status_is_ignored() {
    let mut conversation = Conversation::playing(config());
    let failed = info("error", "NetConnection.Call.Failed");
    conversation.command(answer("onStatus", 0.0, vec![Value::Null, failed]));
    assert!(conversation.events().is_empty());
}

#[test]
fn fc_unpublish_ends_the_stream() {
    let mut conversation = Conversation::playing(live());
    conversation.command(answer("FCUnpublish", 6.0, vec![Value::Null, "clip".into()]));
    assert_eq!(
        end(conversation.only_event()),
        End::Unpublished("FCUnpublish".into())
    );
}

#[test]
fn no_event_follows_the_end() {
    let mut conversation = Conversation::playing(config());
    conversation.status("NetStream.Play.Stop");
    conversation.status("NetStream.Play.Stop");
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    end(conversation.only_event());
    assert!(conversation.advance(100 * SECOND).is_empty());
}

/// Plays a live stream with a republish wait and one received frame.
fn awaiting_republish() -> Conversation {
    let mut conversation = Conversation::playing(Config {
        republish_wait: SECOND * 10,
        ..live()
    });
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    conversation.only_event();
    conversation
}

#[test]
fn another_publisher_is_awaited_after_unpublish() {
    for leave in [
        |conversation: &mut Conversation| conversation.user_control(1, 1),
        |conversation: &mut Conversation| conversation.status("NetStream.Play.UnpublishNotify"),
        |conversation: &mut Conversation| conversation.status("NetStream.Play.Stop"),
    ] {
        let mut conversation = awaiting_republish();
        leave(&mut conversation);
        assert!(conversation.advance(SECOND * 99 / 10).is_empty());
        let mut events = conversation.advance(SECOND / 5);
        assert!(matches!(end(events.remove(0)), End::Unpublished(_)));
    }
}

#[test]
fn first_end_notification_starts_the_republish_wait() {
    let mut conversation = awaiting_republish();
    conversation.status("NetStream.Play.UnpublishNotify");
    assert!(conversation.advance(SECOND * 5).is_empty());
    conversation.user_control(1, 1);
    let mut events = conversation.advance(SECOND * 51 / 10);
    let unpublished = End::Unpublished("NetStream.Play.UnpublishNotify".into());
    assert_eq!(end(events.remove(0)), unpublished);
}

#[test]
fn returning_publisher_restarts_the_stream() {
    for sign in [
        |conversation: &mut Conversation| conversation.user_control(0, 1),
        |conversation: &mut Conversation| conversation.status("NetStream.Play.Start"),
        |conversation: &mut Conversation| conversation.status("NetStream.Play.PublishNotify"),
        |conversation: &mut Conversation| conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]),
    ] {
        let mut conversation = awaiting_republish();
        conversation.status("NetStream.Play.UnpublishNotify");
        assert!(conversation.events().is_empty());
        assert!(conversation.client.pending_end().is_some());
        sign(&mut conversation);
        assert!(matches!(conversation.events()[0], Event::Restarted));
        assert!(conversation.client.pending_end().is_none());
        // From now on, silence ends the session.
        let events = conversation.advance(SECOND * 31);
        let end = events.into_iter().map(end).next_back();
        assert_eq!(end, Some(End::TimedOut(Timeout::Silence)));
    }
}

#[test]
fn unpublish_before_media_ends_immediately() {
    let mut conversation = Conversation::playing(Config {
        republish_wait: SECOND * 10,
        ..live()
    });
    conversation.status("NetStream.Play.UnpublishNotify");
    let unpublished = End::Unpublished("NetStream.Play.UnpublishNotify".into());
    assert_eq!(end(conversation.only_event()), unpublished);
}

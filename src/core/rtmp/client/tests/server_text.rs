//! Long texts of the server in events.

use super::*;

/// Info object with texts of 15 MB.
fn long_info(level: &str, code: &str) -> Value {
    let Value::Object(mut info) = info(level, code) else {
        unreachable!()
    };
    info.push("description", "Some words here. ".repeat(900_000));
    info.push("details", "More words here. ".repeat(10_000));
    Value::Object(info)
}

fn reason(event: Event) -> String {
    match end(event) {
        End::Complete(reason)
        | End::Unpublished(reason)
        | End::Closed(reason)
        | End::NotFound(reason)
        | End::Refused(reason)
        | End::Failed(reason) => reason,
        end => panic!("no reason: {end:?}"),
    }
}

#[test]
fn every_reason_is_shortened() {
    let play = |name, transaction, level, code: &str| {
        let mut conversation = Conversation::playing(live());
        if code.contains("Stop") {
            conversation.send(Kind::AUDIO, 1, 0, &[0xAF, 1]);
            conversation.events();
        }
        let arguments = vec![Value::Null, long_info(level, code)];
        conversation.command(answer(name, transaction, arguments));
        conversation.only_event()
    };
    let connect = |name, code| {
        let mut conversation = Conversation::connecting(config());
        let arguments = vec![Value::Null, long_info("error", code)];
        conversation.command(answer(name, 1.0, arguments));
        conversation.only_event()
    };
    let late_create_stream = || {
        let mut conversation = Conversation::connecting(Config {
            pipelining: false,
            ..config()
        });
        conversation.accept();
        conversation.events();
        let arguments = vec![Value::Null, long_info("error", "NetConnection.Call.Failed")];
        conversation.command(answer("_error", 2.0, arguments));
        conversation.only_event()
    };
    let (rejected, not_found) = (
        "NetConnection.Connect.Rejected",
        "NetStream.Play.StreamNotFound",
    );
    for event in [
        connect("_error", rejected),
        connect("_result", rejected),
        connect("onStatus", rejected),
        late_create_stream(),
        play("onStatus", 0.0, "error", not_found),
        play("onStatus", 0.0, "error", "Vendor.Odd"),
        play("onStatus", 0.0, "status", "NetStream.Play.Stop"),
        play("onFCSubscribe", 0.0, "error", not_found),
        play("close", 0.0, "status", "NetConnection.Connect.Closed"),
        play("_error", 3.0, "error", not_found),
    ] {
        let reason = reason(event);
        let text = reason.split_once(": ").map_or("", |(_, text)| text);
        assert!(text.starts_with("Some words here. Some"), "{reason}");
        assert!(text.ends_with(" …"), "{reason}");
        assert!((490..=510).contains(&text.len()), "{}", text.len());
    }
}

#[test]
fn long_code_and_level_are_shortened() {
    let long = "Odd.Code".repeat(10_000);
    let mut conversation = Conversation::playing(config());
    conversation.command(answer(
        "onStatus",
        0.0,
        vec![Value::Null, info("error", &long)],
    ));
    let reason = reason(conversation.only_event());
    assert_eq!(reason, format!("{} …", &long[..500]));
}

#[test]
fn redirect_to_a_long_address_is_a_refusal() {
    for (length, is_followed) in [(8_000, true), (9_000, false)] {
        let address = format!("rtmp://a.example/{}", "x".repeat(length));
        let mut conversation = Conversation::connecting(config());
        let info = redirecting_info(&[("redirect", &address)]);
        conversation.command(answer("_error", 1.0, vec![Value::Null, info]));
        match conversation.only_event() {
            Event::Redirected(Redirect::Application(to)) if is_followed => assert_eq!(to, address),
            event => {
                assert!(!is_followed);
                let reason = reason(event);
                assert!(reason.starts_with("redirected to rtmp://a.example/xxx"));
                assert!(reason.ends_with("x …, which is too long") && reason.len() < 600);
            }
        }
    }
}

#[test]
fn long_login_request_is_a_refusal() {
    let request = |length: usize| {
        let mut conversation = Conversation::connecting(Config {
            login: Some(config::Login {
                user: "joe".into(),
                password: "secret".into(),
            }),
            ..config()
        });
        let salt = "x".repeat(length);
        let text = format!("[ authmod=adobe ] : ?reason=needauth&user=joe&challenge=a&salt={salt}");
        let Value::Object(mut info) = info("error", "NetConnection.Connect.Rejected") else {
            unreachable!()
        };
        info.push("description", text);
        conversation.command(answer(
            "_error",
            1.0,
            vec![Value::Null, Value::Object(info)],
        ));
        conversation.only_event()
    };
    assert!(matches!(request(1_000), Event::LoginRequired { .. }));
    let refused = reason(request(10_000));
    assert!(
        refused.contains("authmod=adobe") && refused.len() < 1_000,
        "{refused}"
    );
}

#[test]
fn long_name_of_a_login_scheme_is_shortened() {
    let mut conversation = Conversation::connecting(config());
    let Value::Object(mut info) = info("error", "NetConnection.Connect.Rejected") else {
        unreachable!()
    };
    info.push("description", format!("authmod={}", "x".repeat(5_000)));
    conversation.command(answer(
        "_error",
        1.0,
        vec![Value::Null, Value::Object(info)],
    ));
    let refused = reason(conversation.only_event());
    assert!(refused.len() < 700, "{}", refused.len());
}

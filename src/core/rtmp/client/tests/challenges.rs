//! Challenges that servers issue before `play`.

use super::*;
use crate::core::rtmp::client::config::Login;

fn with_login(connect: Connect) -> Conversation {
    let mut conversation = Conversation::connecting(Config {
        connect,
        login: Some(Login {
            user: "joe".into(),
            password: "s3cret".into(),
        }),
        ..config()
    });
    conversation.sent();
    conversation
}

fn refusal(description: &str) -> Command {
    let Value::Object(mut info) = info("error", "NetConnection.Connect.Rejected") else {
        unreachable!()
    };
    info.push("description", description);
    answer("_error", 1.0, vec![Value::Null, Value::Object(info)])
}

/// Rejects `connect` with `description` and returns the `connect` of the new connection.
fn reconnected(mut conversation: Conversation, description: &str) -> Connect {
    conversation.command(refusal(description));
    conversation.command(answer("close", 0.0, vec![Value::Null]));
    let Event::LoginRequired { connect } = conversation.only_event() else {
        panic!("no reconnect requested");
    };
    assert_eq!(conversation.client.poll_timeout(), None);
    *connect
}

fn refused(mut conversation: Conversation, description: &str) -> String {
    conversation.command(refusal(description));
    match end(conversation.only_event()) {
        End::Refused(reason) => reason,
        end => panic!("{end:?}"),
    }
}

#[test]
fn secure_token_is_answered_before_create_stream() {
    let nested = |token: &str| {
        let mut inner = Object::new();
        inner.push("secureToken", token);
        let mut outer = Object::new();
        outer.push("level", "status");
        outer.push("code", "NetConnection.Connect.Success");
        outer.push("data", Value::EcmaArray(inner));
        answer("_result", 1.0, vec![Value::Null, Value::Object(outer)])
    };
    let sent = |key: Option<&str>, token: &str| {
        let mut conversation = Conversation::connecting(Config {
            secure_token: key.map(str::to_owned),
            pipelining: false,
            ..config()
        });
        conversation.sent();
        conversation.command(nested(token));
        conversation.sent()
    };
    let calls = |sent: &[Sent]| -> Vec<String> {
        let calls = sent.iter().filter_map(Sent::summary);
        calls.map(|call| format!("{call:?}")).collect()
    };
    let create_stream = format!("{:?}", (&b"createStream"[..], 2.0, 0));

    let answered = sent(Some("mykey"), "c1d2e3f40011223344556677");
    let response = format!("{:?}", (&b"secureTokenResponse"[..], 0.0, 0));
    assert_eq!(calls(&answered), [response, create_stream.clone()]);
    let Sent::Command(0, response) = &answered[0] else {
        unreachable!()
    };
    let [Value::Null, Value::String(plain)] = &response.arguments[..] else {
        panic!("{response:?}");
    };
    assert_eq!(
        plain.as_bytes(),
        b"\x17\xAB\xD7\x58\x1F\xD3\x0B\xA6\x26\x4F\x89\x95"
    );

    for (key, token) in [(None, "c1d2e3f40011223344556677"), (Some("k"), "no digits")] {
        assert_eq!(
            calls(&sent(key, token)),
            std::slice::from_ref(&create_stream)
        );
    }
}

#[test]
fn adobe_login_takes_two_more_connections() {
    let connect = reconnected(
        with_login(config().connect),
        "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ",
    );
    assert_eq!(connect.app, "vod?authmod=adobe&user=joe");
    assert_eq!(
        connect.tc_url,
        "rtmp://server.example/vod?authmod=adobe&user=joe"
    );

    let connect = reconnected(
        with_login(connect),
        "[ AccessManager.Reject ] : [ authmod=adobe ] : \
         ?reason=needauth&user=joe&salt=c2FsdA==&challenge=Y2hhbA==&opaque=b3BhcXVl",
    );
    let Some((named, nonce)) = connect.app.split_once("&challenge=") else {
        panic!("{}", connect.app);
    };
    assert_eq!(named, "vod?authmod=adobe&user=joe");
    assert!(nonce[8..].starts_with("&response="), "{nonce}");
    assert!(nonce.ends_with("&opaque=b3BhcXVl"), "{nonce}");
    assert_eq!(
        connect.tc_url,
        format!("rtmp://server.example/{}", connect.app)
    );
}

#[test]
fn limelight_login_answers_the_nonce() {
    let connect = reconnected(
        with_login(config().connect),
        "[ AccessManager.Reject ] : [ authmod=llnw ] : ?reason=needauth&user=joe&nonce=12345",
    );
    let answer = "vod?authmod=llnw&user=joe&nonce=12345&cnonce=";
    assert!(connect.app.starts_with(answer), "{}", connect.app);
}

#[test]
fn each_session_has_its_own_nonce() {
    let answer = |seed| {
        let now = Conversation::connecting(config()).now;
        let mut rng = StdRng::seed_from_u64(seed);
        Client::new(config(), now, &mut rng).nonce
    };
    assert_ne!(answer(1), answer(2));
}

#[test]
fn failed_login_gives_the_reason_without_the_user_name() {
    for (description, words) in [
        ("nosuchuser&user=joe", "has no such user"),
        ("authfailed&opaque=x&user=joe", "do not match"),
    ] {
        let description = format!("[ authmod=adobe ] : ?reason={description}");
        let reason = refused(with_login(config().connect), &description);
        assert!(reason.contains(words), "{reason}");
        assert!(!reason.contains("joe"), "{reason}");
    }
    let asks = "[ code=403 need auth; authmod=adobe ] : ";
    let reason = refused(Conversation::connecting(config()), asks);
    assert!(reason.contains("user name and a password"), "{reason}");
}

#[test]
fn status_can_request_a_login() {
    let mut conversation = with_login(config().connect);
    let mut status = refusal("[ code=403 need auth; authmod=llnw ]");
    status.name = "onStatus".into();
    conversation.command(status);
    assert!(matches!(
        conversation.only_event(),
        Event::LoginRequired { .. }
    ));
}
